//! The cells of limits: in every order of their steps, what is admitted and not given back is at most the limit.
//!
//! Each model keeps a tally of its own beside a cell: it adds what was admitted when the cell has admitted it, and takes
//! off what was not used before it gives that back. loom does not know the tally, so it changes together with the step
//! before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use jiff::Timestamp;
use loom::thread;

use crate::account::{Account, AccountId, Untaken};
use crate::rate::{Pace, Rate, Ticks};
use crate::slots::Slots;
use crate::terms::{Counts, Period, RateAmount, Window};

pub(crate) const MODELS: [(&str, fn()); 9] = [
    (
        "a_rate_never_admits_more_than_the_burst",
        a_rate_never_admits_more_than_the_burst,
    ),
    (
        "what_is_used_of_a_rate_is_never_free_while_it_is_settled",
        what_is_used_of_a_rate_is_never_free_while_it_is_settled,
    ),
    (
        "what_a_rate_gets_back_is_there_for_others",
        what_a_rate_gets_back_is_there_for_others,
    ),
    (
        "no_more_slots_are_taken_than_there_are",
        no_more_slots_are_taken_than_there_are,
    ),
    (
        "a_budget_is_never_exceeded_while_others_settle",
        a_budget_is_never_exceeded_while_others_settle,
    ),
    (
        "rights_that_are_lowered_while_requests_take_are_not_spent_here",
        rights_that_are_lowered_while_requests_take_are_not_spent_here,
    ),
    (
        "no_more_is_taken_than_was_granted",
        no_more_is_taken_than_was_granted,
    ),
    (
        "the_ledger_is_told_of_every_change_or_sees_it",
        the_ledger_is_told_of_every_change_or_sees_it,
    ),
    (
        "the_ledger_is_told_of_missing_rights_or_sees_them",
        the_ledger_is_told_of_missing_rights_or_sees_them,
    ),
];

/// Runs a model with so many steps that all their orders would take hours: those orders in which a thread is interrupted
/// at most three times, beside where it ends.
fn bounded(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// What was admitted and not given back, beside what may be.
struct Tally {
    held: AtomicI64,
    most: AtomicI64,
}

impl Tally {
    fn new(most: i64) -> Arc<Self> {
        Arc::new(Self {
            held: AtomicI64::new(0),
            most: AtomicI64::new(most),
        })
    }

    fn admitted(&self, units: i64) {
        let held = self.held.fetch_add(units, Relaxed) + units;
        let most = self.most.load(Relaxed);
        assert!(held <= most, "{held} of {most}");
    }

    fn given_back(&self, units: i64) {
        self.held.fetch_sub(units, Relaxed);
    }

    fn held(&self) -> i64 {
        self.held.load(Relaxed)
    }
}

const NOW: Ticks = Ticks(1 << 40);

/// So many units an hour, and at once.
fn pace(units: u64) -> Pace {
    Pace::of(&RateAmount {
        units,
        window: Window::Hour,
        burst: units,
    })
}

/// Reserves `reserved` of a burst, and uses `used` of that. Returns whether it was admitted.
fn use_rate(rate: &Rate, pace: Pace, tally: &Tally, reserved: i64, used: i64) -> bool {
    let admitted = rate.reserve(reserved, NOW, pace).is_ok();
    if admitted {
        tally.admitted(reserved);
        thread::yield_now();
        tally.given_back(reserved - used);
        rate.settle(reserved, used, NOW, pace);
    }
    admitted
}

fn a_rate_never_admits_more_than_the_burst() {
    loom::model(|| {
        let (rate, tally, pace) = (Arc::new(Rate::default()), Tally::new(3), pace(3));
        let others = [2, 2].map(|units| {
            let (rate, tally) = (rate.clone(), tally.clone());
            thread::spawn(move || {
                let admitted = rate.reserve(units, NOW, pace).is_ok();
                if admitted {
                    tally.admitted(units);
                }
            })
        });
        if rate.check(1, NOW, pace).is_none() && rate.reserve(1, NOW, pace).is_ok() {
            tally.admitted(1);
        }
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(rate.reserved(), tally.held());
        assert_eq!(rate.check(3 - tally.held(), NOW, pace), None);
    });
}

fn what_is_used_of_a_rate_is_never_free_while_it_is_settled() {
    loom::model(|| {
        let (rate, tally, pace) = (Arc::new(Rate::default()), Tally::new(1), pace(1));
        let other = {
            let (rate, tally) = (rate.clone(), tally.clone());
            thread::spawn(move || use_rate(&rate, pace, &tally, 1, 1))
        };
        let first = use_rate(&rate, pace, &tally, 1, 1);
        let second = use_rate(&rate, pace, &tally, 1, 1);
        let admitted = [first, second, other.join().unwrap()];
        assert_eq!(admitted.iter().filter(|it| **it).count(), 1);
        assert_eq!(rate.left(NOW, pace).0, 0);
    });
}

fn what_a_rate_gets_back_is_there_for_others() {
    loom::model(|| {
        let (rate, tally, pace) = (Arc::new(Rate::default()), Tally::new(2), pace(2));
        let other = {
            let (rate, tally) = (rate.clone(), tally.clone());
            thread::spawn(move || use_rate(&rate, pace, &tally, 2, 1))
        };
        let own = use_rate(&rate, pace, &tally, 1, 0);
        assert!(own || other.join().unwrap());
        // Whoever has not used anything has left no trace.
        if own {
            assert_eq!(rate.reserved() % 2, 0);
        }
    });
}

fn no_more_slots_are_taken_than_there_are() {
    loom::model(|| {
        let (slots, tally) = (Arc::new(Slots::default()), Tally::new(1));
        let hold = |slots: &Slots, tally: &Tally| {
            let taken = slots.take(1);
            if taken {
                tally.admitted(1);
                thread::yield_now();
                tally.given_back(1);
                slots.give_back(Duration::ZERO);
            }
            taken
        };
        let other = {
            let (slots, tally) = (slots.clone(), tally.clone());
            thread::spawn(move || hold(&slots, &tally))
        };
        let own = [hold(&slots, &tally), hold(&slots, &tally)];
        let taken = other.join().unwrap();
        assert!(taken || own == [true, true]);
        assert_eq!(slots.taken(), 0);
    });
}

fn account() -> Account {
    Account::new(AccountId {
        limit: "limit".into(),
        scope: "key".into(),
        counts: Counts::Money,
        period: Period::Day,
        start: Timestamp::UNIX_EPOCH,
        end: Timestamp::MAX,
    })
}

/// Reserves `reserved` of `amount`, and uses `used` of that. Returns whether it was admitted.
fn spend(account: &Account, amount: i64, tally: &Tally, (reserved, used): (i64, i64)) -> bool {
    let admitted = account.reserve(reserved, amount).is_ok();
    if admitted {
        tally.admitted(reserved);
        thread::yield_now();
        tally.given_back(reserved - used);
        account.settle(reserved, used);
    }
    admitted
}

fn a_budget_is_never_exceeded_while_others_settle() {
    loom::model(|| {
        let (account, tally) = (Arc::new(account()), Tally::new(4));
        account.grant(i64::MAX, 0, 0);
        let other = {
            let (account, tally) = (account.clone(), tally.clone());
            thread::spawn(move || spend(&account, 4, &tally, (3, 2)))
        };
        spend(&account, 4, &tally, (2, 2));
        spend(&account, 4, &tally, (1, 1));
        other.join().unwrap();
        assert_eq!((account.taken(), account.reserved()), (tally.held(), 0));
    });
}

fn rights_that_are_lowered_while_requests_take_are_not_spent_here() {
    bounded(|| {
        let (account, tally) = (Arc::new(account()), Tally::new(4));
        account.grant(4, 0, 0);
        let others = [2, 1].map(|units| {
            let (account, tally) = (account.clone(), tally.clone());
            thread::spawn(move || {
                let admitted = account.reserve(units, 4).is_ok();
                if admitted {
                    tally.admitted(units);
                }
            })
        });
        // What is not left here is issued to another process at once.
        let left = account.lower(1);
        tally.most.store(left, Relaxed);
        tally.admitted(0);
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(
            (account.taken(), account.reserved()),
            (tally.held(), tally.held())
        );
        assert!(account.issued() == left && left >= 1);
    });
}

fn no_more_is_taken_than_was_granted() {
    bounded(|| {
        let (account, tally) = (Arc::new(account()), Tally::new(1));
        account.grant(1, 3, 0);
        let others = [2, 1].map(|units| {
            let (account, tally) = (account.clone(), tally.clone());
            thread::spawn(move || {
                let taken = account.reserve(units, 4);
                if taken.is_ok() {
                    tally.admitted(units);
                }
                taken
            })
        });
        // Others have given back what they held, so that this process may be issued more.
        tally.most.store(3, Relaxed);
        account.grant(3, 1, 0);
        let taken = others.map(|other| other.join().unwrap());
        // What was refused before is there now, and no more.
        let missing = taken.iter().any(|it| *it == Err(Untaken::NotIssued));
        assert!(!missing || account.is_short());
        let rest = 3 - tally.held();
        assert_eq!(account.reserve(rest + 1, 4), Err(Untaken::Spent));
        assert_eq!(account.reserve(rest, 4), Ok(()));
    });
}

fn the_ledger_is_told_of_every_change_or_sees_it() {
    loom::model(|| {
        let account = Arc::new(account());
        account.grant(8, 0, 0);
        // Whether a message is on its way to the ledger.
        let message = Arc::new(AtomicBool::new(false));
        let tell = |account: &Account, message: &AtomicBool| {
            if account.tell() {
                message.store(true, Relaxed);
            }
        };
        let other = {
            let (account, message) = (account.clone(), message.clone());
            thread::spawn(move || {
                account.reserve(3, 8).unwrap();
                tell(&account, &message);
                account.settle(3, 2);
                tell(&account, &message);
            })
        };
        tell(&account, &message);
        message.store(false, Relaxed);
        account.look();
        let seen = (account.taken(), account.reserved());
        other.join().unwrap();
        let is_current = seen == (account.taken(), account.reserved());
        assert!(is_current || message.load(Relaxed));
    });
}

fn the_ledger_is_told_of_missing_rights_or_sees_them() {
    bounded(|| {
        let account = Arc::new(account());
        let message = Arc::new(AtomicBool::new(false));
        let ask = |account: &Account, message: &AtomicBool, units| {
            assert_eq!(account.reserve(units, 8), Err(Untaken::NotIssued));
            if account.hurry() {
                message.store(true, Relaxed);
            }
        };
        let others = [3, 2].map(|units| {
            let (account, message) = (account.clone(), message.clone());
            thread::spawn(move || ask(&account, &message, units))
        });
        message.store(false, Relaxed);
        account.look();
        let (seen, _) = account.take_missed();
        for other in others {
            other.join().unwrap();
        }
        let (rest, _) = account.take_missed();
        assert_eq!(seen + rest, 5);
        assert!(rest == 0 || message.load(Relaxed));
    });
}
