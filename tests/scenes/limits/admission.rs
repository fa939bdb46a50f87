//! Who is admitted, and what those are told that are not.

use std::time::Duration;

use serde_json::json;

use super::{Books, JSON, ask, ask_at, begin, limit, number, scene};
use crate::support::{Scene, eventually};

#[test]
fn a_key_that_has_sent_its_requests_waits_and_others_do_not() {
    let books = Books::open();
    let more = "rpm_limit = 2";
    let gateway = Scene::new(&super::configuration(&books.provider, ""))
        .key("bob", "other", "")
        .key("alice", "secret", more);
    gateway.write("prices.toml", super::PRICES);
    let gateway = gateway.start();
    for left in [1, 0] {
        let response = ask(&gateway, &json!({}));
        assert_eq!(response.status, 200);
        assert_eq!(number(&response, "x-ratelimit-remaining-requests"), left);
        assert_eq!(number(&response, "x-ratelimit-limit-requests"), 2);
    }
    let refused = ask(&gateway, &json!({}));
    assert_eq!((refused.status, &*refused.code()), (429, "requests_limit"));
    let wait = number(&refused, "retry-after-ms");
    assert!((20_000..=30_000).contains(&wait), "{wait}");
    assert_eq!(refused.header("x-keygate-refused-by"), Some("gateway"));
    let headers = [("api-key", "other"), JSON[1]];
    for _ in 0..5 {
        let other = gateway.request("POST", "/p/chat/completions", &headers, b"{}");
        assert_eq!(other.status, 200);
        assert_eq!(other.header("x-ratelimit-remaining-requests"), None);
    }
    assert_eq!(books.bill().requests, 7);
}

#[test]
fn a_rate_admits_again_when_its_time_has_come() {
    let books = Books::open();
    let limits = limit("fast", "of = \"gateway\"\nrequests = \"4 per second\"");
    let gateway = scene(&books, &limits).start();
    let statuses: Vec<u16> = (0..5).map(|_| ask(&gateway, &json!({})).status).collect();
    assert!(statuses.contains(&429), "{statuses:?}");
    let refused = loop {
        let response = ask(&gateway, &json!({}));
        if response.status == 429 {
            break response;
        }
    };
    let wait = u64::try_from(number(&refused, "retry-after-ms")).unwrap();
    std::thread::sleep(Duration::from_millis(wait));
    assert_eq!(ask(&gateway, &json!({})).status, 200);
}

#[test]
fn tokens_count_as_the_provider_counts_them_and_not_as_requests() {
    let books = Books::open();
    let limits = limit("tokens", "of = \"key\"\ntokens = \"1000 per minute\"");
    let gateway = scene(&books, &limits).start();
    for spent in [105, 210, 315] {
        assert_eq!(
            ask(&gateway, &json!({"input": 100, "max_tokens": 5})).status,
            200
        );
        eventually("the tokens are counted", || {
            // A request that uses no tokens tells what is left.
            let left = gateway.request("GET", "/p/models", &JSON, b"");
            let left = number(&left, "x-ratelimit-remaining-tokens");
            // Tokens flow back meanwhile, 17 a second.
            (1000 - spent..1000 - spent + 90).contains(&left)
        });
    }
    // More than is left, which nobody could know before: the debt is paid by those that follow.
    assert_eq!(
        ask(&gateway, &json!({"input": 900, "max_tokens": 5})).status,
        200
    );
    let mut refused = None;
    eventually("the debt is counted", || {
        let response = ask(&gateway, &json!({"input": 1, "max_tokens": 1}));
        refused = (response.status == 429).then_some(response);
        refused.is_some()
    });
    let refused = refused.unwrap();
    assert_eq!((refused.status, &*refused.code()), (429, "tokens_limit"));
    assert_eq!(refused.header("x-should-retry"), None);
}

#[test]
fn a_spent_budget_is_refused_until_its_period_ends() {
    let books = Books::open();
    let limits = limit(
        "search",
        "of = { label = \"team\", each = true }\nbudget = \"0.001 per month\"",
    );
    let gateway = scene(&books, &limits).start();
    // 90 tokens of output cost 0.0009, and 10 of input 0.00001.
    let response = ask(&gateway, &json!({"model": "m", "max_tokens": 90}));
    assert_eq!(response.status, 200);
    eventually("the cost is counted", || {
        let left = gateway.request("GET", "/p/models", &JSON, b"");
        left.header("x-keygate-budget-remaining") == Some("0.00009")
    });
    let refused = ask(&gateway, &json!({"model": "m", "max_tokens": 90}));
    assert_eq!((refused.status, &*refused.code()), (402, "budget_exceeded"));
    assert_eq!(refused.header("retry-after"), None);
    assert_eq!(refused.header("x-should-retry"), Some("false"));
    let message = refused.json()["error"]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        message.starts_with("Budget `search` of 0.001 per month for team `search`"),
        "{message}"
    );
    assert!(
        refused
            .header("x-keygate-limit-reset")
            .unwrap()
            .ends_with("-01T00:00:00Z")
    );
    assert_eq!(books.bill().requests, 1);
}

#[test]
fn only_so_many_are_in_flight_and_a_client_that_leaves_makes_room() {
    let books = Books::open();
    let limits = limit("few", "of = \"route\"\nparallel = 2");
    let gateway = scene(&books, &limits).start();
    let slow = json!({"stream": true, "max_tokens": 1000, "pause": 20});
    let mut streams: Vec<_> = (0..2).map(|_| begin(&gateway, &slow)).collect();
    for stream in &mut streams {
        assert!(stream.read_head().starts_with("HTTP/1.1 200"));
    }
    let refused = ask(&gateway, &json!({}));
    assert_eq!((refused.status, &*refused.code()), (429, "parallel_limit"));
    drop(streams.pop());
    eventually("a place is free", || {
        ask(&gateway, &json!({})).status == 200
    });
    drop(streams);
    eventually("all places are free", || {
        let mut two: Vec<_> = (0..2)
            .map(|_| begin(&gateway, &json!({"pause": 50})))
            .collect();
        two.iter_mut()
            .all(|client| client.response(false).status == 200)
    });
}

#[test]
fn what_one_limit_refuses_takes_nothing_of_the_others() {
    let books = Books::open();
    let limits = limit("few", "of = \"route\"\nparallel = 1")
        + &limit("many", "of = \"key\"\nrequests = \"100 per hour\"");
    let gateway = scene(&books, &limits).start();
    let mut stream = begin(
        &gateway,
        &json!({"stream": true, "max_tokens": 200, "pause": 20}),
    );
    let head = stream.read_head();
    assert!(
        head.contains("x-ratelimit-remaining-requests: 99"),
        "{head}"
    );
    for _ in 0..20 {
        assert_eq!(ask(&gateway, &json!({})).code(), "parallel_limit");
    }
    drop(stream);
    let mut left = 0;
    eventually("a place is free", || {
        let response = ask(&gateway, &json!({}));
        left = response
            .header("x-ratelimit-remaining-requests")
            .map_or(0, |it| it.parse().unwrap());
        response.status == 200
    });
    assert_eq!(left, 98);
}

#[test]
fn a_limit_that_is_observed_refuses_nothing() {
    let books = Books::open();
    let limits = limit(
        "watched",
        "of = \"key\"\nrequests = \"1 per hour\"\nmode = \"observe\"",
    );
    let gateway = scene(&books, &limits).start();
    for _ in 0..4 {
        let response = ask(&gateway, &json!({}));
        assert_eq!(response.status, 200);
        assert_eq!(response.header("x-ratelimit-remaining-requests"), None);
    }
}

#[test]
fn a_limit_of_some_routes_holds_on_these() {
    let books = Books::open();
    let limits = "[[routes]]\nname = \"other\"\npath = \"/o\"\nprovider = \"p\"\n".to_owned()
        + &limit(
            "one",
            "of = \"gateway\"\nroutes = [\"other\"]\nrequests = \"1 per hour\"",
        );
    let gateway = scene(&books, &limits).start();
    for (path, status) in [
        ("/o/v1/x", 200),
        ("/o/v1/x", 429),
        ("/p/v1/x", 200),
        ("/p/v1/x", 200),
    ] {
        assert_eq!(ask_at(&gateway, path, &json!({})).status, status, "{path}");
    }
}

#[test]
fn a_request_without_limits_gets_no_headers_of_limits() {
    let books = Books::open();
    let gateway = scene(&books, "").start();
    let response = ask(&gateway, &json!({}));
    let has_limit = response.head.to_lowercase().contains("ratelimit");
    assert!(!has_limit, "{}", response.head);
}

#[test]
fn the_providers_own_refusal_passes_with_its_wait_and_gives_tokens_back() {
    let books = Books::open();
    let limits = limit(
        "tokens",
        "of = \"key\"\ntokens = \"1000 per hour\"\nrequests = \"10 per hour\"",
    );
    let gateway = scene(&books, &limits).start();
    for left in [9, 8] {
        let response = ask(&gateway, &json!({"status": 429, "max_tokens": 500}));
        assert_eq!(response.status, 429);
        assert_eq!(response.header("x-keygate-refused-by"), Some("provider"));
        assert_eq!(response.header("retry-after"), Some("7"));
        assert_eq!(number(&response, "x-ratelimit-remaining-requests"), left);
    }
    eventually("the tokens are back", || {
        let left = gateway.request("GET", "/p/models", &JSON, b"");
        number(&left, "x-ratelimit-remaining-tokens") == 1000
    });
}
