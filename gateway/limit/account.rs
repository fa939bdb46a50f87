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
    /// What all other processes have used, or have been issued if they were killed. What they hold beyond that may come
    /// back: it is not issued, and not spent.
    elsewhere: AtomicI64,
    /// What an operator has added to the limit's amount.
    raised: AtomicI64,
    /// The limit's amount for the period, as the configuration states it now. For the ledger.
    amount: AtomicI64,
    /// The sum of what was not taken since the ledger looked last, because it was not issued.
    missed: AtomicI64,
    /// The largest of these.
    largest: AtomicI64,
    /// Whether the ledger has been told that something has changed, and has not looked since.
    told: AtomicBool,
    /// Whether the ledger has been told that rights are missing, and has not looked since.
    hurried: AtomicBool,
    /// The most units of which a warning was given that they were used.
    warned: AtomicI64,
}

impl Account {
    /// An account that the ledger has to issue rights to.
    pub(crate) fn new(id: AccountId) -> Self {
        Self::with_rights(id, 0)
    }

    /// An account without a ledger: the process may spend the whole amount.
    pub(crate) fn unbounded(id: AccountId) -> Self {
        Self::with_rights(id, i64::MAX)
    }

    fn with_rights(id: AccountId, issued: i64) -> Self {
        Self {
            id,
            taken: AtomicI64::new(0),
            reserved: AtomicI64::new(0),
            issued: AtomicI64::new(issued),
            elsewhere: AtomicI64::new(0),
            raised: AtomicI64::new(0),
            amount: AtomicI64::new(0),
            missed: AtomicI64::new(0),
            largest: AtomicI64::new(0),
            told: AtomicBool::new(false),
            hurried: AtomicBool::new(false),
            warned: AtomicI64::new(0),
        }
    }

    /// Its identity.
    pub(crate) fn id(&self) -> &AccountId {
        &self.id
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
            .fetch_update(Ordering::SeqCst, Ordering::Relaxed, next);
        match take {
            // The ledger may have lowered the rights since they were read: see `lower`.
            Ok(taken) if taken.saturating_add(units) <= self.issued.load(Ordering::SeqCst) => {
                add(&self.reserved, units);
                Ok(())
            }
            Ok(_) => {
                add(&self.taken, units.saturating_neg());
                Err(self.miss(units))
            }
            Err(taken) if taken.saturating_add(units) > most => Err(Untaken::Spent),
            Err(_) => Err(self.miss(units)),
        }
    }

    /// Notes that `units` were not taken because they were not issued.
    fn miss(&self, units: i64) -> Untaken {
        let next = |missed: i64| Some(missed.saturating_add(units));
        // The closure always returns a value.
        let _ = self
            .missed
            .fetch_update(Ordering::SeqCst, Ordering::Relaxed, next);
        self.largest.fetch_max(units, Ordering::Relaxed);
        Untaken::NotIssued
    }

    /// Reserves `units` whatever is left: what is missing becomes debt.
    #[cfg(test)]
    pub(crate) fn reserve_as_debt(&self, units: i64) {
        add(&self.taken, units);
        add(&self.reserved, units);
    }

    /// Ends a reservation of `reserved` units, of which `used` were used: more or less than was reserved.
    pub(crate) fn settle(&self, reserved: i64, used: i64) {
        add(&self.reserved, reserved.saturating_neg());
        let more = used.saturating_sub(reserved);
        if more != 0 {
            add(&self.taken, more);
        }
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
        self.taken.load(Ordering::SeqCst)
    }

    /// What all processes have spent, as far as this one knows, without what this one has reserved.
    pub(crate) fn used(&self) -> i64 {
        self.spent().saturating_sub(self.reserved())
    }

    /// The units of `percent` of `amount`, the limit's amount for the period, and of what an operator has added to it.
    pub(crate) fn part(&self, percent: u8, amount: i64) -> i64 {
        let whole = i128::from(amount.saturating_add(self.raised()));
        i64::try_from(whole * i128::from(percent) / 100).unwrap_or(i64::MAX)
    }

    /// The part of `percents`, which ascend, that was used since the last call: each is returned once, whoever calls. Those
    /// that other processes alone have used are not returned: they have told it.
    pub(crate) fn pass<'p>(
        &self,
        percents: &'p [u8],
        amount: i64,
    ) -> impl Iterator<Item = u8> + use<'_, 'p> {
        let passed = self.passed(percents, amount);
        let now = passed.map_or(0, |percent| self.part(percent, amount));
        // Most calls find that nothing is new.
        let is_new = now > self.warned.load(Ordering::Relaxed);
        let before = if is_new {
            self.warned.fetch_max(now, Ordering::Relaxed)
        } else {
            now
        };
        let told = before.max(self.elsewhere.load(Ordering::Relaxed));
        let parts = percents
            .iter()
            .map(move |percent| (*percent, self.part(*percent, amount)));
        let new = parts.filter(move |(_, part)| is_new && *part > told && *part <= now);
        new.map(|(percent, _)| percent)
    }

    /// The last of `percents`, which ascend, of `amount` that is used.
    pub(crate) fn passed(&self, percents: &[u8], amount: i64) -> Option<u8> {
        let used = self.used();
        let is_passed = |percent: &&u8| used > 0 && used >= self.part(**percent, amount);
        percents.iter().rev().find(is_passed).copied()
    }

    /// What this process has reserved.
    pub(crate) fn reserved(&self) -> i64 {
        self.reserved.load(Ordering::SeqCst)
    }

    /// What this process has been issued.
    pub(crate) fn issued(&self) -> i64 {
        self.issued.load(Ordering::Relaxed)
    }

    /// What an operator has added to the limit's amount in this period.
    pub(crate) fn raised(&self) -> i64 {
        self.raised.load(Ordering::Relaxed)
    }

    /// The ledger has issued `issued` units to this process in all, others have used `elsewhere`, and an operator has added
    /// `raised` to the amount.
    pub(crate) fn grant(&self, issued: i64, elsewhere: i64, raised: i64) {
        self.raised.store(raised, Ordering::Relaxed);
        self.elsewhere.store(elsewhere, Ordering::Relaxed);
        self.issued.store(issued, Ordering::Relaxed);
    }

    /// Takes back rights: `least` are left, or more if more is taken. Returns how many are left. Only the ledger calls it,
    /// with less than [`Self::issued`].
    ///
    /// A request that reads the rights, is held up, and takes after they were lowered, reads them again: it stores `taken`
    /// and then loads `issued`, and this function stores `issued` and then loads `taken`. In the one order of these four,
    /// either this function sees what the request has taken, or the request sees the lower rights and takes nothing.
    pub(crate) fn lower(&self, least: i64) -> i64 {
        self.issued.swap(least, Ordering::SeqCst);
        let taken = self.taken.load(Ordering::SeqCst);
        if taken > least {
            self.issued.store(taken, Ordering::SeqCst);
        }
        taken.max(least)
    }

    /// The limit's amount for the period, as the configuration states it now.
    pub(crate) fn amount(&self) -> i64 {
        self.amount.load(Ordering::Relaxed)
    }

    /// Sets the limit's amount for the period. Returns whether it was another one.
    pub(crate) fn set_amount(&self, units: i64) -> bool {
        self.amount.swap(units, Ordering::Relaxed) != units
    }

    /// What was not taken since the last call because it was not issued: the sum, and the largest. The largest is half of
    /// what it was after a call since which nothing was missing: one large request does not keep much issued for long.
    pub(crate) fn take_missed(&self) -> (i64, i64) {
        let missed = self.missed.swap(0, Ordering::SeqCst);
        let largest = self.largest.load(Ordering::Relaxed);
        if missed == 0 {
            // One that came meanwhile stays.
            let (relaxed, half) = (Ordering::Relaxed, largest / 2);
            let _ = self
                .largest
                .compare_exchange(largest, half, relaxed, relaxed);
        }
        (missed, largest)
    }

    /// Whether the ledger has to be told that rights are missing: true once, until it [looks](Self::look).
    pub(crate) fn hurry(&self) -> bool {
        self.is_short() && !self.hurried.swap(true, Ordering::SeqCst)
    }

    /// Whether rights were missing since the ledger looked last.
    pub(crate) fn is_short(&self) -> bool {
        self.missed.load(Ordering::SeqCst) > 0
    }

    /// Whether the ledger has to be told that something has changed: true once, until it [looks](Self::look).
    ///
    /// A request changes a count and then reads `told`; the ledger clears `told` and then reads the counts. All four are
    /// in one order, so either the request tells, or the ledger sees what it has changed.
    pub(crate) fn tell(&self) -> bool {
        !self.told.load(Ordering::SeqCst) && !self.told.swap(true, Ordering::SeqCst)
    }

    /// The ledger looks now: later changes are told again.
    pub(crate) fn look(&self) {
        // Before the counts are read: a change behind this is told again.
        self.hurried.swap(false, Ordering::SeqCst);
        self.told.swap(false, Ordering::SeqCst);
    }

    /// The most that this process may take of `amount`.
    fn most(&self, amount: i64) -> i64 {
        amount
            .saturating_add(self.raised.load(Ordering::Relaxed))
            .saturating_sub(self.elsewhere.load(Ordering::Relaxed))
    }
}

/// Adds to a count. One that a provider has told absurd use of stays at the end: a sum that wraps would be money again.
fn add(count: &AtomicI64, units: i64) {
    let next = |count: i64| Some(count.saturating_add(units));
    // The closure always returns a value.
    let _ = count.fetch_update(Ordering::SeqCst, Ordering::Relaxed, next);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An account of a day.
    fn account() -> Account {
        Account::new(AccountId {
            limit: "search-team".into(),
            scope: "alice".into(),
            counts: Counts::Money,
            period: Period::Day,
            start: Timestamp::UNIX_EPOCH,
            end: Timestamp::MAX,
        })
    }

    #[test]
    fn what_is_not_issued_is_distinct_from_what_is_spent_and_is_told_once() {
        let account = account();
        assert_eq!(account.reserve(7, 100), Err(Untaken::NotIssued));
        assert_eq!(account.reserve(3, 100), Err(Untaken::NotIssued));
        assert_eq!(account.reserve(101, 100), Err(Untaken::Spent));
        assert!(account.hurry() && !account.hurry());
        account.look();
        assert_eq!(account.take_missed(), (10, 7));
        assert!(!account.hurry());
        account.grant(50, 40, 0);
        assert_eq!(account.reserve(50, 100), Ok(()));
        assert_eq!(account.reserve(10, 100), Err(Untaken::NotIssued));
        assert_eq!(account.reserve(11, 100), Err(Untaken::Spent));
    }

    const NONE: [u8; 0] = [];

    /// The percentages of `amount` that are passed when the account has used `used` more.
    fn passes(account: &Account, used: i64, amount: i64) -> Vec<u8> {
        account.reserve_as_debt(used);
        account.settle(used, used);
        account.pass(&[50, 80, 100], amount).collect()
    }

    #[test]
    fn each_percentage_is_passed_once() {
        let account = Account::unbounded(account().id);
        assert_eq!(passes(&account, 99, 200), NONE);
        assert_eq!(passes(&account, 1, 200), [50]);
        assert_eq!(passes(&account, 59, 200), NONE);
        assert_eq!(account.passed(&[50, 80], 200), Some(50));
        assert_eq!(passes(&account, 41, 200), [80, 100]);
        assert_eq!(passes(&account, 1_000, 200), NONE);
        assert_eq!(passes(&account, -1_000, 200), NONE);
        assert_eq!(passes(&account, 1_000, 200), NONE);
        // An operator has raised the amount: what is passed of the new one is told again.
        account.grant(i64::MAX, 0, 1_800);
        assert_eq!(account.passed(&[50, 80], 200), Some(50));
        assert_eq!(passes(&account, 400, 200), [50, 80]);
    }

    #[test]
    fn what_is_only_reserved_passes_no_percentage() {
        let account = Account::unbounded(account().id);
        assert_eq!(account.passed(&[50, 80], 200), None);
        account.reserve(200, 200).unwrap();
        assert_eq!(account.pass(&[50, 80], 200).count(), 0);
        account.settle(200, 10);
        assert_eq!(account.pass(&[50, 80], 200).count(), 0);
    }

    #[test]
    fn what_other_processes_have_used_was_told_by_them() {
        let account = account();
        account.grant(100, 120, 0);
        assert_eq!(passes(&account, 10, 200), NONE);
        assert_eq!(account.passed(&[50, 80], 200), Some(50));
        assert_eq!(passes(&account, 30, 200), [80]);
    }

    #[test]
    fn of_many_threads_that_pass_a_percentage_one_is_told() {
        let account = Account::unbounded(account().id);
        let told: usize = std::thread::scope(|threads| {
            let pass = || {
                (0..1_000)
                    .map(|_| passes(&account, 1, 4_000).len())
                    .sum::<usize>()
            };
            let threads: Vec<_> = (0..4).map(|_| threads.spawn(pass)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert_eq!(told, 3);
    }

    #[test]
    fn one_large_request_is_forgotten_when_nothing_is_missing() {
        let account = account();
        assert_eq!(account.reserve(80, 100), Err(Untaken::NotIssued));
        assert_eq!(account.take_missed(), (80, 80));
        let largest = (0..8).map(|_| account.take_missed().1).last();
        assert_eq!(largest, Some(0));
    }

    #[test]
    fn no_count_wraps_whatever_a_provider_tells() {
        let account = Account::unbounded(account().id().clone());
        for _ in 0..2000 {
            account.reserve_as_debt(1);
        }
        for _ in 0..2000 {
            account.settle(1, i64::MAX / 1024);
        }
        assert!(account.left(100) < 0, "{}", account.left(100));
    }

    #[test]
    fn rights_that_are_taken_back_while_requests_take_are_taken_once() {
        // Whatever the rights are lowered to is given to somebody else at once: the sum of both is never above the amount.
        let account = account();
        let amount = 40_000_i64;
        std::thread::scope(|threads| {
            for _ in 0..3 {
                threads.spawn(|| {
                    while account.taken() < amount / 2 {
                        let _ = account.reserve(1, amount);
                    }
                });
            }
            while account.taken() < amount / 2 {
                let most = account.taken() + 64;
                if most > account.issued() {
                    account.grant(most, 0, 0);
                }
                let left = account.lower(account.taken() + 1);
                // A request that is about to give back what it took may be counted here, but none above it can take.
                for _ in 0..50 {
                    std::hint::spin_loop();
                    let held = account.taken() - account.reserved();
                    assert!(account.reserved() <= left, "{held}");
                }
            }
        });
        assert_eq!(account.taken(), account.reserved());
    }
}
