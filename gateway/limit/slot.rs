//! The place in a key where its limits are, once it has been used.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::lists::Limits;

/// The limits of one key, put together at its first request. Empty in a key that was not used: a million of them take a
/// word each.
#[derive(Default)]
pub(crate) struct KeySlot(ArcSwapOption<Limits>);

impl KeySlot {
    /// The limits, if they were put together.
    pub(crate) fn get(&self) -> Option<Arc<Limits>> {
        self.0.load_full()
    }

    /// Keeps the limits for the key's next request.
    pub(crate) fn set(&self, limits: Arc<Limits>) {
        self.0.store(Some(limits));
    }
}

/// A copy of a key begins without them, and finds the same cells.
impl Clone for KeySlot {
    fn clone(&self) -> Self {
        Self::default()
    }
}
