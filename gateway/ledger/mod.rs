//! The ledger: what was spent of each budget, in a file that survives every process.
//!
//! It is never on the path of a request. A thread issues rights to the accounts of this process (`limit/account.rs`), and
//! requests spend them by atomics. Rights are in the file, on the disk, before they can be spent: what others remember of
//! a process is never less than what it spent. A process that is killed counts as having spent what it was issued; one
//! that ends in order gives the rest back. The exception is debt, which requests make that use more than they reserved:
//! it is in the file after a beat of 50 milliseconds.
//!
//! Two processes, as in an upgrade, use the file at once; each has rows of its own. At each commit, the sum of what all
//! are issued is at most the amount and what operators added, and debt.
//!
//! When the file cannot be written, no rights are issued; what was issued may be spent.

mod books;
mod correction;
mod error;
mod file;
mod history;
mod holder;
mod live;
mod note;
mod rate;
mod reading;
mod registry;
mod rights;
mod schema;
mod sweep;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use correction::{raise, reset};
pub(crate) use error::LedgerError;
pub(crate) use file::examine;
pub(crate) use history::{HistoryRow, Sums, UsageRow, Whose, history};
pub(crate) use rate::{RateRow, read as read_rates};
pub(crate) use reading::{Done, Memory, Remembered, accounts, done};

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use self::books::Books;
use self::registry::Registry;
use self::writer::{Message, Status, Writer};
use crate::limit::account::{Account, AccountId};
use crate::limit::budget::Issuer;
use crate::runtime::atomic::Ordering;

/// How many rows of the history wait for the thread at most.
const QUEUE: usize = 16_384;
/// How long the end of the process waits for the last transaction.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an account without a file stays after its period.
const ENDED_STAY: SignedDuration = SignedDuration::from_hours(24);

/// Issues rights to accounts.
pub(crate) struct Ledger {
    registry: Arc<Registry>,
    /// `None`: without a file, each account has all rights.
    link: Option<Link>,
}

impl Issuer for Ledger {
    fn account(&self, id: AccountId, amount: i64) -> Arc<Account> {
        self.account(id, amount)
    }

    fn tell(&self, account: &Arc<Account>) {
        self.tell(account);
    }
}

/// The way to the thread.
struct Link {
    path: PathBuf,
    messages: Sender<Message>,
    usage: SyncSender<UsageRow>,
    status: Arc<Status>,
    last_commit: Option<Timestamp>,
}

/// How the ledger is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LedgerState {
    /// For how long news has been waiting to be written: longer than a second if the file cannot be written.
    pub(crate) behind: Duration,
    /// Why the last transaction failed, if it did.
    pub(crate) last_error: Option<String>,
    /// How many rows of the history were dropped because the thread was behind.
    pub(crate) dropped: u64,
    /// How many processes hold rights, this one included: two during an upgrade.
    pub(crate) holders: u64,
    /// How many accounts are in memory.
    pub(crate) accounts: usize,
}

impl Ledger {
    /// A ledger without a file: what was spent is forgotten when the process ends.
    pub(crate) fn memory() -> Self {
        Self {
            registry: Arc::default(),
            link: None,
        }
    }

    /// The ledger in the file at `path`, which is created if it is not there. Its history stays for `retention_days`.
    ///
    /// # Errors
    /// See [`LedgerError`].
    pub(crate) fn open(path: &Path, retention_days: u32) -> Result<Self, LedgerError> {
        let registry = Arc::<Registry>::default();
        let (books, last_commit) = Books::open(path, registry.clone(), retention_days)?;
        let (messages, received) = channel();
        let (usage, received_usage) = sync_channel(QUEUE);
        let status = Arc::new(Status::new());
        let writer = Writer::new(received, received_usage, books, status.clone());
        std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(|| writer.run())
            .map_err(LedgerError::NoThread)?;
        let path = path.to_owned();
        let link = Link {
            path,
            messages,
            usage,
            status,
            last_commit,
        };
        Ok(Self {
            registry,
            link: Some(link),
        })
    }

    /// The account with this identity; `amount` is the limit's amount now. Returns at once: the rights of a new account
    /// come from the thread, on an idle disk within some milliseconds.
    pub(crate) fn account(&self, id: AccountId, amount: i64) -> Arc<Account> {
        let create = match self.link {
            Some(_) => Account::new,
            None => Account::unbounded,
        };
        let (account, is_new) = self.registry.account(id, create);
        if account.set_amount(amount) || is_new {
            self.tell(&account);
        }
        if is_new && self.link.is_none() {
            let before = Timestamp::now().checked_sub(ENDED_STAY);
            self.registry.forget_ended(before.unwrap_or(Timestamp::MIN));
        }
        account
    }

    /// Tells the thread that `account` has changed, or lacks rights. Never waits; costs some nanoseconds if the thread has
    /// been told and has not looked since.
    pub(crate) fn tell(&self, account: &Arc<Account>) {
        let Some(link) = &self.link else { return };
        // Both are asked, so that a first message counts for both.
        let (is_told, is_hurried) = (account.tell(), account.hurry());
        if is_told || is_hurried {
            // Without a thread, the process is ending.
            let _ = link.messages.send(Message::Told(account.clone()));
        }
    }

    /// The path of its file, if it has one.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.link.as_ref().map(|link| &*link.path)
    }

    /// Whether it has a file, in which there is a history.
    pub(crate) fn has_file(&self) -> bool {
        self.link.is_some()
    }

    /// Adds what an exchange used to the history. Never waits: a row for which there is no room is dropped and counted.
    pub(crate) fn note_usage(&self, row: UsageRow) {
        let Some(link) = &self.link else { return };
        if link.usage.try_send(row).is_err() {
            link.status.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes the state of limits by time within a second, in place of what was to be written before. Never waits for the
    /// disk.
    pub(crate) fn save_rates(&self, rows: Vec<RateRow>) {
        if let Some(link) = &self.link {
            let mut rates = link
                .status
                .rates
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *rates = Some(rows);
        }
    }

    /// The state of limits by time that are still used, as processes before this one wrote it. Reads the file.
    ///
    /// # Errors
    /// See [`LedgerError`].
    pub(crate) fn load_rates(&self) -> Result<Vec<RateRow>, LedgerError> {
        match &self.link {
            Some(link) => rate::read(&link.path, Timestamp::now()),
            None => Ok(Vec::new()),
        }
    }

    /// The time of the last commit before this process opened the file, by the wall clock of then: a clock that is much
    /// later now may be wrong.
    pub(crate) fn last_commit(&self) -> Option<Timestamp> {
        self.link.as_ref().and_then(|link| link.last_commit)
    }

    /// How the ledger is.
    pub(crate) fn state(&self) -> LedgerState {
        let accounts = self.registry.len();
        let Some(link) = &self.link else {
            return LedgerState {
                accounts,
                holders: 1,
                ..LedgerState::default()
            };
        };
        let status = &link.status;
        let error = status
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        LedgerState {
            behind: status.behind(),
            last_error: error.clone(),
            dropped: status.dropped.load(Ordering::Relaxed),
            holders: u64::try_from(status.holders.load(Ordering::Relaxed)).unwrap_or_default(),
            accounts,
        }
    }

    /// Another process serves in the place of this one, which only lets its requests end: it gives back the rights that
    /// these do not need, now and as they end. With `false`, it serves again.
    pub(crate) fn retire(&self, is_retiring: bool) {
        if let Some(link) = &self.link {
            // Without a thread, the process is ending.
            let _ = link.messages.send(Message::Retire(is_retiring));
        }
    }

    /// Writes everything, and gives back what was not spent: nothing can be reserved after it. What is reserved counts as
    /// spent. Waits for up to 5 seconds.
    pub(crate) fn close(&self) {
        let Some(link) = &self.link else { return };
        let (done, is_done) = channel();
        if link.messages.send(Message::Close(done)).is_ok() {
            let _ = is_done.recv_timeout(CLOSE_TIMEOUT);
        }
    }

    /// Ends the thread as a kill of the process would.
    #[cfg(test)]
    fn abandon(&self) {
        let (done, is_done) = channel();
        let link = self.link.as_ref().unwrap();
        link.messages.send(Message::Abandon(done)).unwrap();
        is_done.recv_timeout(CLOSE_TIMEOUT).unwrap();
    }

    /// Does `work` with the thread's connection.
    #[cfg(test)]
    fn with_connection(&self, work: impl FnOnce(&rusqlite::Connection) + Send + 'static) {
        let link = self.link.as_ref().unwrap();
        link.messages.send(Message::Run(Box::new(work))).unwrap();
    }
}
