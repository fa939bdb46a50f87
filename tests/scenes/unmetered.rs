//! Responses that report their tokens in an unusual place, twice, or not at all.

use serde_json::Value;

use crate::support::gateway::{simple, tokens};
use crate::support::provider::{begin_events, chunk, end_chunks, respond};
use crate::support::{Gateway, KEY, Provider, Scene};

const REPORTED: &str = r#"{"id":"resp_1","status":"completed","model":"m","usage":{"input_tokens":1000,"output_tokens":500}}"#;

fn counted(gateway: &Gateway, family: &str) -> u64 {
    gateway.count(&format!("keygate_{family}{{provider=\"p\",route=\"r\"}}"))
}

/// A provider that responds with the body and the content type in the request's headers.
fn echo() -> Provider {
    Provider::responding(|request, wire| {
        let media = request
            .header("x-media")
            .map(|media| ("content-type", media));
        let media: Vec<(&str, &str)> = media.into_iter().collect();
        let body = request.header("x-body").unwrap_or_default();
        let body = body.replace("\\n", "\n");
        respond(wire, "200 OK", &media, body.as_bytes());
    })
}

fn post(gateway: &Gateway, path: &str, media: Option<&str>, body: &str) {
    let mut headers = vec![KEY[0], ("x-body", body)];
    headers.extend(media.map(|media| ("x-media", media)));
    assert_eq!(gateway.request("POST", path, &headers, b"{}").status, 200);
}

#[test]
fn a_response_without_expected_usage_is_in_a_metric_whatever_its_content_type() {
    let provider = echo();
    let gateway = Gateway::before(&provider);
    let silent = r#"{"model":"m","choices":[]}"#;
    let all = [
        (Some("application/json"), silent),
        (Some("text/plain"), silent),
        (Some("application/octet-stream"), "RIFF"),
        (Some("audio/mpeg"), "x"),
        (Some("application/vnd.amazon.eventstream"), "x"),
        (None, "all is well"),
        (
            Some("application/json"),
            r#"{"usage":{"prompt_tokens":0,"completion_tokens":0}}"#,
        ),
        (
            Some("application/json"),
            r#"{"status":"queued","background":true,"usage":null}"#,
        ),
        (Some("text/event-stream"), r"data: {}\n\n"),
    ];
    for (media, body) in all {
        post(&gateway, "/p/v1/chat/completions", media, body);
    }
    gateway.access_lines(all.len());
    assert_eq!(
        counted(&gateway, "unmetered_responses_total"),
        all.len() as u64
    );
    assert_eq!(counted(&gateway, "unmetered_streams_total"), 1);
    // These responses need not report tokens, or have reported them.
    post(&gateway, "/p/v1/audio/speech", Some("audio/mpeg"), "x");
    post(
        &gateway,
        "/p/v1/messages/count_tokens",
        Some("application/json"),
        r#"{"input_tokens":5}"#,
    );
    post(
        &gateway,
        "/p/v1/responses",
        Some("application/json"),
        REPORTED,
    );
    gateway.get("/p/v1/responses", &KEY);
    gateway.access_lines(all.len() + 4);
    assert_eq!(
        counted(&gateway, "unmetered_responses_total"),
        all.len() as u64
    );
}

#[test]
fn streams_of_a_route_that_does_not_read_them_are_not_counted_as_unmetered() {
    let provider = echo();
    let gateway = Scene::new(&simple(&provider.url(), "", "meter_streams = \"off\""))
        .key("alice", "secret", "")
        .start();
    let event = r#"data: {"usage":{"prompt_tokens":10}}\n\n"#;
    for media in ["text/event-stream", "application/json", "text/plain"] {
        post(&gateway, "/p", Some(media), event);
    }
    post(&gateway, "/p", Some("application/json"), "{}");
    let lines = gateway.access_lines(4);
    assert!(lines.iter().all(|line| line.get("input_tokens").is_none()));
    assert_eq!(counted(&gateway, "unmetered_responses_total"), 1);
    assert_eq!(counted(&gateway, "unmetered_streams_total"), 0);
}

#[test]
fn tokens_are_counted_whatever_the_content_type_says() {
    let provider = echo();
    let gateway = Gateway::before(&provider);
    let stream = format!(r"data: {{}}\n\ndata: {REPORTED}\n\n");
    let lines = format!(r#"{{"model":"m"}}\n{REPORTED}\n"#);
    let types = [
        None,
        Some("application/json"),
        Some("text/event-stream"),
        Some("text/plain"),
        Some("application/jsonl"),
    ];
    for media in types {
        for body in [REPORTED, &stream, &lines] {
            post(&gateway, "/p", media, body);
        }
    }
    let seen = gateway.access_lines(15);
    assert!(
        seen.iter().all(|line| line["input_tokens"] == 1000),
        "{seen:?}"
    );
    assert_eq!(tokens(&gateway, "output"), 15 * 500);
}

#[test]
fn the_response_to_a_get_is_not_counted_again() {
    let provider = Provider::responding(|request, wire| {
        let media = [("content-type", "application/json")];
        let is_get = request.line().starts_with("GET");
        if is_get && request.line().contains("stream=true") {
            begin_events(wire);
            chunk(
                wire,
                format!("data: {{\"response\":{REPORTED}}}\n\n").as_bytes(),
            );
            end_chunks(wire);
        } else {
            respond(wire, "200 OK", &media, REPORTED.as_bytes());
        }
    });
    let gateway = Gateway::before(&provider);
    gateway.request("POST", "/p/v1/responses", &KEY, b"{}");
    for _ in 0..5 {
        gateway.get("/p/v1/responses/resp_1", &KEY);
        gateway.get("/p/v1/batches/batch_1", &KEY);
        gateway.get("/p/v1/responses/resp_1?stream=true", &KEY);
        gateway.request("POST", "/p/v1/responses/resp_1/cancel", &KEY, b"");
    }
    let lines = gateway.access_lines(21);
    let with_tokens = lines
        .iter()
        .filter(|line| line.get("input_tokens").is_some());
    assert_eq!(with_tokens.count(), 1);
    assert_eq!(
        (tokens(&gateway, "input"), tokens(&gateway, "output")),
        (1000, 500)
    );
    assert_eq!(counted(&gateway, "unmetered_streams_total"), 0);
    assert_eq!(counted(&gateway, "unmetered_responses_total"), 0);
}

/// Google accepts another method in a header and in a parameter, frameworks accept one in a header.
#[test]
fn a_get_with_a_method_override_is_counted_and_its_parameter_is_removed() {
    let provider = Provider::responding(|_, wire| {
        let json = [("content-type", "application/json")];
        let body = br#"{"model":"m","usage":{"prompt_tokens":5,"completion_tokens":7}}"#;
        respond(wire, "200 OK", &json, body);
    });
    let gateway = Gateway::before(&provider);
    let path = "/p/v1/chat/completions";
    for name in [
        "X-HTTP-Method-Override",
        "X-Http-Method",
        "x_method_override",
    ] {
        let headers = [("api-key", "secret"), (name, "POST")];
        assert_eq!(gateway.request("PUT", path, &headers, b"{}").status, 200);
    }
    let get = format!("{path}?a=b&$httpMethod=POST&%24httpHeaders=a:b");
    assert_eq!(gateway.get(&get, &[("api-key", "secret")]).status, 200);
    let line = provider.last().line().to_owned();
    assert_eq!(line, "GET /v1/chat/completions?a=b HTTP/1.1");
    let lines = gateway.access_lines(4);
    for line in &lines[..3] {
        assert_eq!(line["input_tokens"], 5, "{line}");
    }
    assert!(lines[3].get("input_tokens").is_none(), "{}", lines[3]);
}

#[test]
fn an_error_in_a_stream_with_status_200_is_in_the_line_and_in_a_metric_and_counts_no_token() {
    let errors = [
        r#"data: {"error":{"message":"overloaded","code":"503"}}\n\n"#,
        r#"event: error\ndata: {"type":"error","error":{"type":"overloaded_error"}}\n\n"#,
        r#"event: response.failed\ndata: {"type":"response.failed","response":{"error":{"code":"server_error"}}}\n\n"#,
    ];
    let provider = echo();
    let gateway = Scene::new(&simple(
        &provider.url(),
        "",
        "meter_streams = \"estimated\"",
    ))
    .key("alice", "secret", "")
    .start();
    let word = r#"data: {"model":"m","choices":[{"delta":{"content":"a"}}]}\n\n"#;
    for error in errors {
        post(
            &gateway,
            "/p",
            Some("text/event-stream"),
            &format!("{word}{error}"),
        );
    }
    post(&gateway, "/p", Some("text/event-stream"), errors[0]);
    post(&gateway, "/p", Some("text/event-stream"), word);
    let lines = gateway.access_lines(5);
    for line in &lines[..4] {
        assert_eq!(
            (&line["status"], &line["reason"]),
            (&200.into(), &"error_event".into())
        );
    }
    assert_eq!(lines[4]["reason"], Value::Null);
    assert_eq!(counted(&gateway, "error_events_total"), 4);
    let guessed = |line: &Value| line.get("output_tokens").cloned();
    assert_eq!(guessed(&lines[0]), Some(1.into()));
    assert_eq!(guessed(&lines[3]), None);
}

#[test]
fn an_error_in_json_with_status_200_is_in_the_line_and_in_a_metric() {
    let errors = [
        (
            "application/x-ndjson",
            r#"{"model":"m","response":"a"}\n{"error":"out of memory"}\n"#,
        ),
        (
            "application/json",
            r#"[{"candidates":[]}\n,\n{"error":{"code":503,"message":"overloaded"}}]"#,
        ),
        ("application/json", r#"{"error":503}"#),
        (
            "application/json",
            r#"{"object":"error","message":"too long","code":400}"#,
        ),
        (
            "text/event-stream",
            r#"data: {"object":"error","message":"too long","code":400}\n\n"#,
        ),
    ];
    let provider = echo();
    let gateway = Gateway::before(&provider);
    for (media, error) in errors {
        post(&gateway, "/p/v1/chat/completions", Some(media), error);
    }
    post(
        &gateway,
        "/p/v1/responses",
        Some("application/json"),
        REPORTED,
    );
    // An error that happened earlier and is only fetched.
    let failed = [
        KEY[0],
        ("x-body", r#"{"status":"failed","error":{"code":"x"}}"#),
    ];
    gateway.get("/p/v1/responses/resp_1", &failed);
    let lines = gateway.access_lines(errors.len() + 2);
    let (bad, good) = lines.split_at(errors.len());
    assert!(bad.iter().all(|line| line["reason"] == "error_event"));
    assert!(good.iter().all(|line| line["reason"] == Value::Null));
    assert_eq!(counted(&gateway, "error_events_total"), 5);
}

#[test]
fn an_error_with_an_error_status_is_counted_only_by_its_status() {
    let provider = Provider::responding(|_, wire| {
        let head = [("content-type", "application/json")];
        let body = br#"{"error":{"message":"slow down"}}"#;
        respond(wire, "429 Too Many Requests", &head, body);
    });
    let gateway = Gateway::before(&provider);
    let response = gateway.request("POST", "/p/v1/chat/completions", &KEY, b"{}");
    assert_eq!(response.status, 429);
    assert_eq!(gateway.access_lines(1)[0]["reason"], Value::Null);
    assert_eq!(counted(&gateway, "error_events_total"), 0);
}
