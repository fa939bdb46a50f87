//! Streams for benchmarks: a provider whose events say when they were sent, and clients that say when they came.
//!
//!     streams provider                                 prints its port; ends when its standard input does
//!     streams clients PORT KEY STREAMS EVENTS PACE_US  prints a line of JSON for it all
//!     streams hold PORT KEY STREAMS                    prints `open` when all are, and holds them until its input ends
//!
//! One thread each: the processor is for the proxy that is measured.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    missing_docs,
    reason = "a part of a benchmark prints, and fails by panicking"
)]

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, sleep_until};

/// As long as an event of OpenAI's is.
const FILLER: &str = r#""object":"chat.completion.chunk","created":1727967462,"model":"gpt-4o-mini","choices":[{"index":0,"delta":{"content":" recursion"},"logprobs":null,"finish_reason":null}]"#;

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_nanos() as u64
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u64>().unwrap();
    match arguments[..] {
        ["provider"] => provider().await,
        ["clients", port, key, streams, events, pace] => {
            let pace = Duration::from_micros(number(pace));
            clients(
                number(port) as u16,
                key,
                number(streams),
                number(events),
                pace,
            )
            .await;
        }
        ["hold", port, key, streams] => hold(number(port) as u16, key, number(streams)).await,
        _ => eprintln!(
            "streams provider | clients PORT KEY STREAMS EVENTS PACE_US | hold PORT KEY STREAMS"
        ),
    }
}

/// Returns when nobody holds the other end of the standard input any more.
async fn until_left() {
    let read = || std::io::stdin().read_to_end(&mut Vec::new());
    let _ = tokio::task::spawn_blocking(read).await;
}

async fn provider() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    tokio::select! {
        () = until_left() => std::process::exit(0),
        () = async { loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            tokio::spawn(answer(stream));
        }} => {}
    }
}

/// Requests on one connection, each with a body that says how many events are wanted, and how far apart.
async fn answer(stream: TcpStream) -> Option<()> {
    let mut stream = BufReader::with_capacity(2 << 10, stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            stream
                .read_line(&mut line)
                .await
                .ok()
                .filter(|read| *read > 0)?;
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let wanted: serde_json::Value = serde_json::from_slice(&body).ok()?;
        let pace = Duration::from_micros(wanted["pace_us"].as_u64()?);
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await.ok()?;
        let mut next = Instant::now();
        for _ in 0..wanted["events"].as_u64()? {
            let event = format!("data: {{\"sent\":{:020},{FILLER}}}\n\n", now());
            let chunk = format!("{:x}\r\n{event}\r\n", event.len());
            stream.write_all(chunk.as_bytes()).await.ok()?;
            next += pace;
            sleep_until(next).await;
        }
        stream.write_all(b"0\r\n\r\n").await.ok()?;
    }
}

/// A stream that was asked for.
async fn ask(port: u16, key: &str, events: u64, pace: Duration) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let body = json!({"model": "gpt-4o-mini", "stream": true, "events": events, "pace_us": pace.as_micros() as u64});
    let body = body.to_string();
    let request = format!(
        "POST /openai HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// When the events in a piece were sent.
fn stamps(text: &[u8]) -> impl Iterator<Item = u64> {
    const MARK: &[u8] = b"{\"sent\":";
    memchr::memmem::find_iter(text, MARK).filter_map(|at| {
        let digits = text.get(at + MARK.len()..at + MARK.len() + 20)?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    })
}

async fn clients(port: u16, key: &str, streams: u64, events: u64, pace: Duration) {
    let begun = Instant::now();
    let tasks: Vec<_> = (0..streams)
        .map(|number| {
            let key = key.to_owned();
            // Not all in the same instant.
            let wait = pace * u32::try_from(number).unwrap() / u32::try_from(streams).unwrap();
            tokio::spawn(async move {
                sleep(wait).await;
                let mut stream = ask(port, &key, events, pace).await;
                let (mut delays, mut seen, mut piece) = (Vec::new(), Vec::new(), [0; 4096]);
                while !seen.ends_with(b"\r\n0\r\n\r\n") {
                    let read = stream.read(&mut piece).await.unwrap();
                    assert!(read > 0, "a stream broke off");
                    let came = now();
                    // A stamp may be cut in two: it is read when it is whole, from what was kept.
                    let kept = seen.len().saturating_sub(48);
                    seen.drain(..kept);
                    let known = stamps(&seen).count();
                    seen.extend_from_slice(&piece[..read]);
                    delays.extend(
                        stamps(&seen)
                            .skip(known)
                            .map(|sent| came.saturating_sub(sent)),
                    );
                }
                delays
            })
        })
        .collect();
    let mut delays = Vec::new();
    for task in tasks {
        let of_one = task.await.unwrap();
        assert_eq!(of_one.len() as u64, events, "events are missing");
        delays.extend(of_one);
    }
    let took = begun.elapsed().as_secs_f64();
    delays.sort_unstable();
    let at = |share: f64| delays[((delays.len() - 1) as f64 * share) as usize] as f64 / 1e3;
    println!(
        "{}",
        json!({"events": delays.len(), "seconds": took, "p50_us": at(0.5), "p99_us": at(0.99), "p999_us": at(0.999)})
    );
}

async fn hold(port: u16, key: &str, streams: u64) {
    let open = Arc::new(AtomicUsize::new(0));
    for begun in 0..streams {
        let (key, counted) = (key.to_owned(), open.clone());
        tokio::spawn(async move {
            // An event, and then nothing for as long as it is held.
            let mut stream = ask(port, &key, 3, Duration::from_secs(600)).await;
            let (mut seen, mut piece) = (Vec::new(), [0; 1024]);
            while stamps(&seen).count() == 0 {
                let read = stream.read(&mut piece).await.unwrap();
                assert!(read > 0, "a stream broke off");
                seen.extend_from_slice(&piece[..read]);
            }
            counted.fetch_add(1, Ordering::Relaxed);
            std::future::pending::<()>().await;
        });
        // No more at once than a backlog holds.
        while begun.saturating_sub(open.load(Ordering::Relaxed) as u64) > 64 {
            sleep(Duration::from_millis(1)).await;
        }
    }
    while open.load(Ordering::Relaxed) as u64 != streams {
        sleep(Duration::from_millis(5)).await;
    }
    println!("open");
    until_left().await;
    std::process::exit(0);
}
