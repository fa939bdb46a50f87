//! Limits together: plans, reservations and cells.

mod levels;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::amount::{counted, money};
use super::applied::{Amounts, Applied, Ask, Cell, Most, Why};
use super::book::Book;
use super::budget::InMemory;
use super::lists::Lists;
use super::moment::Moment;
use super::period::Calendar;
use super::plan::{Holder, Plan};
use super::reservation::{Outcome, Refused, Reservation};
use super::slot::KeySlot;
use super::terms::{Amount, Counts, Limit, Mode, ModelPattern, Of, OverBudget, Reserve, Tokens};

const TOKENS: Counts = Counts::Tokens(Tokens {
    input: true,
    output: true,
    cached: false,
});

/// A limit of this amount, with defaults for the rest.
fn limit(name: &str, of: Of, counts: Counts, amount: Amount) -> Limit {
    Limit {
        name: name.into(),
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
    }
}

fn requests(name: &str, of: Of, text: &str) -> Limit {
    limit(name, of, Counts::Requests, counted(text).unwrap())
}

fn tokens(name: &str, of: Of, text: &str) -> Limit {
    limit(name, of, TOKENS, counted(text).unwrap())
}

fn budget(name: &str, of: Of, text: &str) -> Limit {
    limit(name, of, Counts::Money, money(text).unwrap())
}

fn at_once(name: &str, of: Of, most: u32) -> Limit {
    limit(name, of, Counts::Parallel, Amount::AtOnce(most))
}

/// A gateway with one route and one key.
struct House {
    plan: Arc<Plan>,
    start: Instant,
    time: Timestamp,
    key: Arc<str>,
    slot: KeySlot,
    route: Arc<str>,
    provider: Arc<str>,
}

impl House {
    fn new(limits: Vec<Limit>) -> Self {
        Self::with_book(limits, Arc::new(Book::new(Arc::new(InMemory))))
    }

    fn with_book(limits: Vec<Limit>, book: Arc<Book>) -> Self {
        let calendar = Calendar::new(TimeZone::UTC, Weekday::Monday);
        let limits = limits.into_iter().map(Arc::new).collect();
        Self {
            plan: Arc::new(Plan::new(limits, calendar, book)),
            start: Instant::now(),
            time: "2026-11-28T12:00:00Z".parse().unwrap(),
            key: "alice".into(),
            slot: KeySlot::default(),
            route: "chat".into(),
            provider: "openai".into(),
        }
    }

    fn at(&self, after: Duration) -> Moment {
        self.plan
            .book()
            .moment(self.start + after, self.time + after)
    }

    fn lists(&self) -> Lists {
        let holder = Holder {
            id: &self.key,
            own: None,
            slot: &self.slot,
        };
        let label = |name: &str| (name == "team").then_some("search");
        Lists {
            key: self.plan.of_key(&holder, label, || self.time),
            route: self.plan.of_route(&self.route, self.time),
            target: self.plan.of_target(&self.route, &self.provider, self.time),
        }
    }

    fn reservation(&self, at: Moment) -> Reservation {
        Reservation::new(self.lists(), self.plan.clone(), at)
    }

    fn take(&self, ask: &Ask, at: Moment) -> Result<Reservation, Box<Refused>> {
        let mut reservation = self.reservation(at);
        reservation.take(&self.route, |_| true, ask, at)?;
        Ok(reservation)
    }

    /// What each limit has left, and how many slots are taken.
    fn state(&self, at: Moment) -> Vec<i64> {
        let lists = self.lists();
        let left = |applied: &Applied| match &applied.cell {
            Cell::Rate(rate, pace) => i64::try_from(rate.left(at.ticks, *pace).0).unwrap(),
            Cell::Slots(slots, most) => i64::from(*most) - i64::from(slots.taken()),
            Cell::Budget(budget) => budget.current().left(budget.amount()),
        };
        lists
            .on(&self.route)
            .map(|(_, applied)| left(applied))
            .collect()
    }

    fn reserved(&self) -> Vec<i64> {
        let lists = self.lists();
        let of_budget = |applied: &Applied| match &applied.cell {
            Cell::Budget(budget) => Some(budget.current().reserved()),
            Cell::Slots(slots, _) => Some(slots.taken().into()),
            Cell::Rate(..) => None,
        };
        lists
            .on(&self.route)
            .filter_map(|(_, applied)| of_budget(applied))
            .collect()
    }
}

fn used(input: u64, output: u64, money: u64) -> Amounts {
    Amounts {
        input,
        output,
        money: Some(money),
        ..Amounts::default()
    }
}

fn estimate(amounts: Amounts) -> Ask {
    Ask {
        estimate: amounts,
        most: Most::Later,
        is_learnt: false,
    }
}

const NO_TIME: Duration = Duration::ZERO;
/// A unit of the currency.
const UNIT: u64 = 1_000_000_000;

#[test]
fn every_limit_that_matches_applies_and_the_refusal_names_the_one_with_the_longest_wait() {
    let house = House::new(vec![
        requests("fast", Of::Key, "1 per second"),
        requests("slow", Of::Gateway, "2 per minute"),
        at_once("parallel", Of::Route, 5),
        tokens("tokens", Of::Provider, "1000 per minute"),
    ]);
    let ask = estimate(used(10, 10, 0));
    let mut first = house.take(&ask, house.at(NO_TIME)).ok().unwrap();
    assert_eq!(first.held().count(), 4);
    first.settle(Outcome::Used(used(5, 5, 0)), house.at(NO_TIME), NO_TIME);
    let refused = house.take(&ask, house.at(NO_TIME)).err().unwrap();
    assert_eq!(&*refused.by.limit.name, "fast");
    let second = Duration::from_secs(1);
    assert!(house.take(&ask, house.at(second)).is_ok());
    let refused = house.take(&ask, house.at(second)).err().unwrap();
    assert_eq!(&*refused.by.limit.name, "slow");
    assert!(matches!(refused.why, Why::Wait(wait) if wait > Duration::from_secs(28)));
}

/// Invariant I13.
#[test]
fn what_is_refused_consumes_nothing() {
    let house = House::new(vec![
        requests("requests", Of::Key, "100 per minute"),
        tokens("tokens", Of::Key, "1000 per minute"),
        at_once("parallel", Of::Route, 5),
        budget("money", Of::Gateway, "1.00 per day"),
        tokens("last", Of::Gateway, "50 per day"),
    ]);
    let before = house.state(house.at(NO_TIME));
    for ask in [used(1, 50, 1), used(1, 1, 2 * UNIT)] {
        let ask = Ask {
            most: Most::Known(ask),
            ..estimate(ask)
        };
        let mut limits = Vec::new();
        for limit in house.plan.limits() {
            limits.push(Limit {
                reserve: Reserve::Max,
                models: limit.models.clone(),
                routes: limit.routes.clone(),
                of: limit.of.clone(),
                soft: limit.soft.clone(),
                name: limit.name.clone(),
                ..**limit
            });
        }
        let strict = House::with_book(limits, house.plan.book().clone());
        let refused = strict.take(&ask, strict.at(NO_TIME)).err().unwrap();
        assert_eq!(refused.why, Why::Exceeds);
        assert_eq!(house.state(house.at(NO_TIME)), before);
    }
    // Refused at the second point: the body asks for more than is left.
    house
        .take(&estimate(used(10, 30, 0)), house.at(NO_TIME))
        .ok()
        .unwrap()
        .settle(Outcome::Used(used(10, 30, 0)), house.at(NO_TIME), NO_TIME);
    let before = house.state(house.at(NO_TIME));
    let mut reservation = house
        .take(&estimate(used(1, 1, 0)), house.at(NO_TIME))
        .ok()
        .unwrap();
    let more = estimate(used(10, 30, 0));
    assert!(reservation.change(&more, house.at(NO_TIME)).is_err());
    reservation.give_back();
    drop(reservation);
    assert_eq!(house.state(house.at(NO_TIME)), before);
}

#[test]
fn an_estimate_larger_than_the_limit_is_cut_to_it_and_a_request_is_not_refused_for_ever() {
    let house = House::new(vec![
        tokens("rate", Of::Key, "100 per minute"),
        budget("money", Of::Key, "1.00 per day"),
    ]);
    let ask = estimate(used(100_000, 100_000, 50 * UNIT));
    let mut all = house.take(&ask, house.at(NO_TIME)).ok().unwrap();
    assert_eq!(house.state(house.at(NO_TIME)), [0, 0]);
    assert!(house.take(&ask, house.at(NO_TIME)).is_err());
    all.settle(Outcome::Used(used(1, 1, 1)), house.at(NO_TIME), NO_TIME);
    assert!(
        house.take(&ask, house.at(Duration::from_secs(61))).is_err(),
        "the budget is not whole"
    );
}

#[test]
fn debt_is_paid_by_later_requests() {
    let house = House::new(vec![budget("money", Of::Key, "1.00 per day")]);
    let ask = estimate(used(1, 1, UNIT / 10));
    let mut first = house.take(&ask, house.at(NO_TIME)).ok().unwrap();
    first.settle(
        Outcome::Used(used(1, 1, 3 * UNIT)),
        house.at(NO_TIME),
        NO_TIME,
    );
    assert_eq!(
        house.state(house.at(NO_TIME)),
        [-2 * i64::try_from(UNIT).unwrap()]
    );
    let refused = house.take(&ask, house.at(NO_TIME)).err().unwrap();
    assert_eq!(refused.why, Why::Spent);
    assert_eq!(
        refused.resets,
        Some("2026-11-29T00:00:00Z".parse().unwrap())
    );
    // A request that is expected to cost nothing is refused as well.
    assert!(
        house
            .take(&estimate(used(0, 0, 0)), house.at(NO_TIME))
            .is_err()
    );
}

#[test]
fn a_period_that_begins_has_its_own_account_and_what_was_admitted_before_counts_before() {
    let house = House::new(vec![budget("money", Of::Key, "1.00 per day")]);
    let ask = estimate(used(1, 1, UNIT));
    let mut first = house.take(&ask, house.at(NO_TIME)).ok().unwrap();
    assert!(
        house
            .take(&ask, house.at(Duration::from_secs(3600 * 12 - 1)))
            .is_err()
    );
    let midnight = Duration::from_secs(3600 * 12);
    let second = house.take(&ask, house.at(midnight)).ok().unwrap();
    assert_eq!(house.state(house.at(midnight)), [0]);
    first.settle(
        Outcome::Used(used(1, 1, 9 * UNIT)),
        house.at(midnight),
        NO_TIME,
    );
    assert_eq!(house.state(house.at(midnight)), [0]);
    drop(second);
    assert_eq!(house.reserved(), [0]);
    // A clock that goes back opens no period again.
    assert!(house.take(&ask, house.at(NO_TIME)).is_ok());
    assert!(house.take(&ask, house.at(midnight)).is_ok());
}

#[test]
fn the_calendar_follows_a_clock_that_is_set_forward_only_by_as_much_as_the_machine_was_asleep() {
    let book = Book::new(Arc::new(InMemory));
    let (now, wall) = (Instant::now(), Timestamp::now());
    let hours = |hours| wall + jiff::SignedDuration::from_hours(hours);
    assert!(book.moment(now, hours(8)).time < hours(1));
    book.note_asleep(Duration::from_secs(8 * 3600));
    assert_eq!(book.moment(now, hours(8)).time, hours(8));
    // What is noted is a total.
    book.note_asleep(Duration::from_secs(8 * 3600));
    book.note_asleep(NO_TIME);
    assert_eq!(book.moment(now, hours(8)).time, hours(8));
    assert!(book.moment(now, hours(48)).time < hours(9));
    book.note_asleep(Duration::MAX);
    assert_eq!(book.moment(now, hours(48)).time, hours(48));
}

#[test]
fn an_amount_that_changes_keeps_what_was_used() {
    let book = Arc::new(Book::new(Arc::new(InMemory)));
    let ask = estimate(used(6, 0, UNIT));
    let house = |text: &str, rate: &str| {
        let limits = vec![
            budget("money", Of::Key, text),
            tokens("rate", Of::Key, rate),
        ];
        House::with_book(limits, book.clone())
    };
    let first = house("2.00 per day", "10 per minute");
    first.take(&ask, first.at(NO_TIME)).ok().unwrap().settle(
        Outcome::Used(used(6, 0, UNIT)),
        first.at(NO_TIME),
        NO_TIME,
    );
    let raised = house("3.00 per day", "20 per minute");
    assert_eq!(raised.state(first.at(NO_TIME))[0], 2_000_000_000);
    let lowered = house("0.50 per day", "10 per minute");
    assert_eq!(lowered.state(first.at(NO_TIME))[0], -500_000_000);
    assert_eq!(
        lowered.take(&ask, first.at(NO_TIME)).err().unwrap().why,
        Why::Spent
    );
    // Another period is another budget.
    let monthly = house("3.00 per month", "10 per minute");
    assert_eq!(monthly.state(first.at(NO_TIME))[0], 3_000_000_000);
}

#[test]
fn a_limit_that_is_only_observed_refuses_nothing_and_says_what_it_would_have_refused() {
    let mut observed = requests("observed", Of::Key, "1 per minute");
    observed.mode = Mode::Observe;
    let house = House::new(vec![
        observed,
        requests("enforced", Of::Key, "3 per minute"),
    ]);
    let ask = Ask::default();
    for would_refuse in [0, 1, 1] {
        let mut taken = house.take(&ask, house.at(NO_TIME)).ok().unwrap();
        let names: Vec<_> = taken
            .observed()
            .map(|it| it.limit.name.to_string())
            .collect();
        assert_eq!(names.len(), would_refuse, "{names:?}");
        taken.settle(Outcome::Nothing, house.at(NO_TIME), NO_TIME);
    }
    let refused = house.take(&ask, house.at(NO_TIME)).err().unwrap();
    assert_eq!(&*refused.by.limit.name, "enforced");
}

#[test]
fn keys_labels_routes_and_models_have_cells_of_their_own() {
    let label = |value: Option<&str>| Of::Label {
        name: "team".into(),
        value: value.map(Into::into),
    };
    let mut other_route = requests("other-route", Of::Route, "1 per minute");
    other_route.routes = Some(Box::from([Arc::from("images")]));
    let mut of_model = requests("of-model", Of::Key, "1 per minute");
    of_model.models = Box::from([ModelPattern::parse("gpt-5*").unwrap()]);
    let house = House::new(vec![
        requests("key", Of::Key, "1 per minute"),
        requests("search", label(Some("search")), "1 per minute"),
        requests("sales", label(Some("sales")), "1 per minute"),
        requests("each", label(None), "1 per minute"),
        requests("provider", Of::Provider, "1 per minute"),
        other_route,
        of_model,
    ]);
    let lists = house.lists();
    let scopes: Vec<_> = lists
        .on(&house.route)
        .map(|(_, it)| format!("{} {}", it.limit.name, it.scope))
        .collect();
    assert_eq!(
        scopes,
        [
            "key alice",
            "search search",
            "each search",
            "of-model alice",
            "provider openai",
        ]
    );
    let of_model = lists
        .on(&house.route)
        .find(|(_, it)| it.has_models())
        .unwrap()
        .1;
    assert!(of_model.is_for(Some("gpt-5-mini")) && !of_model.is_for(Some("o3")));
    assert!(
        of_model.is_for(None),
        "a model that cannot be read may be any"
    );
}

#[test]
fn a_stream_that_goes_on_is_charged_meanwhile_and_cut_if_its_limit_says_so() {
    let mut cut = budget("money", Of::Key, "1.00 per day");
    cut.over_budget = OverBudget::Cut;
    let house = House::new(vec![cut, tokens("rate", Of::Key, "1000 per minute")]);
    let ask = estimate(used(10, 10, UNIT / 10));
    let mut stream = house.take(&ask, house.at(NO_TIME)).ok().unwrap();
    assert!(
        stream
            .count_use(&used(10, 5, UNIT / 20), house.at(NO_TIME), false)
            .is_none()
    );
    assert!(
        stream
            .count_use(&used(10, 490, UNIT / 2), house.at(NO_TIME), false)
            .is_none()
    );
    assert_eq!(house.state(house.at(NO_TIME)), [500_000_000, 500]);
    let over = stream
        .count_use(&used(10, 4990, UNIT + 1), house.at(NO_TIME), false)
        .unwrap();
    assert_eq!(&*over.limit.name, "money");
    stream.settle(
        Outcome::AtLeast(used(10, 4990, UNIT + 1)),
        house.at(NO_TIME),
        NO_TIME,
    );
    assert_eq!(house.state(house.at(NO_TIME)), [-1, 0]);
    assert_eq!(house.reserved(), [0]);
}

#[test]
fn a_response_that_broke_off_costs_what_was_seen_and_with_max_all_that_was_reserved() {
    let of = |reserve| {
        let mut limit = budget("money", Of::Key, "1.00 per day");
        limit.reserve = reserve;
        House::new(vec![limit])
    };
    for (reserve, left) in [
        (Reserve::Max, 200_000_000),
        (Reserve::Estimate, 900_000_000),
    ] {
        let house = of(reserve);
        let ask = Ask {
            estimate: used(1, 1, UNIT / 2),
            most: Most::Known(used(1, 1, UNIT / 10 * 8)),
            is_learnt: false,
        };
        let mut taken = house.take(&ask, house.at(NO_TIME)).ok().unwrap();
        taken.settle(
            Outcome::AtLeast(used(1, 1, UNIT / 10)),
            house.at(NO_TIME),
            NO_TIME,
        );
        assert_eq!(house.state(house.at(NO_TIME)), [left]);
    }
}

#[test]
fn a_request_without_a_bound_is_refused_only_where_the_limit_says_so() {
    for (unbounded, is_taken) in [(false, true), (true, false)] {
        let mut limit = budget("money", Of::Key, "1.00 per day");
        (limit.reserve, limit.unbounded) = (Reserve::Max, unbounded);
        let house = House::new(vec![limit]);
        let ask = Ask {
            estimate: used(1, 1, UNIT / 2),
            most: Most::Unbounded,
            is_learnt: false,
        };
        assert_eq!(house.take(&ask, house.at(NO_TIME)).is_ok(), is_taken);
    }
}

/// What a history does next.
#[derive(Clone, Debug)]
enum Step {
    Take(Amounts),
    Change(usize, Amounts),
    TopUp(usize, Amounts),
    End(usize, End),
    Wait(u64),
}

#[derive(Clone, Copy, Debug)]
enum End {
    Used(Amounts),
    Nothing,
    Unknown,
    Dropped,
    GivenBack,
}

fn amounts() -> impl Strategy<Value = Amounts> {
    (0..300_u64, 0..300_u64, 0..UNIT / 2)
        .prop_map(|(input, output, money)| used(input, output, money))
}

fn step() -> impl Strategy<Value = Step> {
    let end = prop_oneof![
        amounts().prop_map(End::Used),
        Just(End::Nothing),
        Just(End::Unknown),
        Just(End::Dropped),
        Just(End::GivenBack),
    ];
    prop_oneof![
        4 => amounts().prop_map(Step::Take),
        1 => (0..8_usize, amounts()).prop_map(|(at, it)| Step::Change(at, it)),
        1 => (0..8_usize, amounts()).prop_map(|(at, it)| Step::TopUp(at, it)),
        3 => (0..8_usize, end).prop_map(|(at, it)| Step::End(at, it)),
        1 => (0..20_000_u64).prop_map(Step::Wait),
    ]
}

/// The number of cases: many in the long form.
fn cases(few: u32) -> ProptestConfig {
    let is_long = std::env::var_os("LIMITS_LONG").is_some();
    ProptestConfig::with_cases(if is_long { few * 1000 } else { few })
}

proptest! {
    #![proptest_config(cases(300))]

    /// Invariants I1, I5 and I13 against a sequential model of money and slots: what is admitted is within the amount, a
    /// refusal changes nothing, and at rest nothing is reserved.
    #[test]
    fn no_history_admits_more_than_the_limit_or_loses_anything(steps in prop::collection::vec(step(), 1..80)) {
        let house = House::new(vec![
            requests("requests", Of::Key, "50 per minute"),
            tokens("tokens", Of::Key, "20k per minute"),
            budget("money", Of::Gateway, "5.00 per year"),
            at_once("parallel", Of::Route, 4),
        ]);
        let amount = 5 * i64::try_from(UNIT).unwrap();
        let (mut open, mut spent, mut now): (Vec<(Reservation, i64)>, i64, Duration) = (Vec::new(), 0, NO_TIME);
        let whole = |it: Amounts| i64::try_from(it.money.unwrap()).unwrap();
        for step in steps {
            let at = house.at(now);
            match step {
                Step::Wait(millis) => now += Duration::from_millis(millis),
                Step::Take(wanted) => {
                    let before = house.state(at);
                    if let Ok(taken) = house.take(&estimate(wanted), at) {
                        open.push((taken, whole(wanted)));
                        spent += whole(wanted);
                        prop_assert!(spent <= amount && open.len() <= 4);
                    } else {
                        prop_assert_eq!(house.state(at), before);
                    }
                }
                Step::Change(index, wanted) => {
                    let count = open.len().max(1);
                    if let Some((taken, reserved)) = open.get_mut(index % count) {
                        let changed = taken.change(&estimate(wanted), at).is_ok();
                        // A refused change may have changed some limits: what is held of money is asked for.
                        let held = taken.held().find(|(it, _)| &*it.limit.name == "money").unwrap().1;
                        prop_assert!(!changed || held >= whole(wanted));
                        spent += held - *reserved;
                        *reserved = held;
                        prop_assert!(held <= whole(wanted) || spent <= amount);
                    }
                }
                Step::TopUp(index, so_far) => {
                    let count = open.len().max(1);
                    if let Some((taken, reserved)) = open.get_mut(index % count) {
                        taken.count_use(&so_far, at, false);
                        let more = taken.held().find(|(it, _)| &*it.limit.name == "money").unwrap().1;
                        spent += more - *reserved;
                        *reserved = more;
                    }
                }
                Step::End(..) if open.is_empty() => {}
                Step::End(index, end) => {
                    let (mut taken, reserved) = open.swap_remove(index % open.len());
                    let used = match end {
                        End::Used(used) => { taken.settle(Outcome::Used(used), at, NO_TIME); whole(used) }
                        End::Nothing => { taken.settle(Outcome::Nothing, at, NO_TIME); 0 }
                        End::Unknown => { taken.settle(Outcome::Unknown, at, NO_TIME); reserved }
                        End::Dropped => 0,
                        End::GivenBack => { taken.give_back(); 0 }
                    };
                    drop(taken);
                    spent += used - reserved;
                }
            }
            prop_assert_eq!(house.state(house.at(now))[2], amount - spent);
            let (most, slots) = (open.iter().map(|(_, it)| it).sum::<i64>(), i64::try_from(open.len()).unwrap());
            let reserved = house.reserved();
            prop_assert!((0..=most).contains(&reserved[0]) && reserved[1] == slots, "{reserved:?}");
        }
        drop(open);
        prop_assert_eq!(house.reserved(), vec![0, 0]);
    }
}

/// Invariants I1 and I5 with threads: sums of what is admitted never exceed the limit, and at rest nothing is reserved.
#[test]
fn threads_at_the_same_limits_never_admit_more_than_these_and_leave_nothing_reserved() {
    let house = House::new(vec![
        budget("money", Of::Gateway, "0.000001 per year"),
        at_once("parallel", Of::Route, 3),
        requests("requests", Of::Key, "1000 per hour"),
    ]);
    let is_long = std::env::var_os("LIMITS_LONG").is_some();
    let (threads, rounds) = if is_long { (64, 1_500_000) } else { (8, 4_000) };
    let (admitted, settled, most) = (AtomicI64::new(0), AtomicI64::new(0), AtomicI64::new(0));
    let over = AtomicBool::new(false);
    let at = house.at(NO_TIME);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (house, admitted, settled, most, over) =
                (&house, &admitted, &settled, &most, &over);
            scope.spawn(move || {
                for round in 0..rounds {
                    let units = u64::try_from((round * 7 + thread) % 5).unwrap();
                    let Ok(mut taken) = house.take(&estimate(used(0, 0, units)), at) else {
                        continue;
                    };
                    let parallel = most.fetch_add(1, Ordering::SeqCst) + 1;
                    over.fetch_or(parallel > 3, Ordering::SeqCst);
                    admitted.fetch_add(1, Ordering::SeqCst);
                    most.fetch_sub(1, Ordering::SeqCst);
                    // One in three uses nothing.
                    if round % 3 == 0 {
                        drop(taken);
                    } else {
                        settled.fetch_add(i64::try_from(units).unwrap(), Ordering::SeqCst);
                        taken.settle(Outcome::Used(used(0, 0, units)), at, NO_TIME);
                    }
                }
            });
        }
    });
    assert!(!over.into_inner(), "more than three at once");
    assert!(admitted.into_inner() <= 1000 && settled.load(Ordering::SeqCst) <= 1000);
    assert_eq!(house.reserved(), [0, 0]);
    assert_eq!(house.state(at)[1], 1000 - settled.into_inner());
}
