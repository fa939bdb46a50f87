//! A budget in one period: what was taken of it, and the rights to take more.
//!
//! A process spends only rights that the ledger has issued to it. So what others remember of this process is never less
//! than what it spent, whenever it ends; see `ledger`.
//!
//! All amounts are in the units of the limit (requests, tokens or billionths of a currency unit) and are totals of the
//! period, not differences: a message of the ledger may be lost or repeated.

use std::sync::Arc;

use jiff::Timestamp;

use super::terms::{Counts, Period};
use crate::runtime::atomic::{AtomicBool, AtomicI64, Ordering};

/// The identity of an account, the same in every process and after every start.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct AccountId {
    /// The limit's name.
    pub(crate) limit: Arc<str>,
    /// Whose budget it is: a key's id, a label's value, a route's or provider's name; empty for the gateway.
    pub(crate) scope: Arc<str>,
    /// What it counts.
    pub(crate) counts: Counts,
    /// The kind of its period.
    pub(crate) period: Period,
    /// When the period began; the beginning of 1970 for one without an end.
    pub(crate) start: Timestamp,
    /// When it ends; [`Timestamp::MAX`] for one without an end.
    pub(crate) end: Timestamp,
}

/// Why nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Untaken {
    /// So much is not left.
    Spent,
    /// It may be left, and the ledger has not issued it to this process yet.
    NotIssued,
}

/// A budget in one period.
#[derive(Debug)]
pub(crate) struct Account {
    id: AccountId,
    /// What this process has spent and reserved. Above `issued`, it is debt.
    taken: AtomicI64,
    /// The part of `taken` that is reserved.
    reserved: AtomicI64,
    /// The most that this process may take.
    issued: AtomicI64,
    /// What all other processes have been issued, or have used if they have ended.
    elsewhere: AtomicI64,
    /// What an operator has added to the limit's amount.
    raised: AtomicI64,
    /// The limit's amount for the period, by the configuration that serves.
    amount: AtomicI64,
    /// Whether the ledger has been told that something has changed, and has not looked since.
    told: AtomicBool,
}

impl Account {
    /// An account that the ledger has to issue rights to.
    pub(crate) fn new(id: AccountId, amount: i64) -> Self {
        Self::with_rights(id, amount, 0)
    }

    /// An account without a ledger: the process may spend the whole amount.
    pub(crate) fn unbounded(id: AccountId, amount: i64) -> Self {
        Self::with_rights(id, amount, i64::MAX)
    }

    fn with_rights(id: AccountId, amount: i64, issued: i64) -> Self {
        Self {
            id,
            taken: AtomicI64::new(0),
            reserved: AtomicI64::new(0),
            issued: AtomicI64::new(issued),
            elsewhere: AtomicI64::new(0),
            raised: AtomicI64::new(0),
            amount: AtomicI64::new(amount),
            told: AtomicBool::new(false),
        }
    }

    /// Its identity.
    pub(crate) fn id(&self) -> &AccountId {
        &self.id
    }

    /// The limit's amount for the period, which the ledger issues rights of.
    pub(crate) fn amount(&self) -> i64 {
        self.amount.load(Ordering::Relaxed)
    }

    /// The configuration that serves has changed the limit's amount.
    pub(crate) fn set_amount(&self, units: i64) {
        self.amount.store(units, Ordering::Relaxed);
    }

    /// Reserves `units` of `amount`, the limit's amount for the period.
    pub(crate) fn reserve(&self, units: i64, amount: i64) -> Result<(), Untaken> {
        let most = self.most(amount);
        let issued = self.issued.load(Ordering::Relaxed);
        let next = |taken: i64| {
            let next = taken.saturating_add(units);
            (next <= issued.min(most)).then_some(next)
        };
        let take = self
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        match take {
            Ok(_) => {
                self.reserved.fetch_add(units, Ordering::Relaxed);
                Ok(())
            }
            Err(taken) if taken.saturating_add(units) > most => Err(Untaken::Spent),
            Err(_) => Err(Untaken::NotIssued),
        }
    }

    /// Reserves `units` whatever is left: what is missing becomes debt.
    pub(crate) fn reserve_as_debt(&self, units: i64) {
        add(&self.taken, units);
        add(&self.reserved, units);
    }

    /// Ends a reservation of `reserved` units, of which `used` were used: more or less than was reserved.
    pub(crate) fn settle(&self, reserved: i64, used: i64) {
        add(&self.reserved, reserved.saturating_neg());
        add(&self.taken, used.saturating_sub(reserved));
    }

    /// What is left of `amount`: less than zero if there is debt.
    pub(crate) fn left(&self, amount: i64) -> i64 {
        self.most(amount).saturating_sub(self.taken())
    }

    /// What all processes have spent and reserved, as far as this one knows.
    pub(crate) fn spent(&self) -> i64 {
        self.taken()
            .saturating_add(self.elsewhere.load(Ordering::Relaxed))
    }

    /// What this process has spent and reserved.
    pub(crate) fn taken(&self) -> i64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// What this process has reserved.
    pub(crate) fn reserved(&self) -> i64 {
        self.reserved.load(Ordering::Relaxed)
    }

    /// What this process has been issued.
    pub(crate) fn issued(&self) -> i64 {
        self.issued.load(Ordering::Relaxed)
    }

    /// What an operator has added to the limit's amount in this period.
    pub(crate) fn raised(&self) -> i64 {
        self.raised.load(Ordering::Relaxed)
    }

    /// The ledger has issued `issued` units to this process in all, `elsewhere` are not this process's, and an operator
    /// has added `raised` to the amount.
    pub(crate) fn grant(&self, issued: i64, elsewhere: i64, raised: i64) {
        self.raised.store(raised, Ordering::Relaxed);
        self.elsewhere.store(elsewhere, Ordering::Relaxed);
        self.issued.store(issued, Ordering::Relaxed);
    }

    /// Whether the ledger has to be told that something has changed: true once, until it [looks](Self::look).
    pub(crate) fn tell(&self) -> bool {
        !self.told.load(Ordering::Relaxed) && !self.told.swap(true, Ordering::Relaxed)
    }

    /// The ledger looks now: later changes are told again.
    pub(crate) fn look(&self) {
        // Before the counts are read: a change behind this is told again.
        self.told.swap(false, Ordering::AcqRel);
    }

    /// The most that this process may take of `amount`.
    fn most(&self, amount: i64) -> i64 {
        amount
            .saturating_add(self.raised.load(Ordering::Relaxed))
            .saturating_sub(self.elsewhere.load(Ordering::Relaxed))
    }
}

/// Adds to a count. Counts are far from the ends of an `i64`: a limit's amount is at most half of it.
fn add(count: &AtomicI64, units: i64) {
    count.fetch_add(units, Ordering::Relaxed);
}
