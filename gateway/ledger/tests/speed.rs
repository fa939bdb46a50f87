//! How long the ledger takes.

use super::*;

/// Tells that rights of all accounts are missing, and waits until they are there. The time.
fn issue(ledger: &Ledger, accounts: &[Arc<Account>]) -> Duration {
    for account in accounts {
        let all = account.issued() - account.taken();
        account.reserve_as_debt(all);
    }
    let start = Instant::now();
    for account in accounts {
        assert_eq!(account.reserve(1, i64::MAX / 4), Err(Untaken::NotIssued));
        ledger.tell(account);
    }
    eventually("all have rights", || {
        accounts
            .iter()
            .all(|account| account.issued() > account.taken())
    });
    start.elapsed()
}

fn accounts(ledger: &Ledger, count: usize) -> Vec<Arc<Account>> {
    let accounts: Vec<_> = (0..count)
        .map(|number| ledger.account(id(&number.to_string()), i64::MAX / 4))
        .collect();
    eventually("all have rights", || {
        accounts.iter().all(|account| account.issued() > 0)
    });
    accounts
}

#[test]
fn ten_thousand_accounts_are_written_in_less_than_a_second() {
    let folder = Folder::new();
    let ledger = folder.open();
    let start = Instant::now();
    let accounts = accounts(&ledger, 10_000);
    let new = start.elapsed();
    let again = issue(&ledger, &accounts);
    assert!(again < Duration::from_secs(1), "{again:?}; new: {new:?}");
}

#[test]
#[ignore = "a measurement, for a quiet machine and an optimised build"]
fn the_time_of_commits_and_of_telling() {
    for count in [1, 100, 10_000] {
        let folder = Folder::new();
        let ledger = folder.open();
        let start = Instant::now();
        let accounts = accounts(&ledger, count);
        let new = start.elapsed();
        let mut times: Vec<_> = (0..9)
            .map(|_| {
                std::thread::sleep(Duration::from_millis(120));
                issue(&ledger, &accounts)
            })
            .collect();
        times.sort();
        eprintln!(
            "{count} accounts: new {new:?}, again: median {:?}, all {times:?}",
            times[4]
        );
        if count == 1 {
            ledger.with_connection(|_| std::thread::sleep(Duration::from_secs(1)));
            let account = &accounts[0];
            ledger.tell(account);
            let start = Instant::now();
            for _ in 0..1_000_000 {
                ledger.tell(std::hint::black_box(account));
            }
            eprintln!("telling again: {:?} per million", start.elapsed());
        }
    }
}
