//! Six limits, as requests of one key use them: what the benchmark `micro` measures.
//!
//! The key has limits of requests, tokens, money and concurrency, and its team has limits of tokens and money. All of them
//! are so wide that nothing is refused.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;

use super::account::{Account, AccountId};
use super::applied::{Amounts, Applied, Ask, Most};
use super::book::{Book, Counted};
use super::budget::{InMemory, Issuer};
use super::lists::{Limits, Lists};
use super::period::Calendar;
use super::plan::{Holder, Plan};
use super::reservation::{Outcome, Reservation};
use super::slot::KeySlot;
use super::terms::{
    Amount, Counts, Limit, Mode, Of, OverBudget, Period, RateAmount, Reserve, Tokens, Window,
};

const ROUTE: &str = "route";
const MOST: i64 = 1 << 52;

/// A key with six limits.
pub struct SixLimits {
    plan: Arc<Plan>,
    key: Arc<str>,
    slot: KeySlot,
    route: Arc<Limits>,
    target: Arc<Limits>,
}

/// An issuer that is told as the ledger is, and has been told already.
struct Told;

impl Issuer for Told {
    fn account(&self, id: AccountId, amount: i64) -> Arc<Account> {
        InMemory.account(id, amount)
    }

    fn tell(&self, account: &Arc<Account>) {
        let _ = (account.tell(), account.hurry());
    }
}

impl Default for SixLimits {
    /// A key that has used nothing.
    fn default() -> Self {
        let tokens = Counts::Tokens(Tokens {
            input: true,
            output: true,
            cached: false,
        });
        let rate = Amount::Rate(RateAmount {
            units: RateAmount::MOST,
            window: Window::Second,
            burst: MOST.cast_unsigned(),
        });
        let budget = Amount::Budget {
            units: MOST,
            period: Period::Day,
        };
        let team = || Of::Label {
            name: "team".into(),
            value: None,
        };
        let limits = [
            (Of::Key, Counts::Requests, rate),
            (Of::Key, tokens, rate),
            (Of::Key, Counts::Money, budget),
            (Of::Key, Counts::Parallel, Amount::AtOnce(1000)),
            (team(), tokens, rate),
            (team(), Counts::Money, budget),
        ];
        let number = 0_u8..;
        let limits = number.zip(limits).map(|(number, (of, counts, amount))| {
            Arc::new(Limit {
                name: format!("limit-{number}").into(),
                of,
                routes: None,
                models: Box::default(),
                counts,
                amount,
                reserve: Reserve::Estimate,
                mode: Mode::Enforce,
                over_budget: OverBudget::Finish,
                soft: Box::default(),
                unpriced: false,
                unmetered: false,
                unbounded: false,
            })
        });
        let calendar = Calendar::new(TimeZone::UTC, Weekday::Monday);
        let book = Arc::new(Book::new(Arc::new(Told)));
        let plan = Arc::new(Plan::new(limits.collect(), calendar, book));
        let (route, now) = (Arc::from(ROUTE), Timestamp::now());
        Self {
            route: plan.of_route(&route, now),
            target: plan.of_target(&route, &Arc::from("provider"), now),
            key: Arc::from("key"),
            slot: KeySlot::default(),
            plan,
        }
    }
}

impl SixLimits {
    /// A request that came at `now`, from its admission to its settlement. If its body `is_read`, tokens and money are
    /// taken then, else with the head. Returns how many of the limits it held.
    pub fn request(&self, now: Instant, time: Timestamp, is_read: bool) -> usize {
        let label = |name: &str| (name == "team").then_some("search");
        let holder = Holder {
            id: &self.key,
            own: None,
            slot: &self.slot,
        };
        let lists = Lists {
            key: self.plan.of_key(&holder, label, || time),
            route: self.route.clone(),
            target: self.target.clone(),
        };
        let began = self.plan.book().moment(now, time);
        let mut reservation = Reservation::new(lists, self.plan.clone(), began);
        let ask = |output| Ask {
            estimate: Amounts {
                output,
                money: Some(output),
                ..Amounts::default()
            },
            most: Most::Later,
            is_learnt: false,
        };
        let first = if is_read { ask(0) } else { ask(8) };
        if reservation.take(ROUTE, |_| true, &first, began).is_err() {
            return 0;
        }
        if is_read {
            let is_changed = reservation.change(&ask(8), began).is_ok();
            let has_models = |applied: &Applied| applied.has_models();
            let is_taken = reservation.take(ROUTE, has_models, &ask(8), began).is_ok();
            if !is_changed || !is_taken {
                return 0;
            }
        }
        reservation.count_request(began);
        let held = reservation.held().count();
        let took = Duration::from_micros(50);
        let ended = self.plan.book().moment(now + took, time);
        reservation.settle(Outcome::Used(ask(5).estimate), ended, took);
        held
    }

    /// Whether nothing is reserved.
    pub fn is_idle(&self) -> bool {
        self.plan.book().list().iter().all(|(_, cell)| match cell {
            Counted::Rate(rate) => rate.reserved() == 0,
            Counted::Slots(slots) => slots.taken() == 0,
            Counted::Budget(budget) => budget.current().reserved() == 0,
        })
    }
}
