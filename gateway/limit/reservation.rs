//! What one request holds of its limits, from its admission to its end.
//!
//! All or nothing: a request that one limit refuses takes nothing of the others. What is held is settled once: with what
//! the request used, or, if it is dropped before, with nothing used.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::account::{Account, Untaken};
use super::applied::{Amounts, Applied, Ask, Cell, Why};
use super::lists::{Lists, Place};
use super::moment::Moment;
use super::passed::Passed;
use super::plan::Plan;
use super::terms::{Counts, OverBudget};

/// A limit that refuses a request.
#[derive(Clone)]
pub(crate) struct Refused {
    /// The limit.
    pub(crate) by: Applied,
    /// Why.
    pub(crate) why: Why,
    /// When the period of a budget ends, if it does.
    pub(crate) resets: Option<Timestamp>,
}

/// How a request ended, for its limits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    /// Nothing of tokens and money was used.
    Nothing,
    /// What was used is not known: what was reserved counts.
    Unknown,
    /// So much was used, and maybe more. Limits that reserve the most that a request can use count all of that.
    AtLeast(Amounts),
    /// So much was used.
    Used(Amounts),
}

/// What is held of one limit.
struct Held {
    place: Place,
    /// The units that are reserved.
    units: i64,
    /// The units that were used and have been counted, beside those that are reserved.
    counted: i64,
    /// The account that it was taken from, for a budget: a later period has another one.
    account: Option<Arc<Account>>,
}

/// What a request holds.
pub(crate) struct Reservation {
    lists: Lists,
    held: Vec<Held>,
    /// The limits that are only observed, and would have refused the request.
    observed: Vec<Place>,
    /// The warnings that nobody has taken.
    passed: Vec<Passed>,
    is_settled: bool,
    plan: Arc<Plan>,
    began: Moment,
}

impl Reservation {
    /// Holds nothing yet.
    pub(crate) fn new(lists: Lists, plan: Arc<Plan>, began: Moment) -> Self {
        Self {
            lists,
            held: Vec::with_capacity(6),
            observed: Vec::new(),
            passed: Vec::new(),
            is_settled: false,
            plan,
            began,
        }
    }

    /// The limits.
    pub(crate) fn lists(&self) -> &Lists {
        &self.lists
    }

    /// Takes `ask` of all limits on `route` that `holds` selects, or nothing.
    pub(crate) fn take(
        &mut self,
        route: &str,
        holds: impl Fn(&Applied) -> bool,
        ask: &Ask,
        moment: Moment,
    ) -> Result<(), Box<Refused>> {
        // From here on, what is in the list is wanted, and not held yet.
        let kept = self.held.len();
        let mut refused: Option<Box<Refused>> = None;
        for (place, applied) in self.lists.on(route).filter(|(_, applied)| holds(applied)) {
            let calendar = &self.plan.calendar;
            let wanted = applied.wanted(ask, 0, moment, calendar);
            let checked = wanted.and_then(|units| {
                applied.check(units, moment, calendar)?;
                Ok(units)
            });
            match checked {
                Ok(units) => self.held.push(Held {
                    place,
                    units,
                    counted: 0,
                    account: None,
                }),
                Err(_) if !applied.enforces() => observe(&mut self.observed, place),
                Err(why) => worse(&mut refused, applied, why, moment, &self.plan),
            }
        }
        if let Some(refused) = refused {
            self.observed.clear();
            self.held.truncate(kept);
            return Err(refused);
        }
        self.take_from(kept, moment)
    }

    /// Takes what is wanted from the index `kept` on, or nothing of it.
    fn take_from(&mut self, kept: usize, moment: Moment) -> Result<(), Box<Refused>> {
        let mut next = kept;
        while let Some(held) = self.held.get_mut(next) {
            let Some(applied) = self.lists.get(held.place) else {
                self.held.remove(next);
                continue;
            };
            match take_one(applied, held, moment, &self.plan) {
                Ok(()) => next += 1,
                Err(_) if !applied.enforces() => {
                    observe(&mut self.observed, held.place);
                    self.held.remove(next);
                }
                Err(why) => {
                    let refused = refused(applied, why, moment, &self.plan);
                    self.held.truncate(next);
                    self.give_back_from(kept);
                    return Err(refused);
                }
            }
        }
        Ok(())
    }

    /// Changes what is held of tokens and money to `ask`, and takes nothing at all if one limit refuses that.
    pub(crate) fn change(&mut self, ask: &Ask, moment: Moment) -> Result<(), Box<Refused>> {
        for held in &mut self.held {
            let Some(applied) = self.lists.get(held.place) else {
                continue;
            };
            match change_one(applied, held, ask, moment, &self.plan) {
                Ok(()) => {}
                Err(_) if !applied.enforces() => observe(&mut self.observed, held.place),
                Err(why) => return Err(refused(applied, why, moment, &self.plan)),
            }
        }
        Ok(())
    }

    /// Gives back all that is held from the index `from` on, in reverse: nothing of it was used, requests included.
    fn give_back_from(&mut self, from: usize) {
        let now = self.began;
        while self.held.len() > from {
            let Some(held) = self.held.pop() else { return };
            let Some(applied) = self.lists.get(held.place) else {
                continue;
            };
            release(applied, &held, 0, now, Duration::ZERO);
        }
    }

    /// Gives everything back: the request was refused, and has used nothing.
    pub(crate) fn give_back(&mut self) {
        self.give_back_from(0);
        self.is_settled = true;
    }

    /// Counts the request as one, whatever becomes of it: nothing refuses it any more. Without that, a long one would take
    /// the place of others in a rate of requests until its end.
    pub(crate) fn count_request(&mut self, now: Moment) {
        for held in &mut self.held {
            let Some(applied) = self.lists.get(held.place) else {
                continue;
            };
            if applied.limit.counts == Counts::Requests {
                held.count(applied, 1, now);
            }
        }
    }

    /// Counts what a request has used so far. Returns the limit that wants its stream cut, if nothing is left of one.
    /// `is_open_ended`: what comes next is another response. It counts in the period in which it ends, and is cut by every
    /// limit.
    pub(crate) fn count_use(
        &mut self,
        so_far: &Amounts,
        now: Moment,
        is_open_ended: bool,
    ) -> Option<Applied> {
        let mut cut = None;
        for held in &mut self.held {
            let Some(applied) = self.lists.get(held.place) else {
                continue;
            };
            if matches!(applied.limit.counts, Counts::Requests | Counts::Parallel) {
                continue;
            }
            if is_open_ended {
                held.follow(applied, now, &self.plan);
            }
            held.count(applied, applied.used(so_far), now);
            self.passed
                .extend(Passed::of(applied, held.account.as_ref()));
            let (Cell::Budget(budget), Some(account)) = (&applied.cell, &held.account) else {
                continue;
            };
            let cuts = applied.limit.over_budget == OverBudget::Cut || is_open_ended;
            let least = i64::from(is_open_ended);
            if cuts && applied.enforces() && account.left(budget.amount()) < least {
                cut = Some(applied.clone());
            }
        }
        cut
    }

    /// Settles what is held, once: a request counts as one, and tokens and money as `outcome` says.
    pub(crate) fn settle(&mut self, outcome: Outcome, now: Moment, took: Duration) {
        if std::mem::replace(&mut self.is_settled, true) {
            return;
        }
        for held in std::mem::take(&mut self.held) {
            let Some(applied) = self.lists.get(held.place) else {
                continue;
            };
            let all = held.all();
            let used = match (applied.limit.counts, outcome) {
                (Counts::Requests | Counts::Parallel, _) | (_, Outcome::Unknown) => all,
                (_, Outcome::Nothing) => 0,
                (Counts::Money, Outcome::Used(used) | Outcome::AtLeast(used))
                    if used.money.is_none() =>
                {
                    all
                }
                (_, Outcome::Used(used)) => applied.used(&used),
                (_, Outcome::AtLeast(used)) => applied.at_least(&used, all),
            };
            release(applied, &held, used, now, took);
            self.passed
                .extend(Passed::of(applied, held.account.as_ref()));
        }
    }

    /// The warnings since the last call: the percentages of budgets that this request's use has passed.
    pub(crate) fn take_passed(&mut self) -> Vec<Passed> {
        std::mem::take(&mut self.passed)
    }

    /// The limits that are only observed, and would have refused the request.
    pub(crate) fn observed(&self) -> impl Iterator<Item = &Applied> {
        self.observed
            .iter()
            .filter_map(|place| self.lists.get(*place))
    }

    /// What is held of each limit.
    pub(crate) fn held(&self) -> impl Iterator<Item = (&Applied, i64)> {
        let with_limit = |held: &Held| Some((self.lists.get(held.place)?, held.all()));
        self.held.iter().filter_map(with_limit)
    }

    /// The moment of the request.
    pub(crate) fn began(&self) -> Moment {
        self.began
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.settle(Outcome::Nothing, self.began, Duration::ZERO);
    }
}

impl Held {
    /// The units that are reserved, and those that have been counted.
    fn all(&self) -> i64 {
        self.units.saturating_add(self.counted)
    }

    /// Goes on in the account of the period that `now` is in.
    fn follow(&mut self, applied: &Applied, now: Moment, plan: &Plan) {
        let (Cell::Budget(budget), Some(account)) = (&applied.cell, &self.account) else {
            return;
        };
        if account.id().end > now.time {
            return;
        }
        account.settle(std::mem::take(&mut self.units), 0);
        budget.tell(account);
        self.account = Some(budget.at(now.time, &plan.calendar));
    }

    /// Counts what was used of it so far, `used` units, and reserves the rest of what was reserved on.
    fn count(&mut self, applied: &Applied, used: i64, now: Moment) {
        let more = used.saturating_sub(self.counted);
        if more <= 0 {
            return;
        }
        let reserved = more.min(self.units);
        settle(applied, self.account.as_ref(), reserved, more, now);
        self.units -= reserved;
        self.counted += more;
    }
}

/// Ends a reservation of `reserved` units, of which `used` were used.
fn settle(
    applied: &Applied,
    account: Option<&Arc<Account>>,
    reserved: i64,
    used: i64,
    now: Moment,
) {
    match (&applied.cell, account) {
        // A request was counted when it was admitted.
        _ if reserved == 0 && used == 0 => {}
        (Cell::Rate(rate, pace), _) => rate.settle(reserved, used, now.ticks, *pace),
        (Cell::Budget(budget), Some(account)) => {
            account.settle(reserved, used);
            budget.tell(account);
        }
        (Cell::Budget(_) | Cell::Slots(..), _) => {}
    }
}

/// Ends what is `held` of a limit, of which `used` units were used in all. What was counted meanwhile stays counted, but
/// in a budget, where it can be given back.
fn release(applied: &Applied, held: &Held, used: i64, now: Moment, took: Duration) {
    let rest = used.saturating_sub(held.counted);
    match &applied.cell {
        Cell::Slots(slots, _) => slots.give_back(took),
        Cell::Rate(..) => settle(applied, None, held.units, rest.max(0), now),
        Cell::Budget(_) => settle(applied, held.account.as_ref(), held.units, rest, now),
    }
}

/// Takes what is wanted of one limit.
fn take_one(applied: &Applied, held: &mut Held, moment: Moment, plan: &Plan) -> Result<(), Why> {
    match &applied.cell {
        Cell::Rate(rate, pace) => rate
            .reserve(held.units, moment.ticks, *pace)
            .map_err(Why::Wait),
        Cell::Slots(slots, most) if slots.take(*most) => Ok(()),
        Cell::Slots(slots, _) => Err(Why::Taken(slots.wait())),
        Cell::Budget(budget) => {
            let account = budget.at(moment.time, &plan.calendar);
            let reserved = account.reserve(held.units, budget.amount());
            // More rights are wanted for the next request, or for this one.
            budget.tell(&account);
            held.account = Some(account);
            reserved.map_err(why_untaken)
        }
    }
}

/// Changes what is held of one limit to what `ask` wants of it.
fn change_one(
    applied: &Applied,
    held: &mut Held,
    ask: &Ask,
    moment: Moment,
    plan: &Plan,
) -> Result<(), Why> {
    if matches!(applied.limit.counts, Counts::Requests | Counts::Parallel) {
        return Ok(());
    }
    // What has been counted stays counted.
    let wanted = applied.wanted(ask, held.units, moment, &plan.calendar)?;
    let units = wanted.saturating_sub(held.counted).max(0);
    let more = units.saturating_sub(held.units);
    match (&applied.cell, &held.account) {
        (Cell::Rate(rate, pace), _) if more > 0 => {
            rate.reserve(more, moment.ticks, *pace).map_err(Why::Wait)?;
        }
        (Cell::Rate(rate, pace), _) => {
            rate.settle(-more, 0, moment.ticks, *pace);
        }
        (Cell::Budget(budget), Some(account)) if more > 0 => {
            let reserved = account.reserve(more, budget.amount());
            budget.tell(account);
            reserved.map_err(why_untaken)?;
        }
        (Cell::Budget(_), Some(account)) => account.settle(-more, 0),
        _ => {}
    }
    held.units = units;
    Ok(())
}

/// Notes that the limit at `place`, which is only observed, would have refused: once for a request that tries again.
fn observe(observed: &mut Vec<Place>, place: Place) {
    if !observed.contains(&place) {
        observed.push(place);
    }
}

fn why_untaken(untaken: Untaken) -> Why {
    match untaken {
        Untaken::Spent => Why::Spent,
        Untaken::NotIssued => Why::NotIssued,
    }
}

/// Keeps the refusal that a client has to wait for longest.
fn worse(
    known: &mut Option<Box<Refused>>,
    applied: &Applied,
    why: Why,
    moment: Moment,
    plan: &Plan,
) {
    let rank = |why: &Why| match why {
        Why::Taken(wait) => (0, *wait),
        Why::Wait(wait) => (1, *wait),
        Why::NotIssued => (2, Duration::ZERO),
        Why::Spent => (3, Duration::ZERO),
        Why::Unbounded => (4, Duration::ZERO),
        Why::Exceeds => (5, Duration::ZERO),
    };
    if known
        .as_ref()
        .is_none_or(|known| rank(&known.why) < rank(&why))
    {
        *known = Some(refused(applied, why, moment, plan));
    }
}

fn refused(applied: &Applied, why: Why, moment: Moment, plan: &Plan) -> Box<Refused> {
    let resets = match &applied.cell {
        Cell::Budget(budget) => Some(budget.at(moment.time, &plan.calendar).id().end),
        _ => None,
    };
    Box::new(Refused {
        by: applied.clone(),
        why,
        resets: resets.filter(|end| *end < Timestamp::MAX),
    })
}
