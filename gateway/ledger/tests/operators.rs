//! What operators do from other processes.

use jiff::SignedDuration;

use super::*;
use crate::ledger::{raise, reset};

#[test]
fn a_raise_takes_effect_within_a_second_and_ends_in_time() {
    let folder = Folder::new();
    let ledger = folder.open();
    let account = ledger.account(id("alice"), 100);
    assert!(spend(&ledger, &account, 100) && !spend(&ledger, &account, 1));
    let until = Timestamp::now() + SignedDuration::from_millis(2_500);
    raise(&folder.ledger(), &id("alice"), 50, until, "root").unwrap();
    let start = Instant::now();
    eventually("the raise is known", || account.raised() == 50);
    assert!(start.elapsed() < Duration::from_millis(1_200));
    assert!(spend(&ledger, &account, 40));
    eventually("the raise has ended", || account.raised() == 0);
    assert_eq!(account.left(100), -40);
}

#[test]
fn a_reset_counts_what_was_spent_as_not_spent_and_gives_the_amount_once() {
    let folder = Folder::new();
    let ledger = folder.open();
    let account = ledger.account(id("alice"), 1_000);
    for _ in 0..10 {
        assert!(spend(&ledger, &account, 60));
    }
    // Another one was killed with rights: they count as spent, and are reset as well.
    let other = folder.open();
    let killed = other.account(id("alice"), 1_000);
    assert!(spend(&other, &killed, 100));
    other.abandon();
    eventually("the dead one is noticed", || ledger.state().holders == 1);
    eventually("what was used is written", || {
        let connection = file::open_for_reading(&folder.ledger()).unwrap();
        let used: i64 = connection
            .query_row("SELECT sum(used) FROM share", [], |row| row.get(0))
            .unwrap();
        used >= 700
    });
    let was = reset(&folder.ledger(), &id("alice"), "root").unwrap();
    assert!((700..=720).contains(&was), "{was}");
    eventually("the reset is known", || account.left(1_000) == 1_000);
    assert_eq!(account.spent(), 0);
    let mut spent = 0;
    while spend(&ledger, &account, 10) {
        spent += 10;
    }
    assert_eq!(spent, 1_000);
    // A second one counts from the first.
    eventually("what was used is written", || {
        reset(&folder.ledger(), &id("alice"), "root").unwrap();
        std::thread::sleep(Duration::from_millis(50));
        account.left(1_000) == 1_000
    });
}

#[test]
fn an_account_that_nothing_was_spent_of_can_be_raised() {
    let folder = Folder::new();
    let error = raise(&folder.ledger(), &id("alice"), 5, Timestamp::MAX, "root").unwrap_err();
    assert!(error.to_string().contains("ledger.db"), "{error}");
    let ledger = folder.open();
    raise(&folder.ledger(), &id("alice"), 5, Timestamp::MAX, "root").unwrap();
    let account = ledger.account(id("alice"), 0);
    eventually("the raise is known", || account.raised() == 5);
    assert!(spend(&ledger, &account, 5));
    assert!(!spend(&ledger, &account, 1));
}
