//! Amounts as users write them: `6000 per minute`, `20M per day`, `50.00 per month`, `80%`.
//!
//! A number has decimal digits with underscores between them, one decimal point, and one of the suffixes `k`, `M` and
//! `G`. A period follows `per` or `/`. What is read is exact: a number that would have to be rounded is refused.

mod write;

use std::time::Duration;

use super::terms::{Amount, Period, RateAmount, Window};
use write::MONEY_DECIMALS;
pub(crate) use write::{write_amount, write_money, write_terms};

/// The most units of a budget. Sums of an amount, a raise and a debt do not overflow.
const MOST: i64 = i64::MAX / 4;
/// The suffixes of numbers, and the powers of ten that they stand for.
const SUFFIXES: [(char, usize); 4] = [('k', 3), ('K', 3), ('M', 6), ('G', 9)];

/// Why a text is no amount. The message is a predicate: it follows the name of the setting.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AmountError {
    /// The text has another form. Holds an example.
    #[error("must be an amount such as \"{0}\"")]
    Form(&'static str),
    /// No period follows the number. Holds the examples.
    #[error(
        "needs a period, such as \"{0}\"; for an amount that is never renewed, write \"for ever\" behind it"
    )]
    Period(&'static str),
    /// The period has another name.
    #[error(
        "has an unknown period; known are second, minute, hour, day, week, month, quarter and year"
    )]
    UnknownPeriod,
    /// The period has a number, as in `per 5 minutes`.
    #[error(
        "has a period with a number; a period is one minute, hour, day and so on, as in \"100 per minute\""
    )]
    Multiple,
    /// `m` is a minute or a month.
    #[error("has the period \"m\"; write \"minute\" or \"month\"")]
    Ambiguous,
    /// Money per second or minute.
    #[error("is money, which has a period of an hour or longer, as in \"50.00 per month\"")]
    Brief,
    /// A number without a fraction is needed.
    #[error("must be a whole number")]
    Fraction,
    /// It has more decimal places than billionths.
    #[error("has more than 9 decimals")]
    Decimals,
    /// It has a currency sign.
    #[error(
        "must be written without a currency: amounts of money are in the currency of the price file"
    )]
    Currency,
    /// It is less than zero.
    #[error("must not be negative")]
    Negative,
    /// A rate of zero.
    #[error(
        "must not be zero; to let nothing pass, disable the key, or write a budget such as \"0 per day\""
    )]
    Zero,
    /// A rate that is too high.
    #[error("must be at most 1_000_000_000 in a second, a minute or an hour")]
    Rate,
    /// A budget that is too large.
    #[error("is too large")]
    TooLarge,
    /// A number of requests at once that is none.
    #[error("must be from 1 to 4_294_967_295; to let nothing pass, disable the key")]
    AtOnce,
    /// Two budgets have the same period.
    #[error("has two amounts with the same period")]
    SamePeriod,
    /// The text is no percentage.
    #[error("must be a percentage of the budget from \"1%\" to \"99%\", such as \"80%\"")]
    Percent,
}

/// Parses an amount of requests or tokens with its period: `6000 per minute`, `20M/day`, `1_000 for ever`.
///
/// What has a period of a second, a minute or an hour is a rate, which allows the units of a whole window at once. What
/// has a longer one is a budget. A budget may be zero, a rate may not.
pub(crate) fn counted(text: &str) -> Result<Amount, AmountError> {
    let (number, period) = split(text);
    let form = AmountError::Form("6000 per minute");
    let units = parse_number(number, 0)?.ok_or(form)?;
    match parse_period(period)?.ok_or(AmountError::Period("6000 per minute"))? {
        Every::Window(window) => rate(units, window),
        Every::Period(period) => budget(units, period),
    }
}

/// Parses an amount of money: `50.00 per month`, or `50` for one that is never renewed. Its units are billionths.
pub(crate) fn money(text: &str) -> Result<Amount, AmountError> {
    if text.contains(['$', '€', '£', '¥']) {
        return Err(AmountError::Currency);
    }
    let (number, period) = split(text);
    let form = AmountError::Form("50.00 per month");
    let units = parse_number(number, MONEY_DECIMALS)?.ok_or(form)?;
    let period = match parse_period(period)? {
        None => Period::Ever,
        Some(Every::Period(period)) => period,
        Some(Every::Window(Window::Hour)) => Period::Hour,
        Some(Every::Window(Window::Second | Window::Minute)) => return Err(AmountError::Brief),
    };
    budget(units, period)
}

/// An amount of `units` in each `window`, of which those of a whole window may come at once.
pub(crate) fn rate(units: u64, window: Window) -> Result<Amount, AmountError> {
    match units {
        0 => Err(AmountError::Zero),
        1..=RateAmount::MOST => Ok(Amount::Rate(RateAmount {
            units,
            window,
            burst: units,
        })),
        _ => Err(AmountError::Rate),
    }
}

fn budget(units: u64, period: Period) -> Result<Amount, AmountError> {
    match i64::try_from(units) {
        Ok(units) if units <= MOST => Ok(Amount::Budget { units, period }),
        _ => Err(AmountError::TooLarge),
    }
}

/// What `rate` allows in the time `of`, at least 1.
pub(crate) fn burst(of: Duration, rate: &RateAmount) -> u64 {
    let units =
        u128::from(rate.units).saturating_mul(of.as_nanos()) / rate.window.length().as_nanos();
    u64::try_from(units).unwrap_or(u64::MAX).max(1)
}

/// Parses the units of a rate per minute, whose period its setting's name has: `600`, `2M`, `1_000`.
pub(crate) fn per_minute(text: &str) -> Result<u64, AmountError> {
    let units = whole(text)?;
    rate(units, Window::Minute).map(|_| units)
}

/// Parses a number of requests at once.
pub(crate) fn parallel(text: &str) -> Result<u64, AmountError> {
    let most = whole(text)?;
    at_once(most).map(|_| most)
}

/// Parses a whole number without a period.
fn whole(text: &str) -> Result<u64, AmountError> {
    parse_number(text.trim(), 0)?.ok_or(AmountError::Fraction)
}

/// An amount of `most` at once.
pub(crate) fn at_once(most: u64) -> Result<Amount, AmountError> {
    match u32::try_from(most) {
        Ok(most @ 1..) => Ok(Amount::AtOnce(most)),
        _ => Err(AmountError::AtOnce),
    }
}

/// Parses budgets of money, each with another period: at least one.
pub(crate) fn budgets<'t>(
    texts: impl IntoIterator<Item = &'t str>,
) -> Result<Vec<Amount>, AmountError> {
    let budgets = texts
        .into_iter()
        .map(money)
        .collect::<Result<Vec<_>, _>>()?;
    if budgets.is_empty() {
        return Err(AmountError::Form("50.00 per month"));
    }
    check_periods(&budgets)?;
    Ok(budgets)
}

/// Refuses budgets of which two have the same period.
pub(crate) fn check_periods(budgets: &[Amount]) -> Result<(), AmountError> {
    let mut rest = budgets;
    while let [budget, others @ ..] = rest {
        if others.iter().any(|other| has_same_period(budget, other)) {
            return Err(AmountError::SamePeriod);
        }
        rest = others;
    }
    Ok(())
}

fn has_same_period(a: &Amount, b: &Amount) -> bool {
    match (a, b) {
        (Amount::Budget { period: a, .. }, Amount::Budget { period: b, .. }) => a == b,
        _ => false,
    }
}

/// Parses percentages, and returns them in ascending order, each once: at least one.
pub(crate) fn percents<'t>(
    texts: impl IntoIterator<Item = &'t str>,
) -> Result<Vec<u8>, AmountError> {
    let mut percents = texts
        .into_iter()
        .map(percent)
        .collect::<Result<Vec<_>, _>>()?;
    percents.sort_unstable();
    percents.dedup();
    if percents.is_empty() {
        return Err(AmountError::Percent);
    }
    Ok(percents)
}

/// Parses a percentage from 1 to 99, such as `80%`.
pub(crate) fn percent(text: &str) -> Result<u8, AmountError> {
    let digits = text.trim().strip_suffix('%').unwrap_or_default().trim_end();
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse() {
        Ok(percent @ 1..=99) if is_number => Ok(percent),
        _ => Err(AmountError::Percent),
    }
}

/// Splits a text into its number and what follows.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| c.is_whitespace() || c == '/');
    let (number, rest) = text.split_at(end.unwrap_or(text.len()));
    (number, rest.trim())
}

/// Parses a decimal number into units of 10^-`decimals`. `None` if it is no number.
fn parse_number(text: &str, decimals: usize) -> Result<Option<u64>, AmountError> {
    if text.starts_with(['-', '−']) {
        return Err(AmountError::Negative);
    }
    let suffix = SUFFIXES.iter().find(|(suffix, _)| text.ends_with(*suffix));
    let power = suffix.map_or(0, |(_, power)| *power);
    let number = suffix.map_or(text, |(suffix, _)| text.trim_end_matches(*suffix));
    let is_one_suffix = text.len() - number.len() == usize::from(suffix.is_some());
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let (Some(whole), Some(fraction), true) = (digits(whole), digits(fraction), is_one_suffix)
    else {
        return Ok(None);
    };
    let fraction = fraction.trim_end_matches('0');
    let places = decimals + power;
    if fraction.len() > places {
        return Err(match decimals {
            0 => AmountError::Fraction,
            _ => AmountError::Decimals,
        });
    }
    let units = format!("{whole}{fraction:0<places$}").parse();
    units.map(Some).map_err(|_| AmountError::TooLarge)
}

/// Digits without the underscores between them. `None` if there is anything else.
fn digits(text: &str) -> Option<String> {
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split('_')
        .all(is_digits)
        .then(|| text.replace('_', ""))
}

/// The period of a rate or of a budget.
enum Every {
    Window(Window),
    Period(Period),
}

/// Parses `per minute`, `/minute` or `for ever`. `None` if there is no text.
fn parse_period(text: &str) -> Result<Option<Every>, AmountError> {
    let text = text.to_lowercase();
    let words: Vec<&str> = text.split_whitespace().collect();
    let unit = match words.as_slice() {
        [] => return Ok(None),
        ["for", "ever"] | ["forever"] => return Ok(Some(Every::Period(Period::Ever))),
        ["per" | "/", unit] => unit,
        [unit] => unit.strip_prefix('/').ok_or(AmountError::UnknownPeriod)?,
        ["per" | "/", number, _] if number.parse::<f64>().is_ok() => {
            return Err(AmountError::Multiple);
        }
        _ => return Err(AmountError::UnknownPeriod),
    };
    parse_unit(unit).map(Some)
}

/// Parses the name of a period, in lower case, with its plural and its usual abbreviations.
fn parse_unit(unit: &str) -> Result<Every, AmountError> {
    Ok(match unit {
        "second" | "seconds" | "sec" | "secs" | "s" => Every::Window(Window::Second),
        "minute" | "minutes" | "min" | "mins" => Every::Window(Window::Minute),
        "hour" | "hours" | "hr" | "hrs" | "h" => Every::Window(Window::Hour),
        "day" | "days" | "d" => Every::Period(Period::Day),
        "week" | "weeks" | "w" => Every::Period(Period::Week),
        "month" | "months" | "mo" => Every::Period(Period::Month),
        "quarter" | "quarters" | "q" => Every::Period(Period::Quarter),
        "year" | "years" | "y" => Every::Period(Period::Year),
        "m" => return Err(AmountError::Ambiguous),
        other if other.starts_with(|c: char| c.is_ascii_digit()) => {
            return Err(AmountError::Multiple);
        }
        _ => return Err(AmountError::UnknownPeriod),
    })
}

#[cfg(test)]
mod tests;
