//! The place in a key where its cells are: what the key has used of its limits.
//!
//! A key that is never used has no cells, and its place is one pointer.

use std::fmt;

use arc_swap::ArcSwapOption;

/// What a key has used of its limits.
#[derive(Debug)]
pub(crate) struct Cells;

/// The place of a key's cells. A copy of it is empty: two keys never share cells.
#[derive(Default)]
pub(crate) struct KeySlot(ArcSwapOption<Cells>);

impl Clone for KeySlot {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl fmt::Debug for KeySlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeySlot").field(&self.0.load()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_slot_is_a_pointer_and_its_copy_is_empty() {
        assert_eq!(size_of::<KeySlot>(), size_of::<usize>());
        let slot = KeySlot::default();
        assert!(slot.0.load().is_none());
        slot.0.store(Some(Arc::new(Cells)));
        assert!(slot.0.load().is_some() && slot.clone().0.load().is_none());
    }
}
