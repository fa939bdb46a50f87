//! What exchanges used, in sums by quarter of an hour.
//!
//! Sums are written once a second: what a process used in the second before it was killed is missing here. Accounts do not
//! depend on it.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::error::LedgerError;
use super::file;

/// The length of a quarter of an hour, in seconds.
const QUARTER: i64 = 900;
/// How many models are told apart in a quarter of an hour: providers choose the names.
const MOST_MODELS: usize = 1_000;
/// How many sums this process keeps for a quarter of an hour.
const MOST_SUMS: usize = 200_000;
/// The longest name of a model, in bytes.
const LONGEST_MODEL: usize = 200;
/// Stands for all further models.
const OTHER: &str = "other";

/// What exchanges used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// Requests that were admitted.
    pub(crate) requests: i64,
    /// Requests that were refused.
    pub(crate) refusals: i64,
    /// Input tokens, cached ones included.
    pub(crate) input: i64,
    /// Output tokens.
    pub(crate) output: i64,
    /// Input tokens that the provider read from its cache.
    pub(crate) cached: i64,
    /// The cost, in billionths of the currency.
    pub(crate) cost: i64,
}

/// Whose use a sum is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Whose {
    /// The key's id.
    pub(crate) key: Arc<str>,
    /// The route's name.
    pub(crate) route: Arc<str>,
    /// The provider's name; empty if none was asked.
    pub(crate) provider: Arc<str>,
    /// The model's name; empty if it is not known.
    pub(crate) model: Arc<str>,
    /// The currency of the cost; empty if there is no price.
    pub(crate) currency: Arc<str>,
}

/// What one exchange used.
#[derive(Clone, Debug)]
pub(crate) struct UsageRow {
    /// When it ended.
    pub(crate) at: Timestamp,
    /// Who used it.
    pub(crate) whose: Whose,
    /// How much.
    pub(crate) sums: Sums,
}

/// What was used in a quarter of an hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HistoryRow {
    /// When the quarter of an hour began.
    pub(crate) start: Timestamp,
    /// Whose use it is.
    pub(crate) whose: Whose,
    /// How much.
    pub(crate) sums: Sums,
}

/// Sums that are not written yet.
#[derive(Debug, Default)]
pub(super) struct History {
    sums: HashMap<(i64, Whose), Sums, ahash::RandomState>,
    /// The models of the current quarters of an hour.
    models: HashMap<i64, HashSet<Arc<str>>>,
}

impl Sums {
    fn add(&mut self, other: &Self) {
        let add = |to: &mut i64, units: i64| *to = to.saturating_add(units);
        add(&mut self.requests, other.requests);
        add(&mut self.refusals, other.refusals);
        add(&mut self.input, other.input);
        add(&mut self.output, other.output);
        add(&mut self.cached, other.cached);
        add(&mut self.cost, other.cost);
    }
}

impl History {
    /// Without sums; knows the models that the file has of this quarter of an hour.
    pub(super) fn open(connection: &Connection, now: Timestamp) -> rusqlite::Result<Self> {
        let quarter = quarter_of(now);
        let mut statement =
            connection.prepare("SELECT DISTINCT model FROM history WHERE quarter = ?1")?;
        let models = statement.query_map([quarter], |row| row.get::<_, String>(0))?;
        let models = models.map(|model| model.map(Arc::from));
        let models = models.collect::<rusqlite::Result<HashSet<Arc<str>>>>()?;
        Ok(Self {
            sums: HashMap::default(),
            models: HashMap::from([(quarter, models)]),
        })
    }

    /// Adds what an exchange used. Returns whether there was room.
    pub(super) fn add(&mut self, row: UsageRow) -> bool {
        let UsageRow {
            at,
            mut whose,
            sums,
        } = row;
        let quarter = quarter_of(at);
        whose.model = self.model(quarter, whose.model);
        let is_full = self.sums.len() >= MOST_SUMS;
        let key = (quarter, whose);
        if is_full && !self.sums.contains_key(&key) {
            return false;
        }
        self.sums.entry(key).or_default().add(&sums);
        true
    }

    /// Adds the sums to the file. Returns whether there were any.
    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<bool> {
        let mut statement = connection.prepare_cached(
            "INSERT INTO history (quarter, key, route, provider, model, currency, requests, refusals, input, output,
                 cached, cost)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
             ON CONFLICT DO UPDATE SET requests = requests + excluded.requests,
                 refusals = refusals + excluded.refusals, input = input + excluded.input,
                 output = output + excluded.output, cached = cached + excluded.cached, cost = cost + excluded.cost",
        )?;
        for ((quarter, whose), sums) in &self.sums {
            statement.execute(params![
                quarter,
                &*whose.key,
                &*whose.route,
                &*whose.provider,
                &*whose.model,
                &*whose.currency,
                sums.requests,
                sums.refusals,
                sums.input,
                sums.output,
                sums.cached,
                sums.cost
            ])?;
        }
        Ok(!self.sums.is_empty())
    }

    /// The sums are in the file.
    pub(super) fn written(&mut self) {
        self.sums.clear();
    }

    /// The name under which `model` is counted.
    fn model(&mut self, quarter: i64, model: Arc<str>) -> Arc<str> {
        if !self.models.contains_key(&quarter) {
            // Exchanges end in about the order of their times.
            self.models.retain(|known, _| known.abs_diff(quarter) <= 4);
        }
        let models = self.models.entry(quarter).or_default();
        let is_known = models.contains(&model);
        if !is_known && (models.len() >= MOST_MODELS || model.len() > LONGEST_MODEL) {
            return OTHER.into();
        }
        if !is_known {
            models.insert(model.clone());
        }
        model
    }
}

/// The quarter of an hour that `at` is in, from 1970.
pub(super) fn quarter_of(at: Timestamp) -> i64 {
    at.as_second().div_euclid(QUARTER)
}

/// What was used according to the ledger at `path` in the quarters of an hour that begin at or after `since` and before
/// `until`, the earliest first. Works beside a gateway that serves, and without one.
///
/// # Errors
/// See [`LedgerError`].
pub(crate) fn history(
    path: &Path,
    since: Timestamp,
    until: Timestamp,
) -> Result<Vec<HistoryRow>, LedgerError> {
    let connection = file::open_for_reading(path)?;
    read(&connection, since, until).map_err(|error| LedgerError::database(path, error))
}

fn read(
    connection: &Connection,
    since: Timestamp,
    until: Timestamp,
) -> rusqlite::Result<Vec<HistoryRow>> {
    let mut statement = connection.prepare(
        "SELECT quarter, key, route, provider, model, currency, requests, refusals, input, output, cached, cost
         FROM history WHERE quarter >= ?1 AND quarter < ?2 ORDER BY quarter, key, route, provider, model, currency",
    )?;
    let first_from =
        |at: Timestamp| quarter_of(at) + i64::from(at.as_nanosecond() % (900 * 1_000_000_000) != 0);
    let rows = statement.query_map([first_from(since), first_from(until)], row_of)?;
    rows.collect()
}

fn row_of(row: &Row<'_>) -> rusqlite::Result<HistoryRow> {
    let text = |at: usize| row.get::<_, String>(at).map(Arc::from);
    let quarter: i64 = row.get(0)?;
    let start = Timestamp::from_second(quarter.saturating_mul(QUARTER));
    Ok(HistoryRow {
        start: start.unwrap_or(Timestamp::MIN),
        whose: Whose {
            key: text(1)?,
            route: text(2)?,
            provider: text(3)?,
            model: text(4)?,
            currency: text(5)?,
        },
        sums: Sums {
            requests: row.get(6)?,
            refusals: row.get(7)?,
            input: row.get(8)?,
            output: row.get(9)?,
            cached: row.get(10)?,
            cost: row.get(11)?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_that_invents_models_fills_no_disk() {
        let mut history = History::default();
        for number in 0..5_000 {
            let whose = Whose {
                key: "alice".into(),
                route: "openai".into(),
                provider: "openai".into(),
                model: format!("model-{number}").into(),
                currency: "USD".into(),
            };
            let sums = Sums {
                requests: 1,
                ..Sums::default()
            };
            let at = Timestamp::UNIX_EPOCH;
            assert!(history.add(UsageRow { at, whose, sums }));
        }
        assert_eq!(history.sums.len(), MOST_MODELS + 1);
        let other = history
            .sums
            .iter()
            .find(|((_, whose), _)| &*whose.model == OTHER);
        assert_eq!(other.unwrap().1.requests, 4_000);
    }
}
