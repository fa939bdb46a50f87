//! Sums of the ledger's history, which are those of access lines by quarter of an hour.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::sum::{GroupBy, Sum, Sums};
use crate::cli::config_path::ConfigPath;
use crate::config;
use crate::error::Error;
use crate::ledger::{HistoryRow, history};

/// The length of a quarter of an hour, in seconds.
const QUARTER: i64 = 900;

/// A ledger, and the time zone of its days.
pub(super) struct Source {
    pub(super) ledger: PathBuf,
    pub(super) zone: TimeZone,
}

impl Source {
    /// The ledger that is `named`, or that the configuration names. `None` if there is none.
    pub(super) fn find(config: &ConfigPath, named: Option<&Path>) -> Result<Option<Self>, Error> {
        let path = match config.find() {
            Ok(path) => path,
            Err(error) if config.is_named() => return Err(error),
            // Access lines need no configuration.
            Err(_) => {
                return Ok(named.map(|named| Self {
                    ledger: named.to_owned(),
                    zone: TimeZone::UTC,
                }));
            }
        };
        let records = config::records(&path)?;
        let ledger = named.map(Path::to_owned).or(records.ledger);
        Ok(ledger.map(|ledger| Self {
            ledger,
            zone: records.timezone,
        }))
    }

    /// The sums of the quarters of an hour from that of `since` to that of `until`.
    pub(super) fn sums(
        &self,
        by: &[GroupBy],
        since: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> Result<Sums, Error> {
        let since = since.map_or(Timestamp::UNIX_EPOCH, quarter_of);
        let until = until.unwrap_or(Timestamp::MAX);
        let rows = history(&self.ledger, since, until)
            .map_err(|error| Error::Failed(error.to_string()))?;
        let mut sums = Sums::new();
        for row in rows {
            let group = by.iter().map(|by| self.value(*by, &row)).collect();
            let sum = Sum::of_history(&row.sums, &row.whose.currency);
            sums.entry(group).or_default().merge(&sum);
        }
        Ok(sums)
    }

    fn value(&self, by: GroupBy, row: &HistoryRow) -> String {
        let whose = &row.whose;
        match by {
            GroupBy::Key => whose.key.to_string(),
            GroupBy::Route => whose.route.to_string(),
            GroupBy::Provider => whose.provider.to_string(),
            GroupBy::Model => whose.model.to_string(),
            GroupBy::Day => self.zone.to_datetime(row.start).date().to_string(),
        }
    }
}

/// The start of the quarter of an hour that `at` is in.
fn quarter_of(at: Timestamp) -> Timestamp {
    let start = at.as_second().div_euclid(QUARTER).saturating_mul(QUARTER);
    Timestamp::from_second(start).unwrap_or(at)
}
