//! Token buckets of Envoy and agentgateway, as rates with a burst.

use std::time::Duration;

use crate::limit::amount;
use crate::limit::terms::{Amount, RateAmount, Window};

/// The longest time of `burst`.
const LONGEST_BURST: Duration = Duration::from_secs(3600);

/// A bucket that takes `fill` more in each `interval`, up to `capacity`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    pub(super) capacity: u64,
    pub(super) fill: u64,
    pub(super) interval: Duration,
}

impl Bucket {
    /// The rate, with its setting `burst` if that is not the default. The error is the reason why
    /// keygate has no such rate.
    pub(super) fn rate(self) -> Result<(Amount, Option<String>), String> {
        if self.capacity == 0 || self.fill == 0 || self.interval.is_zero() {
            return Err("it is never filled".to_owned());
        }
        let rates: Vec<RateAmount> = Window::ALL
            .into_iter()
            .filter_map(|window| self.in_window(window))
            .collect();
        let is_whole = |rate: &&RateAmount| rate.units == self.capacity;
        let is_same = |rate: &&RateAmount| rate.window.length() == self.interval;
        let rate = rates.iter().find(is_whole).or(rates.iter().find(is_same));
        let Some(rate) = rate.or(rates.first()) else {
            return Err(format!(
                "{} each {:?} is no whole number a second, minute or hour: write the nearest as `requests` of a table \
                 [[limits]]",
                self.fill, self.interval
            ));
        };
        let is_default = self.capacity == rate.units;
        let burst = (!is_default).then(|| self.burst(rate)).transpose()?;
        Ok((Amount::Rate(*rate), burst))
    }

    /// The rate in this window, if it is a whole number.
    fn in_window(self, window: Window) -> Option<RateAmount> {
        let units = u128::from(self.fill) * window.length().as_nanos();
        let interval = self.interval.as_nanos();
        let units = units
            .is_multiple_of(interval)
            .then(|| u64::try_from(units / interval).ok())??;
        match amount::rate(units, window) {
            Ok(Amount::Rate(rate)) => Some(rate),
            _ => None,
        }
    }

    /// The time in which the rate permits the bucket's capacity.
    fn burst(self, rate: &RateAmount) -> Result<String, String> {
        let nanos = u128::from(self.capacity) * rate.window.length().as_nanos();
        let nanos = nanos.div_ceil(u128::from(rate.units));
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
        let units = [
            (1_000_000_000, "s"),
            (1_000_000, "ms"),
            (1_000, "us"),
            (1, "ns"),
        ];
        let mut texts = units.into_iter().filter_map(|(unit, name)| {
            let number = nanos.div_ceil(unit);
            let time = Duration::from_nanos(number.checked_mul(unit)?);
            let is_exact = time <= LONGEST_BURST && amount::burst(time, rate) == self.capacity;
            is_exact.then(|| format!("{number}{name}"))
        });
        texts.next().ok_or_else(|| {
            format!(
                "it lets {} come at once, which its rate takes more than an hour to permit: keygate has no such burst",
                self.capacity
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::parse_duration;

    fn words(capacity: u64, fill: u64, interval: &str) -> String {
        let interval = parse_duration(interval).unwrap();
        let bucket = Bucket {
            capacity,
            fill,
            interval,
        };
        match bucket.rate() {
            Ok((Amount::Rate(rate), burst)) => {
                // What is written is read back as the same.
                if let Some(burst) = &burst {
                    let time = parse_duration(burst).unwrap();
                    assert_eq!(amount::burst(time, &rate), capacity, "{burst}");
                }
                let rate = Amount::Rate(rate).to_string();
                burst.map_or(rate.clone(), |burst| format!("{rate}, {burst}"))
            }
            Ok(_) => "no rate".to_owned(),
            Err(why) => why.split(' ').take(3).collect::<Vec<_>>().join(" "),
        }
    }

    #[test]
    fn a_bucket_is_a_rate_with_exactly_its_capacity_as_burst() {
        for (capacity, fill, interval, wanted) in [
            (5, 1, "60s", "1 per minute, 300s"),
            (100, 100, "1m", "100 per minute"),
            (600, 10, "1s", "600 per minute"),
            (10, 5, "500ms", "10 per second"),
            (15, 10, "1s", "10 per second, 1500ms"),
            (20, 7, "1s", "7 per second, 2858ms"),
            (1_000_000_000, 1, "1ns", "1000000000 per second"),
            (3, 1, "1h", "1 per hour, 3h"),
            (61, 1, "1m", "1 per minute, 61m"),
            (1, 1, "7s", "1 each 7s"),
            (1, 0, "1s", "it is never"),
            (0, 1, "1s", "it is never"),
            (1, 1, "0s", "it is never"),
        ] {
            let found = words(capacity, fill, interval);
            match wanted {
                "1 per hour, 3h" | "1 per minute, 61m" => {
                    assert!(found.starts_with("it lets"), "{found}");
                }
                wanted => assert_eq!(found, wanted, "{capacity} {fill} {interval}"),
            }
        }
    }
}
