//! The access log: one JSON line per request on standard output, written by a thread of its own.
//!
//! A request never waits for it: the channel is bounded, and what finds it full is dropped and
//! counted. No header values, no query, nothing of a body.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use prometheus::IntCounter;
use serde::Serialize;

use crate::usage::{Cost, Usage};

/// How many lines may wait to be written.
const CAPACITY: usize = 8192;
/// How long the writer rests between two looks while lines keep coming.
const NAP: Duration = Duration::from_millis(10);
/// How long the end of the process waits for the last lines to be read.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// The longest path that is logged whole, in bytes.
const PATH_CAP: usize = 512;

/// What is said about one request.
#[derive(Serialize)]
pub struct AccessRecord {
    /// When its head had been read.
    #[serde(serialize_with = "rfc3339")]
    pub time: Timestamp,
    /// The id that the client got in `x-keygate-request-id`.
    pub request_id: String,
    /// The address it came from.
    #[serde(serialize_with = "address")]
    pub client: Option<SocketAddr>,
    /// The id of its key.
    pub key: Option<Arc<str>>,
    /// Its route.
    pub route: Option<Arc<str>>,
    /// The provider it went to, or would have.
    pub provider: Option<Arc<str>>,
    /// Its method.
    pub method: &'static str,
    /// Its path in normal form, without the query; capped.
    #[serde(serialize_with = "capped")]
    pub path: String,
    /// The status of the answer; 0 when there was none.
    pub status: u16,
    /// Why the gateway refused it, or what went wrong; nothing when all went well.
    pub reason: Option<&'static str>,
    /// Who refused: `gateway` or `provider`; nothing when nobody did.
    pub refused_by: Option<&'static str>,
    /// Bytes of its body.
    pub request_bytes: u64,
    /// Bytes of the answer's body.
    pub response_bytes: u64,
    /// Server-sent events in the answer.
    pub events: u64,
    /// The model, as the answer names it.
    pub model: Option<String>,
    /// The tokens that the answer says it took; of an answer that was cut off, those it had said by then.
    #[serde(flatten)]
    pub usage: Option<Tokens>,
    /// Whether the answer said nothing of tokens, and they are estimated from its events.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
    /// What the tokens cost, where the price file has the model.
    #[serde(flatten)]
    pub cost: Option<Price>,
    /// From its head to the end of the answer.
    pub duration_ms: f64,
    /// Of it, what it took to get a connection to the provider.
    pub connect_ms: f64,
    /// Of it, what the gateway itself took.
    pub added_ms: f64,
    /// From its head to the head of the provider's answer.
    pub first_byte_ms: Option<f64>,
    /// The address it was forwarded to.
    #[serde(serialize_with = "address")]
    pub upstream: Option<SocketAddr>,
    /// Whether it went over a connection that was open already.
    pub reused: Option<bool>,
    /// How often it was sent.
    pub attempts: u32,
    /// Whether the client left before the end.
    pub aborted: bool,
}

/// Tokens, by the names that `OpenTelemetry`'s conventions for generative AI give them.
#[derive(Serialize)]
pub struct Tokens {
    /// All that went in.
    pub input_tokens: u64,
    /// All that came out.
    pub output_tokens: u64,
    /// Of those that went in, from the provider's cache.
    pub cache_read_tokens: u64,
    /// Of those that went in, into the provider's cache.
    pub cache_creation_tokens: u64,
    /// Of those that came out, reasoning.
    pub reasoning_tokens: u64,
}

/// What tokens cost.
#[derive(Serialize)]
pub struct Price {
    /// As a decimal fraction; a text, since it is exact.
    #[serde(serialize_with = "shown")]
    pub cost: Cost,
    /// The currency.
    pub currency: Arc<str>,
}

impl From<Usage> for Tokens {
    fn from(usage: Usage) -> Self {
        Self {
            input_tokens: usage.input,
            output_tokens: usage.output,
            cache_read_tokens: usage.cache_read,
            cache_creation_tokens: usage.cache_creation,
            reasoning_tokens: usage.reasoning,
        }
    }
}

fn rfc3339<S: serde::Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.6}"))
}

fn shown<S: serde::Serializer>(cost: &Cost, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(cost)
}

#[allow(clippy::ref_option, reason = "as serde calls it")]
fn address<S: serde::Serializer>(
    address: &Option<SocketAddr>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match address {
        None => serializer.serialize_none(),
        Some(SocketAddr::V6(address)) => serializer.collect_str(address),
        // There are two of them in each line, and by way of `Display` they are a third of what it takes.
        Some(SocketAddr::V4(address)) => {
            let mut text = String::with_capacity(21);
            for (place, octet) in address.ip().octets().into_iter().enumerate() {
                if place > 0 {
                    text.push('.');
                }
                push_decimal(&mut text, octet.into());
            }
            text.push(':');
            push_decimal(&mut text, address.port());
            serializer.serialize_str(&text)
        }
    }
}

fn push_decimal(text: &mut String, number: u16) {
    if number >= 10 {
        push_decimal(text, number / 10);
    }
    text.extend(char::from_digit(u32::from(number % 10), 10));
}

/// As much of a path as is told anywhere.
pub fn cap(path: &str) -> &str {
    // A normal path is ASCII; a path that was refused is not told at all.
    path.get(..PATH_CAP).unwrap_or(path)
}

fn capped<S: serde::Serializer>(path: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(cap(path))
}

/// Where records go. Cheap to clone.
#[derive(Clone)]
pub struct AccessLog {
    sender: Option<SyncSender<AccessRecord>>,
    dropped: IntCounter,
}

/// The writing thread.
pub struct AccessLogWriter(JoinHandle<()>);

impl AccessLog {
    /// Starts a writer to `output`. It ends when every clone of the log is gone.
    pub fn start(
        output: impl Write + Send + 'static,
        dropped: IntCounter,
    ) -> io::Result<(Self, AccessLogWriter)> {
        let (sender, receiver) = sync_channel(CAPACITY);
        let lost = dropped.clone();
        let thread = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write_all(output, &receiver, &lost))?;
        Ok((
            Self {
                sender: Some(sender),
                dropped,
            },
            AccessLogWriter(thread),
        ))
    }

    /// A log that keeps nothing.
    pub fn off(dropped: IntCounter) -> Self {
        Self {
            sender: None,
            dropped,
        }
    }

    /// Hands a record over, or drops and counts it when the writer is behind.
    pub fn write(&self, record: AccessRecord) {
        if let Some(sender) = &self.sender
            && sender.try_send(record).is_err()
        {
            self.dropped.inc();
        }
    }
}

impl AccessLogWriter {
    /// Waits until everything is written, but no longer than a reader that has stopped reading
    /// deserves. The last clone of the log must be gone, or be about to.
    pub fn finish(self) {
        let start = Instant::now();
        while !self.0.is_finished() {
            if start.elapsed() > LAST_WORDS {
                return tracing::warn!("nobody reads the access log: its last lines are lost");
            }
            std::thread::sleep(NAP);
        }
    }
}

fn write_all(output: impl Write, records: &Receiver<AccessRecord>, dropped: &IntCounter) {
    let mut output = io::BufWriter::with_capacity(64 << 10, output);
    let mut line = Vec::new();
    // Sleeps for real only while nothing happens. Under load it looks again after a nap, which
    // spares every request the waking of a thread.
    while let Ok(first) = records.recv() {
        let mut next = Some(first);
        while let Some(record) = next {
            write_line(&mut output, &mut line, &record, dropped);
            for record in records.try_iter() {
                write_line(&mut output, &mut line, &record, dropped);
            }
            let _ = output.flush();
            std::thread::sleep(NAP);
            next = records.try_recv().ok();
        }
    }
}

fn write_line(
    output: &mut impl Write,
    line: &mut Vec<u8>,
    record: &AccessRecord,
    dropped: &IntCounter,
) {
    line.clear();
    let encoded = serde_json::to_writer(&mut *line, record).is_ok();
    line.push(b'\n');
    if !encoded || output.write_all(line).is_err() {
        dropped.inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Condvar, Mutex};

    fn record(path: &str) -> AccessRecord {
        AccessRecord {
            time: "2026-11-21T10:00:00.5Z".parse().unwrap(),
            request_id: "id".to_owned(),
            client: None,
            key: Some("alice".into()),
            route: None,
            provider: None,
            method: "POST",
            path: path.to_owned(),
            status: 200,
            reason: None,
            refused_by: None,
            request_bytes: 1,
            response_bytes: 2,
            events: 0,
            model: None,
            usage: None,
            estimated: false,
            cost: None,
            duration_ms: 1.5,
            connect_ms: 0.0,
            added_ms: 0.1,
            first_byte_ms: None,
            upstream: None,
            reused: None,
            attempts: 1,
            aborted: false,
        }
    }

    fn counter() -> IntCounter {
        IntCounter::new("c", "c").unwrap()
    }

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_record_is_one_line_of_json_whatever_is_in_it() {
        let output = Shared::default();
        let (log, writer) = AccessLog::start(output.clone(), counter()).unwrap();
        log.write(record("/a\r\n\u{1b}[31m{\"x\":1}"));
        log.write(record(&"/x".repeat(10_000)));
        drop(log);
        writer.finish();
        let text = String::from_utf8(output.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["time"], "2026-11-21T10:00:00.500000Z");
        assert_eq!(lines[1]["path"].as_str().unwrap().len(), PATH_CAP);
    }

    /// A reader that takes nothing until it is told to.
    struct Stuck(Arc<(Mutex<bool>, Condvar)>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (open, signal) = &*self.0;
            drop(
                signal
                    .wait_while(open.lock().unwrap(), |open| !*open)
                    .unwrap(),
            );
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            self.write(b"").map(drop)
        }
    }

    #[test]
    fn a_stuck_reader_costs_lines_and_never_time() {
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let dropped = counter();
        let (log, writer) = AccessLog::start(Stuck(gate.clone()), dropped.clone()).unwrap();
        for _ in 0..3 * CAPACITY {
            log.write(record("/"));
        }
        assert!(dropped.get() > 0);
        *gate.0.lock().unwrap() = true;
        gate.1.notify_all();
        drop(log);
        writer.finish();
    }
}
