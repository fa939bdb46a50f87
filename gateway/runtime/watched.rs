//! One value for all, replaced whole while it is read: a reader has the one of before or the one of after, for as
//! long as it likes, and whoever waits for a change misses none.

use std::sync::Arc;

use tokio::sync::watch;

use crate::runtime::atomic::{ArcSwap, Guard};

/// The value, and who is to be told of the next.
pub struct Watched<T> {
    value: ArcSwap<T>,
    swaps: watch::Sender<u64>,
}

impl<T> Watched<T> {
    /// Begins with `value`.
    pub fn new(value: T) -> Self {
        Self {
            value: ArcSwap::from_pointee(value),
            swaps: watch::Sender::new(0),
        }
    }

    /// The value of now, to keep.
    pub fn get(&self) -> Arc<T> {
        self.value.load_full()
    }

    /// The value of now, for a look at it.
    pub fn look(&self) -> Guard<Arc<T>> {
        self.value.load()
    }

    /// Whoever asks from now on gets `next`; gives the value of before.
    pub fn swap(&self, next: Arc<T>) -> Arc<T> {
        let before = self.value.swap(next);
        self.swaps.send_modify(|count| *count += 1);
        before
    }

    /// Tells of every swap that comes after this call: look at the value only then.
    pub fn watch(&self) -> Swaps {
        Swaps(self.swaps.subscribe())
    }
}

/// What is told of swaps.
pub struct Swaps(watch::Receiver<u64>);

impl Swaps {
    /// Waits for one, of which this was not told before; whether there will be more.
    pub async fn next(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}
