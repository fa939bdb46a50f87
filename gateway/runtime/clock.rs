//! The clock for the validity of keys: follows the wall clock, but never goes back.
//!
//! If the wall clock is set back, expired keys must not become valid again. So the time is the latest that the wall clock
//! has shown, plus the time since then by the monotonic clock, which no adjustment changes. If the wall clock was ahead
//! once, this clock stays ahead until the process ends; [`Clock::behind`] reports that.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::runtime::atomic::{AtomicI64, Ordering};

/// A clock for validity. A process has one for its whole life.
pub struct Clock {
    start: Instant,
    /// The latest time at `start`, as the wall clock has shown it so far, in microseconds since 1970.
    ahead: AtomicI64,
}

impl Clock {
    /// A clock that starts with the wall clock's time.
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
            ahead: AtomicI64::new(Timestamp::now().as_microsecond()),
        }
    }

    /// The time at the moment `at`, at which the wall clock shows `wall`.
    pub(crate) fn at(&self, wall: Timestamp, at: Instant) -> Timestamp {
        let passed = i64::try_from(at.duration_since(self.start).as_micros()).unwrap_or(i64::MAX);
        let ahead = wall.as_microsecond().saturating_sub(passed);
        let mut most = self.ahead.load(Ordering::Relaxed);
        if ahead > most {
            most = self.ahead.fetch_max(ahead, Ordering::Relaxed).max(ahead);
        }
        Timestamp::from_microsecond(most.saturating_add(passed)).unwrap_or(Timestamp::MAX)
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.at(Timestamp::now(), Instant::now())
    }

    /// How far the wall clock is behind this clock, because it was set back or was ahead once.
    pub(crate) fn behind(&self) -> Duration {
        let wall = Timestamp::now();
        let gap = self.at(wall, Instant::now()).duration_since(wall);
        gap.try_into().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_when_the_wall_clock_is_set_back() {
        let clock = Clock::start();
        let (start, wall) = (clock.start, Timestamp::now());
        let (second, day) = (Duration::from_secs(1), Duration::from_secs(86_400));
        let before = clock.at(wall + second, start + second);
        let stepped = clock.at(wall + second * 2 - day, start + second * 2);
        assert!(stepped >= before + second / 2, "{before} {stepped}");
        // A wall clock that is set forward is followed, and not undone.
        let ahead = clock.at(wall + second * 3 + day, start + second * 3);
        assert!(ahead >= wall + day);
        assert!(clock.at(wall + second * 4, start + second * 4) > ahead);
        let apart = clock.behind().abs_diff(day);
        assert!(apart < second * 4, "{apart:?}");
    }
}
