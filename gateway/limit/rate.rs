//! A rate: so many units in a window that slides. The generic cell rate algorithm (ITU-T I.371) with weights, in one
//! 64-bit word and one compare-and-swap.
//!
//! The bucket holds the burst. Units drain from it when they are reserved, and flow back evenly with time. The state is
//! the time at which the bucket would be full again. So for any interval of length t, the units that are admitted are at
//! most burst + rate * t.
//!
//! Times are in ticks of a sixteenth of a nanosecond since the process began, by the monotonic clock: an `i64` holds 18
//! years of them, and the interval between two of a thousand million tokens a minute still has 960.

use std::time::{Duration, Instant};

use super::terms::RateAmount;
use crate::runtime::atomic::{AtomicI64, Ordering};

const TICKS_A_NANOSECOND: i64 = 16;
/// The most ticks that one request may take: two years. Larger counts of units are cut to it.
const MOST: i64 = i64::MAX / 8;
/// The latest time at which a bucket is full again: debts beyond it are forgiven.
const LATEST: i64 = i64::MAX / 2;

/// A point in time, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticks(pub(crate) i64);

impl Ticks {
    /// The time from `start` to `now`.
    pub(crate) fn between(start: Instant, now: Instant) -> Self {
        let nanoseconds = now.saturating_duration_since(start).as_nanos();
        Self(i64::try_from(nanoseconds).map_or(MOST, |it| it.saturating_mul(TICKS_A_NANOSECOND)))
    }

    /// The time from an earlier point to this one; `None` if it is not earlier.
    pub(crate) fn since(self, earlier: Self) -> Option<Duration> {
        (self > earlier).then(|| self.after(earlier.0))
    }

    /// The time from an earlier point to this one.
    fn after(self, earlier: i64) -> Duration {
        let ticks = self.0.saturating_sub(earlier).max(0);
        // Rounded up: a client that waits so long is not too early.
        Duration::from_nanos(
            ticks
                .cast_unsigned()
                .div_ceil(TICKS_A_NANOSECOND.cast_unsigned()),
        )
    }
}

/// A rate in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// The ticks between two units, rounded up: the rate is never higher than it was set.
    interval: i64,
    /// The ticks of a whole burst.
    depth: i64,
}

impl Pace {
    /// The pace of `amount`.
    pub(crate) fn of(amount: &RateAmount) -> Self {
        let window = i64::try_from(amount.window.length().as_nanos()).unwrap_or(MOST);
        let units = i64::try_from(amount.units.max(1)).unwrap_or(i64::MAX);
        let ticks = window.saturating_mul(TICKS_A_NANOSECOND);
        let interval = ticks.div_euclid(units) + i64::from(ticks.rem_euclid(units) > 0);
        Self {
            interval,
            depth: ticks_of(
                i64::try_from(amount.burst.max(1)).unwrap_or(i64::MAX),
                interval,
            ),
        }
    }

    fn ticks(self, units: i64) -> i64 {
        ticks_of(units, self.interval)
    }
}

fn ticks_of(units: i64, interval: i64) -> i64 {
    units.saturating_mul(interval).clamp(-MOST, MOST)
}

/// The state of a rate: what was used, and what is reserved beside it.
///
/// What is reserved does not flow back with time: otherwise what is given back later would be there twice.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    /// When the bucket would be full again, if nothing was reserved.
    full_at: AtomicI64,
    /// The units that are reserved.
    reserved: AtomicI64,
}

impl Rate {
    /// A rate whose bucket is full again at `full_at`; full now if that is `None`.
    pub(crate) fn full_at(full_at: Option<Ticks>) -> Self {
        Self {
            full_at: AtomicI64::new(full_at.map_or(0, |ticks| ticks.0)),
            reserved: AtomicI64::new(0),
        }
    }

    /// When the bucket is full again.
    pub(crate) fn when_full(&self) -> Ticks {
        Ticks(self.full_at.load(Ordering::Relaxed))
    }

    /// The units that are reserved.
    pub(crate) fn reserved(&self) -> i64 {
        self.reserved.load(Ordering::Relaxed)
    }

    /// Reserves `units`. Fails with the time after which they are there, if all that is reserved is used and nobody else
    /// takes them.
    ///
    /// More units than the bucket holds are admitted when it is full, and leave debt: later requests wait longer.
    pub(crate) fn reserve(&self, units: i64, now: Ticks, pace: Pace) -> Result<(), Duration> {
        // Reserved first, and looked at then: of two requests that come at once, one sees the other.
        let reserved = self.reserved.fetch_add(units, Ordering::AcqRel);
        let full_at = self.full_at.load(Ordering::Acquire);
        match wait(full_at, reserved, units, now, pace) {
            None => Ok(()),
            Some(wait) => {
                self.reserved.fetch_sub(units, Ordering::AcqRel);
                Err(wait)
            }
        }
    }

    /// Whether `units` can be reserved: `None`, or the time after which they are there.
    pub(crate) fn check(&self, units: i64, now: Ticks, pace: Pace) -> Option<Duration> {
        let reserved = self.reserved.load(Ordering::Acquire);
        let full_at = self.full_at.load(Ordering::Acquire);
        wait(full_at, reserved, units, now, pace)
    }

    /// Ends a reservation of `reserved` units, of which `used` were used: fewer or more.
    pub(crate) fn settle(&self, reserved: i64, used: i64, now: Ticks, pace: Pace) {
        let cost = pace.ticks(used);
        if cost > 0 {
            // Used before it is no longer reserved: in between it counts twice, and never not at all.
            let next = |full_at: i64| Some(full_at.max(now.0).saturating_add(cost).min(LATEST));
            let _ = self
                .full_at
                .fetch_update(Ordering::AcqRel, Ordering::Relaxed, next);
        }
        self.reserved.fetch_sub(reserved, Ordering::AcqRel);
    }

    /// The units that are left, at most a burst, and the time until all of it is.
    pub(crate) fn left(&self, now: Ticks, pace: Pace) -> (u64, Duration) {
        let reserved = pace.ticks(self.reserved.load(Ordering::Relaxed));
        let full_at = self.full_at.load(Ordering::Relaxed).max(now.0);
        let full_at = full_at.saturating_add(reserved);
        let left = now.0.saturating_add(pace.depth).saturating_sub(full_at);
        let units = left.max(0) / pace.interval.max(1);
        (units.cast_unsigned(), Ticks(full_at).after(now.0))
    }
}

/// The time until `units` fit beside those that are `reserved`: `None` if they do now.
fn wait(full_at: i64, reserved: i64, units: i64, now: Ticks, pace: Pace) -> Option<Duration> {
    let cost = pace.ticks(units);
    let next = full_at
        .max(now.0)
        .saturating_add(pace.ticks(reserved))
        .saturating_add(cost);
    let depth = pace.depth.max(cost);
    let fits_at = next.saturating_sub(depth);
    (fits_at > now.0).then(|| Ticks(fits_at).after(now.0))
}

#[cfg(test)]
#[expect(
    clippy::cast_precision_loss,
    reason = "numbers of tests are far below 2^52"
)]
mod tests {
    use proptest::prelude::*;

    use super::super::terms::Window;
    use super::*;

    const SECOND: i64 = 1_000_000_000 * TICKS_A_NANOSECOND;

    fn pace(units: u64, window: Window, burst: u64) -> Pace {
        Pace::of(&RateAmount {
            units,
            window,
            burst,
        })
    }

    #[test]
    fn a_whole_burst_comes_at_once_and_then_one_unit_an_interval() {
        let (rate, pace) = (Rate::default(), pace(60, Window::Minute, 3));
        let now = Ticks(1000 * SECOND);
        for left in (0..3).rev() {
            assert_eq!(rate.reserve(1, now, pace), Ok(()));
            rate.settle(1, 1, now, pace);
            assert_eq!(rate.left(now, pace).0, left);
        }
        assert_eq!(rate.reserve(1, now, pace), Err(Duration::from_secs(1)));
        assert_eq!(rate.check(2, now, pace), Some(Duration::from_secs(2)));
        let later = Ticks(now.0 + SECOND);
        assert_eq!(
            rate.reserve(1, Ticks(later.0 - 1), pace),
            Err(Duration::from_nanos(1))
        );
        assert_eq!(rate.reserve(1, later, pace), Ok(()));
    }

    #[test]
    fn more_than_the_bucket_holds_is_admitted_when_it_is_full_and_leaves_debt() {
        let (rate, pace) = (Rate::default(), pace(60, Window::Minute, 3));
        let now = Ticks(1000 * SECOND);
        assert_eq!(rate.reserve(10, now, pace), Ok(()));
        assert_eq!(rate.reserve(1, now, pace), Err(Duration::from_secs(8)));
        assert_eq!(rate.check(10, now, pace), Some(Duration::from_secs(10)));
        assert_eq!(rate.left(now, pace), (0, Duration::from_secs(10)));
    }

    #[test]
    fn what_was_not_used_is_given_back_and_what_was_used_beyond_is_debt() {
        let (rate, pace) = (Rate::default(), pace(60, Window::Minute, 60));
        let at = |second: i64| Ticks((1000 + second) * SECOND);
        rate.reserve(40, at(0), pace).unwrap();
        assert_eq!((rate.left(at(30), pace).0, rate.reserved()), (20, 40));
        rate.settle(40, 10, at(30), pace);
        assert_eq!((rate.left(at(30), pace).0, rate.reserved()), (50, 0));
        assert_eq!(rate.left(at(40), pace).0, 60);
        rate.reserve(50, at(100), pace).unwrap();
        rate.settle(50, 200, at(100), pace);
        assert_eq!(rate.left(at(100), pace).0, 0);
        assert!(rate.check(1, at(100 + 140), pace).is_some());
        assert!(rate.check(1, at(100 + 141), pace).is_none());
    }

    #[test]
    fn the_largest_rates_are_within_two_thousandths_and_never_above() {
        for units in [7, 999, 12_345, 999_999_937, RateAmount::MOST] {
            for window in Window::ALL {
                let pace = pace(units, window, units);
                let length = window.length().as_nanos() as f64 * 16.0;
                let rate = length / pace.interval as f64;
                assert!(rate <= units as f64 * (1.0 + 1e-9), "{units} {rate}");
                let is_close = rate >= units as f64 * 0.998;
                assert!(is_close || window == Window::Second, "{units} {rate}");
            }
        }
    }

    #[test]
    fn no_number_of_units_overflows() {
        let (rate, pace) = (Rate::default(), pace(1, Window::Hour, 1));
        for units in [0, 1, i64::MAX / 2, i64::MAX] {
            let _ = rate.reserve(units / 1024, Ticks(0), pace);
            rate.settle(units / 1024, i64::MAX, Ticks(1), pace);
            let _ = rate.left(Ticks(i64::MAX / 4), pace);
        }
    }

    /// A step of a history: the time since the last one, how much is reserved, how much of it is used and when.
    #[derive(Clone, Debug)]
    struct Step {
        pause: i64,
        units: i64,
        used: i64,
        settles_after: usize,
    }

    fn step() -> impl Strategy<Value = Step> {
        let pause = prop_oneof![Just(0), 0..SECOND / 5, 0..SECOND * 3];
        (pause, 0..12_i64, 0..=10_i64, 0..6_usize).prop_map(
            |(pause, units, tenth, settles_after)| Step {
                pause,
                units,
                used: units * tenth / 10,
                settles_after,
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if std::env::var_os("LIMITS_LONG").is_some() { 100_000 } else { 400 }))]

        /// Invariant I2: whatever is reserved and given back, no interval has more use than the burst and what flows in
        /// meanwhile, and what is reserved and used together is never more than the burst.
        #[test]
        fn no_interval_has_more_than_the_burst_and_the_rate(steps in prop::collection::vec(step(), 1..60)) {
            let pace = pace(10, Window::Second, 15);
            let rate = Rate::default();
            let mut now = 5 * SECOND;
            // Each use: when it was settled, and how much.
            let mut settled: Vec<(i64, i64)> = Vec::new();
            let mut open: Vec<(usize, i64, i64)> = Vec::new();
            for (number, step) in steps.iter().enumerate() {
                now += step.pause;
                let (due, rest): (Vec<_>, Vec<_>) = open.into_iter().partition(|(at, ..)| *at <= number);
                open = rest;
                for (_, reserved, used) in due {
                    rate.settle(reserved, used, Ticks(now), pace);
                    settled.push((now, used));
                }
                if rate.reserve(step.units, Ticks(now), pace).is_ok() {
                    open.push((number + step.settles_after + 1, step.units, step.used));
                }
                let held: i64 = open.iter().map(|(_, reserved, _)| reserved).sum();
                prop_assert_eq!(held, rate.reserved());
                for (index, (start, _)) in settled.iter().enumerate() {
                    let used: i64 = settled.iter().skip(index).map(|(_, used)| used).sum();
                    let most = 15.0 + (now - start) as f64 / SECOND as f64 * 10.0;
                    prop_assert!((used + held) as f64 <= most + 1e-6, "{used} and {held}: {settled:?}");
                }
            }
        }
    }
}
