//! A shared value that is replaced as a whole while it is read. A reader has the old value or the new one, for as long as
//! it needs it, and code that waits for a change misses none.

use std::sync::Arc;

use tokio::sync::watch;

use crate::runtime::atomic::{ArcSwap, Guard};

/// A value that can be swapped and watched.
pub(crate) struct Watched<T> {
    value: ArcSwap<T>,
    swaps: watch::Sender<u64>,
}

impl<T> Watched<T> {
    /// Starts with `value`.
    pub(crate) fn new(value: T) -> Self {
        Self {
            value: ArcSwap::from_pointee(value),
            swaps: watch::Sender::new(0),
        }
    }

    /// The current value, to keep.
    pub(crate) fn get(&self) -> Arc<T> {
        self.value.load_full()
    }

    /// The current value, for a short read: cheaper than [`get`](Self::get), but not to be kept across an `await`.
    pub(crate) fn load(&self) -> Guard<Arc<T>> {
        self.value.load()
    }

    /// Replaces the value by `next`, and returns the old one.
    pub(crate) fn swap(&self, next: Arc<T>) -> Arc<T> {
        let before = self.value.swap(next);
        self.swaps.send_modify(|count| *count += 1);
        before
    }

    /// Watches for swaps after this call. Read the value only after the call: a swap in between would be missed.
    pub(crate) fn watch(&self) -> Swaps {
        Swaps(self.swaps.subscribe())
    }
}

/// Notifications of swaps.
pub(crate) struct Swaps(watch::Receiver<u64>);

impl Swaps {
    /// Waits for a swap since the last call. Returns false if there will be none: the value is gone.
    pub(crate) async fn next(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}
