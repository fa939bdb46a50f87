//! All cells of the process, by limit and scope. They outlive every configuration: an amount that changes keeps what
//! was used.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::applied::{Applied, Cell};
use super::budget::{Budget, BudgetOf, Issuer};
use super::estimate::Learnt;
use super::moment::Moment;
use super::period::Calendar;
use super::rate::{Pace, Rate, Ticks};
use super::slots::Slots;
use super::terms::{Amount, Counts, Limit, Period, Window};
use crate::runtime::atomic::{AtomicI64, Ordering};

/// What distinguishes cells: a limit that is changed in another way keeps its cells.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct CellId {
    /// The limit's name.
    pub(crate) limit: Arc<str>,
    /// Whose use it is.
    pub(crate) scope: Arc<str>,
    /// What is counted.
    pub(crate) counts: Counts,
    /// In which time.
    pub(crate) per: Per,
}

/// The time in which a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Per {
    /// A window that slides.
    Window(Window),
    /// A period of the calendar.
    Period(Period),
    /// At once.
    Now,
}

impl Per {
    fn of(amount: &Amount) -> Self {
        match amount {
            Amount::Rate(rate) => Self::Window(rate.window),
            Amount::Budget { period, .. } => Self::Period(*period),
            Amount::AtOnce(_) => Self::Now,
        }
    }
}

/// A cell, without the terms of a limit.
#[derive(Clone)]
pub(crate) enum Counted {
    Rate(Arc<Rate>),
    Slots(Arc<Slots>),
    Budget(Arc<Budget>),
}

/// Whose requests an average is of.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Learner {
    Key,
    Route,
}

/// All cells.
pub(crate) struct Book {
    cells: Mutex<HashMap<CellId, Counted, ahash::RandomState>>,
    learnt: Mutex<HashMap<(Learner, Arc<str>), Arc<Learnt>, ahash::RandomState>>,
    issuer: Arc<dyn Issuer>,
    /// When buckets are full again that processes before this one have used.
    earlier: HashMap<CellId, Ticks, ahash::RandomState>,
    /// When this process began, by both clocks.
    start: Instant,
    start_time: Timestamp,
    /// For how long the machine was asleep since then, in microseconds.
    asleep: AtomicI64,
}

/// The state of a rate, for the next process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RateState {
    /// Which rate: one of a window.
    pub(crate) id: CellId,
    /// When its bucket is full again, by the wall clock.
    pub(crate) full_at: Timestamp,
}

/// How far the calendar's clock may run ahead of the monotonic one. A wall clock that is set forward by more opens no
/// period before its time; a process that starts takes the wall clock as it is.
const CLOCK_AHEAD: Duration = Duration::from_secs(300);

impl Book {
    /// No cells. Rights to budgets come from `issuer`.
    pub(crate) fn new(issuer: Arc<dyn Issuer>) -> Self {
        Self {
            cells: Mutex::default(),
            learnt: Mutex::default(),
            issuer,
            earlier: HashMap::default(),
            start: Instant::now(),
            start_time: Timestamp::now(),
            asleep: AtomicI64::new(0),
        }
    }

    /// The same, with what processes before this one have used of rates.
    pub(crate) fn with_rates(mut self, states: impl IntoIterator<Item = RateState>) -> Self {
        let states = states.into_iter().filter_map(|state| {
            let Per::Window(window) = state.id.per else {
                return None;
            };
            // A clock that was ahead must not close a rate for long.
            let left = Duration::try_from(state.full_at.duration_since(self.start_time)).ok()?;
            let left = left.min(window.length() * 2);
            let full_at = Ticks::between(self.start, self.start + left);
            Some((state.id, full_at))
        });
        self.earlier = states.collect();
        self
    }

    /// The moment `at`, at which the clock of keys shows `time`.
    pub(crate) fn moment(&self, at: Instant, time: Timestamp) -> Moment {
        let passed = at.saturating_duration_since(self.start);
        let asleep = SignedDuration::from_micros(self.asleep.load(Ordering::Relaxed));
        let latest = self.start_time.saturating_add(passed + CLOCK_AHEAD);
        let latest = latest.and_then(|latest| latest.saturating_add(asleep));
        let time = latest.map_or(time, |latest| latest.min(time));
        Moment::new(self.start, at, time)
    }

    /// The machine was asleep for so long since this process began. The monotonic clock stood still meanwhile: without this,
    /// the calendar's clock would stay behind by as much, and periods would begin late until the process ends.
    pub(crate) fn note_asleep(&self, asleep: Duration) {
        let asleep = i64::try_from(asleep.as_micros()).unwrap_or(i64::MAX);
        self.asleep.fetch_max(asleep, Ordering::Relaxed);
    }

    /// How far the clock of keys, which shows `time` at `at`, is ahead of the calendar's.
    pub(crate) fn clock_ahead(&self, at: Instant, time: Timestamp) -> Duration {
        let ahead = time.duration_since(self.moment(at, time).time);
        ahead.try_into().unwrap_or_default()
    }

    /// The states of the rates whose buckets are not full at `now`.
    pub(crate) fn rates(&self, now: Moment) -> Vec<RateState> {
        let state = |(id, cell): (CellId, Counted)| {
            let Counted::Rate(rate) = cell else {
                return None;
            };
            let left = rate.when_full().since(now.ticks)?;
            let full_at = now.time.saturating_add(left).ok()?;
            Some(RateState { id, full_at })
        };
        self.list().into_iter().filter_map(state).collect()
    }

    /// `limit` with the cell of `scope`, which begins with the limit if there is none yet. `now` is the time by the
    /// calendar's clock.
    pub(crate) fn apply(
        &self,
        limit: &Arc<Limit>,
        scope: &Arc<str>,
        now: Timestamp,
        calendar: &Calendar,
    ) -> Applied {
        let id = CellId {
            limit: limit.name.clone(),
            scope: scope.clone(),
            counts: limit.counts,
            per: Per::of(&limit.amount),
        };
        let mut cells = self.cells();
        let cell = match limit.amount {
            Amount::Rate(amount) => {
                let earlier = self.earlier.get(&id).copied();
                let known = cells
                    .entry(id)
                    .or_insert_with(|| Counted::Rate(Arc::new(Rate::full_at(earlier))));
                rate(known, Pace::of(&amount))
            }
            Amount::AtOnce(most) => {
                let known = cells
                    .entry(id)
                    .or_insert_with(|| Counted::Slots(Arc::default()));
                slots(known, most)
            }
            Amount::Budget { units, period } => {
                let of = BudgetOf {
                    limit: &limit.name,
                    scope,
                    counts: limit.counts,
                    period,
                    amount: units,
                };
                let open = || Budget::open(of, now, calendar, &self.issuer);
                let known = cells
                    .entry(id)
                    .or_insert_with(|| Counted::Budget(Arc::new(open())));
                budget(known, units)
            }
        };
        drop(cells);
        Applied {
            limit: limit.clone(),
            scope: scope.clone(),
            // By its identity, a cell has the kind of its limit.
            cell: cell.unwrap_or_else(|| Cell::Slots(Arc::default(), u32::MAX)),
        }
    }

    /// What requests on a route used so far.
    pub(crate) fn learnt(&self, route: &str) -> Arc<Learnt> {
        self.learnt_by(Learner::Route, route)
    }

    /// What requests of a key used so far.
    pub(crate) fn learnt_of_key(&self, id: &str) -> Arc<Learnt> {
        self.learnt_by(Learner::Key, id)
    }

    fn learnt_by(&self, kind: Learner, name: &str) -> Arc<Learnt> {
        let mut all = self.learnt.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry((kind, Arc::from(name))).or_default().clone()
    }

    /// Every cell.
    pub(crate) fn list(&self) -> Vec<(CellId, Counted)> {
        let cells = self.cells();
        let all = cells.iter().map(|(id, cell)| (id.clone(), cell.clone()));
        all.collect()
    }

    /// Forgets the cells that no configuration and no request holds, and whose limit is whole again at `now`.
    pub(crate) fn forget_unused(&self, now: Moment) {
        let mut learnt = self.learnt.lock().unwrap_or_else(PoisonError::into_inner);
        learnt.retain(|_, it| Arc::strong_count(it) > 1);
        drop(learnt);
        self.cells().retain(|_, cell| match cell {
            Counted::Rate(rate) => Arc::strong_count(rate) > 1 || rate.when_full() > now.ticks,
            Counted::Slots(slots) => Arc::strong_count(slots) > 1 || slots.taken() > 0,
            Counted::Budget(budget) => {
                Arc::strong_count(budget) > 1 || budget.current().id().end > now.time
            }
        });
    }

    fn cells(&self) -> MutexGuard<'_, HashMap<CellId, Counted, ahash::RandomState>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn rate(known: &Counted, pace: Pace) -> Option<Cell> {
    let Counted::Rate(rate) = known else {
        return None;
    };
    Some(Cell::Rate(rate.clone(), pace))
}

fn slots(known: &Counted, most: u32) -> Option<Cell> {
    let Counted::Slots(slots) = known else {
        return None;
    };
    Some(Cell::Slots(slots.clone(), most))
}

fn budget(known: &Counted, units: i64) -> Option<Cell> {
    let Counted::Budget(budget) = known else {
        return None;
    };
    budget.set_amount(units);
    Some(Cell::Budget(budget.clone()))
}
