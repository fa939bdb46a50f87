//! A limit with the cell in which one scope's use of it is counted.

use std::sync::Arc;
use std::time::Duration;

use super::budget::Budget;
use super::moment::Moment;
use super::period::Calendar;
use super::rate::{Pace, Rate};
use super::slots::Slots;
use super::terms::{Amount, Counts, Limit, Mode, Reserve};

/// A limit, and the cell of one scope.
#[derive(Clone)]
pub(crate) struct Applied {
    /// The limit.
    pub(crate) limit: Arc<Limit>,
    /// Whose use it is: a key's id, a label's value, a route's or provider's name; empty for the gateway.
    pub(crate) scope: Arc<str>,
    /// Where it is counted.
    pub(crate) cell: Cell,
}

/// Where use is counted, with the terms that hold for it now.
#[derive(Clone)]
pub(crate) enum Cell {
    /// So many in a window.
    Rate(Arc<Rate>, Pace),
    /// So many at once.
    Slots(Arc<Slots>, u32),
    /// So many in a period.
    Budget(Arc<Budget>),
}

/// What requests used, or are expected to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amounts {
    /// All input tokens.
    pub(crate) input: u64,
    /// The input tokens that came from the provider's cache.
    pub(crate) cached: u64,
    /// The output tokens.
    pub(crate) output: u64,
    /// The cost in billionths of a currency unit, rounded up. `None` if it is not known.
    pub(crate) money: Option<u64>,
}

impl Amounts {
    /// The units of these amounts that `counts` counts.
    pub(crate) fn units(&self, counts: Counts) -> i64 {
        let units = match counts {
            Counts::Requests | Counts::Parallel => 1,
            Counts::Money => self.money.unwrap_or(0),
            Counts::Tokens(tokens) => {
                let cached = if tokens.cached { 0 } else { self.cached };
                let input = if tokens.input {
                    self.input.saturating_sub(cached)
                } else {
                    0
                };
                let output = if tokens.output { self.output } else { 0 };
                input.saturating_add(output)
            }
        };
        i64::try_from(units).unwrap_or(i64::MAX).min(MOST)
    }
}

/// The most units of one request: sums of many stay far from the end of an `i64`.
const MOST: i64 = i64::MAX / 1024;

/// What a request is expected to use.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ask {
    /// By what requests like it used before.
    pub(crate) estimate: Amounts,
    /// The most that it can use.
    pub(crate) most: Most,
    /// Whether the estimate is that of other requests alone: the request itself sets no lower bound of its use.
    pub(crate) is_learnt: bool,
}

/// The most that a request can use.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Most {
    /// It is known when the body has been read.
    #[default]
    Later,
    /// So much.
    Known(Amounts),
    /// There is no bound, or none that the gateway knows.
    Unbounded,
}

/// Why a limit does not let a request in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// A rate is used up; so much is there after this time, if nobody else takes it.
    Wait(Duration),
    /// All slots are taken; one is free after about this time.
    Taken(Duration),
    /// The budget of the period is spent.
    Spent,
    /// The request alone is larger than the limit.
    Exceeds,
    /// What the request can use is not bounded, and the limit wants a bound.
    Unbounded,
    /// The ledger has not issued the rights to spend the budget.
    NotIssued,
}

impl Applied {
    /// Whether the limit counts requests on the route `route`.
    pub(crate) fn is_on(&self, route: &str) -> bool {
        let routes = self.limit.routes.as_deref();
        routes.is_none_or(|routes| routes.iter().any(|name| **name == *route))
    }

    /// Whether the limit counts requests for some models only.
    pub(crate) fn has_models(&self) -> bool {
        !self.limit.models.is_empty()
    }

    /// Whether the limit counts requests for `model`, in lower case. A model that could not be read may be any.
    pub(crate) fn is_for(&self, model: Option<&str>) -> bool {
        let models = &self.limit.models;
        match model {
            Some(model) => models.is_empty() || models.iter().any(|it| it.matches(model)),
            None => true,
        }
    }

    /// Whether it refuses requests.
    pub(crate) fn enforces(&self) -> bool {
        self.limit.mode == Mode::Enforce
    }

    /// The most that one request can reserve: a whole burst or budget.
    fn capacity(&self) -> i64 {
        match (&self.cell, self.limit.amount) {
            (Cell::Budget(budget), _) => budget.amount(),
            (_, Amount::Rate(rate)) => i64::try_from(rate.burst).unwrap_or(i64::MAX),
            _ => i64::MAX,
        }
    }

    /// The units to reserve for `ask`.
    ///
    /// An estimate is never more than the limit: a request that has to be tried is not refused for ever.
    pub(crate) fn units(&self, ask: &Ask) -> Result<i64, Why> {
        let counts = self.limit.counts;
        if matches!(counts, Counts::Requests | Counts::Parallel) {
            return Ok(1);
        }
        let estimate = ask.estimate.units(counts).min(self.capacity());
        let most = match (self.limit.reserve, &ask.most) {
            (Reserve::None, _) => return Ok(0),
            (Reserve::Estimate, _) | (Reserve::Max, Most::Later) => return Ok(estimate),
            (Reserve::Max, Most::Unbounded) => None,
            // A bound of the tokens may come without a price.
            (Reserve::Max, Most::Known(most)) => {
                let is_known = counts != Counts::Money || most.money.is_some();
                is_known.then(|| most.units(counts))
            }
        };
        match most {
            Some(units) if units <= self.capacity() => Ok(units),
            Some(_) => Err(Why::Exceeds),
            None if self.limit.unbounded => Err(Why::Unbounded),
            None => Ok(estimate),
        }
    }

    /// The units to reserve for `ask` of what is left at `moment`, beside `held` units.
    ///
    /// Of a budget, what other requests used takes no more than what is left: a few large requests would close what is
    /// left of it to small ones until the period ends.
    pub(crate) fn wanted(
        &self,
        ask: &Ask,
        held: i64,
        moment: Moment,
        calendar: &Calendar,
    ) -> Result<i64, Why> {
        let units = self.units(ask)?;
        match &self.cell {
            Cell::Budget(budget) if ask.is_learnt && self.limit.reserve == Reserve::Estimate => {
                let left = budget.left(moment.time, calendar).saturating_add(held);
                Ok(if left > 0 { units.min(left) } else { units })
            }
            _ => Ok(units),
        }
    }

    /// The units that `used` amounts to.
    pub(crate) fn used(&self, used: &Amounts) -> i64 {
        used.units(self.limit.counts)
    }

    /// The units of a request that used so much and maybe more, of which `reserved` were reserved.
    pub(crate) fn at_least(&self, used: &Amounts, reserved: i64) -> i64 {
        let used = self.used(used);
        match self.limit.reserve {
            Reserve::Max => used.max(reserved),
            Reserve::None | Reserve::Estimate => used,
        }
    }

    /// Whether `units` could be taken now: takes nothing.
    pub(crate) fn check(&self, units: i64, moment: Moment, calendar: &Calendar) -> Result<(), Why> {
        match &self.cell {
            Cell::Rate(rate, pace) => match rate.check(units, moment.ticks, *pace) {
                Some(wait) => Err(Why::Wait(wait)),
                None => Ok(()),
            },
            Cell::Slots(slots, most) if slots.taken() >= *most => Err(Why::Taken(slots.wait())),
            Cell::Slots(..) => Ok(()),
            Cell::Budget(budget) => {
                let left = budget.left(moment.time, calendar);
                // A budget whose last unit is taken refuses even what is expected to use nothing.
                let fits = left >= units.max(1) || (units == 0 && left > 0);
                if fits { Ok(()) } else { Err(Why::Spent) }
            }
        }
    }
}
