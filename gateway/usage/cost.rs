//! Money, counted in whole numbers.

use std::fmt;
use std::str::FromStr;

use super::Usage;
use super::number;

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

    /// Both.
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
}

impl Rates {
    /// What these tokens cost; `None` where some of them have a price that is not known.
    pub fn cost(&self, usage: &Usage) -> Option<Cost> {
        let cached = usage.cache_read.saturating_add(usage.cache_creation);
        let hour = usage.cache_creation_hour.min(usage.cache_creation);
        let parts = [
            (self.input, usage.input.saturating_sub(cached)),
            (self.cache_read.unwrap_or(self.input), usage.cache_read),
            (
                self.cache_creation.unwrap_or(self.input),
                usage.cache_creation - hour,
            ),
            (self.hour(hour)?, hour),
            (self.output, usage.output.saturating_sub(usage.reasoning)),
            (self.reasoning.unwrap_or(self.output), usage.reasoning),
        ];
        let costs = parts
            .iter()
            .map(|(price, tokens)| Cost(u128::from(price.0) * u128::from(*tokens)));
        Some(costs.fold(Cost::default(), Cost::plus))
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
