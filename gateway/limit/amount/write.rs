//! Writes amounts as they are read.

use std::fmt;

use crate::limit::terms::{Amount, Counts, Period};

/// The decimal places of money: it is counted in billionths.
pub(super) const MONEY_DECIMALS: usize = 9;
/// The decimal places of money that are always written.
const CENTS: usize = 2;

/// Writes an amount of requests or tokens in the form that [`counted`](super::counted) reads, or `20 at once`. An hour of a budget is
/// written as that of a rate. Without the burst: it has a setting of its own.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate(rate) => write!(f, "{} per {}", rate.units, rate.window.name()),
            Self::Budget { units, period } => write!(f, "{units} {}", Renewal(*period)),
            Self::AtOnce(most) => write!(f, "{most} at once"),
        }
    }
}

/// Writes `amount` with the units of what is counted: money as `50.00 per month`.
pub(crate) fn write_amount(counts: Counts, amount: &Amount) -> String {
    match (counts, amount) {
        (Counts::Money, Amount::Budget { units, period }) => {
            format!("{} {}", write_money(*units), Renewal(*period))
        }
        _ => amount.to_string(),
    }
}

/// Writes `amount` with the noun of what is counted: `600 requests per minute`, `20 requests at once`, `2000.00 per month`.
pub(crate) fn write_terms(counts: Counts, amount: &Amount) -> String {
    let amount = write_amount(counts, amount);
    let noun = match counts {
        Counts::Money => return amount,
        Counts::Requests | Counts::Parallel => "requests",
        Counts::Tokens(tokens) => match (tokens.input, tokens.output) {
            (true, false) => "input tokens",
            (false, true) => "output tokens",
            _ => "tokens",
        },
    };
    match amount.split_once(' ') {
        Some((number, period)) => format!("{number} {noun} {period}"),
        None => format!("{amount} {noun}"),
    }
}

/// Writes `units`, billionths of a currency unit, as a decimal fraction with at least two decimals: `50.00`.
pub(crate) fn write_money(units: i64) -> String {
    let sign = if units < 0 { "-" } else { "" };
    let padded = format!("{:0>1$}", units.unsigned_abs(), MONEY_DECIMALS + 1);
    let (whole, fraction) = padded.split_at(padded.len() - MONEY_DECIMALS);
    format!("{sign}{whole}.{:0<CENTS$}", fraction.trim_end_matches('0'))
}

/// When a budget is renewed, as it is written behind the number.
struct Renewal(Period);

impl fmt::Display for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let preposition = if self.0 == Period::Ever { "for" } else { "per" };
        write!(f, "{preposition} {}", self.0.name())
    }
}
