//! The time that keys begin and end by: the wall clock, but never back.
//!
//! A clock that is set back would open keys whose time is over. So what counts is the furthest that
//! the wall clock has been, and from there on the time that passes, which a step does not touch. A
//! clock that was wrong by being ahead is believed until the process ends: `behind` says so.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::runtime::atomic::{AtomicI64, Ordering};

/// A clock for validity. One for the whole life of the process.
pub struct Clock {
    start: Instant,
    /// The most that the wall clock was ahead of the time since `start`, in microseconds since 1970.
    ahead: AtomicI64,
}

impl Clock {
    /// A clock that begins with the wall clock's time.
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
            ahead: AtomicI64::new(Timestamp::now().as_microsecond()),
        }
    }

    /// The time that counts, where the wall clock says `wall` at the moment `at`.
    pub fn at(&self, wall: Timestamp, at: Instant) -> Timestamp {
        let passed = i64::try_from(at.duration_since(self.start).as_micros()).unwrap_or(i64::MAX);
        let ahead = wall.as_microsecond().saturating_sub(passed);
        let mut most = self.ahead.load(Ordering::Relaxed);
        if ahead > most {
            most = self.ahead.fetch_max(ahead, Ordering::Relaxed).max(ahead);
        }
        Timestamp::from_microsecond(most.saturating_add(passed)).unwrap_or(Timestamp::MAX)
    }

    /// The time that counts now.
    pub fn now(&self) -> Timestamp {
        self.at(Timestamp::now(), Instant::now())
    }

    /// How far the wall clock is behind the time that counts: it was set back, or was ahead once.
    pub fn behind(&self) -> Duration {
        let wall = Timestamp::now();
        let gap = self.at(wall, Instant::now()).duration_since(wall);
        gap.try_into().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_from_where_the_clock_was_set_back() {
        let clock = Clock::start();
        let (start, wall) = (clock.start, Timestamp::now());
        let (second, day) = (Duration::from_secs(1), Duration::from_secs(86_400));
        let before = clock.at(wall + second, start + second);
        let stepped = clock.at(wall + second * 2 - day, start + second * 2);
        assert!(stepped >= before + second / 2, "{before} {stepped}");
        // Set forward, it is believed, and that stays.
        let ahead = clock.at(wall + second * 3 + day, start + second * 3);
        assert!(ahead >= wall + day);
        assert!(clock.at(wall + second * 4, start + second * 4) > ahead);
        let apart = clock.behind().abs_diff(day);
        assert!(apart < second * 4, "{apart:?}");
    }
}
