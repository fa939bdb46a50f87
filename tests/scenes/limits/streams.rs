//! Responses that go on for long.

use serde_json::json;

use super::{Books, JSON, ask, begin, limit, number, scene};
use crate::support::eventually;

#[test]
fn a_stream_that_goes_on_is_charged_before_its_end() {
    let books = Books::open();
    let limits = limit(
        "tokens",
        "of = \"key\"\noutput_tokens = \"100k per hour\"\nreserve = \"none\"",
    );
    let gateway = scene(&books, &limits).start();
    let mut stream = begin(
        &gateway,
        &json!({"model": "m", "stream": true, "max_tokens": 5000, "pause": 1}),
    );
    assert!(stream.read_head().starts_with("HTTP/1.1 200"));
    eventually("the stream is charged while it goes on", || {
        while stream.has_response() {
            if stream.try_chunk().flatten().is_none() {
                break;
            }
        }
        let left = gateway.request("GET", "/p/models", &JSON, b"");
        number(&left, "x-ratelimit-remaining-tokens") < 99_900
    });
    drop(stream);
}

#[test]
fn a_stream_is_cut_when_its_budget_is_spent_if_the_limit_says_so() {
    for (setting, is_cut) in [("cut", true), ("finish", false)] {
        let books = Books::open();
        let limits = limit(
            "money",
            &format!(
                "of = \"key\"\nbudget = \"0.005 per day\"\nreserve = \"none\"\nover_budget_streams = \"{setting}\""
            ),
        );
        let gateway = scene(&books, &limits).start();
        let mut stream = begin(
            &gateway,
            &json!({"model": "m", "stream": true, "max_tokens": 2000}),
        );
        assert!(stream.read_head().starts_with("HTTP/1.1 200"));
        let mut whole = false;
        let mut events = 0;
        while let Some(chunk) = stream.try_chunk() {
            match chunk {
                Some(_) => events += 1,
                None => {
                    whole = true;
                    break;
                }
            }
        }
        assert_eq!(whole, !is_cut, "{setting}: {events} events");
        let line = gateway.access_lines(1).remove(0);
        let reason = line["reason"].as_str();
        assert_eq!(reason, is_cut.then_some("budget_exceeded"), "{line}");
        let refused = ask(&gateway, &json!({"model": "m"}));
        assert_eq!(refused.code(), "budget_exceeded");
    }
}

#[test]
fn a_client_that_leaves_pays_for_what_it_got() {
    let books = Books::open();
    let limits = limit("tokens", "of = \"key\"\ntokens = \"100k per hour\"");
    let gateway = scene(&books, &limits).start();
    let mut stream = begin(
        &gateway,
        &json!({"model": "m", "stream": true, "max_tokens": 5000, "pause": 2}),
    );
    stream.read_head();
    for _ in 0..100 {
        stream.chunk();
    }
    drop(stream);
    gateway.access_lines(1);
    let left = gateway.request("GET", "/p/models", &JSON, b"");
    let left = number(&left, "x-ratelimit-remaining-tokens");
    assert!((96_000..=99_900).contains(&left), "{left}");
}
