//! Files that are no ledgers, or no longer.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::ledger::LedgerError;

fn refusal(path: &Path) -> String {
    let error = Ledger::open(path, 90).err().expect("it is refused");
    error.to_string()
}

/// A ledger in which much was spent, and closed in order.
fn with_much(folder: &Folder) {
    let ledger = folder.open();
    let accounts: Vec<_> = (0..400)
        .map(|number| ledger.account(id(&number.to_string()), 10_000))
        .collect();
    for account in &accounts {
        assert!(spend(&ledger, account, 7));
    }
    ledger.close();
}

/// What is remembered of all accounts together; `None` if the ledger is refused.
fn sum(path: &Path) -> Option<i64> {
    match file::open(path) {
        Ok(connection) => {
            let sum = connection.query_row("SELECT sum(issued) FROM share", [], |row| row.get(0));
            Some(sum.unwrap())
        }
        Err(LedgerError::Damaged { .. } | LedgerError::Foreign { .. }) => None,
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn a_new_ledger_is_private_and_is_there_whole_or_not_at_all() {
    let folder = Folder::new();
    let ledger = folder.open();
    let account = ledger.account(id("alice"), 100);
    assert!(spend(&ledger, &account, 1));
    for file in fs::read_dir(folder.0.path()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", file.path());
    }
    // An empty file is not taken for a new ledger: it may be one that was cut.
    let empty = folder.0.path().join("empty");
    fs::write(&empty, "").unwrap();
    fs::set_permissions(&empty, fs::Permissions::from_mode(0o600)).unwrap();
    let text = refusal(&empty);
    assert!(
        text.contains("empty is damaged") && text.contains("0 bytes"),
        "{text}"
    );
    assert_eq!(fs::read(&empty).unwrap(), b"");
}

#[test]
fn many_processes_that_start_at_once_create_one_ledger() {
    let folder = Folder::new();
    std::thread::scope(|threads| {
        for scope in ["a", "b", "c", "d"] {
            let folder = &folder;
            threads.spawn(move || {
                let ledger = folder.open();
                let account = ledger.account(id(scope), 100);
                assert!(spend(&ledger, &account, 1));
                ledger.close();
            });
        }
    });
    for scope in ["a", "b", "c", "d"] {
        assert_eq!(remembered(&folder.ledger(), scope), 1);
    }
}

#[test]
fn a_ledger_that_is_cut_anywhere_is_refused_and_left_as_it_is() {
    let folder = Folder::new();
    with_much(&folder);
    let whole = fs::read(folder.ledger()).unwrap();
    assert_eq!(sum(&folder.ledger()), Some(400 * 7));
    let page = 4096;
    let boundaries = (0..whole.len()).step_by(page);
    let mut cuts: Vec<usize> = boundaries
        .flat_map(|at| [at, at + 1, at + page - 1])
        .collect();
    cuts.extend((0..600).chain((600..whole.len()).step_by(997)));
    if std::env::var_os("LEDGER_CUTS").is_some() {
        cuts = (0..whole.len()).collect();
    }
    let path = folder.0.path().join("cut");
    for cut in cuts.into_iter().filter(|cut| *cut < whole.len()) {
        fs::write(&path, &whole[..cut]).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(sum(&path), None, "cut at {cut}");
        assert_eq!(fs::read(&path).unwrap(), &whole[..cut], "cut at {cut}");
    }
}

#[test]
fn a_ledger_that_is_cut_while_its_log_holds_commits_forgets_nothing_or_is_refused() {
    let folder = Folder::new();
    with_much(&folder);
    let ledger = folder.open();
    let spend_more = |range: std::ops::Range<usize>| {
        for number in range {
            let account = ledger.account(id(&format!("more-{number}")), 10_000);
            assert!(spend(&ledger, &account, 7));
        }
    };
    spend_more(0..300);
    // Most of the file is in the log.
    let (refused, opened) = cut_all(&folder);
    assert!(refused > 0 && opened > 0, "{refused} {opened}");
    ledger.with_connection(|connection| {
        let done = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        done.unwrap();
    });
    spend_more(300..310);
    // Little is.
    let (refused, opened) = cut_all(&folder);
    assert!(refused > 0 && opened > 0, "{refused} {opened}");
}

/// Cuts copies of a ledger that a process has open, at all pages and in the middle of each. How many were refused, and how
/// many were opened and forgot nothing.
fn cut_all(folder: &Folder) -> (u32, u32) {
    let (path, copy) = (folder.ledger(), folder.0.path().join("copy"));
    // Nobody writes while both are copied. Another process copies: see `file::check_header`.
    let lock = rusqlite::Connection::open(&path).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    for file in [path.clone(), file::beside(&path, "-wal")] {
        let name = file.file_name().unwrap().to_str().unwrap();
        let to = folder.0.path().join(format!("copied-{name}"));
        let copy = std::process::Command::new("cp").args([&file, &to]).status();
        assert!(copy.unwrap().success());
    }
    let copied = |name: &str| fs::read(folder.0.path().join(name)).unwrap();
    let (whole, log) = (copied("copied-ledger.db"), copied("copied-ledger.db-wal"));
    let least: i64 = lock
        .query_row("SELECT sum(issued) FROM share", [], |row| row.get(0))
        .unwrap();
    lock.execute_batch("ROLLBACK").unwrap();
    let (mut refused, mut opened) = (0, 0);
    for cut in (0..whole.len()).step_by(2048).chain([whole.len()]) {
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(file::beside(&copy, suffix));
        }
        fs::write(&copy, &whole[..cut]).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(file::beside(&copy, "-wal"), &log).unwrap();
        match sum(&copy) {
            None => refused += 1,
            Some(sum) => {
                assert!(sum >= least, "cut at {cut}: {sum} of {least}");
                opened += 1;
            }
        }
    }
    (refused, opened)
}

#[test]
fn a_file_of_another_program_or_of_a_newer_version_is_refused_and_left_as_it_is() {
    let folder = Folder::new();
    let path = folder.ledger();
    let other = rusqlite::Connection::open(&path).unwrap();
    other
        .execute_batch("PRAGMA journal_mode = wal; CREATE TABLE t (x)")
        .unwrap();
    drop(other);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let before = fs::read(&path).unwrap();
    assert!(refusal(&path).contains("another program"));
    assert_eq!(fs::read(&path).unwrap(), before);
    fs::write(&path, vec![b'x'; 8192]).unwrap();
    assert!(refusal(&path).contains("another program"));

    let folder = Folder::new();
    folder.open().close();
    let newer = rusqlite::Connection::open(folder.ledger()).unwrap();
    newer.pragma_update(None, "user_version", 7).unwrap();
    drop(newer);
    let before = fs::read(folder.ledger()).unwrap();
    let text = refusal(&folder.ledger());
    assert!(
        text.contains("format 7") && text.contains("up to 1"),
        "{text}"
    );
    assert_eq!(fs::read(folder.ledger()).unwrap(), before);
}

#[test]
fn a_page_that_was_overwritten_is_noticed_at_the_start() {
    let folder = Folder::new();
    with_much(&folder);
    let whole = fs::read(folder.ledger()).unwrap();
    let mut noticed = 0;
    for page in 1..whole.len() / 4096 {
        let mut bytes = whole.clone();
        bytes[page * 4096..(page + 1) * 4096].fill(0);
        fs::write(folder.ledger(), bytes).unwrap();
        match sum(&folder.ledger()) {
            None => noticed += 1,
            Some(sum) => assert_eq!(sum, 400 * 7, "page {page}"),
        }
    }
    assert!(noticed > 5, "{noticed}");
}

#[test]
fn a_path_where_no_ledger_can_be_is_refused_by_name() {
    let folder = Folder::new();
    let path = folder.ledger();
    let absent = folder.0.path().join("absent/ledger.db");
    let text = refusal(&absent);
    assert!(
        text.contains("absent/ledger.db") && text.contains("user with the id"),
        "{text}"
    );
    assert!(!absent.parent().unwrap().exists());

    folder.open().close();
    let link = folder.0.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(refusal(&link).contains("not a regular file"));
    assert!(refusal(folder.0.path()).contains("not a regular file"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(refusal(&path).contains("chmod 600"));
    fs::remove_file(&path).unwrap();
    fs::write(file::beside(&path, "-wal"), "x").unwrap();
    assert!(refusal(&path).contains("its log is"));
}
