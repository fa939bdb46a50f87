//! The history, and the state of rates.

use jiff::SignedDuration;

use super::*;
use crate::ledger::{HistoryRow, RateRow, Sums, UsageRow, Whose, history};
use crate::limit::terms::Window;

fn row(model: &str, at: &str, cost: i64) -> UsageRow {
    UsageRow {
        at: at.parse().unwrap(),
        whose: Whose {
            key: "alice".into(),
            route: "openai".into(),
            provider: "openai".into(),
            model: model.into(),
            currency: "USD".into(),
        },
        sums: Sums {
            requests: 1,
            input: 100,
            output: 20,
            cost,
            ..Sums::default()
        },
    }
}

#[test]
fn the_history_has_sums_by_quarter_of_an_hour_while_a_gateway_serves_and_later() {
    let folder = Folder::new();
    let ledger = folder.open();
    let read = || -> Vec<HistoryRow> {
        let since = "2026-11-28T00:00:00Z".parse().unwrap();
        let until = "2026-11-28T01:00:00Z".parse().unwrap();
        history(&folder.ledger(), since, until).unwrap()
    };
    for at in [
        "2026-11-28T00:00:00Z",
        "2026-11-28T00:14:59.9Z",
        "2026-11-28T00:15:00Z",
    ] {
        ledger.note_usage(row("gpt-5", at, 7));
    }
    ledger.note_usage(row("gpt-5", "2026-11-27T23:59:59.9Z", 7));
    ledger.note_usage(row("gpt-5", "2026-11-28T01:00:00Z", 7));
    eventually("the sums are written", || read().len() == 2);
    ledger.note_usage(row("gpt-5", "2026-11-28T00:01:00Z", 7));
    ledger.note_usage(row("o3", "2026-11-28T00:01:00Z", 5));
    ledger.close();
    let rows = read();
    let costs: Vec<_> = rows
        .iter()
        .map(|row| (&*row.whose.model, row.sums.requests, row.sums.cost))
        .collect();
    assert_eq!(costs, [("gpt-5", 3, 21), ("o3", 1, 5), ("gpt-5", 1, 7)]);
    assert_eq!(rows[2].start.to_string(), "2026-11-28T00:15:00Z");
    assert_eq!(ledger.state().dropped, 0);
}

#[test]
fn a_history_that_is_not_written_fast_enough_is_counted_and_waits_for_nobody() {
    let folder = Folder::new();
    let ledger = folder.open();
    ledger.with_connection(|_| std::thread::sleep(Duration::from_millis(500)));
    std::thread::sleep(Duration::from_millis(50));
    let start = Instant::now();
    for _ in 0..20_000 {
        ledger.note_usage(row("gpt-5", "2026-11-28T00:00:00Z", 7));
    }
    assert!(start.elapsed() < Duration::from_millis(400));
    assert_eq!(ledger.state().dropped, 20_000 - 16_384);
}

#[test]
fn the_state_of_rates_survives_and_the_later_of_two_processes_stays() {
    let folder = Folder::new();
    let (first, second) = (folder.open(), folder.open());
    let now = Timestamp::now().as_microsecond();
    let state = |left: i64| RateRow {
        limit: "search-team".into(),
        scope: "alice".into(),
        counts: Counts::Requests,
        window: Window::Minute,
        full_at: now + left * 1_000_000,
    };
    first.save_rates(vec![state(500)]);
    eventually("it is written", || {
        first.load_rates().unwrap() == [state(500)]
    });
    // The same process may write an earlier one: something was given back.
    first.save_rates(vec![state(400)]);
    eventually("it is written", || {
        first.load_rates().unwrap() == [state(400)]
    });
    second.save_rates(vec![state(300)]);
    second.close();
    assert_eq!(first.load_rates().unwrap(), [state(400)]);
    // A clock that was set back locks nobody out: what was left is left.
    let day = SignedDuration::from_hours(24);
    let back = super::super::rate::read(&folder.ledger(), Timestamp::now() - day).unwrap();
    let left = back[0].full_at - (Timestamp::now() - day).as_microsecond();
    assert!((380_000_000..=400_000_000).contains(&left), "{left}");
    let later = super::super::rate::read(&folder.ledger(), Timestamp::now() + day).unwrap();
    assert!(later.is_empty());
}
