//! What all exchanges of a process share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::access_log::AccessLog;
use crate::ledger::Ledger;
use crate::limit::by_address::ByAddress;
use crate::limit::failed_keys::FailedKeyLimiter;
use crate::limit::held_bodies::HeldBodies;
use crate::runtime::in_flight::InFlight;
use crate::snapshot::Live;
use crate::telemetry::Telemetry;

/// What all exchanges share.
pub(crate) struct Shared {
    /// The snapshot that serves now, and the metrics.
    pub(crate) live: Arc<Live>,
    /// Where access lines are written.
    pub(crate) access_log: AccessLog,
    /// The number of exchanges in flight.
    pub(crate) in_flight: Arc<InFlight>,
    /// The addresses that came with too many invalid keys.
    pub(crate) failed_keys: FailedKeyLimiter,
    /// The number of requests of each client, where a proxy in front names the client in a header.
    pub(crate) by_address: Arc<ByAddress>,
    /// How many bytes of request bodies are held.
    pub(crate) held_bodies: Arc<HeldBodies>,
    /// Whether each connection ends with its next response, because another process takes the ones that follow.
    pub(crate) closing: Arc<AtomicBool>,
    /// What exports spans, if that is configured.
    pub(crate) telemetry: Option<Telemetry>,
    /// What issues the rights to budgets, and keeps the history of use.
    pub(crate) ledger: Arc<Ledger>,
}
