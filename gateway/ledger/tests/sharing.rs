//! What processes remember of each other.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

#[test]
fn a_restart_keeps_what_was_spent_and_an_end_in_order_gives_the_rest_back() {
    let folder = Folder::new();
    for before in [0, 300, 600] {
        let ledger = folder.open();
        let account = ledger.account(id("alice"), 1_000);
        for _ in 0..10 {
            assert!(spend(&ledger, &account, 30));
        }
        eventually("what was spent before is known", || {
            account.spent() == before + 300
        });
        assert_eq!(account.left(1_000), 700 - before);
        ledger.close();
        assert_eq!(remembered(&folder.ledger(), "alice"), before + 300);
        // Nothing can be reserved any more.
        assert_eq!(account.reserve(1, 1_000), Err(Untaken::NotIssued));
    }
    let ledger = folder.open();
    let account = ledger.account(id("alice"), 1_000);
    assert!(!spend(&ledger, &account, 101));
    assert!(spend(&ledger, &account, 100));
    assert_eq!(ledger.state().holders, 1);
    assert!(ledger.last_commit().is_some());
}

#[test]
fn a_process_that_was_killed_counts_as_having_spent_what_it_was_issued() {
    let folder = Folder::new();
    let ledger = folder.open();
    let account = ledger.account(id("alice"), 100_000);
    assert!(spend(&ledger, &account, 30));
    let issued = account.issued();
    assert!((30..=530).contains(&issued), "{issued}");
    let other = folder.open();
    let seen = other.account(id("alice"), 100_000);
    assert!(spend(&other, &seen, 1));
    eventually("both hold rights", || other.state().holders == 2);
    ledger.abandon();
    eventually("the dead one is noticed", || other.state().holders == 1);
    let remembered = seen.spent() - 1;
    assert!((30..=530).contains(&remembered), "{remembered}");
    other.close();
    let again = folder.open();
    let account = again.account(id("alice"), 100_000);
    assert!(spend(&again, &account, 1));
    assert_eq!(account.spent(), remembered + 2);
    let locks = std::fs::read_dir(folder.0.path()).unwrap();
    let locks = locks.filter(|file| {
        let name = file.as_ref().unwrap().file_name();
        name.to_string_lossy().contains("-holder-")
    });
    assert_eq!(
        locks.count(),
        1,
        "only the lock of the process that lives is left"
    );
}

#[test]
fn debt_is_remembered_and_nothing_more_is_issued() {
    let folder = Folder::new();
    let ledger = folder.open();
    let account = ledger.account(id("alice"), 1_000);
    eventually("rights are issued", || account.reserve(5, 1_000).is_ok());
    account.settle(5, 1_500);
    ledger.tell(&account);
    eventually("the debt is written", || {
        remembered(&folder.ledger(), "alice") == 1_500
    });
    ledger.abandon();
    let ledger = folder.open();
    let account = ledger.account(id("alice"), 1_000);
    eventually("the debt is known", || account.left(1_000) == -500);
    // A larger amount pays it.
    let account = ledger.account(id("alice"), 2_000);
    assert!(spend(&ledger, &account, 500) && !spend(&ledger, &account, 1));
}

#[test]
fn two_processes_that_spend_one_budget_never_hold_more_than_there_is() {
    const AMOUNT: i64 = 100_000;
    let folder = Folder::new();
    let path = folder.ledger();
    let ledgers = [folder.open(), folder.open()];
    let accounts = ledgers
        .each_ref()
        .map(|ledger| ledger.account(id("team"), AMOUNT));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let watcher = threads.spawn(|| {
            let mut looks = 0;
            while !is_over.load(Ordering::Relaxed) {
                let sum = remembered(&path, "team");
                assert!(sum <= AMOUNT, "{sum} are issued");
                looks += 1;
            }
            looks
        });
        let spenders: Vec<_> = [0, 1, 0, 1]
            .into_iter()
            .map(|one| {
                let (ledger, account) = (&ledgers[one], &accounts[one]);
                threads.spawn(move || while spend(ledger, account, 7) {})
            })
            .collect();
        for spender in spenders {
            spender.join().unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(watcher.join().unwrap() > 10);
    });
    let spent: i64 = accounts.iter().map(|account| account.taken()).sum();
    assert!(spent <= AMOUNT, "{spent}");
    assert!(accounts.iter().all(|account| account.taken() > 0));
    assert!(spent > AMOUNT - 7, "{spent}: a request's worth is left");
}

#[test]
fn a_process_that_does_nothing_leaves_its_rights_to_another_one() {
    let folder = Folder::new();
    let (idle, busy) = (folder.open(), folder.open());
    let held = idle.account(id("team"), 1_000);
    for _ in 0..20 {
        assert!(spend(&idle, &held, 10));
    }
    let account = busy.account(id("team"), 1_000);
    // What the idle one holds comes back in some seconds. Until then, a request is not told that all is spent.
    while spend(&busy, &account, 10) {}
    assert_eq!(account.taken() + held.taken(), 1_000);
}

#[test]
fn a_process_that_another_one_replaces_leaves_it_the_rights_that_its_requests_do_not_need() {
    const AMOUNT: i64 = 1_000;
    let folder = Folder::new();
    let (old, new) = (folder.open(), folder.open());
    let held = old.account(id("team"), AMOUNT);
    // It spends so fast that it is issued much.
    for _ in 0..60 {
        assert!(spend(&old, &held, 10));
    }
    eventually("a stream begins", || {
        let begun = held.reserve(100, AMOUNT).is_ok();
        old.tell(&held);
        begun
    });
    old.retire(true);
    let account = new.account(id("team"), AMOUNT);
    let start = Instant::now();
    for _ in 0..10 {
        // The stream goes on: the process is not idle.
        held.settle(5, 5);
        old.tell(&held);
        assert!(spend(&new, &account, 20));
    }
    let took = start.elapsed();
    // One that is not replaced keeps its rights until it has been idle for a second.
    assert!(took < Duration::from_millis(900), "{took:?}");
    // What the stream did not need comes back, too.
    held.settle(50, 0);
    old.tell(&held);
    while spend(&new, &account, 10) {}
    assert_eq!(account.taken() + held.taken(), AMOUNT);
    // It serves again, if the other one fails.
    new.close();
    old.retire(false);
    let account = old.account(id("team"), AMOUNT * 2);
    assert!(spend(&old, &account, AMOUNT / 2));
}

#[test]
fn reservations_that_come_and_go_are_no_spending_for_which_rights_are_held() {
    const AMOUNT: i64 = 1_000_000;
    let folder = Folder::new();
    let ledger = folder.open();
    let account = ledger.account(id("team"), AMOUNT);
    let mut most = 0;
    for _ in 0..10 {
        for _ in 0..10 {
            eventually("rights are issued", || {
                let taken = account.reserve(2_000, AMOUNT).is_ok();
                ledger.tell(&account);
                taken
            });
        }
        std::thread::sleep(Duration::from_millis(50));
        most = most.max(account.issued());
        for _ in 0..10 {
            account.settle(2_000, 1);
        }
        ledger.tell(&account);
    }
    // What ten of them hold, and a chunk of 2 % at most.
    assert!(most <= 20_100 + 2 * 20_000, "{most} are issued");
}

#[test]
fn an_account_that_nobody_uses_is_forgotten_and_comes_back_as_it_was() {
    let folder = Folder::new();
    let ledger = folder.open();
    for before in [0, 40, 80] {
        let account = ledger.account(id("alice"), 1_000);
        assert!(spend(&ledger, &account, 40));
        eventually("what it spent before is known", || {
            account.spent() == before + 40
        });
        drop(account);
        eventually("it is forgotten", || ledger.state().accounts == 0);
        assert_eq!(remembered(&folder.ledger(), "alice"), before + 40);
    }
}

#[test]
fn without_a_file_an_account_has_all_rights_and_is_one_for_each_identity() {
    let ledger = Ledger::memory();
    let account = ledger.account(id("alice"), 100);
    assert_eq!(account.reserve(100, 100), Ok(()));
    let same = ledger.account(id("alice"), 100);
    assert!(Arc::ptr_eq(&account, &same));
    assert_eq!(same.reserve(1, 100), Err(Untaken::Spent));
    assert_eq!(ledger.account(id("bob"), 100).taken(), 0);
    ledger.tell(&account);
    ledger.close();
    assert_eq!(ledger.state().holders, 1);
    assert!(ledger.load_rates().unwrap().is_empty());
}
