//! What a limit needs to know of a request's body: its model, and how much it asks for.

use std::io::{Read, Write};
use std::net::TcpListener;

use serde_json::json;

use super::{Books, JSON, ask, ask_at, limit, scene, scene_with};
use crate::support::client::raw_request;
use crate::support::{Client, Provider, Scene, eventually};

#[test]
fn a_limit_of_a_model_holds_for_that_model_wherever_it_is_named() {
    let books = Books::open();
    let limits = limit(
        "big",
        "of = \"key\"\nmodels = [\"Big-*\"]\nrequests = \"1 per hour\"",
    );
    let gateway = scene(&books, &limits).start();
    for (path, model, status) in [
        ("/p/chat/completions", "small", 200),
        ("/p/chat/completions", "big-1", 200),
        ("/p/chat/completions", "BIG-2", 429),
        ("/p/chat/completions", "small", 200),
        ("/p/v1beta/models/big-3:generateContent", "small", 429),
    ] {
        let response = ask_at(&gateway, path, &json!({"model": model}));
        assert_eq!(response.status, status, "{path} {model}");
    }
}

#[test]
fn a_model_that_cannot_be_read_counts_for_every_limit_of_models() {
    let books = Books::open();
    let limits = limit(
        "big",
        "of = \"key\"\nmodels = [\"big\"]\nrequests = \"2 per hour\"",
    );
    let gateway = scene(&books, &limits).start();
    let headers = [JSON[0], ("content-type", "application/octet-stream")];
    let path = "/p/chat/completions";
    let twice = br#"{"model": "small", "model": "tiny"}"#;
    assert_eq!(gateway.request("POST", path, &JSON, twice).status, 200);
    assert_eq!(gateway.request("POST", path, &headers, b"\x00").status, 400);
    assert_eq!(gateway.request("POST", path, &headers, b"\x00").status, 429);
    assert_eq!(gateway.request("POST", path, &JSON, twice).status, 429);
    assert_eq!(ask(&gateway, &json!({"model": "small"})).status, 200);
}

#[test]
fn a_model_without_a_price_is_refused_under_a_budget_and_the_provider_does_not_get_the_request() {
    for server in ["", "server.limits.held_body = \"0B\""] {
        let books = Books::open();
        let limits = limit("money", "of = \"key\"\nbudget = \"5 per day\"");
        let gateway = scene_with(&books, server, &limits).start();
        let refused = ask(&gateway, &json!({"model": "unknown"}));
        assert_eq!((refused.status, &*refused.code()), (403, "unpriced_model"));
        assert_eq!(ask(&gateway, &json!({"model": "m"})).status, 200);
        assert_eq!(books.bill().requests, 1);
        assert_eq!(books.provider.received().len(), 1);
    }
}

#[test]
fn a_model_without_a_price_passes_where_the_limit_allows_it() {
    let books = Books::open();
    let limits = limit(
        "money",
        "of = \"key\"\nbudget = \"5 per day\"\nunpriced = \"allow\"",
    );
    let gateway = scene(&books, &limits).start();
    assert_eq!(ask(&gateway, &json!({"model": "unknown"})).status, 200);
}

#[test]
fn an_endpoint_that_bills_later_is_refused_under_a_budget() {
    let books = Books::open();
    let limits = limit("money", "of = \"key\"\nbudget = \"5 per day\"");
    let gateway = scene(&books, &limits).start();
    let refused = ask_at(&gateway, "/p/v1/batches", &json!({}));
    assert_eq!(
        (refused.status, &*refused.code()),
        (403, "unmetered_endpoint")
    );
    let limits = limit(
        "money",
        "of = \"key\"\nbudget = \"5 per day\"\nunmetered = \"allow\"",
    );
    let gateway = scene(&books, &limits).start();
    assert_eq!(ask_at(&gateway, "/p/v1/batches", &json!({})).status, 200);
}

/// Bodies that come with the head, behind it, in pieces, and in chunks.
#[test]
fn what_a_body_asks_for_is_reserved_however_it_comes_and_the_connection_goes_on_after_a_refusal() {
    for server in ["", "server.limits.held_body = \"0B\""] {
        let books = Books::open();
        let limits = limit(
            "money",
            "of = \"key\"\nbudget = \"0.01 per day\"\nreserve = \"max\"",
        );
        let gateway = scene_with(&books, server, &limits).start();
        // 2,000 tokens of output cost 0.02, which is more than the whole budget.
        let too_much = json!({"model": "m", "max_tokens": 2000}).to_string();
        let enough = json!({"model": "m", "max_tokens": 1}).to_string();
        let path = "/p/chat/completions";
        let mut client = Client::connect(gateway.address());
        for cut in [0, 1, too_much.len() - 1, too_much.len()] {
            let raw = raw_request("POST", path, &JSON, too_much.as_bytes());
            let (begin, end) = raw.split_at(raw.len() - cut);
            client.send(begin);
            if cut > 0 {
                std::thread::sleep(std::time::Duration::from_millis(30));
                client.send(end);
            }
            let refused = client.response(false);
            assert_eq!(
                (refused.status, &*refused.code()),
                (400, "request_exceeds_limit"),
                "{cut}"
            );
            if refused.header("connection") == Some("close") {
                client = Client::connect(gateway.address());
            }
            let response = client.request("POST", path, &JSON, enough.as_bytes());
            assert_eq!(response.status, 200, "{cut}");
        }
        let chunked = [JSON[0], JSON[1], ("transfer-encoding", "chunked")];
        let mut head = raw_request("POST", path, &chunked, b"");
        head.extend(format!("{:x}\r\n{too_much}\r\n0\r\n\r\n", too_much.len()).into_bytes());
        let mut client = Client::connect(gateway.address());
        client.send(head);
        assert_eq!(client.response(false).code(), "request_exceeds_limit");
        assert_eq!(books.bill().requests, 4);
    }
}

#[test]
fn a_request_that_is_refused_for_its_body_takes_nothing_of_any_limit() {
    let books = Books::open();
    let limits = limit(
        "money",
        "of = \"key\"\nbudget = \"0.01 per day\"\nreserve = \"max\"",
    ) + &limit(
        "many",
        "of = \"key\"\nrequests = \"100 per hour\"\nparallel = 1\ntokens = \"9000 per hour\"",
    );
    let gateway = scene(&books, &limits).start();
    for _ in 0..5 {
        let refused = ask(&gateway, &json!({"model": "m", "max_tokens": 2000}));
        assert_eq!(refused.code(), "request_exceeds_limit");
    }
    eventually("everything is left", || {
        let left = gateway.request("GET", "/p/models", &JSON, b"");
        let is = |name: &str, value: &str| left.header(name) == Some(value);
        // This request counts as one.
        is("x-ratelimit-remaining-tokens", "9000") && is("x-keygate-budget-remaining", "0.01")
    });
    let left = gateway.request("GET", "/p/models", &JSON, b"");
    let requests: i64 = left
        .header("x-ratelimit-remaining-requests")
        .unwrap()
        .parse()
        .unwrap();
    assert!(requests > 85, "{requests}");
}

#[test]
fn a_request_without_a_cap_takes_the_most_that_its_model_makes_or_is_refused_where_that_is_not_known()
 {
    let books = Books::open();
    let limits = |more: &str| {
        let rest = "of = \"key\"\nbudget = \"0.01 per day\"\nreserve = \"max\"";
        limit("money", &format!("{rest}\n{more}"))
    };
    let most = "[[price]]\nmodel = \"m\"\ninput = \"1\"\noutput = \"10\"\nmax_output = ";
    // 700 tokens of output cost 0.007, and the input 0.002; 1,100 are more than the limit ever admits.
    for (max_output, status) in [("700", 200), ("1100", 400)] {
        let scene = scene(&books, &limits(""));
        scene.write("prices.toml", &format!("{most}{max_output}\n"));
        let gateway = scene.start();
        assert_eq!(
            ask(&gateway, &json!({"model": "m"})).status,
            status,
            "{max_output}"
        );
    }
    let gateway = scene(&books, &limits("unbounded = \"refuse\"")).start();
    let refused = ask(&gateway, &json!({"model": "m"}));
    assert_eq!(
        (refused.status, &*refused.code()),
        (403, "unbounded_request")
    );
    let image = json!({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}]});
    assert_eq!(ask(&gateway, &image).code(), "unbounded_request");
    let text =
        json!({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "a"}]});
    assert_eq!(ask(&gateway, &text).status, 200);
    let gateway = scene(&books, &limits("")).start();
    assert_eq!(ask(&gateway, &json!({"model": "m"})).status, 200);
}

#[test]
fn a_provider_that_responds_before_the_end_of_a_request_does_not_get_around_a_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut wire, _) = listener.accept().unwrap();
        let _ = wire.read(&mut [0; 4096]);
        let _ = wire.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nearly");
        // Open until the gateway closes it.
        let _ = wire.read_to_end(&mut Vec::new());
    });
    let rest = "of = \"key\"\nbudget = \"1 per day\"\nreserve = \"max\"\nunbounded = \"refuse\"";
    let other = Provider::start();
    let configuration = super::configuration(&other, &limit("money", rest));
    let configuration = configuration.replace(&other.url(), &format!("http://{address}"));
    let scene = Scene::with_server("server.limits.held_body = \"0B\"", &configuration);
    scene.write("prices.toml", super::PRICES);
    let gateway = scene.key("alice", "secret", "").start();
    let head = [JSON[0], JSON[1], ("transfer-encoding", "chunked")];
    let mut client = Client::connect(gateway.address());
    let mut raw = raw_request("POST", "/p/chat/completions", &head, b"");
    raw.extend(b"1\r\n{\r\n");
    client.send(raw);
    assert_eq!(client.response(false).code(), "unbounded_request");
}
