//! The generic cell rate algorithm (ITU-T I.371): a rate limit whose whole state is one point in time.
//!
//! That point, the theoretical arrival time, is when all events so far would have arrived at the allowed rate. Pure
//! arithmetic on numbers, so that a caller can keep the state in an atomic and update it without a lock. The unit of time
//! is the caller's, the same for all arguments.

/// A limit with the given tolerance: how far the theoretical arrival time may be ahead of now, and so how many events may
/// arrive at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gcra {
    tolerance: u64,
}

impl Gcra {
    pub(crate) const fn new(tolerance: u64) -> Self {
        Self { tolerance }
    }

    /// Whether the limit is exceeded at `now`, with the theoretical arrival time `arrival`.
    pub(crate) fn is_exceeded(self, arrival: u64, now: u64) -> bool {
        arrival > now + self.tolerance
    }

    /// The theoretical arrival time after one more event at `now`, where `interval` is the time between events at the
    /// allowed rate.
    ///
    /// At most one event above the limit counts: events that arrive at the same moment as the one that exceeds it delay
    /// the next allowed one no further.
    pub(crate) fn advance(self, arrival: u64, now: u64, interval: u64) -> u64 {
        (arrival.max(now) + interval).min(now + self.tolerance + interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_up_to_the_tolerance_is_allowed_and_then_one_event_per_interval() {
        let (limit, interval) = (Gcra::new(60), 20);
        let mut arrival = 0;
        for _ in 0..3 {
            assert!(!limit.is_exceeded(arrival, 1000));
            arrival = limit.advance(arrival, 1000, interval);
        }
        assert!(!limit.is_exceeded(arrival, 1000));
        for _ in 0..5 {
            arrival = limit.advance(arrival, 1000, interval);
            assert!(limit.is_exceeded(arrival, 1000));
        }
        assert!(limit.is_exceeded(arrival, 1019) && !limit.is_exceeded(arrival, 1020));
        // After a long pause, the whole burst is allowed again.
        assert_eq!(limit.advance(arrival, 5000, interval), 5020);
    }
}
