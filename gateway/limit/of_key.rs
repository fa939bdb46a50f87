//! The limits that a key's own entry sets.

use std::sync::Arc;

use super::terms::Limit;

/// The limits of a key's entry. Keys with the same ones share them.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct KeyLimits {
    /// The limits.
    pub(crate) limits: Box<[Arc<Limit>]>,
}
