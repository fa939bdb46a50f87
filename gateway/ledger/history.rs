//! What exchanges used, in sums by quarter of an hour.
//!
//! Sums are written once a second: what a process used in the second before it was killed is missing here. Accounts do not
//! depend on it.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

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
/// The most that a sum can be: two of them can be added.
const MOST: i64 = i64::MAX / 2;
/// For how many quarters of an hour the models are known at most: a day.
const KNOWN_QUARTERS: i64 = 96;
/// The columns of the sums.
const COLUMNS: [&str; SUMS] = [
    "requests",
    "refusals",
    "aborted",
    "metered",
    "estimated",
    "input",
    "output",
    "cached",
    "cache_creation",
    "reasoning",
    "cost",
    "input_audio",
    "cached_audio",
    "output_audio",
    "input_image",
    "cached_image",
    "output_image",
    "input_video",
    "cached_video",
    "output_video",
];

/// What exchanges used: the sums that `keygate usage` has of access lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// Requests, refused ones included.
    pub(crate) requests: i64,
    /// Those of them that the gateway or the provider refused.
    pub(crate) refusals: i64,
    /// Those whose client left before the end of the response.
    pub(crate) aborted: i64,
    /// Those whose tokens are known.
    pub(crate) metered: i64,
    /// Those whose tokens are an estimate.
    pub(crate) estimated: i64,
    /// Input tokens, cached ones included.
    pub(crate) input: i64,
    /// Output tokens.
    pub(crate) output: i64,
    /// Input tokens that the provider read from its cache.
    pub(crate) cached: i64,
    /// Input tokens that the provider wrote into its cache.
    pub(crate) cache_creation: i64,
    /// Output tokens of which the client sees nothing.
    pub(crate) reasoning: i64,
    /// The tokens of audio, images and video: of each those of the input, of the cache and of the output.
    pub(crate) media: [i64; MEDIA],
    /// The cost, in millionths of a millionth of the currency.
    pub(crate) cost: i64,
}

/// How many counts of media there are.
const MEDIA: usize = 9;
/// How many sums there are.
const SUMS: usize = 11 + MEDIA;

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
    /// When its request came, as in its access line.
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
        let mut all = self.all();
        for (sum, by) in all.iter_mut().zip(other.all()) {
            *sum = sum.saturating_add(by).min(MOST);
        }
        *self = Self::of(all);
    }

    /// The sums in the order of [`COLUMNS`].
    fn all(&self) -> [i64; SUMS] {
        let first = [
            self.requests,
            self.refusals,
            self.aborted,
            self.metered,
            self.estimated,
            self.input,
            self.output,
            self.cached,
            self.cache_creation,
            self.reasoning,
            self.cost,
        ];
        let mut all = [0; SUMS];
        for (sum, value) in all.iter_mut().zip(first.into_iter().chain(self.media)) {
            *sum = value;
        }
        all
    }

    fn of(all: [i64; SUMS]) -> Self {
        let [
            requests,
            refusals,
            aborted,
            metered,
            estimated,
            input,
            output,
            cached,
            cache_creation,
            reasoning,
            cost,
            media @ ..,
        ] = all;
        Self {
            requests,
            refusals,
            aborted,
            metered,
            estimated,
            input,
            output,
            cached,
            cache_creation,
            reasoning,
            media,
            cost,
        }
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
        let mut statement = connection.prepare_cached(&insertion())?;
        for ((quarter, whose), sums) in &self.sums {
            let names = [
                &whose.key,
                &whose.route,
                &whose.provider,
                &whose.model,
                &whose.currency,
            ];
            let names = names.map(|name| Value::from(name.to_string()));
            let values = [Value::from(*quarter)].into_iter().chain(names);
            let sums = sums.all().map(Value::from);
            statement.execute(params_from_iter(values.chain(sums)))?;
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
            let newest = self.models.keys().copied().fold(quarter, i64::max);
            self.models
                .retain(|known, _| newest - known < KNOWN_QUARTERS);
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
    let mut statement = connection.prepare(&format!(
        "SELECT quarter, key, route, provider, model, currency, {} FROM history
         WHERE quarter >= ?1 AND quarter < ?2 ORDER BY quarter, key, route, provider, model, currency",
        COLUMNS.join(", ")
    ))?;
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
        sums: sums_of(row)?,
    })
}

fn sums_of(row: &Row<'_>) -> rusqlite::Result<Sums> {
    let mut all = [0; SUMS];
    for (at, sum) in all.iter_mut().enumerate() {
        *sum = row.get(6 + at)?;
    }
    Ok(Sums::of(all))
}

/// The statement that adds sums. None becomes larger than the database's integers.
fn insertion() -> String {
    let places: Vec<_> = (1..=6 + SUMS).map(|at| format!("?{at}")).collect();
    let additions =
        COLUMNS.map(|it| format!("{it} = min({it}, {MOST}) + min(excluded.{it}, {MOST})"));
    format!(
        "INSERT INTO history (quarter, key, route, provider, model, currency, {}) VALUES ({})
         ON CONFLICT DO UPDATE SET {}",
        COLUMNS.join(", "),
        places.join(", "),
        additions.join(", ")
    )
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

    #[test]
    fn no_sum_grows_beyond_what_the_file_can_hold() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(super::super::schema::CREATE)
            .unwrap();
        let whose = Whose {
            key: "alice".into(),
            route: "".into(),
            provider: "".into(),
            model: "".into(),
            currency: "".into(),
        };
        let all = std::array::from_fn(|at| i64::MAX - i64::try_from(at).unwrap());
        for _ in 0..3 {
            let mut history = History::default();
            for _ in 0..3 {
                let (at, whose) = (Timestamp::UNIX_EPOCH, whose.clone());
                let sums = Sums::of(all);
                history.add(UsageRow { at, whose, sums });
            }
            assert!(history.write(&connection).unwrap());
        }
        let rows = read(&connection, Timestamp::UNIX_EPOCH, Timestamp::MAX).unwrap();
        assert!(
            rows[0].sums.all().iter().all(|sum| *sum >= MOST),
            "{rows:?}"
        );
        assert_eq!(rows[0].whose, whose);
    }
}
