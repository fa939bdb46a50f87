//! The file of the ledger, and the accounts of this process: what one transaction reads and writes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::correction::Corrections;
use super::error::LedgerError;
use super::history::History;
use super::holder::{self, Holder};
use super::live::{Common, Live};
use super::note::{read_note, write_note};
use super::rate::{self, RateRow};
use super::registry::Registry;
use super::{file, sweep};
use crate::limit::account::Account;

/// How long nobody refers to an account until it is forgotten in memory.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 60 });
/// The name of the note with the time of the last commit.
const COMMITTED: &str = "committed";

/// Why a transaction failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    /// The database said so.
    #[error("{0}")]
    Database(#[from] rusqlite::Error),
    /// Another file, or none, is at the ledger's path. What is written to the old one, nobody would remember.
    #[error("the file was moved away or replaced; put it back, or restart keygate")]
    Moved,
}

/// The file, and the accounts.
pub(super) struct Books {
    connection: Connection,
    path: PathBuf,
    identity: (u64, u64),
    holder: Holder,
    common: Common,
    data_version: Option<i64>,
    registry: Arc<Registry>,
    /// By the address of the account, which lives as long as its entry.
    lives: HashMap<usize, Live>,
    due: Vec<usize>,
    /// Sums for the history.
    pub(super) history: History,
    /// The state of rates that is written next.
    pub(super) rates: Vec<RateRow>,
    sweeps: sweep::Plan,
}

impl Books {
    /// Opens the file at `path`, and makes this process a holder. Returns the time of the last commit, too.
    pub(super) fn open(
        path: &Path,
        registry: Arc<Registry>,
        retention_days: u32,
    ) -> Result<(Self, Option<Timestamp>), LedgerError> {
        file::check_folder(path)?;
        let connection = file::open(path)?;
        let identity = file::identity(path).map_err(|error| LedgerError::file(path, error))?;
        let failed = |error| LedgerError::database(path, error);
        let (holder, last) = enter(&connection, path).map_err(failed)?;
        let history = History::open(&connection, Timestamp::now()).map_err(failed)?;
        let common = Common {
            holder: holder.id,
            holders: 1,
            version: 0,
            corrections: Corrections::default(),
            now: Timestamp::now(),
            at: Instant::now(),
            is_sweep: false,
            is_retiring: false,
        };
        let books = Self {
            connection,
            path: path.to_owned(),
            identity,
            holder,
            common,
            data_version: None,
            registry,
            lives: HashMap::new(),
            due: Vec::new(),
            history,
            rates: Vec::new(),
            sweeps: sweep::Plan::new(retention_days),
        };
        Ok((books, last))
    }

    /// Visits `account` in the next transaction.
    pub(super) fn tell(&mut self, account: Arc<Account>) {
        let key = Arc::as_ptr(&account).addr();
        let fresh = || Live::new(account, Instant::now());
        let live = self.lives.entry(key).or_insert_with(fresh);
        if !live.is_due {
            live.is_due = true;
            self.due.push(key);
        }
    }

    /// From now on, another process serves in the place of this one, or, with `false`, does not any more.
    pub(super) fn retire(&mut self, is_retiring: bool) {
        self.common.is_retiring = is_retiring;
    }

    /// Whether accounts have to be visited.
    pub(super) fn has_news(&self) -> bool {
        !self.due.is_empty()
    }

    /// Whether a request could not take what was not issued, and something may be issued.
    pub(super) fn is_short(&self) -> bool {
        let mut due = self.due.iter().filter_map(|key| self.lives.get(key));
        due.any(Live::is_in_a_hurry)
    }

    /// How many processes hold rights, as of the last transaction.
    pub(super) fn holders(&self) -> i64 {
        self.common.holders
    }

    /// Writes what is due; on a sweep, of all accounts, and the rest.
    pub(super) fn write(&mut self, is_sweep: bool) -> Result<(), WriteError> {
        let visited: Vec<usize> = if is_sweep {
            self.lives.keys().copied().collect()
        } else {
            std::mem::take(&mut self.due)
        };
        let result = self.transact(&visited, is_sweep);
        if result.is_ok() {
            self.publish(&visited, is_sweep);
        } else {
            self.keep_due(visited, is_sweep);
        }
        result
    }

    /// The transaction is committed.
    fn publish(&mut self, visited: &[usize], is_sweep: bool) {
        for key in visited {
            if let Some(live) = self.lives.get_mut(key) {
                live.publish();
            }
        }
        if is_sweep {
            self.due.clear();
            self.history.written();
            self.rates.clear();
            self.forget_unused();
        }
    }

    /// The transaction failed: all of it is tried again.
    fn keep_due(&mut self, visited: Vec<usize>, is_sweep: bool) {
        self.data_version = None;
        for key in &visited {
            if let Some(live) = self.lives.get_mut(key) {
                live.forget();
            }
        }
        if !is_sweep {
            self.due = visited;
        }
    }

    /// Writes everything, and ends this process as a holder: what it used counts, and no more.
    pub(super) fn close(&mut self) -> Result<(), WriteError> {
        self.check_place()?;
        self.refresh_time(true);
        let transaction = begin(&self.connection)?;
        for live in self.lives.values_mut() {
            live.close(&transaction, &self.common)?;
        }
        self.history.write(&transaction)?;
        rate::write(&transaction, &self.rates, self.holder.id, self.common.now)?;
        holder::bury(&transaction, self.holder.id)?;
        transaction.commit()?;
        self.holder.remove_lock();
        self.lives.clear();
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    fn transact(&mut self, visited: &[usize], is_sweep: bool) -> Result<(), WriteError> {
        self.check_place()?;
        self.refresh_time(is_sweep);
        let transaction = begin(&self.connection)?;
        let mut has_written = false;
        if is_sweep {
            let dead = holder::bury_dead(&transaction, &self.path, self.holder.id)?;
            if dead > 0 {
                has_written = true;
                self.data_version = None;
            }
        }
        refresh(&transaction, &mut self.data_version, &mut self.common)?;
        for key in visited {
            let Some(live) = self.lives.get_mut(key) else {
                continue;
            };
            if is_sweep && is_unused(live, self.common.at) {
                live.close(&transaction, &self.common)?;
                has_written = true;
            } else {
                has_written |= live.write(&transaction, &self.common)?;
            }
        }
        if is_sweep {
            has_written |= self.history.write(&transaction)?;
            has_written |= rate::write(&transaction, &self.rates, self.holder.id, self.common.now)?;
            has_written |= self
                .sweeps
                .run(&transaction, self.common.now, self.common.at)?;
        }
        if has_written {
            write_note(&transaction, COMMITTED, self.common.now.as_microsecond())?;
            transaction.commit()?;
        }
        Ok(())
    }

    fn refresh_time(&mut self, is_sweep: bool) {
        self.common.now = Timestamp::now();
        self.common.at = Instant::now();
        self.common.is_sweep = is_sweep;
    }

    fn check_place(&self) -> Result<(), WriteError> {
        match file::identity(&self.path) {
            Ok(identity) if identity == self.identity => Ok(()),
            _ => Err(WriteError::Moved),
        }
    }

    /// Forgets accounts that nobody refers to, and of which the file knows everything.
    fn forget_unused(&mut self) {
        let at = self.common.at;
        let registry = &self.registry;
        self.lives.retain(|_, live| {
            let is_gone =
                is_unused(live, at) && live.is_settled() && registry.forget(&live.account);
            !is_gone
        });
    }
}

/// Whether nobody but the registry and the ledger refers to the account, and it has rested.
fn is_unused(live: &Live, at: Instant) -> bool {
    Arc::strong_count(&live.account) <= 2 && live.rests_since(FORGOTTEN_AFTER, at)
}

/// Starts a transaction that writes.
fn begin(connection: &Connection) -> rusqlite::Result<Transaction<'_>> {
    Transaction::new_unchecked(connection, TransactionBehavior::Immediate)
}

/// Makes this process a holder. Returns the time of the last commit, too.
fn enter(connection: &Connection, path: &Path) -> rusqlite::Result<(Holder, Option<Timestamp>)> {
    let transaction = begin(connection)?;
    let holder = Holder::enter(&transaction, path)?;
    holder::bury_dead(&transaction, path, holder.id)?;
    let last = read_note(&transaction, COMMITTED)?;
    transaction.commit()?;
    let last = last.and_then(|micros| Timestamp::from_microsecond(micros).ok());
    Ok((holder, last))
}

/// Reads what other processes may have changed, if one has written.
fn refresh(
    transaction: &Transaction<'_>,
    data_version: &mut Option<i64>,
    common: &mut Common,
) -> rusqlite::Result<()> {
    let current = transaction.pragma_query_value(None, "data_version", |row| row.get(0))?;
    if *data_version == Some(current) {
        return Ok(());
    }
    common.version += 1;
    common.holders = holder::count(transaction)?;
    common.corrections = Corrections::read(transaction)?;
    *data_version = Some(current);
    Ok(())
}
