//! All cells of the process, by limit and scope. They outlive every configuration: an amount that changes keeps what
//! was used.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::applied::{Amounts, Applied, Cell};
use super::budget::{Budget, BudgetOf, Issuer};
use super::estimate::{Learnt, estimate};
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
    /// The time in which a limit of `amount` counts.
    pub(crate) fn of(amount: &Amount) -> Self {
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

/// A cell, and the limit that it counted for last.
struct Known {
    cell: Counted,
    limit: Arc<Limit>,
}

type Cells = HashMap<CellId, Known, ahash::RandomState>;

/// How many parts the cells are in, each with a lock of its own: whoever visits a million of them keeps few requests
/// waiting that need a new one.
pub(crate) const PARTS: usize = 256;

/// What requests used so far, by key and by route.
type Averages = HashMap<(Learner, Arc<str>), Arc<Learnt>, ahash::RandomState>;

/// All cells.
pub(crate) struct Book {
    parts: [Mutex<Cells>; PARTS],
    /// Chooses the part of a cell.
    hasher: ahash::RandomState,
    learnt: Mutex<Averages>,
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
            parts: std::array::from_fn(|_| Mutex::default()),
            hasher: ahash::RandomState::new(),
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
        let state = |id: &CellId, cell: &Counted| {
            let Counted::Rate(rate) = cell else {
                return None;
            };
            let left = rate.when_full().since(now.ticks)?;
            let full_at = now.time.saturating_add(left).ok()?;
            let id = id.clone();
            Some(RateState { id, full_at })
        };
        let mut states = Vec::new();
        for part in 0..PARTS {
            self.visit(part, |id, cell, _| states.extend(state(id, cell)));
        }
        states
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
        let mut cells = self.part_of(&id);
        let cell = match limit.amount {
            Amount::Rate(amount) => {
                let earlier = self.earlier.get(&id).copied();
                let begin = || Counted::Rate(Arc::new(Rate::full_at(earlier)));
                rate(known(&mut cells, id, limit, begin), Pace::of(&amount))
            }
            Amount::AtOnce(most) => {
                let begin = || Counted::Slots(Arc::default());
                slots(known(&mut cells, id, limit, begin), most)
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
                let begin = || Counted::Budget(Arc::new(open()));
                budget(known(&mut cells, id, limit, begin), units)
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

    /// The estimate for a request on `route` of the key with the id `key`, whose body has so many `bytes`.
    pub(crate) fn estimate(&self, key: Option<&str>, route: &str, bytes: u64) -> Amounts {
        let all = self.learnt.lock().unwrap_or_else(PoisonError::into_inner);
        let find = |kind, name: &str| all.get(&(kind, Arc::from(name))).cloned();
        let of_key = key.and_then(|key| find(Learner::Key, key));
        let of_route = find(Learner::Route, route).unwrap_or_default();
        estimate(of_key.as_deref(), &of_route, bytes)
    }

    fn learnt_by(&self, kind: Learner, name: &str) -> Arc<Learnt> {
        let mut all = self.learnt.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry((kind, Arc::from(name))).or_default().clone()
    }

    /// Every cell.
    pub(crate) fn list(&self) -> Vec<(CellId, Counted)> {
        let mut all = Vec::new();
        for part in 0..PARTS {
            self.visit(part, |id, cell, _| all.push((id.clone(), cell.clone())));
        }
        all
    }

    /// Shows every cell of the part `part`, from 0 to [`PARTS`], to `look`, with the limit that it counted for last.
    pub(crate) fn visit(&self, part: usize, mut look: impl FnMut(&CellId, &Counted, &Arc<Limit>)) {
        let cells = self.parts.get(part).map(locked);
        for (id, known) in cells.iter().flat_map(|cells| cells.iter()) {
            look(id, &known.cell, &known.limit);
        }
    }

    /// Forgets the cells that no configuration and no request holds, and whose limit is whole again at `now`.
    pub(crate) fn forget_unused(&self, now: Moment) {
        let mut learnt = self.learnt.lock().unwrap_or_else(PoisonError::into_inner);
        learnt.retain(|_, it| Arc::strong_count(it) > 1);
        drop(learnt);
        for part in &self.parts {
            let is_used = |cell: &Counted| {
                cell.is_held()
                    || match cell {
                        Counted::Rate(rate) => rate.when_full() > now.ticks,
                        Counted::Slots(slots) => slots.taken() > 0,
                        Counted::Budget(budget) => budget.current().id().end > now.time,
                    }
            };
            locked(part).retain(|_, known| is_used(&known.cell));
        }
    }

    /// The part of the cells that `id` is in.
    fn part_of(&self, id: &CellId) -> MutexGuard<'_, Cells> {
        let [first, ..] = &self.parts;
        // Cut on a small machine: any number will do.
        #[expect(clippy::cast_possible_truncation, reason = "see above")]
        let index = self.hasher.hash_one(id) as usize % PARTS;
        locked(self.parts.get(index).unwrap_or(first))
    }
}

impl Counted {
    /// Whether a configuration or a request holds it, beside the book.
    pub(crate) fn is_held(&self) -> bool {
        let holders = match self {
            Self::Rate(rate) => Arc::strong_count(rate),
            Self::Slots(slots) => Arc::strong_count(slots),
            Self::Budget(budget) => Arc::strong_count(budget),
        };
        holders > 1
    }
}

fn locked(part: &Mutex<Cells>) -> MutexGuard<'_, Cells> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The cell of this identity, which counts for `limit` now. It begins with `begin` if there is none.
fn known<'c>(
    cells: &'c mut Cells,
    id: CellId,
    limit: &Arc<Limit>,
    begin: impl FnOnce() -> Counted,
) -> &'c Counted {
    let known = cells.entry(id).or_insert_with(|| Known {
        cell: begin(),
        limit: limit.clone(),
    });
    if !Arc::ptr_eq(&known.limit, limit) {
        known.limit = limit.clone();
    }
    &known.cell
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
