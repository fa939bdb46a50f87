//! Money and token prices, as exact whole numbers.

use std::fmt;
use std::str::FromStr;

use crate::wire::json::number;

/// Decimal places of a [`Cost`]: a millionth of the last digit of a [`Rate`].
const DECIMALS: usize = 12;
/// Decimal places of a [`Rate`], which is the price of a million tokens.
const PRICE_DECIMALS: usize = 6;

/// An exact amount in millionths of a millionth (10^-12) of a currency: the price list's, or dollars if the provider
/// reported it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cost(pub(crate) u128);

impl Cost {
    /// The number of decimal places.
    pub const DECIMALS: u8 = 12;

    /// Parses a JSON number such as `5e-03`. Returns `None` if it is no number, is negative or has
    /// more decimal places than a cost.
    pub(crate) fn read(written: &str) -> Option<Self> {
        number::exact(written.as_bytes(), Self::DECIMALS).map(Self)
    }

    /// The amount in billionths, rounded to the nearest.
    pub(crate) fn billionths(self) -> u64 {
        u64::try_from(self.0.saturating_add(500) / 1000).unwrap_or(u64::MAX)
    }

    /// The sum, saturating.
    #[must_use]
    pub(crate) fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// Why a text is no amount. The message is a predicate: it follows the name of the value.
#[derive(Debug, thiserror::Error)]
pub enum AmountError {
    /// The text is no decimal fraction, or has more than 27 digits before the point.
    #[error("is a decimal number such as \"2.50\"")]
    Form,
    /// The text has more than this many decimal places.
    #[error("has more than {0} decimals")]
    Decimals(usize),
    /// The amount is larger than can be computed with.
    #[error("is too large")]
    TooLarge,
}

/// The source of a cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CostSource {
    /// The provider reported it in the response.
    Provider,
    /// The gateway computed it from the price file.
    Prices,
}

impl CostSource {
    /// The value of `cost_source` in access lines.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Prices => "prices",
        }
    }
}

/// Writes a decimal fraction without an exponent, such as `0.0012345`.
impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_decimal(f, self.0, DECIMALS)
    }
}

impl FromStr for Cost {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        decimal(text, DECIMALS).map(Self)
    }
}

/// Writes `number`, which counts units of 10^-`decimals`, as a decimal fraction without trailing
/// zeros.
fn write_decimal(f: &mut fmt::Formatter<'_>, number: u128, decimals: usize) -> fmt::Result {
    let digits = format!("{:0>1$}", number, decimals + 1);
    let (whole, fraction) = digits.split_at(digits.len() - decimals);
    match fraction.trim_end_matches('0') {
        "" => f.write_str(whole),
        fraction => write!(f, "{whole}.{fraction}"),
    }
}

/// Parses a decimal fraction into units of 10^-`decimals`.
fn decimal(text: &str, decimals: usize) -> Result<u128, AmountError> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) || whole.len() > 27 {
        return Err(AmountError::Form);
    }
    if fraction.len() > decimals {
        return Err(AmountError::Decimals(decimals));
    }
    format!("{whole}{fraction:0<decimals$}")
        .parse()
        .map_err(|_| AmountError::TooLarge)
}

/// The price of one token in 10^-12 of the currency, which is the price of a million tokens in
/// millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rate(u64);

impl Rate {
    /// The rate of tokens that cost nothing.
    pub(crate) const FREE: Self = Self(0);

    /// The cost of that many tokens at this rate.
    pub(super) fn of(self, tokens: u64) -> Cost {
        Cost(u128::from(self.0) * u128::from(tokens))
    }

    /// Parses the price of one token, such as `2.5e-06`. Returns `None` if it is no number, is
    /// negative, or has more decimal places than the price of a million tokens may have.
    pub(crate) fn of_one_token(written: &str) -> Option<Self> {
        // Both are whole numbers of the same unit: 10^-12 of the currency for one token.
        u64::try_from(Cost::read(written)?.0).ok().map(Self)
    }
}

/// Writes the price of a million tokens.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_decimal(f, self.0.into(), PRICE_DECIMALS)
    }
}

/// Parses the price of a million tokens, such as `2.50`.
impl FromStr for Rate {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let price = decimal(text, PRICE_DECIMALS)?;
        let price = u64::try_from(price).map_err(|_| AmountError::TooLarge)?;
        Ok(Self(price))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_per_token_and_per_million_are_the_same_rate() {
        for (one, million) in [
            ("0.0000025", "2.5"),
            ("2.5e-06", "2.5"),
            ("1e-12", "0.000001"),
            ("0", "0"),
            ("0.1", "100000"),
        ] {
            assert_eq!(Rate::of_one_token(one).unwrap().to_string(), million);
        }
        for none in ["1e-13", "2.5e-12", "-1", "free", "", "1e99"] {
            assert_eq!(Rate::of_one_token(none), None, "{none}");
        }
    }

    #[test]
    fn invalid_prices_are_rejected() {
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
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
