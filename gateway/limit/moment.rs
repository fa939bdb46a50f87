//! When a request came: by the monotonic clock, which rates need, and by the clock of the calendar.

use std::time::Instant;

use jiff::Timestamp;

use super::rate::Ticks;

/// A point in time, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// The time since the process began, which no adjustment changes.
    pub(crate) ticks: Ticks,
    /// The time by a clock that follows the wall clock and never goes back.
    pub(crate) time: Timestamp,
}

impl Moment {
    /// The moment `at`, at which the calendar's clock shows `time`, of a process that began at `start`.
    pub(crate) fn new(start: Instant, at: Instant, time: Timestamp) -> Self {
        Self {
            ticks: Ticks::between(start, at),
            time,
        }
    }
}
