//! Usage over a WebSocket: each response counts when it ends, and no byte of the connection changes.

use crate::support::command::keygate;
use crate::support::gateway::{Scene, simple, tokens};
use crate::support::websocket::{connect, handshake, take_turn, taking_turns, text};
use crate::support::{Gateway, eventually};

const PATH: &str = "/p/v1/responses";
const BEGUN: &str =
    r#"{"type":"response.created","response":{"id":"resp_1","model":"m-1","usage":null}}"#;
const DONE: &str = r#"{"type":"response.completed","response":{"id":"resp_1","model":"m-1","usage":{"input_tokens":1000,"input_tokens_details":{"cached_tokens":100},"output_tokens":500}}}"#;
const PRICES: &str =
    "[[price]]\nmodel = \"m-1\"\ninput = \"1\"\noutput = \"10\"\nper_request = \"0.5\"\n";

/// A gateway whose route allows WebSockets, with more lines.
fn before(provider: &crate::support::Provider, route: &str) -> Gateway {
    let route = format!("websocket = true\n{route}");
    let scene = Scene::new(&simple(&provider.url(), "", &route));
    scene.key("alice", "secret", "").start()
}

fn counted(gateway: &Gateway, family: &str) -> u64 {
    gateway.count(&format!(
        "keygate_{family}_total{{provider=\"p\",route=\"r\"}}"
    ))
}

#[test]
fn each_response_over_a_websocket_counts_when_it_ends_and_the_line_has_their_sum() {
    // A message in two frames, with a ping between them, and two messages in one chunk.
    let (begin, rest) = DONE.split_at(60);
    let mut halves = vec![0x01, 60];
    halves.extend(begin.as_bytes());
    halves.extend([0x89, 2, b'h', b'i']);
    halves.extend([0x80, u8::try_from(rest.len()).unwrap()]);
    halves.extend(rest.as_bytes());
    let turns = vec![
        [text(BEGUN), text(DONE)].concat(),
        [text(BEGUN), halves].concat(),
    ];
    let provider = taking_turns("", turns.clone());
    let prices = "[usage]\nprices = \"prices.toml\"\n";
    let config = simple(&provider.url(), "", "websocket = true");
    let scene = Scene::new(&format!("{config}{prices}"));
    scene.write("prices.toml", PRICES);
    let gateway = scene.key("alice", "secret", "").start();
    let mut client = connect(&gateway, PATH, "");
    take_turn(&mut client, &turns[0]);
    // While the connection is open.
    eventually("the first is counted", || tokens(&gateway, "output") == 500);
    take_turn(&mut client, &turns[1]);
    drop(client);
    let line = &gateway.access_lines(1)[0];
    assert_eq!(
        (&line["status"], &line["responses"]),
        (&101.into(), &2.into())
    );
    assert_eq!(
        (
            &line["input_tokens"],
            &line["output_tokens"],
            &line["cache_read_tokens"]
        ),
        (&2000.into(), &1000.into(), &200.into())
    );
    assert_eq!(
        (&line["model"], &line["cost"]),
        (&"m-1".into(), &"1.012".into())
    );
    let counted_tokens = ["input", "output", "cache_read"].map(|kind| tokens(&gateway, kind));
    assert_eq!(counted_tokens, [2000, 1000, 200]);
    let cost = gateway.metric(
        "keygate_cost_total{currency=\"USD\",key=\"alice\",model=\"other\",provider=\"p\",route=\"r\"}",
    );
    assert!((cost - 1.012).abs() < 1e-9, "{cost}");
    // `keygate usage --prices` counts each of the two as a request.
    let scene = &gateway.scene;
    scene.write("log.json", &format!("{line}\n"));
    let path = |name: &str| scene.path(name).display().to_string();
    let recomputed = keygate(&[
        "usage",
        "--csv",
        "--prices",
        &path("prices.toml"),
        &path("log.json"),
    ]);
    assert!(
        crate::support::command::text(&recomputed.stdout).contains(",1.012"),
        "{recomputed:?}"
    );
    assert_eq!(counted(&gateway, "websocket_responses"), 2);
    for family in [
        "unmetered_responses",
        "unmetered_streams",
        "unreadable_answers",
        "unpriced_answers",
    ] {
        assert_eq!(counted(&gateway, family), 0, "{family}");
    }
}

#[test]
fn missing_or_unreadable_usage_of_a_websocket_is_in_a_metric() {
    let compressed = [0xc1, 3, 0xaa, 0x56, 0x4a].to_vec();
    let failed = r#"{"type":"response.failed","response":{"error":{"code":"x"},"usage":null}}"#;
    let word = r#"{"type":"response.output_text.delta","delta":"a"}"#;
    let turns = vec![text(word), text(failed), text(BEGUN), compressed];
    let provider = taking_turns(
        "sec-websocket-extensions: permessage-deflate\r\n",
        turns.clone(),
    );
    let gateway = before(&provider, "");
    let mut client = connect(&gateway, PATH, "");
    turns.iter().for_each(|turn| take_turn(&mut client, turn));
    drop(client);
    let line = &gateway.access_lines(1)[0];
    assert_eq!(line["responses"], 1);
    assert_eq!(line["reason"], "error_event");
    assert!(line.get("input_tokens").is_none(), "{line}");
    // The response that failed, and the one that did not end.
    assert_eq!(counted(&gateway, "unmetered_responses"), 2);
    assert_eq!(counted(&gateway, "error_events"), 1);
    assert_eq!(counted(&gateway, "unreadable_answers"), 1);
}

#[test]
fn a_provider_is_offered_no_compression_of_a_websocket_that_is_read() {
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    let provider = taking_turns("", vec![text(DONE)]);
    for (route, offered) in [
        ("", None),
        (
            "meter_streams = \"off\"",
            Some("permessage-deflate; client_max_window_bits"),
        ),
    ] {
        let gateway = before(&provider, route);
        let mut client = connect(&gateway, PATH, offer);
        take_turn(&mut client, &text(DONE));
        drop(client);
        let line = &gateway.access_lines(1)[0];
        assert_eq!(line.get("output_tokens").is_none(), offered.is_some());
        assert_eq!(provider.last().header("sec-websocket-extensions"), offered);
        assert_eq!(provider.last().header("sec-websocket-version"), Some("13"));
    }
}

#[test]
fn a_websocket_that_is_cut_for_a_revoked_key_counts_its_usage() {
    let provider = taking_turns("", vec![text(DONE)]);
    let config = simple(&provider.url(), "", "websocket = true");
    let scene = Scene::with_server("keys.revoked_streams = \"cut\"", &config);
    let gateway = scene.key("alice", "secret", "").start();
    let mut client = connect(&gateway, PATH, "");
    take_turn(&mut client, &text(DONE));
    gateway.scene.write("keys.toml", "");
    assert!(client.is_closed());
    let line = &gateway.access_lines(1)[0];
    assert_eq!(
        (&line["reason"], &line["output_tokens"], &line["responses"]),
        (&"key_revoked".into(), &500.into(), &1.into())
    );
}

#[test]
fn the_model_of_a_websocket_is_the_clients_if_the_provider_reports_none() {
    let message = r#"{"serverContent":{"turnComplete":true},"usageMetadata":{"promptTokenCount":7,"responseTokenCount":2}}"#;
    let provider = crate::support::Provider::responding(move |_, wire| {
        crate::support::websocket::switch(wire, "");
        let mut chunk = [0; 100];
        assert!(wire.read(&mut chunk).unwrap() > 0);
        wire.write_all(&text(message)).unwrap();
        while let Ok(1..) = wire.read(&mut chunk) {}
    });
    let gateway = before(&provider, "");
    let mut client = connect(&gateway, "/p/ws/bidi", "");
    let setup = r#"{"setup":{"model":"models/live"}}"#;
    let mut masked = vec![0x81, 0x80 | u8::try_from(setup.len()).unwrap(), 0, 0, 0, 0];
    masked.extend(setup.as_bytes());
    client.send(&masked);
    client.read_exact(&mut vec![0; text(message).len()]);
    drop(client);
    let line = &gateway.access_lines(1)[0];
    assert_eq!(
        (&line["model"], &line["input_tokens"]),
        (&"live".into(), &7.into())
    );
}

#[test]
fn a_refused_websocket_is_426_if_http_serves_the_same_request() {
    let provider = crate::support::Provider::start();
    let gateway = Gateway::before(&provider);
    for (path, status, upgrade) in [
        (PATH, 426, Some("HTTP/1.1")),
        ("/p/v1/responses?a=b", 426, Some("HTTP/1.1")),
        ("/p/v1/realtime?model=m", 403, None),
        ("/p", 403, None),
    ] {
        let mut client = gateway.client();
        client.send(handshake(path, ""));
        let refused = client.response(false);
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (status, "upgrade_not_allowed"),
            "{path}"
        );
        assert_eq!(refused.header("upgrade"), upgrade);
        // The same connection serves the request over HTTP.
        let headers = [("authorization", "Bearer secret")];
        assert_eq!(client.request("POST", path, &headers, b"{}").status, 200);
    }
    // Without a key, the response does not reveal it.
    let mut client = gateway.client();
    client.send(handshake(PATH, "").replace("Bearer secret", "Bearer other"));
    assert_eq!(client.response(false).status, 401);
    let received = provider.received();
    assert!(
        received
            .iter()
            .all(|request| request.line().starts_with("POST "))
    );
    let lines = gateway.access_lines(9);
    assert_eq!(
        (&lines[0]["status"], &lines[0]["reason"]),
        (&426.into(), &"upgrade_not_allowed".into())
    );
}
