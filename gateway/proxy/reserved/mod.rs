//! What an exchange holds of its limits. It decides nothing.

pub(super) mod ask;

use std::time::Instant;

use crate::limit::admitted::Admitted;
use crate::limit::reservation::Reservation;
use crate::usage::{Expected, RequestReader};

/// What an exchange holds of its limits.
pub(super) struct Reserved {
    pub(super) reservation: Reservation,
    /// What was reserved when the request was admitted.
    pub(super) admitted: Admitted,
    /// Reads the request's body, until it is there.
    pub(super) reader: Option<Box<RequestReader>>,
    /// Whether a model works for the response.
    pub(super) expected: Expected,
    /// The input tokens that the request is expected to have.
    pub(super) input: u64,
    /// The model that the request names, if it was read.
    pub(super) model: Option<Box<str>>,
    /// The events that had come when the reservation was last raised, and when that was.
    pub(super) raised: (u64, Instant),
}
