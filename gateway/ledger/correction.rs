//! What operators do to accounts from other processes: raise an amount, or reset what was spent. A process that serves
//! follows within a second.
//!
//! A reset subtracts what was used so far. Rights that processes hold and have not used go on to count: they may be spent
//! after the reset, so all that is spent after it is within the amount. What a killed process may have spent counts as
//! used; what was used in the last second may not be in the file yet, and then counts as spent after the reset.

use std::collections::HashMap;
use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::error::LedgerError;
use super::file;
use super::schema::counts_text;
use crate::limit::account::AccountId;

/// Units that come to the amount.
pub(super) const RAISE: &str = "raise";
/// Units that no longer count as spent.
pub(super) const RESET: &str = "reset";

/// Adds `units` (less than zero: takes away) to the amount of `account` until `until`; [`Timestamp::MAX`]: to the end of
/// its period. `who` did it.
///
/// # Errors
/// See [`LedgerError`].
pub(crate) fn raise(
    path: &Path,
    account: &AccountId,
    units: i64,
    until: Timestamp,
    who: &str,
) -> Result<(), LedgerError> {
    write(path, |transaction| {
        let row = account_row(transaction, account)?;
        insert(transaction, row, RAISE, units, until, who)
    })
}

/// Makes all that was used of `account` count as not spent, and returns how much that was. `who` did it.
///
/// # Errors
/// See [`LedgerError`].
pub(crate) fn reset(path: &Path, account: &AccountId, who: &str) -> Result<i64, LedgerError> {
    write(path, |transaction| {
        let row = account_row(transaction, account)?;
        let used: i64 = transaction.query_row(
            "SELECT (SELECT coalesce(sum(used), 0) FROM share WHERE account = ?1)
             - (SELECT coalesce(sum(units), 0) FROM correction WHERE account = ?1 AND kind = ?2)",
            params![row, RESET],
            |row| row.get(0),
        )?;
        insert(transaction, row, RESET, used, Timestamp::MAX, who)?;
        Ok(used)
    })
}

fn write<T>(
    path: &Path,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> Result<T, LedgerError> {
    let mut connection = file::open_existing(path)?;
    let written = (|| {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let result = work(&transaction)?;
        transaction.commit()?;
        Ok(result)
    })();
    written.map_err(|error| LedgerError::database(path, error))
}

fn insert(
    transaction: &Connection,
    account: i64,
    kind: &str,
    units: i64,
    until: Timestamp,
    who: &str,
) -> rusqlite::Result<()> {
    let (until, at) = (until.as_microsecond(), Timestamp::now().as_microsecond());
    transaction.execute(
        "INSERT INTO correction (account, kind, units, until, who, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![account, kind, units, until, who, at],
    )?;
    Ok(())
}

/// The row of `account`, which is created if there is none. Inside a transaction that writes.
pub(super) fn account_row(connection: &Connection, account: &AccountId) -> rusqlite::Result<i64> {
    let (counts, period) = (counts_text(account.counts), account.period.name());
    let start = account.start.as_microsecond();
    let (name, scope) = (&*account.limit, &*account.scope);
    let mut insert = connection.prepare_cached(
        "INSERT INTO account (name, scope, counts, period, start, ends) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO NOTHING",
    )?;
    let ends = account.end.as_microsecond();
    insert.execute(params![name, scope, counts, period, start, ends])?;
    let mut select = connection.prepare_cached(
        "SELECT id FROM account WHERE name = ?1 AND scope = ?2 AND counts = ?3 AND period = ?4 AND start = ?5",
    )?;
    select.query_row(params![name, scope, counts, period, start], |row| {
        row.get(0)
    })
}

/// All corrections, by the row of their account.
#[derive(Debug, Default)]
pub(super) struct Corrections(HashMap<i64, Vec<Correction>>);

#[derive(Debug)]
struct Correction {
    is_raise: bool,
    units: i64,
    until: i64,
}

impl Corrections {
    /// Reads all.
    pub(super) fn read(transaction: &Transaction<'_>) -> rusqlite::Result<Self> {
        let mut statement =
            transaction.prepare_cached("SELECT account, kind, units, until FROM correction")?;
        let mut rows = statement.query([])?;
        let mut all: HashMap<i64, Vec<Correction>> = HashMap::new();
        while let Some(row) = rows.next()? {
            let correction = Correction {
                is_raise: row.get::<_, String>(1)? == RAISE,
                units: row.get(2)?,
                until: row.get(3)?,
            };
            all.entry(row.get(0)?).or_default().push(correction);
        }
        Ok(Self(all))
    }

    /// What has come to the amount of the account in this row at `now`, and what of it no longer counts as spent.
    pub(super) fn of(&self, row: i64, now: Timestamp) -> (i64, i64) {
        let now = now.as_microsecond();
        let all = self.0.get(&row).map(Vec::as_slice).unwrap_or_default();
        let valid = all.iter().filter(|correction| correction.until > now);
        valid.fold((0, 0), |(raised, reset), correction| {
            let units = correction.units;
            if correction.is_raise {
                (i64::saturating_add(raised, units), reset)
            } else {
                (raised, i64::saturating_add(reset, units))
            }
        })
    }
}
