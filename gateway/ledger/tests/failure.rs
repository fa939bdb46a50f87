//! A file that cannot be written while the gateway serves.

use super::*;

/// Makes the disk full for the thread of `ledger`, or not.
fn fill(ledger: &Ledger, is_full: bool) {
    ledger.with_connection(move |connection| {
        let pages = if is_full { 1 } else { 1_000_000 };
        // SQLite never lowers it below what the file has.
        let set = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        connection
            .pragma_update_and_check(None, "max_page_count", pages, set)
            .unwrap();
    });
}

#[test]
fn a_full_disk_issues_nothing_and_what_was_issued_can_be_spent() {
    let folder = Folder::new();
    let ledger = folder.open();
    let account = ledger.account(id("alice"), 10_000);
    assert!(spend(&ledger, &account, 10));
    fill(&ledger, true);
    let held = account.issued() - account.taken();
    assert!(held > 0);
    // So many that the file has to grow.
    let others: Vec<_> = (0..2_000)
        .map(|number| ledger.account(id(&format!("other-{number}")), 10_000))
        .collect();
    eventually("the failure is known", || {
        ledger.state().last_error.is_some()
    });
    assert!(ledger.state().last_error.unwrap().contains("full"));
    assert_eq!(account.reserve(held, 10_000), Ok(()));
    eventually("it is behind", || {
        ledger.state().behind > Duration::from_millis(300)
    });
    assert!(others.iter().all(|account| account.issued() == 0));
    assert_eq!(account.reserve(1, 10_000), Err(Untaken::NotIssued));
    fill(&ledger, false);
    eventually("all is issued", || {
        others.iter().all(|account| account.issued() > 0)
    });
    assert!(spend(&ledger, &account, 1));
    eventually("nothing waits", || {
        let state = ledger.state();
        state.last_error.is_none() && state.behind == Duration::ZERO
    });
    let (issued, path) = (account.issued(), folder.ledger());
    assert_eq!(remembered(&path, "alice"), issued);
}

#[test]
fn a_file_that_another_program_keeps_locked_issues_nothing_until_it_is_free() {
    let folder = Folder::new();
    let ledger = folder.open();
    let lock = rusqlite::Connection::open(folder.ledger()).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let account = ledger.account(id("alice"), 10_000);
    eventually("the failure is known", || {
        ledger.state().last_error.is_some()
    });
    assert_eq!(account.issued(), 0);
    lock.execute_batch("ROLLBACK").unwrap();
    assert!(spend(&ledger, &account, 1));
}

#[test]
fn a_file_that_is_moved_away_issues_nothing_until_it_is_back() {
    let folder = Folder::new();
    let ledger = folder.open();
    let account = ledger.account(id("alice"), 10_000);
    assert!(spend(&ledger, &account, 1));
    let (path, away) = (folder.ledger(), folder.0.path().join("away"));
    std::fs::rename(&path, &away).unwrap();
    let other = ledger.account(id("bob"), 10_000);
    eventually("the failure is known", || {
        ledger.state().last_error.is_some()
    });
    assert_eq!(other.issued(), 0);
    std::fs::rename(&away, &path).unwrap();
    assert!(spend(&ledger, &other, 1));
}
