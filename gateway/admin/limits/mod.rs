//! What the limits of a gateway have left, which `/limits` responds with and `keygate limits` shows.
//!
//! Rows hold names, ids of keys and values of labels, and nothing secret. Amounts are in units: requests, tokens, or
//! billionths of the price file's currency.

mod rows;

use std::cmp::Ordering;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::grammar::query::{parameters, percent_decoded_text};
use crate::ledger::{Ledger, LedgerError, Remembered, accounts};
use crate::limit::applied::Amounts;
use crate::limit::book::Per;
use crate::limit::terms::{Amount, Counts, Limit};
use crate::snapshot::Live;

/// How many rows a report has unless more are wanted, and at most.
const ROWS: usize = 100;
const MOST_ROWS: usize = 10_000;

/// What a report is to have.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Only limits of this name.
    pub(crate) name: Option<String>,
    /// Only the use of this key, label's value, route or provider.
    pub(crate) scope: Option<String>,
    /// How many rows at most.
    pub(crate) rows: Option<usize>,
    /// The estimate for a request of this key, if it has one,
    pub(crate) key: Option<String>,
    /// on this route,
    pub(crate) route: Option<String>,
    /// whose body has so many bytes.
    pub(crate) bytes: Option<u64>,
}

impl Wanted {
    /// Reads the query of a request. Fails with what is wrong.
    pub(crate) fn parse(query: &str) -> Result<Self, String> {
        let mut wanted = Self::default();
        let given = parameters(query, &['&']).filter(|(name, _)| !name.is_empty());
        for (name, value) in given {
            let text = percent_decoded_text(value).into_owned();
            match name {
                "name" => wanted.name = Some(text),
                "scope" => wanted.scope = Some(text),
                "key" => wanted.key = Some(text),
                "route" => wanted.route = Some(text),
                "rows" => wanted.rows = Some(number(name, &text)?),
                "bytes" => wanted.bytes = Some(number(name, &text)?),
                _ => return Err("there is name, scope, rows, key, route and bytes".to_owned()),
            }
        }
        Ok(wanted)
    }

    fn takes(&self, name: &str, scope: Option<&str>) -> bool {
        self.name.as_deref().is_none_or(|it| it == name)
            && self.scope.as_deref().is_none_or(|it| scope == Some(it))
    }
}

fn number<N: std::str::FromStr>(name: &str, text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("{name} is a number"))
}

/// What limits have left.
#[derive(Serialize, Deserialize)]
pub(crate) struct LimitsReport {
    /// When, in RFC 3339, by the calendar's clock.
    pub(crate) at: String,
    /// The path of the ledger's file, if there is one.
    pub(crate) ledger: Option<String>,
    /// How many rows there are in all.
    pub(crate) total: usize,
    /// The rows, those that are used most first.
    pub(crate) limits: Vec<LimitRow>,
    /// What a request is expected to use, if that was wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) estimate: Option<EstimateRow>,
}

/// What one scope has left of a limit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LimitRow {
    /// The limit's name.
    pub(crate) name: String,
    /// Whose use is counted together: `key`, `route`, `provider`, `gateway`, or `label NAME`.
    pub(crate) of: String,
    /// Whose use this is: a key's id, a label's value, a route's or provider's name; empty for the gateway. `None` while
    /// nobody has used the limit.
    pub(crate) scope: Option<String>,
    /// What is counted: `requests`, `tokens`, `input tokens`, `output tokens`, `money` or `parallel`.
    pub(crate) counts: String,
    /// In which time: `second`, `minute` and so on, `ever`, or `once` for requests at once.
    pub(crate) per: String,
    /// The amount in words: `600 requests per minute`.
    pub(crate) amount: String,
    /// The amount in units, without what operators have added: what may be used in the time, or of a window at once.
    pub(crate) most: i64,
    /// What operators have added to it in this period.
    pub(crate) raised: i64,
    /// What was used.
    pub(crate) used: i64,
    /// What requests in flight have reserved.
    pub(crate) reserved: i64,
    /// What is left; less than zero if there is debt.
    pub(crate) left: i64,
    /// When the period of a budget ends, or when all of a window is there again if nothing more is used; in RFC 3339.
    pub(crate) resets: Option<String>,
    /// Whether it refuses requests; else it only counts.
    pub(crate) enforced: bool,
}

/// What a request is expected to use.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct EstimateRow {
    /// Input tokens.
    pub(crate) input: u64,
    /// Output tokens.
    pub(crate) output: u64,
    /// The cost in billionths.
    pub(crate) money: Option<u64>,
}

impl LimitsReport {
    /// The report of a gateway that serves. Reads the ledger for budgets that were used before and not since the start.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub(crate) fn of_gateway(
        live: &Live,
        ledger: &Ledger,
        wanted: &Wanted,
    ) -> Result<Self, LedgerError> {
        let now = live.book.moment(Instant::now(), live.clock.now());
        let remembered = match ledger.path() {
            Some(path) => accounts(path, now.time, true)?,
            None => Vec::new(),
        };
        let mut report = Self::of(live, &remembered, wanted);
        let file = ledger
            .path()
            .and_then(|path| std::path::absolute(path).ok());
        report.ledger = file.map(|path| path.display().to_string());
        Ok(report)
    }

    /// The report of the limits in `live`, and of budgets that were used before, as `remembered`.
    pub(crate) fn of(live: &Live, remembered: &[Remembered], wanted: &Wanted) -> Self {
        let now = live.book.moment(Instant::now(), live.clock.now());
        let snapshot = live.snapshot();
        let cells = live.book.list();
        let mut rows = rows::rows(&snapshot, &cells, remembered, now, wanted);
        let total = rows.len();
        rows.sort_by(most_used_first);
        rows.truncate(wanted.rows.unwrap_or(ROWS).min(MOST_ROWS));
        let estimate = wanted.route.as_deref().map(|route| {
            let bytes = wanted.bytes.unwrap_or_default();
            EstimateRow::of(live.book.estimate(wanted.key.as_deref(), route, bytes))
        });
        Self {
            at: now.time.to_string(),
            ledger: None,
            total,
            limits: rows,
            estimate,
        }
    }
}

impl EstimateRow {
    fn of(amounts: Amounts) -> Self {
        Self {
            input: amounts.input,
            output: amounts.output,
            money: amounts.money,
        }
    }
}

/// By the part of the amount that is used; then by name.
fn most_used_first(a: &LimitRow, b: &LimitRow) -> Ordering {
    let part = |row: &LimitRow| {
        let taken = i128::from(row.used.saturating_add(row.reserved));
        let most = i128::from(row.most.saturating_add(row.raised)).max(1);
        taken.saturating_mul(1_000_000) / most
    };
    let names = |row: &LimitRow| (row.name.clone(), row.scope.clone(), row.counts.clone());
    part(b).cmp(&part(a)).then_with(|| names(a).cmp(&names(b)))
}

impl LimitRow {
    /// The row of a scope that has used nothing.
    pub(crate) fn unused(limit: &Limit, scope: &str) -> Self {
        rows::row(limit, Some(scope))
    }

    /// Whether it is of this limit and scope.
    pub(crate) fn is_of(&self, limit: &Limit, scope: &str) -> bool {
        let (counts, per) = (counts_word(limit.counts), per_word(&limit.amount));
        *self.name == *limit.name
            && self.scope.as_deref() == Some(scope)
            && self.counts == counts
            && self.per == per
    }
}

/// The word for what is counted.
pub(crate) fn counts_word(counts: Counts) -> &'static str {
    match counts {
        Counts::Requests => "requests",
        Counts::Money => "money",
        Counts::Parallel => "parallel",
        Counts::Tokens(tokens) => match (tokens.input, tokens.output) {
            (true, false) => "input tokens",
            (false, true) => "output tokens",
            _ => "tokens",
        },
    }
}

/// The word for the time in which is counted.
pub(crate) fn per_word(amount: &Amount) -> &'static str {
    match Per::of(amount) {
        Per::Window(window) => window.name(),
        Per::Period(period) => period.name(),
        Per::Now => "once",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_selects_and_an_unknown_parameter_is_refused() {
        let wanted = Wanted::parse("name=search-team&scope=a%20b&rows=5").unwrap();
        assert!(wanted.takes("search-team", Some("a b")));
        assert!(!wanted.takes("search-team", None) && !wanted.takes("other", Some("a b")));
        assert_eq!(wanted.rows, Some(5));
        assert_eq!(Wanted::parse("").unwrap(), Wanted::default());
        for wrong in ["limit=a", "rows=many", "rows=-1"] {
            assert!(Wanted::parse(wrong).is_err(), "{wrong}");
        }
    }
}
