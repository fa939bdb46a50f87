//! What a request will use, by what requests of the same key or route used before.
//!
//! The estimate is the average of the latest requests and two deviations, so that most of them use less. What a request
//! uses beyond its reservation is charged all the same when it is over.

use super::applied::Amounts;
use crate::runtime::atomic::{AtomicU64, Ordering};

/// Tokens per byte of a request of which nothing is known: JSON around English text has about 0.2.
const TOKENS_PER_BYTE: f32 = 0.3;
/// Output tokens of a response of which nothing is known.
const OUTPUT: f32 = 1000.0;
/// The weight of the latest request in the averages.
const WEIGHT: f32 = 1.0 / 16.0;

/// What requests used so far, by decaying averages. Two requests that end at once may lose one of their samples.
#[derive(Debug, Default)]
pub(crate) struct Learnt {
    input_per_byte: Average,
    input: Average,
    output: Average,
    money: Average,
}

impl Learnt {
    /// Adds what a request used whose body had so many `bytes`.
    pub(crate) fn add(&self, bytes: u64, used: &Amounts) {
        if bytes > 0 && used.input > 0 {
            self.input_per_byte.add(float(used.input) / float(bytes));
            self.input.add(float(used.input));
        }
        self.output.add(float(used.output));
        if let Some(money) = used.money {
            self.money.add(float(money));
        }
    }
}

/// The estimate for a request whose body has so many `bytes`. What the key's requests have not shown yet is taken from
/// those of the route.
pub(crate) fn estimate(key: Option<&Learnt>, route: &Learnt, bytes: u64) -> Amounts {
    let high = |of: fn(&Learnt) -> &Average| {
        let own = key.and_then(|learnt| of(learnt).high());
        own.or_else(|| of(route).high())
    };
    let per_byte = high(|learnt| &learnt.input_per_byte).unwrap_or(TOKENS_PER_BYTE);
    // Requests that refer to what is not in them have more tokens than bytes: that makes no longer one's larger.
    let most = high(|learnt| &learnt.input).map_or(float(bytes), |input| input.max(float(bytes)));
    Amounts {
        input: whole((per_byte * float(bytes)).min(most)),
        cached: 0,
        output: whole(high(|learnt| &learnt.output).unwrap_or(OUTPUT)),
        money: high(|learnt| &learnt.money).map(whole),
    }
}

/// A decaying average and its mean deviation: two `f32` in one word. Zero: nothing was added yet.
#[derive(Debug, Default)]
struct Average(AtomicU64);

impl Average {
    fn add(&self, sample: f32) {
        let word = self.0.load(Ordering::Relaxed);
        let next = if word == 0 {
            (sample, sample / 4.0)
        } else {
            let (mean, deviation) = unpack(word);
            let off = sample - mean;
            (
                mean + off * WEIGHT,
                deviation + (off.abs() - deviation) * WEIGHT,
            )
        };
        self.0.store(pack(next), Ordering::Relaxed);
    }

    /// The average and two deviations; `None` if nothing was added yet.
    fn high(&self) -> Option<f32> {
        let word = self.0.load(Ordering::Relaxed);
        let (mean, deviation) = unpack(word);
        (word != 0).then_some(mean + 2.0 * deviation)
    }
}

fn pack((mean, deviation): (f32, f32)) -> u64 {
    // The mark distinguishes averages of zero from none: it is the lowest bit of the deviation.
    u64::from(mean.to_bits()) << 32 | u64::from(deviation.to_bits() | 1)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "each half is taken by itself"
)]
fn unpack(word: u64) -> (f32, f32) {
    (
        f32::from_bits((word >> 32) as u32),
        f32::from_bits(word as u32),
    )
}

#[expect(
    clippy::cast_precision_loss,
    reason = "an estimate needs no more than 24 bits"
)]
fn float(count: u64) -> f32 {
    count as f32
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from a float saturates"
)]
fn whole(estimate: f32) -> u64 {
    estimate.ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(input: u64, output: u64) -> Amounts {
        Amounts {
            input,
            output,
            money: Some(input + output),
            ..Amounts::default()
        }
    }

    #[test]
    fn an_estimate_follows_what_was_used_and_most_requests_use_less() {
        let (route, key) = (Learnt::default(), Learnt::default());
        let first = estimate(None, &route, 1000);
        assert_eq!((first.input, first.output, first.money), (300, 1000, None));
        for round in 0..200_u64 {
            route.add(1000, &used(200 + round % 11, 40 + round % 21));
        }
        let learnt = estimate(Some(&key), &route, 1000);
        assert!((205..=220).contains(&learnt.input), "{learnt:?}");
        assert!((50..=65).contains(&learnt.output), "{learnt:?}");
        assert!(
            learnt
                .money
                .is_some_and(|money| (250..=285).contains(&money))
        );
        // A key that differs from the others of its route.
        for _ in 0..100 {
            key.add(1000, &used(100, 0));
        }
        let own = estimate(Some(&key), &route, 2000);
        assert!(
            (200..=201).contains(&own.input) && own.output <= 1,
            "{own:?}"
        );
    }

    #[test]
    fn short_requests_with_much_input_make_no_long_ones_estimate_absurd() {
        let route = Learnt::default();
        route.add(50, &used(100_000, 10));
        let short = estimate(None, &route, 50);
        assert!((100_000..=150_000).contains(&short.input), "{short:?}");
        let long = estimate(None, &route, 30_000);
        assert!(long.input <= 150_000, "{long:?}");
    }

    #[test]
    fn no_sample_makes_an_estimate_overflow() {
        let learnt = Learnt::default();
        for sample in [0, 1, u64::MAX, 0, u64::MAX] {
            learnt.add(sample, &used(sample / 2, sample / 2));
            let _ = estimate(Some(&learnt), &learnt, u64::MAX);
        }
    }
}
