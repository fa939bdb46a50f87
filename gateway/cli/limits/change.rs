//! `keygate limits raise` and `keygate limits reset`.

use std::path::Path;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde_json::json;

use super::standing::Standing;
use super::user::who;
use super::{list, which, words};
use crate::admin::limits::{Wanted, counts_word};
use crate::cli::config_path::ConfigPath;
use crate::cli::output::print;
use crate::config::{Purpose, Resolved};
use crate::error::Error;
use crate::key::time;
use crate::ledger;
use crate::limit::account::AccountId;
use crate::limit::amount::{self, AmountError, write_terms};
use crate::limit::terms::{Amount, Limit, Period};

/// Which budget.
#[derive(Args)]
struct Which {
    #[command(flatten)]
    config: ConfigPath,
    /// The limit's name; `max_budget` for the budget of a key's own entry
    name: String,
    /// Whose budget: a key's id, a label's value, a route's or provider's name; not for the gateway's
    scope: Option<String>,
    /// The budget's period, if the limit has several
    #[arg(long, value_name = "PERIOD", value_enum)]
    per: Option<Per>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Per {
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    /// The budget that is never renewed
    Ever,
}

impl Per {
    fn period(self) -> Period {
        match self {
            Self::Hour => Period::Hour,
            Self::Day => Period::Day,
            Self::Week => Period::Week,
            Self::Month => Period::Month,
            Self::Quarter => Period::Quarter,
            Self::Year => Period::Year,
            Self::Ever => Period::Ever,
        }
    }
}

#[derive(Args)]
#[group(skip)]
pub(in crate::cli) struct Raise {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    by: By,
    /// Until this time: `2h` from now, a day like 2027-01-31 (to its end), or 2027-01-31T12:00Z [default: the end of the
    /// period]
    #[arg(long, value_name = "WHEN", value_parser = until)]
    until: Option<Timestamp>,
}

/// By how much.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct By {
    /// Money, in the currency of the price file: `+20`, `+5.50`
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true, value_parser = |text: &str| more(text, amount::money))]
    budget: Option<i64>,
    /// Requests: `+1000`
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true, value_parser = |text: &str| more(text, whole))]
    requests: Option<i64>,
    /// Tokens: `+1M`
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true, value_parser = |text: &str| more(text, whole))]
    tokens: Option<i64>,
    /// Input tokens, of a budget of `input_tokens`
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true, value_parser = |text: &str| more(text, whole))]
    input_tokens: Option<i64>,
    /// Output tokens, of a budget of `output_tokens`
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true, value_parser = |text: &str| more(text, whole))]
    output_tokens: Option<i64>,
}

impl By {
    /// What is counted, and the units to add.
    fn given(&self) -> Option<(Counted, i64)> {
        let all = [
            (Counted::Money, self.budget),
            (Counted::Requests, self.requests),
            (Counted::Tokens, self.tokens),
            (Counted::InputTokens, self.input_tokens),
            (Counted::OutputTokens, self.output_tokens),
        ];
        all.into_iter()
            .find_map(|(counts, units)| Some((counts, units?)))
    }
}

#[derive(Args)]
pub(in crate::cli) struct Reset {
    #[command(flatten)]
    which: Which,
    /// What the budget counts, if the limit has several
    #[arg(long, value_name = "WHAT", value_enum)]
    counts: Option<Counted>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Counted {
    Money,
    Requests,
    Tokens,
    InputTokens,
    OutputTokens,
}

impl Counted {
    fn word(self) -> &'static str {
        match self {
            Self::Money => "money",
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::InputTokens => "input tokens",
            Self::OutputTokens => "output tokens",
        }
    }
}

/// Why a value is none, as the sentence that clap prints behind it.
#[derive(Debug, thiserror::Error)]
enum ValueError {
    #[error("it {0}")]
    Amount(AmountError),
    #[error("it has a period: that of the limit is chosen with --per")]
    Period,
    #[error("it must not be zero")]
    Zero,
    #[error(
        "expected a time from now such as 2h, a day such as 2027-01-31, or a moment such as 2027-01-31T12:00:00Z"
    )]
    Time,
    #[error("it is over already")]
    Past,
}

/// Reads `+20`, `20` or `-20` without a period.
fn more(text: &str, read: impl Fn(&str) -> Result<Amount, AmountError>) -> Result<i64, ValueError> {
    let number = text.trim_start_matches(['+', '-']);
    let is_one_sign = text.len() - number.len() <= 1;
    let amount = read(if is_one_sign { number } else { text }).map_err(ValueError::Amount)?;
    let sign = if text.starts_with('-') { -1 } else { 1 };
    match amount {
        Amount::Budget { units: 0, .. } => Err(ValueError::Zero),
        Amount::Budget {
            units,
            period: Period::Ever,
        } => Ok(units * sign),
        _ => Err(ValueError::Period),
    }
}

/// Reads a whole number without a period.
fn whole(text: &str) -> Result<Amount, AmountError> {
    if text.contains(char::is_whitespace) || text.contains('/') {
        return amount::counted(text);
    }
    amount::counted(&format!("{text} for ever"))
}

fn until(text: &str) -> Result<Timestamp, ValueError> {
    // `12:00Z` is a usual abbreviation of `12:00:00Z`.
    let minutes = text.strip_suffix('Z').map(|it| format!("{it}:00Z"));
    let short = minutes.and_then(|text| text.parse().ok());
    let time = match short {
        Some(time) => time,
        None => time::parse_end(text).map_err(|_| ValueError::Time)?,
    };
    if time <= Timestamp::now() {
        return Err(ValueError::Past);
    }
    Ok(time)
}

/// The budget that is meant.
struct Meant {
    standing: Standing,
    limit: Arc<Limit>,
    account: AccountId,
}

impl Which {
    fn find(&self, counts: Option<Counted>) -> Result<Meant, Error> {
        let path = self.config.find()?;
        let standing = Standing::of(&path, Resolved::load(&path, Purpose::Explain)?)?;
        let snapshot = standing.live.snapshot();
        let scoped = which::scope(&snapshot, &self.name, self.scope.as_deref())?;
        let per = self.per.map(Per::period);
        let counts = counts.map(Counted::word);
        let (limit, period) = which::budget(&self.name, &scoped, counts, per)?;
        let calendar = &snapshot.rules.plan.calendar;
        let (start, end) = calendar.span(period, standing.moment().time);
        let account = AccountId {
            limit: limit.name.clone(),
            scope: scoped.scope,
            counts: limit.counts,
            period,
            start,
            end,
        };
        Ok(Meant {
            standing,
            limit,
            account,
        })
    }
}

impl Meant {
    /// The path of the ledger that the change is written to.
    fn ledger(&self) -> Result<&Path, Error> {
        let Some(path) = self.standing.ledger.as_deref() else {
            let why = "the configuration names no ledger, so that a gateway keeps what was used to itself: set [ledger] \
                       store; or change the limit's amount, and a reload keeps what was used";
            return Err(Error::Failed(why.to_owned()));
        };
        if self.standing.admin().is_some() {
            let wanted = Wanted {
                rows: Some(0),
                ..Wanted::default()
            };
            let theirs = self.standing.report(&wanted)?.ledger;
            let ours = std::path::absolute(path).ok();
            if theirs.as_deref() != ours.as_deref().and_then(Path::to_str) {
                let theirs = theirs.unwrap_or_else(|| "no ledger".to_owned());
                return Err(Error::Failed(format!(
                    "the gateway that serves uses {theirs}: the configuration's {} takes effect at its next start",
                    path.display()
                )));
            }
        }
        Ok(path)
    }

    fn named(&self) -> String {
        let amount = write_terms(self.limit.counts, &self.limit.amount);
        let named = which::named(&self.limit, &self.account.scope);
        format!("{named} ({amount})")
    }

    fn effect(&self) -> &'static str {
        match self.standing.admin() {
            Some(_) => "The gateway takes it up within a second.",
            None => "No gateway serves this configuration now; the next one knows it.",
        }
    }
}

pub(super) fn raise(options: &Raise) -> Result<(), Error> {
    let Some((counts, units)) = options.by.given() else {
        return Err(Error::Usage("by how much is missing".to_owned()));
    };
    let meant = options.which.find(Some(counts))?;
    let (until, who) = (options.until.unwrap_or(Timestamp::MAX), who());
    ledger::raise(meant.ledger()?, &meant.account, units, until, &who)
        .map_err(|error| Error::Failed(error.to_string()))?;
    let end = until.min(meant.account.end);
    let end = (end < Timestamp::MAX).then(|| end.to_string());
    if options.which.json {
        return print(&list::json(&json!({
            "name": &*meant.account.limit,
            "scope": &*meant.account.scope,
            "counts": counts_word(meant.account.counts),
            "per": meant.account.period.name(),
            "raised_by": units,
            "until": end,
            "who": who,
        }))?);
    }
    let amount = words::units(meant.account.counts, units.saturating_abs());
    let what = if units < 0 { "lowered" } else { "raised" };
    let until = end.map_or_else(String::new, |end| format!(" until {end}"));
    print(&format!(
        "{} is {what} by {amount}{until}. {}",
        meant.named(),
        meant.effect()
    ))
}

pub(super) fn reset(options: &Reset) -> Result<(), Error> {
    let meant = options.which.find(options.counts)?;
    let who = who();
    let units = ledger::reset(meant.ledger()?, &meant.account, &who)
        .map_err(|error| Error::Failed(error.to_string()))?;
    if options.which.json {
        return print(&list::json(&json!({
            "name": &*meant.account.limit,
            "scope": &*meant.account.scope,
            "counts": counts_word(meant.account.counts),
            "per": meant.account.period.name(),
            "reset": units,
            "who": who,
        }))?);
    }
    let amount = words::units(meant.account.counts, units);
    print(&format!(
        "{}: {amount} that were used count as not used. {}",
        meant.named(),
        meant.effect()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_to_add_has_a_sign_or_none_and_no_period() {
        for (text, units) in [
            ("+20", 20_000_000_000),
            ("20", 20_000_000_000),
            ("-0.5", -500_000_000),
        ] {
            assert_eq!(more(text, amount::money).unwrap(), units);
        }
        assert_eq!(more("+1M", whole).unwrap(), 1_000_000);
        for wrong in ["+20 per day", "+0", "++1", "+-1", "", "+", "abc", "$5"] {
            assert!(more(wrong, amount::money).is_err(), "{wrong}");
        }
        for wrong in ["+1 per minute", "1.5", "0", "1/day"] {
            assert!(more(wrong, whole).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_raise_ends_at_a_time_to_come() {
        assert!(until("2999-12-01T00:00Z").is_ok() && until("2999-12-01").is_ok());
        assert!(until("2h").is_ok());
        for wrong in ["2020-01-01", "2020-01-01T00:00Z", "soon"] {
            assert!(until(wrong).is_err(), "{wrong}");
        }
    }
}
