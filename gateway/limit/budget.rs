//! A budget of the calendar: one account for each period, the next one when a period is over.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use jiff::Timestamp;

use super::account::{Account, AccountId};
use super::period::Calendar;
use super::terms::{Counts, Period};
use crate::runtime::atomic::{AtomicI64, Ordering};

/// Opens accounts, and issues the rights to spend them: the ledger.
pub(crate) trait Issuer: Send + Sync {
    /// The account of this identity, which may be open already.
    fn account(&self, id: AccountId, amount: i64) -> Arc<Account>;

    /// Something has changed in `account`: more rights may be wanted. Never waits.
    fn tell(&self, account: &Arc<Account>);
}

/// Issues every right at once, and remembers nothing: without a ledger, what was used is forgotten at the next start.
pub(crate) struct InMemory;

impl Issuer for InMemory {
    fn account(&self, id: AccountId, amount: i64) -> Arc<Account> {
        let account = Account::unbounded(id);
        account.set_amount(amount);
        Arc::new(account)
    }

    fn tell(&self, _: &Arc<Account>) {}
}

/// A budget of one limit and scope.
pub(crate) struct Budget {
    limit: Arc<str>,
    scope: Arc<str>,
    counts: Counts,
    period: Period,
    amount: AtomicI64,
    current: ArcSwap<Account>,
    /// Held by whoever begins a period.
    beginning: Mutex<()>,
    issuer: Arc<dyn Issuer>,
}

/// What a budget is of.
#[derive(Clone, Copy)]
pub(crate) struct BudgetOf<'b> {
    pub(crate) limit: &'b Arc<str>,
    pub(crate) scope: &'b Arc<str>,
    pub(crate) counts: Counts,
    pub(crate) period: Period,
    /// The units of a period.
    pub(crate) amount: i64,
}

impl Budget {
    /// The budget in the period that `now` is in.
    pub(crate) fn open(
        of: BudgetOf<'_>,
        now: Timestamp,
        calendar: &Calendar,
        issuer: &Arc<dyn Issuer>,
    ) -> Self {
        let id = id(of, now, calendar);
        Self {
            limit: of.limit.clone(),
            scope: of.scope.clone(),
            counts: of.counts,
            period: of.period,
            amount: AtomicI64::new(of.amount),
            current: ArcSwap::new(issuer.account(id, of.amount)),
            beginning: Mutex::new(()),
            issuer: issuer.clone(),
        }
    }

    /// The units of a period.
    pub(crate) fn amount(&self) -> i64 {
        self.amount.load(Ordering::Relaxed)
    }

    /// Changes the units of the period. What was used stays used.
    pub(crate) fn set_amount(&self, units: i64) {
        if self.amount.swap(units, Ordering::Relaxed) != units {
            let account = self.current.load_full();
            account.set_amount(units);
            self.issuer.tell(&account);
        }
    }

    /// The account of the period that `now` is in, or of a later one: a period that is over does not begin again.
    pub(crate) fn at(&self, now: Timestamp, calendar: &Calendar) -> Arc<Account> {
        let current = self.current.load();
        if now < current.id().end {
            return Arc::clone(&current);
        }
        self.begin(now, calendar)
    }

    /// What is left in the period that `now` is in: less than zero if there is debt.
    pub(crate) fn left(&self, now: Timestamp, calendar: &Calendar) -> i64 {
        let current = self.current.load();
        if now < current.id().end {
            current.left(self.amount())
        } else {
            self.begin(now, calendar).left(self.amount())
        }
    }

    /// The account of the current period.
    pub(crate) fn current(&self) -> Arc<Account> {
        self.current.load_full()
    }

    /// More rights to `account` may be wanted.
    pub(crate) fn tell(&self, account: &Arc<Account>) {
        self.issuer.tell(account);
    }

    #[cold]
    fn begin(&self, now: Timestamp, calendar: &Calendar) -> Arc<Account> {
        let _one = self
            .beginning
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let current = self.current.load_full();
        if now < current.id().end {
            return current;
        }
        let amount = self.amount();
        let of = BudgetOf {
            limit: &self.limit,
            scope: &self.scope,
            counts: self.counts,
            period: self.period,
            amount,
        };
        let next = self.issuer.account(id(of, now, calendar), amount);
        self.current.store(next.clone());
        next
    }
}

/// The identity of the account of the period that `now` is in.
fn id(of: BudgetOf<'_>, now: Timestamp, calendar: &Calendar) -> AccountId {
    let (start, end) = calendar.span(of.period, now);
    AccountId {
        limit: of.limit.clone(),
        scope: of.scope.clone(),
        counts: of.counts,
        period: of.period,
        start,
        end,
    }
}
