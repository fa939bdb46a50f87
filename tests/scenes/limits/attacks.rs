//! Clients that want more than their limits, or less for others.

use bytes::Bytes;
use http::Request;
use serde_json::json;

use super::{Books, JSON, ask, ask_at, configuration, limit, scene, scene_with};
use crate::support::websocket::{MESSAGE, connect, handshake, take_turn, taking_turns, text};
use crate::support::{Scene, eventually, http2};

#[test]
fn a_header_that_makes_a_request_a_post_opens_no_endpoint_that_bills_later() {
    let books = Books::open();
    let limits = limit("money", "of = \"gateway\"\nbudget = \"5 per day\"");
    let gateway = scene(&books, &limits).start();
    let headers = [JSON[0], JSON[1], ("x-http-method-override", "POST")];
    let refused = gateway.request("GET", "/p/v1/batches", &headers, b"{}");
    assert_eq!(refused.code(), "unmetered_endpoint");
}

#[test]
fn a_client_that_keeps_the_end_of_its_stream_back_reserves_all_the_same() {
    let books = Books::open();
    let limits = limit(
        "money",
        "of = \"gateway\"\nbudget = \"0.05 per day\"\nreserve = \"max\"",
    ) + &limit(
        "big",
        "of = \"gateway\"\nmodels = [\"m\"]\nrequests = \"1000 per hour\"",
    );
    let gateway = scene_with(&books, "server.h2c = true", &limits).start();
    let body = json!({"model": "m", "max_tokens": 1000, "pause": 300}).to_string();
    let length = body.len().to_string();
    let statuses = http2::run(async {
        let mut waiting = Vec::new();
        for _ in 0..12 {
            let mut client = http2::connect(gateway.address())
                .await
                .ready()
                .await
                .unwrap();
            let request = Request::post("http://a/p/chat/completions")
                .header("authorization", "Bearer secret")
                .header("content-type", "application/json")
                .header("content-length", &length)
                .body(())
                .unwrap();
            let (response, mut sender) = client.send_request(request, false).unwrap();
            sender.send_data(Bytes::from(body.clone()), false).unwrap();
            waiting.push((client, response, sender));
        }
        let mut statuses = Vec::new();
        for (client, response, sender) in waiting {
            let status = response.await.map(|it| it.status().as_u16());
            statuses.push(status.unwrap_or(0));
            drop((client, sender));
        }
        statuses
    });
    assert!(
        statuses.contains(&200) && statuses.contains(&402),
        "{statuses:?}"
    );
    assert!(books.bill().cost() <= 50_000_000, "{:?}", books.bill());
}

#[test]
fn a_request_that_names_no_model_has_no_bound_of_its_cost() {
    let books = Books::open();
    let limits = limit(
        "money",
        "of = \"gateway\"\nbudget = \"0.05 per day\"\nreserve = \"max\"\nunbounded = \"refuse\"",
    );
    let gateway = scene(&books, &limits).start();
    let refused = ask(&gateway, &json!({"max_tokens": 1000}));
    assert_eq!(refused.code(), "unbounded_request");
    let response = ask(&gateway, &json!({"model": "m", "max_tokens": 1000}));
    assert_eq!(response.status, 200);
}

/// A response of 1,000 tokens of output, which costs 0.01.
fn turn() -> Vec<u8> {
    text(
        r#"{"type":"response.completed","response":{"model":"m","usage":{"input_tokens":10,"output_tokens":1000}}}"#,
    )
}

#[test]
fn a_websocket_ends_when_nothing_is_left_of_a_budget() {
    let turns = vec![turn(); 20];
    let provider = taking_turns("", turns.clone());
    let limits = limit("money", "of = \"gateway\"\nbudget = \"0.035 per day\"")
        + &limit(
            "big",
            "of = \"gateway\"\nmodels = [\"m\"]\nrequests = \"1 per hour\"",
        );
    let configuration = configuration(&provider, &limits)
        .replace("path = \"/p\"", "path = \"/p\"\nwebsocket = true");
    let scene = Scene::new(&configuration);
    scene.write("prices.toml", super::PRICES);
    let gateway = scene.key("alice", "secret", "").start();
    let mut client = connect(&gateway, "/p/v1/responses", "");
    for turn in turns.iter().take(3) {
        take_turn(&mut client, turn);
    }
    client.send(MESSAGE);
    eventually("the connection ends", || client.is_closed());
    // The model of a WebSocket may be any.
    let mut second = gateway.client();
    second.send(handshake("/p/v1/responses", ""));
    assert_eq!(second.response(false).status, 402);
}

#[test]
fn a_limit_that_refuses_what_has_no_bound_refuses_websockets() {
    let provider = taking_turns("", vec![turn()]);
    let limits = limit(
        "money",
        "of = \"gateway\"\nbudget = \"1 per day\"\nreserve = \"max\"\nunbounded = \"refuse\"",
    );
    let configuration = configuration(&provider, &limits)
        .replace("path = \"/p\"", "path = \"/p\"\nwebsocket = true");
    let scene = Scene::new(&configuration);
    scene.write("prices.toml", super::PRICES);
    let gateway = scene.key("alice", "secret", "").start();
    let mut client = gateway.client();
    client.send(handshake("/p/v1/responses", ""));
    assert_eq!(client.response(false).code(), "unbounded_request");
}

#[test]
fn one_clients_odd_requests_do_not_close_a_budget_for_others() {
    let books = Books::open();
    let limits = limit(
        "money",
        "of = { label = \"team\", each = true }\nbudget = \"0.1 per day\"",
    );
    let gateway = scene(&books, &limits).start();
    let odd = json!({"model": "m", "max_tokens": 1, "input": 20_000});
    assert_eq!(ask(&gateway, &odd).status, 200);
    eventually("the odd request is over", || {
        let left = gateway.request("GET", "/p/models", &JSON, b"");
        left.header("x-keygate-budget-remaining") == Some("0.07999")
    });
    let usual = json!({"model": "m", "max_tokens": 5, "text": "x".repeat(20_000)});
    assert_eq!(ask(&gateway, &usual).status, 200);
}

#[test]
fn a_response_that_names_a_model_without_a_price_costs_what_the_requests_model_does() {
    let provider = crate::support::Provider::responding(|_, wire| {
        let body = br#"{"model": "m9", "usage": {"prompt_tokens": 10, "completion_tokens": 9000}}"#;
        let head = [("content-type", "application/json")];
        crate::support::provider::respond(wire, "200 OK", &head, body);
    });
    let limits = limit("money", "of = \"key\"\nbudget = \"0.1 per day\"");
    let scene = Scene::new(&configuration(&provider, &limits));
    scene.write("prices.toml", super::PRICES);
    let gateway = scene.key("alice", "secret", "").start();
    let response = ask_at(
        &gateway,
        "/p/chat/completions",
        &json!({"model": "m", "max_tokens": 10}),
    );
    assert_eq!(response.status, 200);
    eventually("the cost is counted", || {
        let left = gateway.request("GET", "/p/models", &JSON, b"");
        left.header("x-keygate-budget-remaining") == Some("0.00999")
    });
}

#[test]
fn a_keys_budget_refuses_what_has_no_price() {
    let books = Books::open();
    let plain = configuration(&books.provider, "").replace("usage.prices = \"prices.toml\"\n", "");
    let scene = Scene::new(&plain);
    let budget = "max_budget = \"0.001 per day\"";
    let gateway = scene.key("alice", "secret", budget).start();
    let refused = ask(&gateway, &json!({"model": "m", "max_tokens": 1000}));
    assert_eq!(refused.code(), "unpriced_model");
    assert_eq!(books.bill().requests, 0);
}
