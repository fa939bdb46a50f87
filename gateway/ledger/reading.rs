//! What the file remembers of accounts, for operators: beside a gateway that serves, and without one. Writes nothing.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::correction::{RAISE, RESET};
use super::error::LedgerError;
use super::file;
use super::schema::{PAST, counts_of, period_of};
use crate::limit::account::{Account, AccountId};
use crate::limit::budget::Issuer;
use crate::limit::terms::{Counts, Period};

/// An account as the file has it. All amounts are in the units of its limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    /// Which one.
    pub(crate) id: AccountId,
    /// What was spent of it, without what an operator has reset.
    pub(crate) spent: i64,
    /// What operators have added to the amount.
    pub(crate) raised: i64,
}

/// What an operator did to an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    /// To which one.
    pub(crate) account: AccountId,
    /// Whether the amount was raised; else what was used was reset.
    pub(crate) is_raise: bool,
    /// By how much, or how much.
    pub(crate) units: i64,
    /// Until when; [`Timestamp::MAX`]: to the end of the period.
    pub(crate) until: Timestamp,
    /// Who.
    pub(crate) who: String,
    /// When.
    pub(crate) at: Timestamp,
}

/// The accounts of the ledger at `path` whose period contains `now`. Of processes that hold rights, what they have used
/// counts if `are_alive`; else what they were issued, as after the end of a process that was killed.
///
/// # Errors
/// See [`LedgerError`].
pub(crate) fn accounts(
    path: &Path,
    now: Timestamp,
    are_alive: bool,
) -> Result<Vec<Remembered>, LedgerError> {
    let connection = file::open_for_reading(path)?;
    let all = read_accounts(&connection, now, are_alive);
    all.map_err(|error| LedgerError::database(path, error))
}

fn read_accounts(
    connection: &Connection,
    now: Timestamp,
    are_alive: bool,
) -> rusqlite::Result<Vec<Remembered>> {
    let mut statement = connection.prepare(
        "SELECT name, scope, counts, period, start, ends,
             (SELECT coalesce(sum(CASE WHEN ?2 OR holder = ?3 THEN used ELSE issued END), 0) FROM share
                 WHERE account = id),
             (SELECT coalesce(sum(units), 0) FROM correction WHERE account = account.id AND kind = ?4),
             (SELECT coalesce(sum(units), 0) FROM correction WHERE account = account.id AND kind = ?5 AND until > ?1)
         FROM account WHERE start <= ?1 AND ends > ?1",
    )?;
    let given = params![now.as_microsecond(), are_alive, PAST, RESET, RAISE];
    let rows = statement.query_map(given, |row| {
        let (used, reset): (i64, i64) = (row.get(6)?, row.get(7)?);
        let raised = row.get(8)?;
        Ok(account_of(row, 0)?.map(|id| Remembered {
            id,
            spent: used.saturating_sub(reset),
            raised,
        }))
    })?;
    rows.filter_map(Result::transpose).collect()
}

/// The account in six columns from `first` on; `None` for one of a newer version.
fn account_of(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<AccountId>> {
    let text = |at: usize| row.get::<_, String>(first + at);
    let time = |at: usize| row.get(first + at).map(time_of);
    let (counts, period) = (counts_of(&text(2)?), period_of(&text(3)?));
    let (Some(counts), Some(period)) = (counts, period) else {
        return Ok(None);
    };
    Ok(Some(AccountId {
        limit: text(0)?.into(),
        scope: text(1)?.into(),
        counts,
        period,
        start: time(4)?,
        end: time(5)?,
    }))
}

/// Times beyond the end of the calendar are its end.
fn time_of(micros: i64) -> Timestamp {
    match Timestamp::from_microsecond(micros) {
        Ok(time) if micros < Timestamp::MAX.as_microsecond() => time,
        _ => Timestamp::MAX,
    }
}

/// What operators did to the accounts of the limit `name`, or only to those of `scope`, the latest first.
///
/// # Errors
/// See [`LedgerError`].
pub(crate) fn done(path: &Path, name: &str, scope: Option<&str>) -> Result<Vec<Done>, LedgerError> {
    let connection = file::open_for_reading(path)?;
    read_done(&connection, name, scope).map_err(|error| LedgerError::database(path, error))
}

fn read_done(
    connection: &Connection,
    name: &str,
    scope: Option<&str>,
) -> rusqlite::Result<Vec<Done>> {
    let mut statement = connection.prepare(
        "SELECT name, scope, counts, period, start, ends, kind, units, until, who, at
         FROM correction JOIN account ON account.id = correction.account
         WHERE name = ?1 AND (?2 IS NULL OR scope = ?2) ORDER BY at DESC, correction.id DESC",
    )?;
    let rows = statement.query_map(params![name, scope], |row| {
        let (is_raise, units) = (row.get::<_, String>(6)? == RAISE, row.get(7)?);
        let (until, at) = (time_of(row.get(8)?), time_of(row.get(10)?));
        let who = row.get(9)?;
        Ok(account_of(row, 0)?.map(|account| Done {
            account,
            is_raise,
            units,
            until,
            who,
            at,
        }))
    })?;
    rows.filter_map(Result::transpose).collect()
}

/// What an account is looked up by: its end follows from the rest.
type Key = (Arc<str>, Arc<str>, Counts, Period, Timestamp);

fn key_of(id: &AccountId) -> Key {
    (
        id.limit.clone(),
        id.scope.clone(),
        id.counts,
        id.period,
        id.start,
    )
}

/// Opens accounts with what the file remembers of them, for commands that decide and take nothing.
pub(crate) struct Memory(HashMap<Key, (i64, i64)>);

impl Memory {
    /// Opens accounts that were spent as `remembered`.
    pub(crate) fn new(remembered: &[Remembered]) -> Self {
        let all = remembered.iter();
        Self(
            all.map(|it| (key_of(&it.id), (it.spent, it.raised)))
                .collect(),
        )
    }
}

impl Issuer for Memory {
    fn account(&self, id: AccountId, amount: i64) -> Arc<Account> {
        let (spent, raised) = self.0.get(&key_of(&id)).copied().unwrap_or_default();
        let account = Account::unbounded(id);
        account.set_amount(amount);
        account.grant(i64::MAX, spent, raised);
        Arc::new(account)
    }

    fn tell(&self, _: &Arc<Account>) {}
}
