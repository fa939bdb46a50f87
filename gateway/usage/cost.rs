//! Money, counted in whole numbers.

use std::fmt;
use std::str::FromStr;

use super::{Media, MediumTokens, Usage};
use crate::wire::json::number;

/// The decimals of a cost: a millionth of a price's last digit.
const DECIMALS: usize = 12;
/// The decimals of a price for a million tokens.
const PRICE_DECIMALS: usize = 6;

/// What something cost, exactly: in millionths of a millionth of the price list's currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cost(pub u128);

impl Cost {
    /// How many decimals it has.
    pub const DECIMALS: u8 = 12;

    /// Reads a number as others write it, such as `5e-03`. `None` where it is none, is negative, or has more decimals
    /// than a cost.
    pub fn read(written: &str) -> Option<Self> {
        number::exact(written.as_bytes(), Self::DECIMALS).map(Self)
    }

    /// In billionths, rounded.
    pub fn billionths(self) -> u64 {
        u64::try_from(self.0.saturating_add(500) / 1000).unwrap_or(u64::MAX)
    }

    /// The sum, which stops at the largest number.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// Who says what something cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CostSource {
    /// The provider, in its response.
    Provider,
    /// The price file.
    Prices,
}

impl CostSource {
    /// Its name in access lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Prices => "prices",
        }
    }
}

/// As a decimal fraction without an exponent, such as `0.0012345`.
impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_decimal(f, self.0, DECIMALS)
    }
}

impl FromStr for Cost {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        decimal(text, DECIMALS).map(Self)
    }
}

/// A whole number of the last of `decimals` places, as a decimal fraction without zeros at its end.
fn write_decimal(f: &mut fmt::Formatter<'_>, number: u128, decimals: usize) -> fmt::Result {
    let digits = format!("{:0>1$}", number, decimals + 1);
    let (whole, fraction) = digits.split_at(digits.len() - decimals);
    match fraction.trim_end_matches('0') {
        "" => f.write_str(whole),
        fraction => write!(f, "{whole}.{fraction}"),
    }
}

/// Reads a decimal fraction as a whole number of its last allowed place.
fn decimal(text: &str, decimals: usize) -> Result<u128, String> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) || whole.len() > 27 {
        return Err("is a decimal number such as \"2.50\"".to_owned());
    }
    if fraction.len() > decimals {
        return Err(format!("has more than {decimals} decimals"));
    }
    format!("{whole}{fraction:0<decimals$}")
        .parse()
        .map_err(|_| "is too large".to_owned())
}

/// The price of a token, in millionths of a millionth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price(u64);

impl Price {
    /// None.
    pub const FREE: Self = Self(0);

    /// What so many tokens cost.
    fn of(self, tokens: u64) -> Cost {
        Cost(u128::from(self.0) * u128::from(tokens))
    }

    /// From the price of one token as others write it, such as `2.5e-06`. `None` where it is no such number, or has
    /// more decimals than the price of a million tokens can have.
    pub fn of_one_token(written: &str) -> Option<Self> {
        // A millionth of a price for a million tokens is the price of one token in millionths of millionths.
        u64::try_from(Cost::read(written)?.0).ok().map(Self)
    }
}

/// As the price of a million tokens.
impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_decimal(f, self.0.into(), PRICE_DECIMALS)
    }
}

/// Read as the price of a million tokens.
impl FromStr for Price {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let price = decimal(text, PRICE_DECIMALS)?;
        let price = u64::try_from(price).map_err(|_| "is too large".to_owned())?;
        Ok(Self(price))
    }
}

/// What the tokens of one model cost, by type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Of what went in and has no price of its own.
    pub input: Price,
    /// Of what was read from the provider's cache; like the input where it is left out.
    pub cache_read: Option<Price>,
    /// Of what was written into it for minutes; likewise.
    pub cache_creation: Option<Price>,
    /// Of what was written into it for an hour. Where it is left out beside a `cache_creation`, it is not known.
    pub cache_creation_hour: Option<Price>,
    /// Of what came out and has no price of its own.
    pub output: Price,
    /// Of reasoning; like the output where it is left out.
    pub reasoning: Option<Price>,
    /// Of audio. What of it is left out is not known: no provider sells audio at the price of text.
    pub audio: MediumRates,
    /// Of images. Where it says nothing of what went in, that is like the input; what came out is not known where it is
    /// left out.
    pub image: MediumRates,
    /// Of video, likewise.
    pub video: MediumRates,
}

/// What the tokens of one medium cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MediumRates {
    /// Of what went in.
    pub input: Option<Price>,
    /// Of what was read from the provider's cache. Where it is left out beside an `input`, it is not known.
    pub cache_read: Option<Price>,
    /// Of what came out.
    pub output: Option<Price>,
}

impl MediumRates {
    /// Whether it says what goes in.
    fn says_input(&self) -> bool {
        self.input.is_some() || self.cache_read.is_some()
    }

    /// What these cost; `None` where one of the prices is not known.
    fn cost(&self, tokens: MediumTokens) -> Option<Cost> {
        let fresh = tokens.input.saturating_sub(tokens.cache_read);
        let parts = [
            (self.input, fresh),
            (self.cache_read, tokens.cache_read),
            (self.output, tokens.output),
        ];
        let mut parts = parts.into_iter().filter(|(_, tokens)| *tokens > 0);
        parts.try_fold(Cost::default(), |all, (price, tokens)| {
            Some(all.plus(price?.of(tokens)))
        })
    }
}

impl Rates {
    /// What these tokens cost; `None` where some of them have a price that is not known.
    pub fn cost(&self, usage: &Usage) -> Option<Cost> {
        let (apart, media) = self.media(&usage.media)?;
        let cached = usage.cache_read.saturating_add(usage.cache_creation);
        // Whatever went in and is neither from the cache nor apart, each token once.
        let beside = cached.saturating_add(apart.input.saturating_sub(apart.cache_read));
        let hour = usage.cache_creation_hour.min(usage.cache_creation);
        let parts = [
            (self.input, usage.input.saturating_sub(beside)),
            (
                self.cache_read.unwrap_or(self.input),
                usage.cache_read.saturating_sub(apart.cache_read),
            ),
            (
                self.cache_creation.unwrap_or(self.input),
                usage.cache_creation - hour,
            ),
            (self.hour(hour)?, hour),
            (
                self.output,
                usage
                    .output
                    .saturating_sub(usage.reasoning)
                    .saturating_sub(apart.output),
            ),
            (self.reasoning.unwrap_or(self.output), usage.reasoning),
        ];
        let costs = parts.iter().map(|(price, tokens)| price.of(*tokens));
        Some(costs.fold(media, Cost::plus))
    }

    /// The tokens of media that have prices of their own, and what they cost; `None` where that is not known.
    fn media(&self, media: &Media) -> Option<(MediumTokens, Cost)> {
        let (mut apart, mut cost) = (MediumTokens::default(), Cost::default());
        for (rates, tokens) in [
            (self.audio, media.audio),
            self.beside_text(self.image, media.image),
            self.beside_text(self.video, media.video),
        ] {
            apart = apart.plus(tokens);
            cost = cost.plus(rates.cost(tokens)?);
        }
        (apart.is_none() || !media.unclear).then_some((apart, cost))
    }

    /// Of a medium whose input is like text where nothing else is said: the prices, and the tokens that have them.
    fn beside_text(&self, rates: MediumRates, tokens: MediumTokens) -> (MediumRates, MediumTokens) {
        if rates.says_input() {
            let input = rates.input.or(Some(self.input));
            return (MediumRates { input, ..rates }, tokens);
        }
        let output = MediumTokens {
            output: tokens.output,
            ..MediumTokens::default()
        };
        (rates, output)
    }

    /// The price of so many tokens that were written into the cache for an hour.
    fn hour(&self, tokens: u64) -> Option<Price> {
        match (self.cache_creation_hour, self.cache_creation) {
            (Some(price), _) => Some(price),
            // An hour costs more than minutes do, and nobody has said how much.
            (None, Some(_)) if tokens > 0 => None,
            (None, _) => Some(self.input),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(text: &str) -> Price {
        text.parse().unwrap()
    }

    #[test]
    fn a_cost_is_exact_and_reads_as_it_is_written() {
        let rates = Rates {
            input: price("2.50"),
            cache_read: Some(price("1.25")),
            cache_creation: None,
            cache_creation_hour: None,
            output: price("10"),
            reasoning: None,
            audio: MediumRates::default(),
            image: MediumRates::default(),
            video: MediumRates::default(),
        };
        let usage = Usage {
            input: 1_000,
            output: 7,
            cache_read: 200,
            cache_creation: 100,
            reasoning: 3,
            ..Usage::default()
        };
        // (800 at 2.50 + 200 at 1.25 + 7 at 10) / 1,000,000
        assert_eq!(rates.cost(&usage).unwrap().to_string(), "0.00232");
        for text in ["0", "1", "0.000000000001", "12345678.9", "0.1"] {
            assert_eq!(text.parse::<Cost>().unwrap().to_string(), text);
        }
        let rounded = |text: &str| text.parse::<Cost>().unwrap().billionths();
        assert_eq!((rounded("0.0000000014"), rounded("0.0000000015")), (1, 2));
        // A million times a tenth is what it is, and not a little less.
        let tenth: Cost = "0.1".parse().unwrap();
        let sum = (0..1_000_000).fold(Cost::default(), |sum, _| sum.plus(tenth));
        assert_eq!(sum.to_string(), "100000");
    }

    #[test]
    fn lies_about_tokens_cost_a_lot_and_nothing_overflows() {
        let dear = price("18446744073709");
        let rates = Rates {
            input: dear,
            cache_read: None,
            cache_creation: None,
            cache_creation_hour: None,
            output: dear,
            reasoning: None,
            audio: MediumRates::default(),
            image: MediumRates::default(),
            video: MediumRates::default(),
        };
        let most = u64::MAX;
        let usage = Usage {
            input: most,
            output: most,
            cache_read: most,
            cache_creation: most,
            reasoning: most,
            ..Usage::default()
        };
        assert!(rates.cost(&usage).unwrap() > Cost(u128::from(most)));
    }

    #[test]
    fn what_is_written_for_an_hour_has_a_price_of_its_own_or_none() {
        let of = |minutes: Option<&str>, hour: Option<&str>, tokens| {
            let rates = Rates {
                input: price("5"),
                cache_read: None,
                cache_creation: minutes.map(price),
                cache_creation_hour: hour.map(price),
                output: price("0"),
                reasoning: None,
                audio: MediumRates::default(),
                image: MediumRates::default(),
                video: MediumRates::default(),
            };
            let usage = Usage {
                input: 344_139,
                cache_creation: 344_139,
                cache_creation_hour: tokens,
                ..Usage::default()
            };
            rates.cost(&usage).map(|cost| cost.to_string())
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(of(Some("6.25"), Some("10"), 344_139), some("3.44139"));
        assert_eq!(of(Some("6.25"), Some("10"), 0), some("2.15086875"));
        assert_eq!(
            of(Some("6.25"), Some("10"), 100_000),
            some("2.52586875"),
            "244,139 at 6.25 and 100,000 at 10"
        );
        // Not for what minutes cost.
        assert_eq!(of(Some("6.25"), None, 1), None);
        assert_eq!(of(Some("6.25"), None, 0), some("2.15086875"));
        // All of it is like the input where nothing else is said.
        assert_eq!(of(None, None, 344_139), some("1.720695"));
    }

    #[test]
    fn the_price_of_one_token_is_that_of_a_million() {
        for (one, million) in [
            ("0.0000025", "2.5"),
            ("2.5e-06", "2.5"),
            ("1e-12", "0.000001"),
            ("0", "0"),
            ("0.1", "100000"),
        ] {
            assert_eq!(Price::of_one_token(one).unwrap().to_string(), million);
        }
        for none in ["1e-13", "2.5e-12", "-1", "free", "", "1e99"] {
            assert_eq!(Price::of_one_token(none), None, "{none}");
        }
    }

    #[test]
    fn what_is_no_price_is_refused() {
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "1e3",
            "1,5",
            "0x1",
            " 1",
            "1.0000001",
            "1.2.3",
            "99999999999999999999999999999999",
            "∞",
            "NaN",
        ] {
            assert!(text.parse::<Price>().is_err(), "{text}");
        }
    }
}
