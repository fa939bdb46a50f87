//! Single amounts of `LiteLLM`: what each is here, and what is different about it.

use crate::import::amounts;
use crate::import::litellm::limits::duration::Duration;
use crate::import::litellm::limits::number::Number;
use crate::limit::amount::{write_amount, write_money};
use crate::limit::terms::{Amount, Counts, Period, RateAmount, Window};

/// The decimal places of money here.
const MONEY_DECIMALS: usize = 9;

/// The highest budget that an import writes, in billionths.
const MOST_MONEY: u64 = 2_000_000_000_000_000_000;

/// An amount, and why it is not the original one, if it is not.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The amount; `None` if there is no limit.
    pub(super) amount: Option<Amount>,
    /// What differs.
    pub(super) differs: Option<String>,
}

/// The value is no number: what it limits is not known.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unclear;

/// Reads requests or tokens per minute.
pub(super) fn per_minute(text: &str) -> Result<Found, Unclear> {
    let most = RateAmount::MOST;
    let (units, differs) = match Number::parse(text, 0) {
        Number::Unclear => return Err(Unclear),
        Number::Endless => return Ok(Found::none()),
        Number::Negative => (0, None),
        Number::Units { units, is_cut } if units <= most => (units, cut(is_cut)),
        Number::Units { .. } | Number::TooLarge => (most, Some(too_large(most))),
    };
    Ok(Found {
        amount: amounts::rate(units, Window::Minute),
        differs,
    })
}

/// Reads a number of requests at once.
pub(super) fn at_once(text: &str) -> Result<Found, Unclear> {
    let most = u64::from(u32::MAX);
    let (units, differs) = match Number::parse(text, 0) {
        Number::Unclear => return Err(Unclear),
        Number::Endless => return Ok(Found::none()),
        Number::Negative => (0, None),
        Number::Units { units, is_cut } if units <= most => (units, cut(is_cut)),
        Number::Units { .. } | Number::TooLarge => (most, Some(too_large(most))),
    };
    let units = u32::try_from(units).unwrap_or(u32::MAX);
    Ok(Found {
        amount: Some(match units {
            0 => amounts::nothing(),
            units => Amount::AtOnce(units),
        }),
        differs,
    })
}

/// Reads a budget of dollars, with its duration if it has one.
pub(super) fn budget(text: &str, duration: Option<&str>) -> Result<Found, Unclear> {
    let mut differs = Vec::new();
    let units = match Number::parse(text, MONEY_DECIMALS) {
        Number::Unclear => return Err(Unclear),
        Number::Endless => return Ok(Found::none()),
        Number::Negative => 0,
        Number::Units { units, is_cut } if units <= MOST_MONEY => {
            if is_cut {
                differs.push("keygate counts billionths: the rest is cut off".to_owned());
            }
            units
        }
        Number::Units { .. } | Number::TooLarge => {
            let units = i64::try_from(MOST_MONEY).unwrap_or(i64::MAX);
            differs.push(format!("keygate's budgets go up to {}", write_money(units)));
            MOST_MONEY
        }
    };
    let units = i64::try_from(units).unwrap_or(i64::MAX);
    let period = match duration.filter(|text| !is_none(text)) {
        None => Period::Ever,
        Some(text) => {
            let (period, why) = period_of(text, units);
            differs.extend(why);
            period
        }
    };
    Ok(Found {
        amount: Some(Amount::Budget { units, period }),
        differs: (!differs.is_empty()).then(|| differs.join("; ")),
    })
}

/// The period of a budget of `units`, and what differs about it.
fn period_of(text: &str, units: i64) -> (Period, Option<String>) {
    let budget = |period| write_amount(Counts::Money, &Amount::Budget { units, period });
    match Duration::parse(text) {
        Duration::Exact(period) => (period, None),
        Duration::Within(period) => {
            let why = format!(
                "`{text}` is no period of the calendar (hour, day, week, month, quarter or year): it is `{}`, which \
                 allows less; write an amount for a period that suits",
                budget(period)
            );
            (period, Some(why))
        }
        Duration::Unclear => {
            let why = format!(
                "its duration is not understood: it is `{}`, which is never renewed; write its period",
                budget(Period::Ever)
            );
            (Period::Ever, Some(why))
        }
    }
}

/// What an amount counts that was read as one of `counts`: none at once is no request at all.
pub(super) fn counts_of(counts: Counts, amount: Amount) -> Counts {
    match (counts, amount) {
        (Counts::Parallel, Amount::Budget { .. }) => Counts::Requests,
        (counts, _) => counts,
    }
}

/// Whether a text stands for no value: `LiteLLM` takes these for none, as its pages send them.
fn is_none(text: &str) -> bool {
    ["", "none", "null"].contains(&text.trim().to_ascii_lowercase().as_str())
}

/// Reads the percentage of `budget` at which a warning is given: `soft` is a sum of dollars. The error
/// is the reason why it is not carried over.
pub(super) fn soft(soft: &str, budget: Option<&str>) -> Result<u8, String> {
    let Some(budget) = budget else {
        return Err("a soft budget is a percentage of a budget here, and there is none".to_owned());
    };
    let parse = |text: &str| match Number::parse(text, MONEY_DECIMALS) {
        Number::Units {
            units,
            is_cut: false,
        } => Some(u128::from(units)),
        _ => None,
    };
    let (Some(soft), Some(budget)) = (parse(soft), parse(budget)) else {
        return Err("it is no sum that is a percentage of the budget".to_owned());
    };
    if budget == 0 || soft >= budget {
        return Err(
            "it is not below the budget: there is nothing to warn of before it is spent".to_owned(),
        );
    }
    let hundredfold = soft * 100;
    let percent = u8::try_from(hundredfold / budget).unwrap_or(99);
    match (percent, hundredfold % budget) {
        (1..=99, 0) => Ok(percent),
        (0, _) => Err("it is less than 1% of the budget: write `soft_budget = \"1%\"`".to_owned()),
        (percent, _) => Err(format!(
            "it is no whole percentage of the budget: write `soft_budget = \"{percent}%\"`"
        )),
    }
}

fn cut(is_cut: bool) -> Option<String> {
    is_cut.then(|| "it is no whole number: the fraction is cut off".to_owned())
}

fn too_large(most: u64) -> String {
    format!("keygate's limits go up to {most}, which it is here")
}

impl Found {
    fn none() -> Self {
        Self {
            amount: None,
            differs: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(found: Result<Found, Unclear>, counts: Counts) -> String {
        match found {
            Err(Unclear) => "unclear".to_owned(),
            Ok(Found { amount, differs }) => {
                let amount = amount.map_or("none".to_owned(), |it| write_amount(counts, &it));
                let sign = if differs.is_some() { " !" } else { "" };
                amount + sign
            }
        }
    }

    #[test]
    fn a_budget_is_exact_or_allows_less() {
        for (text, duration, wanted) in [
            ("10", None, "10.00 for ever"),
            ("10.0", Some("None"), "10.00 for ever"),
            ("0", Some("30d"), "0.00 per month"),
            ("-1", Some("1d"), "0.00 per day"),
            ("0.1", Some("7d"), "0.10 per week"),
            ("1e-10", Some("1d"), "0.00 per day !"),
            ("1e+20", Some("1d"), "2000000000.00 per day !"),
            ("3", Some("14d"), "3.00 per month !"),
            ("3", Some("soon"), "3.00 for ever !"),
            ("Infinity", Some("1d"), "none"),
            ("NaN", None, "unclear"),
            ("much", None, "unclear"),
        ] {
            let found = words(budget(text, duration), Counts::Money);
            assert_eq!(found, wanted, "{text} {duration:?}");
        }
    }

    #[test]
    fn a_rate_of_zero_lets_nothing_pass() {
        for (text, wanted) in [
            ("10", "10 per minute"),
            ("10.9", "10 per minute !"),
            ("0", "0 per day"),
            ("-5", "0 per day"),
            ("9223372036854775807", "1000000000 per minute !"),
            ("1e400", "1000000000 per minute !"),
            ("inf", "none"),
            ("[]", "unclear"),
        ] {
            assert_eq!(words(per_minute(text), Counts::Requests), wanted, "{text}");
        }
        assert_eq!(
            words(at_once("5e9"), Counts::Parallel),
            "4294967295 at once !"
        );
        assert_eq!(words(at_once("0"), Counts::Requests), "0 per day");
    }

    #[test]
    fn a_soft_budget_is_a_whole_percentage_or_the_one_to_write_is_told() {
        assert_eq!(soft("8", Some("10")), Ok(80));
        assert_eq!(soft("0.05", Some("0.10")), Ok(50));
        let why = |text, budget| soft(text, budget).unwrap_err();
        assert!(why("2", Some("3")).ends_with("`soft_budget = \"66%\"`"));
        assert!(why("0", Some("3")).ends_with("`soft_budget = \"1%\"`"));
        for (text, budget) in [
            ("3", Some("3")),
            ("4", Some("3")),
            ("0", Some("0")),
            ("1", None),
            ("x", Some("3")),
            ("1", Some("x")),
            ("-1", Some("3")),
        ] {
            assert!(soft(text, budget).is_err(), "{text} {budget:?}");
        }
    }
}
