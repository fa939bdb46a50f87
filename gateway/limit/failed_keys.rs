//! Limits how often one address may send wrong keys: up to a number per minute. Above it, every request that needs a key
//! is refused, even with a valid one: keys are still verified, but the client does not learn the result.
//!
//! The table has a fixed size and no lock. The hash of an address selects its one slot, which holds a tag of the address
//! and its theoretical arrival time (see `gcra`). If two addresses share a slot, one that is over its limit keeps it, and
//! the other is not limited. The seed of the hash is random and secret, so nobody can choose addresses that share a slot.

use std::hash::{BuildHasher, Hash};
use std::time::{Duration, Instant};

use crate::limit::gcra::Gcra;
use crate::runtime::atomic::{AtomicU64, Ordering};

/// The number of slots, of 8 bytes each.
const SLOTS: usize = 1 << 14;
/// A minute, in milliseconds. A whole minute's worth of failures may arrive at once.
const MINUTE: u64 = 60_000;
const LIMIT: Gcra = Gcra::new(MINUTE);
/// The low bits of a slot: milliseconds since the start, for 34 years. The high bits are the tag of an address.
const TIME_BITS: u32 = 40;
const TIME: u64 = (1 << TIME_BITS) - 1;

/// Counts wrong keys by address.
pub(crate) struct FailedKeyLimiter<S = ahash::RandomState> {
    slots: Box<[AtomicU64]>,
    seed: S,
    start: Instant,
}

impl Default for FailedKeyLimiter {
    fn default() -> Self {
        Self::new(SLOTS, ahash::RandomState::new())
    }
}

impl<S: BuildHasher> FailedKeyLimiter<S> {
    /// A limiter without any failures. `slots` is a power of two.
    pub(crate) fn new(slots: usize, seed: S) -> Self {
        Self {
            slots: (0..slots.max(1)).map(|_| AtomicU64::new(0)).collect(),
            seed,
            start: Instant::now(),
        }
    }

    /// The time since the limiter was created: the `now` of the other methods.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Whether `address` is over its limit at `now`.
    pub(crate) fn is_over(&self, address: &impl Hash, now: Duration) -> bool {
        let Some((slot, tag)) = self.slot(address) else {
            return false;
        };
        let state = slot.load(Ordering::Relaxed);
        state & !TIME == tag && LIMIT.is_exceeded(state & TIME, millis(now))
    }

    /// Counts a wrong key of `address`, which may send `per_minute` of them. The interval between them is rounded down to
    /// whole milliseconds.
    pub(crate) fn failed(&self, address: &impl Hash, per_minute: u32, now: Duration) {
        let Some((slot, tag)) = self.slot(address) else {
            return;
        };
        let (now, interval) = (millis(now), (MINUTE / u64::from(per_minute.max(1))).max(1));
        let next = |state: u64| {
            let (owner, arrival) = (state & !TIME, state & TIME);
            if owner == tag {
                return Some(tag | LIMIT.advance(arrival, now, interval));
            }
            // Another address that is over its limit keeps the slot.
            let is_free = !LIMIT.is_exceeded(arrival, now);
            is_free.then(|| tag | LIMIT.advance(now, now, interval))
        };
        // Relaxed: no other memory depends on the slot.
        let _ = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    /// The slot of `address`, and the tag that distinguishes addresses in it.
    fn slot(&self, address: &impl Hash) -> Option<(&AtomicU64, u64)> {
        let hash = self.seed.hash_one(address);
        let low = usize::try_from(hash & TIME).unwrap_or_default();
        let slot = self.slots.get(low & (self.slots.len() - 1))?;
        Some((slot, hash & !TIME))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis())
        .unwrap_or(TIME)
        .min(TIME / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_address_that_fails_too_often_is_over_its_limit_and_no_other_is() {
        let limiter = FailedKeyLimiter::default();
        for _ in 0..60 {
            assert!(!limiter.is_over(&1, SECOND));
            limiter.failed(&1, 60, SECOND);
        }
        assert!(!limiter.is_over(&1, SECOND));
        limiter.failed(&1, 60, SECOND);
        assert!(limiter.is_over(&1, SECOND) && !limiter.is_over(&2, SECOND));
        // A second later one more is allowed, and no second one.
        assert!(!limiter.is_over(&1, SECOND * 2));
        limiter.failed(&1, 60, SECOND * 2);
        assert!(limiter.is_over(&1, SECOND * 2));
        // After a minute without failures, the whole burst is allowed again.
        for _ in 0..61 {
            assert!(!limiter.is_over(&1, SECOND * 63));
            limiter.failed(&1, 60, SECOND * 63);
        }
        assert!(limiter.is_over(&1, SECOND * 63));
    }

    #[test]
    fn a_flood_of_addresses_frees_no_slot_that_is_over_its_limit() {
        let limiter = FailedKeyLimiter::new(64, ahash::RandomState::new());
        for _ in 0..10 {
            limiter.failed(&0, 5, SECOND);
        }
        for address in 1..100_000 {
            limiter.failed(&address, 5, SECOND);
        }
        assert!(limiter.is_over(&0, SECOND));
    }
}
