//! Times each step of a request that is keygate's own code: `cargo bench --bench micro`.
//!
//! `micro count STEP TIMES` runs only one step, TIMES times. `benches/instructions` counts the instructions of two such
//! runs with different TIMES, and the difference is what the step takes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::format_push_string,
    missing_docs,
    reason = "a benchmark prints, and fails by panicking"
)]

use std::hint::black_box;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::time::Instant;

use http::HeaderName;
use http::header::AUTHORIZATION;
use jiff::Timestamp;
use keygate::testing::config::{Purpose, Resolved};
use keygate::testing::key::{KeyDigest, PresentedKey};
use keygate::testing::limit::SixLimits;
use keygate::testing::metrics::Metrics;
use keygate::testing::proxy::admit::Admission;
use keygate::testing::proxy::attempt::Attempt;
use keygate::testing::proxy::head::check_head;
use keygate::testing::proxy::inject;
use keygate::testing::route::NormalPath;
use keygate::testing::snapshot::Live;
use keygate::testing::template::{Extractor, HeaderTemplate, Source};
use keygate::testing::usage::{Meter, RequestReader};
use pingora::http::RequestHeader;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const KEY: &str = "kg-bench-0500-kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk";
const EVENT: &[u8] = br#"data: {"id":"chatcmpl-AEHYs2B0XUlEioCduH1meERmMwBGF","object":"chat.completion.chunk","created":1727967462,"model":"gpt-4o-mini","choices":[{"index":0,"delta":{"content":" recursion"},"logprobs":null,"finish_reason":null}]}

"#;
const REQUEST: &[u8] = br#"{"model":"gpt-4o-mini","messages":[{"role":"system","content":"You are a helpful assistant. Answer in one sentence, without lists."},{"role":"user","content":"What is recursion? Explain it to somebody who has never written a program, with an example from the kitchen."}],"temperature":0.2,"max_tokens":100}"#;
const RESPONSE: &[u8] = br#"{"id":"chatcmpl-1","object":"chat.completion","model":"gpt-4o","choices":[{"index":0,"message":{"role":"assistant","content":"Recursion is when a function calls itself, on a part of what it was given, until there is nothing left to be done: see recursion. It is the shape of trees, of languages and of proofs, and whoever has understood it once will find it everywhere."},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":51,"total_tokens":63}}"#;

/// A configuration with 1,000 keys and 20 routes to 20 providers.
fn live() -> Live {
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for number in 0..20 {
        text += &format!(
            "[providers.p{number}]\nkind = \"openai\"\ntoken = \"inline:provider-token\"\n\
             [[routes]]\nname = \"r{number}\"\npath = \"/team-{number}/openai\"\nprovider = \"p{number}\"\n\
             keys = {{ team = \"search\" }}\n"
        );
    }
    std::fs::write(folder.path().join("gateway.toml"), text).unwrap();
    let mut keys = std::fs::OpenOptions::new();
    let keys = keys.write(true).create(true).mode(0o600);
    let mut keys = keys.open(folder.path().join("keys.toml")).unwrap();
    for number in 0..1000 {
        let digest = KeyDigest::of(KEY.replace("0500", &format!("{number:04}")).as_bytes());
        writeln!(
            keys,
            "[[key]]\nid = \"client{number}\"\nhashes = [\"{digest}\"]\nlabels = {{ team = \"search\" }}"
        )
        .unwrap();
    }
    let config = Resolved::load(&folder.path().join("gateway.toml"), Purpose::Start);
    let config = config.unwrap_or_else(|errors| panic!("{errors}"));
    let live = Live::start(config, Arc::new(Metrics::new().unwrap()));
    live.unwrap_or_else(|error| panic!("{error}"))
}

/// A request like that of an SDK.
fn request() -> RequestHeader {
    let target = b"/team-7/openai/v1/chat/completions";
    let mut request = RequestHeader::build("POST", target, None).unwrap();
    for (name, value) in [
        ("host", "gateway.example.com"),
        ("accept", "application/json"),
        ("content-type", "application/json"),
        ("user-agent", "OpenAI/Python 2.54.0"),
        ("x-stainless-lang", "python"),
        ("x-stainless-os", "Linux"),
        ("x-stainless-arch", "x64"),
        ("x-stainless-runtime", "CPython"),
        ("x-stainless-retry-count", "0"),
        ("content-length", "300"),
    ] {
        request.insert_header(name, value).unwrap();
    }
    let authorization = format!("Bearer {KEY}");
    request
        .insert_header("authorization", authorization)
        .unwrap();
    request
}

/// The name of a step, and a function that runs it once.
type Step = (&'static str, Box<dyn FnMut()>);

/// All steps. Each prepares its input once, and can run many times.
fn steps() -> Vec<Step> {
    let live: &'static Live = Box::leak(Box::new(live()));
    let snapshot: &'static _ = Box::leak(Box::new(live.snapshot()));
    let head: &'static RequestHeader = Box::leak(Box::new(request()));
    let now = Timestamp::now();
    let path = NormalPath::parse(head.raw_path()).unwrap();
    let (admission, parts) = Admission::decide(snapshot, head, &path, now)
        .unwrap_or_else(|_| panic!("the request is refused"));
    let attempt = Attempt::begin(&admission, &parts, &snapshot.rules.router)
        .unwrap_or_else(|_| panic!("the request is refused"));
    let agent = HeaderName::from_static("user-agent");
    let extractor = Extractor {
        name: "version".to_owned(),
        source: Source::header(agent, "OpenAI/Python ([0-9.]+)", 1).unwrap(),
    };
    let name = HeaderName::from_static("x-client");
    let template = HeaderTemplate::parse(name, "python {{ version }}", &[extractor]).unwrap();
    let mut steps: Vec<Step> = vec![
        (
            "check_head",
            Box::new(move || check_head(&snapshot.rules, black_box(head), b"").unwrap()),
        ),
        (
            "normal_path",
            Box::new(move || {
                black_box(NormalPath::parse(black_box(head.raw_path())).unwrap());
            }),
        ),
        (
            "route",
            Box::new({
                // On the heap: the number of words that a search reads in a literal depends on where the linker puts it.
                let path = "/team-7/openai/v1/chat/completions".to_owned();
                move || {
                    let router = &snapshot.rules.router;
                    let found = router.find("gateway.example.com", black_box(&path));
                    assert!(found.is_some());
                }
            }),
        ),
        (
            "key",
            Box::new(move || {
                let names = [AUTHORIZATION, HeaderName::from_static("api-key")];
                let key = PresentedKey::find(black_box(&head.headers), None, names.iter()).unwrap();
                assert!(snapshot.keys.verify(key.as_ref(), now).is_ok());
            }),
        ),
        (
            "admit",
            Box::new(move || {
                let path = NormalPath::parse(head.raw_path()).unwrap();
                let decided = Admission::decide(snapshot, black_box(head), &path, now);
                let (admission, parts) =
                    decided.unwrap_or_else(|_| panic!("the request is refused"));
                let attempt = Attempt::begin(&admission, &parts, &snapshot.rules.router);
                assert!(attempt.is_ok());
            }),
        ),
        (
            "inject",
            Box::new(move || {
                let mut upstream = head.clone();
                inject::rewrite(&admission, &attempt, &head.headers, &mut upstream).unwrap();
                black_box(upstream);
            }),
        ),
        (
            "meter_event",
            Box::new({
                let mut meter = Meter::of(b"text/event-stream", b"").unwrap();
                move || meter.feed(black_box(EVENT))
            }),
        ),
        (
            "meter_answer",
            Box::new(|| {
                let mut meter = Meter::of(b"application/json", b"").unwrap();
                meter.feed(black_box(RESPONSE));
                assert!(meter.usage().is_some());
            }),
        ),
        (
            "template",
            Box::new(move || {
                let value = template.render(black_box(&head.headers), &|_| None);
                assert!(value.is_some());
            }),
        ),
    ];
    steps.extend(steps_of_limits(now));
    steps
}

/// The steps of a request with six limits.
fn steps_of_limits(now: Timestamp) -> Vec<Step> {
    vec![
        (
            "limits",
            Box::new({
                let limits = SixLimits::default();
                move || assert_eq!(limits.request(Instant::now(), now, false), 6)
            }),
        ),
        (
            "limits_body",
            Box::new({
                let limits = SixLimits::default();
                move || assert_eq!(limits.request(Instant::now(), now, true), 6)
            }),
        ),
        (
            "read_body",
            Box::new(|| {
                let mut reader = RequestReader::of(b"application/json", b"");
                reader.feed(black_box(REQUEST));
                let asked = reader.asked_at("/v1/chat/completions");
                assert_eq!(asked.output_cap, Some(100));
            }),
        ),
    ]
}

/// Two threads, each with many requests of one key with six limits. Returns the nanoseconds of a request: as much as one
/// thread needs for its own.
fn two_threads() -> f64 {
    const TIMES: u32 = 500_000;
    let (limits, now) = (SixLimits::default(), Timestamp::now());
    let start = Instant::now();
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                for _ in 0..TIMES {
                    assert_eq!(limits.request(Instant::now(), now, false), 6);
                }
            });
        }
    });
    let taken = start.elapsed().as_nanos() as f64 / f64::from(TIMES);
    assert!(limits.is_idle());
    taken
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["count", step, times] = arguments[..] {
        let mut steps = steps();
        let (_, step) = steps.iter_mut().find(|(name, _)| *name == step).unwrap();
        (0..times.parse::<u32>().unwrap()).for_each(|_| step());
        return;
    }
    println!("{:16}{:>10}", "step", "ns");
    for (name, mut step) in steps() {
        const TIMES: u32 = 100_000;
        let pass = || {
            let start = Instant::now();
            (0..TIMES).for_each(|_| step());
            start.elapsed().as_nanos() as f64 / f64::from(TIMES)
        };
        let best = std::iter::repeat_with(pass)
            .take(5)
            .fold(f64::MAX, f64::min);
        println!("{name:16}{best:>10.0}");
    }
    let best = std::iter::repeat_with(two_threads).take(5);
    let best = best.fold(f64::MAX, f64::min);
    println!("{:16}{best:>10.0}", "limits, 2 threads");
}
