//! Limits how many bytes of request bodies are held at once, by all exchanges together.

use std::sync::Arc;

use prometheus::IntGauge;

use crate::runtime::atomic::{AtomicU64, Ordering};

/// How many bytes are held.
pub(crate) struct HeldBodies {
    bytes: AtomicU64,
    gauge: IntGauge,
}

/// The right to hold the bytes of one body. They count until it is dropped.
pub(crate) struct HeldBytes {
    all: Arc<HeldBodies>,
    bytes: u64,
}

impl HeldBodies {
    /// Nothing is held. `gauge` exports the number of bytes.
    pub(crate) fn new(gauge: IntGauge) -> Arc<Self> {
        let bytes = AtomicU64::new(0);
        Arc::new(Self { bytes, gauge })
    }

    /// Counts a body of `bytes`. `None` if more than `most` bytes would then be held.
    pub(crate) fn take(self: &Arc<Self>, bytes: u64, most: u64) -> Option<HeldBytes> {
        let sum = |held: u64| held.checked_add(bytes).filter(|held| *held <= most);
        self.bytes
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, sum)
            .ok()?;
        self.gauge.add(signed(bytes));
        let all = self.clone();
        Some(HeldBytes { all, bytes })
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.all.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
        self.all.gauge.sub(signed(self.bytes));
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies() -> (Arc<HeldBodies>, IntGauge) {
        let gauge = IntGauge::new("held", "held").unwrap();
        (HeldBodies::new(gauge.clone()), gauge)
    }

    #[test]
    fn bodies_are_held_up_to_the_limit_and_give_their_bytes_back() {
        let (all, gauge) = bodies();
        let first = all.take(60, 100).unwrap();
        assert!(all.take(41, 100).is_none());
        let second = all.take(40, 100).unwrap();
        assert!(all.take(1, 100).is_none() && all.take(u64::MAX, u64::MAX).is_none());
        assert_eq!(gauge.get(), 100);
        drop(first);
        assert_eq!(gauge.get(), 40);
        // A limit that a reload lowered: what is held stays.
        assert!(all.take(1, 20).is_none());
        drop(second);
        assert_eq!(gauge.get(), 0);
        assert!(all.take(20, 20).is_some());
    }

    #[test]
    fn threads_never_hold_more_than_the_limit_and_leave_nothing() {
        let (all, gauge) = bodies();
        std::thread::scope(|scope| {
            for bytes in 1..8_u64 {
                let all = &all;
                scope.spawn(move || {
                    for _ in 0..20_000 {
                        let held = all.take(bytes, 10);
                        assert!(all.bytes.load(Ordering::Acquire) <= 10);
                        drop(held);
                    }
                });
            }
        });
        assert_eq!(all.bytes.load(Ordering::Acquire), 0);
        assert_eq!(gauge.get(), 0);
    }
}
