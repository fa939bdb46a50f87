//! How many at once.

use std::time::Duration;

use crate::runtime::atomic::{AtomicU32, Ordering};

/// The shortest and the longest wait that is suggested.
const WAITS: (u32, u32) = (100, 2_000);
/// The weight of the latest request in the average: one in so many.
const WEIGHT: u32 = 8;

/// Requests in flight.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    taken: AtomicU32,
    /// The milliseconds that a request holds its slot, on average over the latest ones.
    holds: AtomicU32,
}

impl Slots {
    /// Takes one of `most` slots. Returns whether one was free.
    pub(crate) fn take(&self, most: u32) -> bool {
        let next = |taken: u32| (taken < most).then(|| taken + 1);
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .is_ok()
    }

    /// Gives a slot back that was held for `held`.
    pub(crate) fn give_back(&self, held: Duration) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
        // Two that end at once may lose one of their times: the average is a hint.
        let before = self.holds.load(Ordering::Relaxed);
        let held = u32::try_from(held.as_millis()).unwrap_or(u32::MAX) / WEIGHT;
        let after = (before - before / WEIGHT).saturating_add(held);
        self.holds.store(after, Ordering::Relaxed);
    }

    /// The slots in use.
    pub(crate) fn taken(&self) -> u32 {
        self.taken.load(Ordering::Relaxed)
    }

    /// About how long it takes until one of the slots in use is free, 100 ms to 2 s.
    pub(crate) fn wait(&self) -> Duration {
        let wait = self.holds.load(Ordering::Relaxed) / self.taken().max(1);
        Duration::from_millis(wait.clamp(WAITS.0, WAITS.1).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_taken_than_there_are_and_one_that_is_given_back_is_free() {
        let slots = Slots::default();
        assert!(slots.take(2) && slots.take(2) && !slots.take(2));
        assert_eq!(slots.taken(), 2);
        slots.give_back(Duration::ZERO);
        assert!(slots.take(2) && !slots.take(2) && slots.take(3));
        assert!(!slots.take(0));
    }

    #[test]
    fn the_suggested_wait_follows_the_time_that_requests_take() {
        let slots = Slots::default();
        assert_eq!(slots.wait(), Duration::from_millis(100));
        for _ in 0..100 {
            assert!(slots.take(u32::MAX));
            slots.give_back(Duration::from_secs(4));
        }
        for _ in 0..4 {
            assert!(slots.take(u32::MAX));
        }
        let wait = slots.wait();
        assert!(
            wait > Duration::from_millis(900) && wait <= Duration::from_secs(1),
            "{wait:?}"
        );
        for _ in 0..100 {
            assert!(slots.take(u32::MAX));
            slots.give_back(Duration::from_secs(86_400 * 365));
        }
        assert_eq!(slots.wait(), Duration::from_secs(2));
    }
}
