//! The ledger as a whole: files, threads, and processes that end in every way.

mod crash;
mod damage;
mod failure;
mod operators;
mod records;
mod sharing;
mod speed;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::{Ledger, file};
use crate::limit::account::{Account, AccountId, Untaken};
use crate::limit::terms::{Counts, Period};

/// A folder for one ledger.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn ledger(&self) -> PathBuf {
        self.0.path().join("ledger.db")
    }

    fn open(&self) -> Ledger {
        Ledger::open(&self.ledger(), 90).unwrap()
    }
}

/// The budget of `scope` for a day that has not ended.
fn id(scope: &str) -> AccountId {
    let start: Timestamp = "2026-11-28T00:00:00Z".parse().unwrap();
    AccountId {
        limit: "search-team".into(),
        scope: scope.into(),
        counts: Counts::Money,
        period: Period::Day,
        start,
        end: Timestamp::MAX,
    }
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "not so after 20 seconds: {what}"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Spends `units` as a request does, and waits for rights. Whether they were left.
fn spend(ledger: &Ledger, account: &Arc<Account>, units: i64) -> bool {
    let start = Instant::now();
    loop {
        let took = account.reserve(units, account.amount());
        ledger.tell(account);
        match took {
            Ok(()) => {
                account.settle(units, units);
                return true;
            }
            Err(Untaken::Spent) => return false,
            Err(Untaken::NotIssued) => {
                assert!(start.elapsed() < Duration::from_secs(20), "no rights");
                std::thread::sleep(Duration::from_micros(200));
            }
        }
    }
}

/// What the file says that all processes have been issued of the account of `scope`.
fn remembered(path: &Path, scope: &str) -> i64 {
    let connection = file::open_for_reading(path).unwrap();
    connection
        .query_row(
            "SELECT coalesce(sum(issued), 0) FROM share JOIN account ON account.id = account WHERE scope = ?1",
            [scope],
            |row| row.get(0),
        )
        .unwrap()
}
