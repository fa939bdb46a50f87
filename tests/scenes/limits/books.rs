//! The books of the gateway and those of the provider say the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::{Bill, Books, JSON, limit, scene, scene_with, taken};
use crate::support::client::raw_request;
use crate::support::{Client, Gateway, eventually};

/// Sends a request in some way, and reads as much of its response as that way wants.
fn exchange(gateway: &Gateway, number: usize) {
    let tokens = number % 7;
    let body = match number % 5 {
        0 => json!({"model": "m", "status": 500, "max_tokens": tokens}),
        1 => json!({"model": "m", "stream": true, "max_tokens": tokens, "input": 1 + number % 13}),
        2 => json!({"model": "unknown"}),
        _ => json!({"model": "m", "max_tokens": tokens, "input": 1 + number % 11}),
    };
    let mut client = Client::connect(gateway.address());
    let raw = raw_request(
        "POST",
        "/p/chat/completions",
        &JSON,
        body.to_string().as_bytes(),
    );
    // Some leave before the end of their request: nothing of it is billed.
    if number % 17 == 3 {
        client.send(&raw[..raw.len() - 3]);
        return;
    }
    client.send(&raw);
    if body["stream"] == Value::Bool(true) {
        let head = client.read_head();
        while head.starts_with("HTTP/1.1 200") && client.try_chunk().flatten().is_some() {}
    } else {
        client.try_response(false);
    }
}

/// The long form has 10,000 requests.
fn count(few: usize) -> usize {
    if std::env::var_os("LIMITS_LONG").is_some() {
        10_000
    } else {
        few
    }
}

#[test]
fn after_many_requests_of_all_kinds_the_ledger_has_what_the_provider_has_billed() {
    let books = Books::open();
    let limits = limit("money", "of = \"gateway\"\nbudget = \"900 per year\"")
        + &limit("input", "of = \"gateway\"\ninput_tokens = \"1G per year\"")
        + &limit(
            "output",
            "of = \"gateway\"\noutput_tokens = \"1G per year\"\nparallel = 3",
        );
    let gateway = scene_with(
        &books,
        "ledger.store = \"ledger.db\"\nserver.threads = 2",
        &limits,
    )
    .start();
    let next = AtomicUsize::new(0);
    let all = count(600);
    std::thread::scope(|threads| {
        for _ in 0..6 {
            threads.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= all {
                        return;
                    }
                    exchange(&gateway, number);
                }
            });
        }
    });
    let path = gateway.scene.path("ledger.db");
    let whole = |units: u64| i64::try_from(units).unwrap();
    let mut said = (Bill::default(), [0; 3]);
    eventually("the books agree", || {
        let bill = books.bill();
        let ledger = ["money", "input", "output"].map(|name| taken(&path, name));
        said = (bill, ledger);
        ledger == [whole(bill.cost()), whole(bill.input), whole(bill.output)]
    });
    assert!(said.0.requests > 0 && said.0.output > 0, "{said:?}");
    // Nothing is reserved at rest: three at once are admitted.
    eventually("all places are free", || {
        let mut three: Vec<_> = (0..3)
            .map(|_| super::begin(&gateway, &json!({"model": "m", "pause": 50})))
            .collect();
        three
            .iter_mut()
            .all(|client| client.response(false).status == 200)
    });
}

/// Invariant I3: with the most that each request can use reserved, a provider that uses every token it may never gets
/// more than the budget, however many come at once.
#[test]
fn a_budget_that_reserves_the_most_is_never_exceeded() {
    for budget in ["0.004", "0.0091", "0.02"] {
        let books = Books::open();
        let limits = limit(
            "money",
            &format!("of = \"gateway\"\nbudget = \"{budget} per day\"\nreserve = \"max\""),
        );
        let gateway = Arc::new(scene(&books, &limits).start());
        std::thread::scope(|threads| {
            for thread in 0..count(16).min(200) {
                let gateway = gateway.clone();
                threads.spawn(move || {
                    for round in 0..8 {
                        let body = json!({
                            "model": "m", "stream": (thread + round) % 2 == 0,
                            "max_tokens": 20 + thread * 7 % 60, "input": 20,
                        });
                        let mut client = super::begin(&gateway, &body);
                        let head = client.read_head();
                        if head.contains("text/event-stream") {
                            while client.try_chunk().flatten().is_some() {}
                        }
                    }
                });
            }
        });
        let spent = books.bill().cost();
        let most = (budget.parse::<f64>().unwrap() * 1e9).round() as u64;
        assert!(spent <= most, "{spent} of {most}");
        assert!(spent > 0);
    }
}
