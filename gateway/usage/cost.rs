//! Money, counted in whole numbers.

use std::fmt;
use std::str::FromStr;

use super::Usage;

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

/// As a decimal fraction without an exponent, such as `0.0012345`.
impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:0>1$}", self.0, DECIMALS + 1);
        let (whole, fraction) = digits.split_at(digits.len() - DECIMALS);
        match fraction.trim_end_matches('0') {
            "" => f.write_str(whole),
            fraction => write!(f, "{whole}.{fraction}"),
        }
    }
}

impl FromStr for Cost {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        decimal(text, DECIMALS).map(Self)
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
    /// Of what was written into it; likewise.
    pub cache_creation: Option<Price>,
    /// Of what came out and has no price of its own.
    pub output: Price,
    /// Of reasoning; like the output where it is left out.
    pub reasoning: Option<Price>,
}

impl Rates {
    /// What these tokens cost.
    pub fn cost(&self, usage: &Usage) -> Cost {
        let cached = usage.cache_read.saturating_add(usage.cache_creation);
        let parts = [
            (self.input, usage.input.saturating_sub(cached)),
            (self.cache_read.unwrap_or(self.input), usage.cache_read),
            (
                self.cache_creation.unwrap_or(self.input),
                usage.cache_creation,
            ),
            (self.output, usage.output.saturating_sub(usage.reasoning)),
            (self.reasoning.unwrap_or(self.output), usage.reasoning),
        ];
        let costs = parts
            .iter()
            .map(|(price, tokens)| Cost(u128::from(price.0) * u128::from(*tokens)));
        costs.fold(Cost::default(), Cost::plus)
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
        assert_eq!(rates.cost(&usage).to_string(), "0.00232");
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
        assert!(rates.cost(&usage) > Cost(u128::from(most)));
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
