//! Spans: what a collector receives about requests; no request waits for it.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;

use crate::support::gateway::simple;
use crate::support::provider::respond;
use crate::support::{Gateway, KEY, Provider, Scene, eventually};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

fn collector() -> Provider {
    Provider::responding(|_, wire| respond(wire, "200 OK", &[], b""))
}

fn provider() -> Provider {
    let (_, body) = include_str!("../usage/anthropic.json")
        .split_once('\n')
        .unwrap();
    Provider::responding(|_, wire| {
        respond(
            wire,
            "200 OK",
            &[("content-type", "application/json")],
            body.as_bytes(),
        );
    })
}

fn gateway(provider: &Provider, tracing: &str) -> Gateway {
    let config = simple(&provider.url(), "", "") + &format!("[tracing]\n{tracing}\n");
    Scene::new(&config).key("alice", "secret", "").start()
}

/// The attributes of the first `count` spans that a collector received.
fn spans(collector: &Provider, count: usize) -> Vec<(Span, BTreeMap<String, String>)> {
    let all = || -> Vec<Span> {
        let batches = collector.received().into_iter().map(|request| {
            assert_eq!(request.line(), "POST /v1/traces HTTP/1.1");
            assert_eq!(
                request.header("content-type"),
                Some("application/x-protobuf")
            );
            ExportTraceServiceRequest::decode(&*request.body).unwrap()
        });
        let scopes = batches
            .flat_map(|batch| batch.resource_spans)
            .flat_map(|resource| {
                let names = resource.resource.unwrap().attributes;
                assert!(names.iter().any(|name| name.key == "service.name"));
                resource.scope_spans
            });
        scopes.flat_map(|scope| scope.spans).collect()
    };
    eventually("the spans", || all().len() >= count);
    let attributes = |span: &Span| {
        let text = |value| match value {
            Value::StringValue(text) => text,
            Value::IntValue(number) => number.to_string(),
            Value::BoolValue(flag) => flag.to_string(),
            Value::DoubleValue(_) => "a number".to_owned(),
            other => panic!("{other:?}"),
        };
        let named = span.attributes.iter().cloned();
        named
            .map(|named| (named.key, text(named.value.unwrap().value.unwrap())))
            .collect()
    };
    all()
        .into_iter()
        .map(|span| (span.clone(), attributes(&span)))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_request_is_a_span_of_its_clients_trace_and_the_parent_of_the_providers() {
    let (provider, collector) = (provider(), collector());
    let gateway = gateway(
        &provider,
        &format!(
            "endpoint = \"{}\"\nheaders = {{ Authorization = \"inline:Bearer collectors\" }}\nsample = \"0%\"",
            collector.url()
        ),
    );
    let parent = format!("00-{TRACE}-{PARENT}-01");
    let traced = [KEY[0], ("traceparent", &parent), ("tracestate", "a=1,b=2")];
    let long = format!("/p/{}/v1/messages?x=hidden", "x".repeat(3000));
    gateway.request("POST", &long, &traced, b"{}");
    // Without a trace of the client's, or with an invalid one or two of them; such traces are not sampled.
    gateway.request("POST", "/p", &KEY, b"{}");
    gateway.request(
        "POST",
        "/p",
        &[KEY[0], ("traceparent", "00-0-0-01"), ("tracestate", "a=1")],
        b"{}",
    );
    gateway.request("POST", "/p", &[KEY[0], traced[1], traced[1]], b"{}");
    let found = spans(&collector, 1);
    let (span, attributes) = &found[0];
    assert_eq!(
        (hex(&span.trace_id), hex(&span.parent_span_id)),
        (TRACE.to_owned(), PARENT.to_owned())
    );
    assert_eq!(
        (span.name.as_str(), span.kind),
        ("POST /p", SpanKind::Server as i32)
    );
    assert!(span.end_time_unix_nano > span.start_time_unix_nano);
    let wanted = [
        ("http.request.method", "POST"),
        ("http.response.status_code", "200"),
        ("http.route", "/p"),
        ("keygate.key", "alice"),
        ("keygate.provider", "p"),
        ("gen_ai.provider.name", "p"),
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.response.model", "claude-sonnet-4-5"),
        ("gen_ai.usage.input_tokens", "2395"),
        ("gen_ai.usage.output_tokens", "503"),
        ("gen_ai.usage.cache_read.input_tokens", "2051"),
    ];
    for (name, value) in wanted {
        assert_eq!(
            attributes.get(name).map(String::as_str),
            Some(value),
            "{name}"
        );
    }
    assert!(attributes["url.path"].len() == 512 && !attributes.contains_key("error.type"));
    // The span has the request id of the access line.
    assert_eq!(
        gateway.access_lines(4)[0]["request_id"],
        *attributes["keygate.request_id"]
    );
    let received = provider.received();
    let passed_on = format!("00-{TRACE}-{}-01", hex(&span.span_id));
    assert_eq!(received[0].header("traceparent"), Some(&*passed_on));
    assert_eq!(received[0].header("tracestate"), Some("a=1,b=2"));
    for other in &received[1..] {
        let parent = other.header("traceparent").unwrap();
        assert!(
            parent.ends_with("-00") && !parent.contains(TRACE),
            "{parent}"
        );
        assert_eq!(other.count("traceparent"), 1);
        assert!(other.header("tracestate").is_none());
    }
    assert_eq!(
        collector.received()[0].header("authorization"),
        Some("Bearer collectors")
    );
    // Counted after the collector has responded, which is after it has received them.
    eventually("the span is counted", || {
        gateway.count("keygate_spans_total{outcome=\"exported\"}") == 1
    });
    let sent = collector
        .received()
        .into_iter()
        .flat_map(|request| request.body)
        .collect::<Vec<u8>>();
    for hidden in ["secret", "hidden", "provider-token"] {
        assert!(
            !sent
                .windows(hidden.len())
                .any(|window| window == hidden.as_bytes())
        );
    }
}

#[test]
fn a_refusal_is_a_span_with_its_reason_in_a_trace_of_its_own() {
    let (provider, collector) = (provider(), collector());
    let gateway = gateway(
        &provider,
        &format!("endpoint = \"{}\"\nservice = \"edge\"", collector.url()),
    );
    let parent = format!("00-{TRACE}-{PARENT}-01");
    gateway.request(
        "POST",
        "/p",
        &[("api-key", "wrong"), ("traceparent", &parent)],
        b"{}",
    );
    let (span, attributes) = spans(&collector, 1).remove(0);
    assert_eq!(
        (
            &*attributes["http.response.status_code"],
            &*attributes["error.type"]
        ),
        ("401", "unknown_key")
    );
    assert_eq!(attributes["keygate.refused_by"], "gateway");
    assert!(span.parent_span_id.is_empty() && hex(&span.trace_id) != TRACE);
}

#[test]
fn without_a_collector_trace_headers_pass_unchanged() {
    let provider = provider();
    let gateway = Gateway::before(&provider);
    let traced = [KEY[0], ("traceparent", "anything"), ("tracestate", "a=1")];
    gateway.request("POST", "/p", &traced, b"{}");
    let received = provider.only();
    assert_eq!(
        (
            received.header("traceparent"),
            received.header("tracestate")
        ),
        (Some("anything"), Some("a=1"))
    );
}

#[test]
fn a_broken_collector_loses_spans_and_affects_nothing_else() {
    let (provider, refuses) = (
        provider(),
        Provider::responding(|_, wire| respond(wire, "503 Busy", &[], b"")),
    );
    for endpoint in [refuses.url(), "http://127.0.0.1:9".to_owned()] {
        let gateway = gateway(&provider, &format!("endpoint = \"{endpoint}\""));
        for _ in 0..5 {
            assert_eq!(gateway.request("POST", "/p", &KEY, b"{}").status, 200);
        }
        eventually("the failures", || {
            gateway.count("keygate_spans_total{outcome=\"failed\"}") == 5
        });
    }
}

#[test]
fn problems_of_tracing_are_reported_with_their_line() {
    let provider = provider();
    let tracing = "[tracing]\nendpoint = \"http://collector.example.com\"\nsample = \"1/2\"\nheaders = { A = \"bare\", B = \"env:KEYGATE_NOWHERE\" }\n";
    let config = simple(&provider.url(), "", "") + tracing;
    let problems = Scene::new(&config).key("alice", "secret", "").problems();
    for expected in [
        "tracing.endpoint would send spans unencrypted",
        "tracing.sample is a share such as \"10%\"",
        "tracing.headers: a secret is never written here as a bare string",
        "tracing.headers: ",
    ] {
        assert!(
            problems.contains(expected),
            "{expected}\nnot in\n{problems}"
        );
    }
    assert!(problems.contains("KEYGATE_NOWHERE") && !problems.contains("bare\""));
}
