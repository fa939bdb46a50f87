//! Amounts as users write them: `6000 per minute`, `20M per day`, `50.00 per month`, `80%`.
//!
//! A number has decimal digits with underscores between them, one decimal point, and one of the suffixes `k`, `M` and
//! `G`. A period follows `per` or `/`. What is read is exact: a number that would have to be rounded is refused.

use std::fmt;
use std::time::Duration;

use super::terms::{Amount, Counts, Period, RateAmount, Window};

/// The decimal places of money: it is counted in billionths.
const MONEY_DECIMALS: usize = 9;
/// The decimal places of money that are always written.
const CENTS: usize = 2;
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

/// Parses a whole number without a period: `600`, `2M`, `1_000`.
pub(crate) fn whole(text: &str) -> Result<u64, AmountError> {
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
    let mut budgets = Vec::new();
    for text in texts {
        let budget = money(text)?;
        if budgets.iter().any(|known| has_same_period(known, &budget)) {
            return Err(AmountError::SamePeriod);
        }
        budgets.push(budget);
    }
    if budgets.is_empty() {
        return Err(AmountError::Form("50.00 per month"));
    }
    Ok(budgets)
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

/// Writes an amount of requests or tokens in the form that [`counted`] reads, or `20 at once`. An hour of a budget is
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

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    fn per(units: u64, window: Window) -> Amount {
        rate(units, window).unwrap()
    }

    fn budget_of(units: i64, period: Period) -> Amount {
        Amount::Budget { units, period }
    }

    #[test]
    fn short_periods_make_rates_of_a_whole_window_and_long_ones_budgets() {
        for (text, amount) in [
            ("6000 per minute", per(6000, Window::Minute)),
            ("6000 Per Minute", per(6000, Window::Minute)),
            ("600/minute", per(600, Window::Minute)),
            (" 600 / min ", per(600, Window::Minute)),
            ("600 /s", per(600, Window::Second)),
            ("10 per sec", per(10, Window::Second)),
            ("1k per hours", per(1000, Window::Hour)),
            ("1G per h", per(1_000_000_000, Window::Hour)),
            ("20M per day", budget_of(20_000_000, Period::Day)),
            ("1_000 per week", budget_of(1000, Period::Week)),
            ("1.5M per month", budget_of(1_500_000, Period::Month)),
            ("1.500K per quarter", budget_of(1500, Period::Quarter)),
            ("7.0 per year", budget_of(7, Period::Year)),
            ("0 per day", budget_of(0, Period::Day)),
            ("5 for ever", budget_of(5, Period::Ever)),
            ("5 forever", budget_of(5, Period::Ever)),
        ] {
            assert_eq!(counted(text), Ok(amount), "{text}");
        }
        let Amount::Rate(rate) = per(600, Window::Minute) else {
            panic!("no rate");
        };
        assert_eq!(rate.burst, 600);
    }

    #[test]
    fn an_amount_that_is_none_states_why() {
        use AmountError as E;
        for (text, why) in [
            ("", E::Form("6000 per minute")),
            ("per minute", E::Form("6000 per minute")),
            ("many per minute", E::Form("6000 per minute")),
            ("1e3 per minute", E::Form("6000 per minute")),
            ("0x10 per minute", E::Form("6000 per minute")),
            ("1,000 per minute", E::Form("6000 per minute")),
            ("1__0 per minute", E::Form("6000 per minute")),
            ("_1 per minute", E::Form("6000 per minute")),
            ("1. per minute", E::Form("6000 per minute")),
            (".5M per minute", E::Form("6000 per minute")),
            ("+1 per minute", E::Form("6000 per minute")),
            ("1MM per minute", E::Form("6000 per minute")),
            ("1kM per minute", E::Form("6000 per minute")),
            ("1m per minute", E::Form("6000 per minute")),
            ("M per minute", E::Form("6000 per minute")),
            ("\u{0661} per minute", E::Form("6000 per minute")),
            ("6000", E::Period("6000 per minute")),
            ("6000 minute", E::UnknownPeriod),
            ("6000 per", E::UnknownPeriod),
            ("6000 per fortnight", E::UnknownPeriod),
            ("6000 per minute or so", E::UnknownPeriod),
            ("6000 per ever", E::UnknownPeriod),
            ("20 M per day", E::UnknownPeriod),
            ("6000/", E::UnknownPeriod),
            ("6000//minute", E::UnknownPeriod),
            ("6000 per m", E::Ambiguous),
            ("6000 per 5 minutes", E::Multiple),
            ("6000/5min", E::Multiple),
            ("0.5 per minute", E::Fraction),
            ("1.2345k per day", E::Fraction),
            ("-1 per minute", E::Negative),
            ("0 per minute", E::Zero),
            ("0k/hour", E::Zero),
            ("1_000_000_001 per minute", E::Rate),
            ("18446744073709551615 per minute", E::Rate),
            ("18446744073709551616 per minute", E::TooLarge),
            ("2305843009213693952 per day", E::TooLarge),
            ("99999999999999999999999999999999G per day", E::TooLarge),
        ] {
            assert_eq!(counted(text), Err(why), "{text}");
        }
    }

    #[test]
    fn money_is_in_billionths_and_lasts_for_ever_without_a_period() {
        for (text, amount) in [
            ("50", budget_of(50_000_000_000, Period::Ever)),
            ("50 for ever", budget_of(50_000_000_000, Period::Ever)),
            ("50.00 per month", budget_of(50_000_000_000, Period::Month)),
            ("0.000000001/day", budget_of(1, Period::Day)),
            (
                "1.0000000010 per day",
                budget_of(1_000_000_001, Period::Day),
            ),
            ("2.5k per hour", budget_of(2_500_000_000_000, Period::Hour)),
            ("0", budget_of(0, Period::Ever)),
            ("2305843009.213693951", budget_of(MOST, Period::Ever)),
        ] {
            assert_eq!(money(text), Ok(amount), "{text}");
        }
        use AmountError as E;
        for (text, why) in [
            ("0.0000000001", E::Decimals),
            ("$50 per month", E::Currency),
            ("50 € per month", E::Currency),
            ("50 per minute", E::Brief),
            ("50/s", E::Brief),
            ("50,00", E::Form("50.00 per month")),
            ("-50", E::Negative),
            ("\u{2212}50", E::Negative),
            ("2305843009.213693952", E::TooLarge),
            ("50 per moon", E::UnknownPeriod),
        ] {
            assert_eq!(money(text), Err(why), "{text}");
        }
    }

    #[test]
    fn a_burst_is_what_the_rate_allows_in_a_time_and_at_least_one() {
        let rate = |units, window| RateAmount {
            units,
            window,
            burst: units,
        };
        let minute = rate(600, Window::Minute);
        assert_eq!(burst(Duration::from_secs(10), &minute), 100);
        assert_eq!(burst(Duration::from_secs(120), &minute), 1200);
        assert_eq!(burst(Duration::ZERO, &minute), 1);
        assert_eq!(burst(Duration::from_secs(1), &rate(1, Window::Hour)), 1);
        let most = rate(RateAmount::MOST, Window::Second);
        assert_eq!(burst(Duration::MAX, &most), u64::MAX);
    }

    #[test]
    fn a_percentage_is_between_nothing_and_everything() {
        assert_eq!(
            (percent("80%"), percent(" 1 %"), percent("99%")),
            (Ok(80), Ok(1), Ok(99))
        );
        for text in [
            "80",
            "0%",
            "100%",
            "-1%",
            "+5%",
            "8.5%",
            "%",
            "",
            "999%",
            "80%%",
            "80 per cent",
        ] {
            assert_eq!(percent(text), Err(AmountError::Percent), "{text}");
        }
    }

    #[test]
    fn money_is_written_exactly_with_at_least_two_decimals() {
        for (units, text) in [
            (50_000_000_000, "50.00"),
            (1_500_000_000, "1.50"),
            (1, "0.000000001"),
            (0, "0.00"),
            (-250_000_000, "-0.25"),
            (i64::MIN, "-9223372036.854775808"),
        ] {
            assert_eq!(write_money(units), text);
        }
    }

    proptest! {
        #[test]
        fn an_amount_is_read_as_it_is_written(
            units in 0..=MOST, rate_units in 1..=RateAmount::MOST, window in 0..3_usize, period in 0..6_usize,
        ) {
            let rate = per(rate_units, Window::ALL[window]);
            assert_eq!(counted(&rate.to_string()), Ok(rate));
            for period in [Period::ALL[period], Period::Ever] {
                let budget = budget_of(units, period);
                assert_eq!(money(&write_amount(Counts::Money, &budget)), Ok(budget));
                if period != Period::Hour {
                    assert_eq!(counted(&budget.to_string()), Ok(budget));
                }
            }
        }

        #[test]
        fn no_text_makes_a_reader_panic(text in any::<String>()) {
            let _ = (counted(&text), money(&text), percent(&text));
        }

        #[test]
        fn no_text_of_amounts_makes_a_reader_panic(text in "[-0-9._kMG%/ ]{0,24}( per | for |/)?[a-z0-9 ]{0,12}") {
            let _ = (counted(&text), money(&text), percent(&text));
        }
    }
}
