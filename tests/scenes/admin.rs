//! What an operator sees.

use crate::support::gateway::simple;
use crate::support::{Gateway, Provider, Scene};

const KEY: [(&str, &str); 1] = [("api-key", "secret")];

#[test]
fn the_admin_listener_answers_what_it_has_and_nothing_else() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    assert_eq!(gateway.admin("/healthz").text(), "ok\n");
    assert_eq!(gateway.admin("/readyz").text(), "ready\n");
    let metrics = gateway.admin("/metrics");
    assert_eq!(
        metrics.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    assert_eq!(gateway.admin("/").status, 404);
    assert_eq!(gateway.admin("/p").status, 404);
    let mut client = crate::support::Client::connect(gateway.running.admin());
    assert_eq!(client.request("POST", "/status", &[], b"").status, 405);
    assert_eq!(client.request("HEAD", "/metrics", &[], b"").status, 200);
    // The gateway's own port has none of it.
    for path in ["/metrics", "/healthz", "/readyz", "/status"] {
        assert_eq!(gateway.get(path, &KEY).status, 404);
    }
}

#[test]
fn an_access_line_says_what_happened_and_holds_no_secret() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    let headers = [
        ("Authorization", "Bearer secret"),
        ("cookie", "session"),
        ("user-agent", "curious"),
    ];
    let answer = gateway.request(
        "POST",
        "/p/v1/x?key=secret&page=2",
        &headers,
        b"{\"prompt\":1}",
    );
    let line = &gateway.access_lines(1)[0];
    for (name, value) in [
        ("key", "alice"),
        ("route", "r"),
        ("provider", "p"),
        ("method", "POST"),
        ("path", "/p/v1/x"),
    ] {
        assert_eq!(line[name], value, "{name}");
    }
    assert_eq!(
        line["request_id"],
        answer.header("x-keygate-request-id").unwrap()
    );
    assert_eq!(line["upstream"], provider.address().to_string());
    assert_eq!(
        (line["status"].as_u64(), line["attempts"].as_u64()),
        (Some(200), Some(1))
    );
    assert_eq!(
        (
            line["request_bytes"].as_u64(),
            line["response_bytes"].as_u64()
        ),
        (Some(12), Some(11))
    );
    assert!(line["reason"].is_null() && line["refused_by"].is_null());
    let text = line.to_string();
    for absent in [
        "secret",
        "provider-token",
        "session",
        "curious",
        "page",
        "prompt",
    ] {
        assert!(!text.contains(absent), "{absent} in {text}");
    }
}

#[test]
fn who_refused_is_said_in_the_answer_the_line_and_the_metric() {
    let provider = Provider::answering(|_, wire| {
        crate::support::provider::respond(wire, "429 Too Many Requests", &[], b"{}");
    });
    let gateway = Gateway::before(&provider);
    assert_eq!(
        gateway.get("/p", &KEY).header("x-keygate-refused-by"),
        Some("provider")
    );
    assert_eq!(
        gateway.get("/p", &[]).header("x-keygate-refused-by"),
        Some("gateway")
    );
    let lines = gateway.access_lines(2);
    assert_eq!(
        (&lines[0]["refused_by"], &lines[1]["refused_by"]),
        (&"provider".into(), &"gateway".into())
    );
    for (code, reason) in [("429", ""), ("401", "invalid_api_key")] {
        let labels = format!("code=\"{code}\",provider=\"p\",reason=\"{reason}\",route=\"r\"");
        assert_eq!(
            gateway.count(&format!("keygate_requests_total{{{labels}}}")),
            1
        );
    }
}

#[test]
fn what_strangers_send_makes_no_series() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    let series = |gateway: &Gateway| {
        let text = gateway.admin("/metrics");
        text.text()
            .lines()
            .filter(|line| !line.starts_with('#'))
            .count()
    };
    let strange = |round: usize| {
        let key = format!("key-{round}");
        let (path, host) = (format!("/x{round}"), format!("h{round}.test"));
        gateway.get(&path, &[("api-key", &key), ("host", &host)]);
        gateway.request(&format!("M{round}"), "/p", &[("api-key", &key)], b"{}");
        gateway.request(
            "POST",
            &format!("/p/v1/{round}"),
            &KEY,
            format!("{{\"model\":\"m{round}\"}}").as_bytes(),
        );
        gateway.get(&format!("/p/../{round}"), &KEY);
    };
    strange(0);
    gateway.access_lines(4);
    let before = series(&gateway);
    for round in 1..200 {
        strange(round);
    }
    gateway.access_lines(800);
    assert_eq!(series(&gateway), before);
}

#[test]
fn the_time_the_gateway_itself_takes_is_measured() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    for _ in 0..10 {
        gateway.get("/p", &KEY);
    }
    gateway.access_lines(10);
    let labels = "phase=\"request\",provider=\"p\",route=\"r\"";
    let count = gateway.count(&format!("keygate_added_duration_seconds_count{{{labels}}}"));
    let sum = gateway.metric(&format!("keygate_added_duration_seconds_sum{{{labels}}}"));
    assert_eq!(count, 10);
    assert!(sum > 0.0 && sum < 1.0, "{sum}");
    assert_eq!(
        gateway.count("keygate_key_requests_total{code=\"200\",key=\"alice\",route=\"r\"}"),
        10
    );
}

#[test]
fn keys_that_end_are_shown_with_their_end() {
    let provider = Provider::start();
    let gateway = Scene::new(&simple(&provider.url(), "", ""))
        .key("alice", "secret", "expires = 2030-01-01T00:00:00Z")
        .key("bob", "other", "")
        .start();
    assert_eq!(
        gateway.count("keygate_key_expiry_timestamp_seconds{key=\"alice\"}"),
        1_893_456_000
    );
    assert_eq!(gateway.count("keygate_keys_loaded"), 2);
}
