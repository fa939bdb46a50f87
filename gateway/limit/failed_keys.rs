//! How often an address came with keys that open nothing: so many a minute are answered, and what comes above that
//! is refused before its key is looked at.
//!
//! A table of fixed size and without a lock. An address has the one slot that its hash says, in which stands until
//! when it has used up what it may (the "theoretical arrival time" of ITU-T I.371's generic cell rate algorithm).
//! Of two addresses with one slot, one that is over the limit keeps it, and the other goes unpunished: which ones
//! meet depends on a seed that nobody outside knows.

use std::hash::{BuildHasher, Hash};
use std::time::{Duration, Instant};

use crate::runtime::atomic::{AtomicU64, Ordering};

/// 128 KiB.
const SLOTS: usize = 1 << 14;
/// What may be used up at once: a minute's worth.
const BURST: u64 = 60_000;
/// Milliseconds since the start, for 34 years; above them, what tells addresses apart.
const TIME_BITS: u32 = 40;
const TIME: u64 = (1 << TIME_BITS) - 1;

/// What addresses have used up.
pub struct FailedKeyLimiter<S = ahash::RandomState> {
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
    /// Nobody has used up anything. `slots` is a power of two.
    pub fn new(slots: usize, seed: S) -> Self {
        Self {
            slots: (0..slots.max(1)).map(|_| AtomicU64::new(0)).collect(),
            seed,
            start: Instant::now(),
        }
    }

    /// How long ago this began: the time that the others take.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Whether `address` has used up what it may.
    pub fn is_over(&self, address: &impl Hash, now: Duration) -> bool {
        let Some((slot, tag)) = self.slot(address) else {
            return false;
        };
        let seen = slot.load(Ordering::Relaxed);
        seen & !TIME == tag && seen & TIME > millis(now) + BURST
    }

    /// One more failure of `address`, which may have `per_minute` of them, rounded to whole milliseconds between them.
    pub fn failed(&self, address: &impl Hash, per_minute: u32, now: Duration) {
        let Some((slot, tag)) = self.slot(address) else {
            return;
        };
        let (now, interval) = (millis(now), (BURST / u64::from(per_minute.max(1))).max(1));
        let next = |seen: u64| {
            let until = seen & TIME;
            let until = match seen & !TIME == tag {
                true => until.max(now),
                false if until > now + BURST => return None,
                false => now,
            };
            // No further than one above the limit: what is refused is not counted, but may come at the same moment.
            Some(tag | (until + interval).min(now + BURST + interval))
        };
        // Nothing else is made visible by it.
        let _ = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

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
    fn an_address_that_fails_too_often_waits_and_no_other_does() {
        let penalties = FailedKeyLimiter::default();
        for _ in 0..60 {
            assert!(!penalties.is_over(&1, SECOND));
            penalties.failed(&1, 60, SECOND);
        }
        assert!(!penalties.is_over(&1, SECOND));
        penalties.failed(&1, 60, SECOND);
        assert!(penalties.is_over(&1, SECOND) && !penalties.is_over(&2, SECOND));
        // A second later there is room for one more, and for no second.
        assert!(!penalties.is_over(&1, SECOND * 2));
        penalties.failed(&1, 60, SECOND * 2);
        assert!(penalties.is_over(&1, SECOND * 2));
        // A minute of silence, and all is as before.
        for _ in 0..61 {
            assert!(!penalties.is_over(&1, SECOND * 63));
            penalties.failed(&1, 60, SECOND * 63);
        }
        assert!(penalties.is_over(&1, SECOND * 63));
    }

    #[test]
    fn a_flood_of_addresses_frees_none_that_is_over() {
        let penalties = FailedKeyLimiter::new(64, ahash::RandomState::new());
        for _ in 0..10 {
            penalties.failed(&0, 5, SECOND);
        }
        for address in 1..100_000 {
            penalties.failed(&address, 5, SECOND);
        }
        assert!(penalties.is_over(&0, SECOND));
    }
}
