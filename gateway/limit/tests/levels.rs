//! What operators see of limits: levels, percentages, what was reserved.

use super::*;
use crate::limit::admitted::Admitted;
use crate::limit::book::PARTS;
use crate::limit::level::{Level, LevelId, Levels};

/// The levels of the house at `now`.
fn levels(house: &House, now: Moment) -> Levels {
    let mut levels = Levels::new(house.plan.limits(), now);
    for part in 0..PARTS {
        let book = house.plan.book();
        book.visit(part, |id, cell, limit| levels.add(id, cell, limit));
    }
    levels
}

fn level(levels: &Levels, limit: &str, counts: &'static str, per: &'static str) -> Option<Level> {
    let limit = limit.into();
    levels.get(&LevelId { limit, counts, per }).copied()
}

#[test]
fn a_level_has_the_largest_part_that_a_scope_has_used_and_what_all_have_reserved() {
    let house = House::new(vec![
        requests("rate", Of::Key, "10 per minute"),
        tokens("tokens", Of::Gateway, "1000 per hour"),
        at_once("parallel", Of::Route, 5),
        budget("money", Of::Key, "2.00 per day"),
        budget(
            "unused",
            Of::Label {
                name: "customer".into(),
                value: None,
            },
            "2.00 per day",
        ),
    ]);
    let bob = House {
        key: "bob".into(),
        plan: house.plan.clone(),
        ..House::new(vec![])
    };
    let now = house.at(NO_TIME);
    let ask = estimate(used(100, 100, UNIT / 2));
    let mut first = house.take(&ask, now).ok().unwrap();
    first.settle(Outcome::Used(used(50, 50, UNIT)), now, NO_TIME);
    let held = [house.take(&ask, now), bob.take(&ask, now)];
    assert!(held.iter().all(Result::is_ok));
    let all = levels(&house, now);
    let of = |limit, counts, per| level(&all, limit, counts, per).unwrap();
    let rate = of("rate", "requests", "minute");
    assert!(
        (rate.ratio - 0.2).abs() < 1e-9 && rate.reserved == 2,
        "{rate:?}"
    );
    let tokens = of("tokens", "tokens", "hour");
    assert!(
        (tokens.ratio - 0.5).abs() < 1e-9 && tokens.reserved == 400,
        "{tokens:?}"
    );
    let parallel = of("parallel", "parallel", "at_once");
    assert!(
        (parallel.ratio - 0.4).abs() < 1e-9 && parallel.reserved == 2,
        "{parallel:?}"
    );
    let unit = i64::try_from(UNIT).unwrap();
    let money = of("money", "money", "day");
    assert!((money.ratio - 0.75).abs() < 1e-9, "{money:?}");
    assert_eq!(
        (money.reserved, money.used, money.amount),
        (unit, unit, 4 * unit)
    );
    let unused = of("unused", "money", "day");
    assert_eq!((unused.ratio, unused.used, unused.amount), (0.0, 0, 0));
    // The next day, nothing of the budget is used.
    let tomorrow = house.at(Duration::from_secs(86_400));
    let money = level(&levels(&house, tomorrow), "money", "money", "day").unwrap();
    assert_eq!((money.ratio, money.used), (0.0, 0));
    assert_eq!(all.iter().count(), 5);
}

#[test]
fn a_limit_that_a_reload_removes_and_a_key_that_is_gone_have_no_level() {
    let book = Arc::new(Book::new(Arc::new(InMemory)));
    let all = vec![
        budget("money", Of::Key, "2.00 per day"),
        budget(
            "team",
            Of::Label {
                name: "team".into(),
                value: None,
            },
            "2.00 per day",
        ),
    ];
    let mut house = House::with_book(all, book.clone());
    let now = house.at(NO_TIME);
    let mut taken = house.take(&estimate(used(1, 1, UNIT)), now).ok().unwrap();
    taken.settle(Outcome::Used(used(1, 1, UNIT)), now, NO_TIME);
    drop(taken);
    let ratio =
        |house: &House, name| level(&levels(house, now), name, "money", "day").map(|it| it.ratio);
    assert_eq!(
        (ratio(&house, "money"), ratio(&house, "team")),
        (Some(0.5), Some(0.5))
    );
    // The key's entry was read anew, and has sent nothing since. The team is still there.
    house.slot = KeySlot::default();
    assert_eq!(
        (ratio(&house, "money"), ratio(&house, "team")),
        (Some(0.0), Some(0.5))
    );
    let other = House::with_book(vec![budget("team", Of::Key, "9.00 per day")], book);
    assert_eq!(ratio(&other, "money"), None);
    // A limit that has become one of keys does not count what labels have used.
    assert_eq!(ratio(&other, "team"), Some(0.0));
}

#[test]
fn the_percentages_that_a_request_passes_are_told_once_while_it_goes_on_or_at_its_end() {
    let mut warned = budget("money", Of::Key, "2.00 per day");
    warned.soft = Box::from([50, 80]);
    let house = House::new(vec![warned, budget("quiet", Of::Key, "1.00 per day")]);
    let now = house.at(NO_TIME);
    let ask = estimate(used(1, 1, UNIT / 10));
    let percents = |reservation: &mut Reservation| {
        let passed = reservation.take_passed();
        assert!(
            passed
                .iter()
                .all(|it| &*it.by.limit.name == "money" && &*it.by.scope == "alice")
        );
        passed.iter().map(|it| it.percent).collect::<Vec<_>>()
    };
    let mut stream = house.take(&ask, now).ok().unwrap();
    let mut short = house.take(&ask, now).ok().unwrap();
    stream.count_use(&used(1, 1, UNIT / 2), now, false);
    assert_eq!(percents(&mut stream), [0; 0]);
    stream.count_use(&used(1, 1, UNIT), now, false);
    assert_eq!(percents(&mut stream), [50]);
    short.settle(Outcome::Used(used(1, 1, UNIT / 10)), now, NO_TIME);
    assert_eq!(percents(&mut short), [0; 0]);
    stream.settle(Outcome::Used(used(1, 1, 2 * UNIT)), now, NO_TIME);
    assert_eq!(percents(&mut stream), [80]);
    // Another period begins without.
    let tomorrow = house.at(Duration::from_secs(86_400));
    let mut next = house.take(&ask, tomorrow).ok().unwrap();
    next.settle(Outcome::Used(used(1, 1, UNIT)), tomorrow, NO_TIME);
    assert_eq!(percents(&mut next), [50]);
}

#[test]
fn what_was_reserved_at_the_admission_is_that_of_the_largest_limit() {
    let mut most = tokens("most", Of::Route, "5000 per minute");
    most.reserve = Reserve::Max;
    let output = Counts::Tokens(Tokens {
        input: false,
        output: true,
        cached: false,
    });
    let house = House::new(vec![
        requests("requests", Of::Key, "100 per minute"),
        limit(
            "output",
            Of::Key,
            output,
            counted("1000 per minute").unwrap(),
        ),
        most,
        budget("money", Of::Gateway, "1.00 per day"),
    ]);
    let ask = Ask {
        most: Most::Known(used(1000, 1000, 0)),
        ..estimate(used(100, 200, 7))
    };
    let taken = house.take(&ask, house.at(NO_TIME)).ok().unwrap();
    let admitted = Admitted::of(taken.held());
    assert_eq!((admitted.tokens, admitted.cost), (Some(2000), Some(7)));
    // Of the limit that estimates: the other one takes more than is expected.
    let accuracy = admitted.accuracy(&used(900, 300, 0)).unwrap();
    assert!((accuracy - 1.5).abs() < 1e-9, "{accuracy}");
    let none = House::new(vec![requests("requests", Of::Key, "100 per minute")]);
    let taken = none.take(&ask, none.at(NO_TIME)).ok().unwrap();
    assert_eq!(Admitted::of(taken.held()), Admitted::default());
    assert_eq!(Admitted::default().accuracy(&used(1, 1, 1)), None);
}

#[test]
fn an_observed_limit_that_refuses_what_the_body_asks_for_is_told_once() {
    let mut observed = tokens("observed", Of::Key, "100 per minute");
    (observed.mode, observed.reserve) = (Mode::Observe, Reserve::Max);
    let house = House::new(vec![observed]);
    let now = house.at(NO_TIME);
    let mut taken = house.take(&estimate(used(10, 10, 0)), now).ok().unwrap();
    let more = Ask {
        most: Most::Known(used(1000, 0, 0)),
        ..Ask::default()
    };
    for _ in 0..2 {
        assert!(taken.change(&more, now).is_ok());
    }
    assert_eq!(taken.observed().count(), 1);
}

/// A million cells: run with `--ignored` in an optimised build for times.
#[test]
#[ignore = "a measurement"]
fn levels_of_a_million_cells() {
    let house = House::new(vec![
        requests("rate", Of::Key, "10 per minute"),
        budget("money", Of::Key, "2.00 per day"),
    ]);
    let slots: Vec<_> = (0..500_000)
        .map(|number| {
            let key = Arc::from(format!("key-{number}"));
            let slot = KeySlot::default();
            let holder = Holder {
                id: &key,
                own: None,
                slot: &slot,
            };
            house.plan.of_key(&holder, |_| None, || house.time);
            slot
        })
        .collect();
    let mut all = Levels::new(house.plan.limits(), house.at(NO_TIME));
    let (mut longest, begin) = (Duration::ZERO, Instant::now());
    for part in 0..PARTS {
        let begin = Instant::now();
        let book = house.plan.book();
        book.visit(part, |id, cell, limit| all.add(id, cell, limit));
        longest = longest.max(begin.elapsed());
    }
    let took = begin.elapsed();
    eprintln!(
        "{} cells: {took:?}, the longest part {longest:?}",
        slots.len() * 2
    );
}
