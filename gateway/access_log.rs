//! The access log: one JSON line per request on standard output, written by a thread of its own.
//!
//! A request never waits for it: the channel is bounded, and what finds it full is dropped and
//! counted. No header values, no query, nothing of a body.

use std::borrow::Cow;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use prometheus::IntCounter;
use serde::Serialize;

use crate::grammar::request_id::RequestId;
use crate::runtime::line_queue::{Format, LineQueue};
use crate::runtime::printable;
use crate::usage::{Cost, CostSource, Media, ServiceTier, Usage};

/// How long the end of the process waits for the last lines to be read.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// The longest path that is logged whole, in bytes.
const PATH_CAP: usize = 512;

/// What is said about one request, each by the name of its field.
pub struct AccessRecord {
    /// When its head had been read.
    pub time: Timestamp,
    /// The id that the client got in `x-keygate-request-id`.
    pub request_id: RequestId,
    /// The address it came from; with the port 0 where that is not known.
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
    pub path: String,
    /// The status of the response; 0 when there was none.
    pub status: u16,
    /// Why the gateway refused it, or what went wrong; nothing when all went well.
    pub reason: Option<&'static str>,
    /// Who refused: `gateway` or `provider`; nothing when nobody did.
    pub refused_by: Option<&'static str>,
    /// Bytes of its body.
    pub request_bytes: u64,
    /// Bytes of the response's body.
    pub response_bytes: u64,
    /// Server-sent events in the response.
    pub events: u64,
    /// Responses that ended over it, where it became a WebSocket that is read.
    pub responses: Option<u64>,
    /// The model, as the response names it; of a WebSocket, that of the last response.
    pub model: Option<String>,
    /// The tokens that the response says it took; of a response that was cut off, those it had said by then.
    pub usage: Option<Tokens>,
    /// Whether the response said nothing of tokens, and they are estimated from its events.
    pub estimated: bool,
    /// What the tokens cost, where the price file has the model.
    pub cost: Option<Price>,
    /// From its head to the end of the response.
    pub duration_ms: f64,
    /// Of it, what it took to get a connection to the provider.
    pub connect_ms: f64,
    /// Of it, what the gateway itself took.
    pub added_ms: f64,
    /// From its head to the head of the provider's response.
    pub first_byte_ms: Option<f64>,
    /// The address it was forwarded to.
    pub upstream: Option<SocketAddr>,
    /// Whether it went over a connection that was open already.
    pub reused: Option<bool>,
    /// How often it was sent.
    pub attempts: u32,
    /// Whether the client left before the end.
    pub aborted: bool,
}

/// Tokens, by the names that `OpenTelemetry`'s conventions for generative AI give them.
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
    /// Of those that went into the provider's cache, what is kept there for an hour; written down where there are any.
    pub cache_creation_1h_tokens: u64,
    /// Of all of them, those of audio, images and video; each count is written down where there are any.
    pub media: Media,
    /// Searches of the web that the provider made; written down where there are any.
    pub searches: u64,
    /// Calls of models that the provider says one by one; written down where there are several.
    pub model_calls: u64,
    /// Whether some tokens may be of another model than the response names; written down where it is so.
    pub other_models: bool,
    /// The service tier that the provider names; written down where it is not the standard.
    pub service_tier: Option<ServiceTier>,
}

/// What tokens cost.
#[derive(Clone)]
pub struct Price {
    /// As a decimal fraction; a text, since it is exact.
    pub cost: Cost,
    /// The currency.
    pub currency: Arc<str>,
    /// Who says so.
    pub source: CostSource,
}

impl From<Usage> for Tokens {
    fn from(usage: Usage) -> Self {
        Self {
            input_tokens: usage.input,
            output_tokens: usage.output,
            cache_read_tokens: usage.cache_read,
            cache_creation_tokens: usage.cache_creation,
            reasoning_tokens: usage.reasoning,
            cache_creation_1h_tokens: usage.cache_creation_hour,
            media: usage.media,
            searches: usage.searches,
            model_calls: usage.calls,
            other_models: usage.other_models,
            service_tier: usage.service_tier,
        }
    }
}

/// As much of a path as is told anywhere.
pub fn cap(path: &str) -> &str {
    // A normal path is ASCII; a path that was refused is not told at all.
    path.get(..PATH_CAP).unwrap_or(path)
}

/// What stands before a value.
macro_rules! name {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}

/// A line that is being written. Its names need no escapes; its values are as `serde_json` writes them.
#[derive(Default)]
struct Line {
    text: Vec<u8>,
    /// The second that the last one was of, since 1970, and how it is said: many are of the same.
    second: Option<i64>,
    said: String,
}

impl Line {
    fn of(&mut self, record: &AccessRecord) -> &[u8] {
        self.text.clear();
        self.time(record.time);
        self.put(name!("request_id"), record.request_id.as_str());
        self.address(name!("client"), record.client);
        self.put(name!("key"), &record.key);
        self.put(name!("route"), &record.route);
        self.put(name!("provider"), &record.provider);
        self.put(name!("method"), record.method);
        self.put(name!("path"), cap(&record.path));
        self.put(name!("status"), &record.status);
        self.put(name!("reason"), &record.reason);
        self.put(name!("refused_by"), &record.refused_by);
        self.put(name!("request_bytes"), &record.request_bytes);
        self.put(name!("response_bytes"), &record.response_bytes);
        self.put(name!("events"), &record.events);
        if let Some(responses) = &record.responses {
            self.put(name!("responses"), responses);
        }
        self.put(name!("model"), &record.model);
        if let Some(usage) = &record.usage {
            self.put(name!("input_tokens"), &usage.input_tokens);
            self.put(name!("output_tokens"), &usage.output_tokens);
            self.put(name!("cache_read_tokens"), &usage.cache_read_tokens);
            self.put(name!("cache_creation_tokens"), &usage.cache_creation_tokens);
            self.put(name!("reasoning_tokens"), &usage.reasoning_tokens);
            self.rare(usage);
        }
        if record.estimated {
            self.put(name!("estimated"), &true);
        }
        if let Some(price) = &record.cost {
            self.put(name!("cost"), &price.cost.to_string());
            self.put(name!("currency"), &price.currency);
            self.put(name!("cost_source"), price.source.name());
        }
        self.put(name!("duration_ms"), &record.duration_ms);
        self.put(name!("connect_ms"), &record.connect_ms);
        self.put(name!("added_ms"), &record.added_ms);
        self.put(name!("first_byte_ms"), &record.first_byte_ms);
        self.address(name!("upstream"), record.upstream);
        self.put(name!("reused"), &record.reused);
        self.put(name!("attempts"), &record.attempts);
        self.put(name!("aborted"), &record.aborted);
        self.text.extend_from_slice(b"}");
        self.make_printable();
        self.text.push(b'\n');
        &self.text
    }

    /// What few responses say, and only prices need.
    fn rare(&mut self, usage: &Tokens) {
        for (name, count) in [
            (
                name!("cache_creation_1h_tokens"),
                usage.cache_creation_1h_tokens,
            ),
            (name!("searches"), usage.searches),
        ] {
            if count > 0 {
                self.put(name, &count);
            }
        }
        self.media(&usage.media);
        if usage.model_calls > 1 {
            self.put(name!("model_calls"), &usage.model_calls);
        }
        if usage.other_models {
            self.put(name!("other_models"), &true);
        }
        let tier = usage.service_tier;
        if let Some(tier) = tier.filter(|tier| *tier != ServiceTier::Standard) {
            self.put(name!("service_tier"), tier.name());
        }
    }

    /// What of the tokens is no text.
    fn media(&mut self, media: &Media) {
        if *media == Media::default() {
            return;
        }
        for (kind, count) in media.by_type() {
            if count > 0 {
                self.put(&format!(",\"{kind}_tokens\":"), &count);
            }
        }
        if media.unclear {
            self.put(name!("media_unclear"), &true);
        }
    }

    /// JSON asks for fewer escapes than a terminal or a log viewer does: a provider may call its model what it likes.
    fn make_printable(&mut self) {
        // All of it is UTF-8.
        if let Ok(Cow::Owned(printable)) = std::str::from_utf8(&self.text).map(printable::line) {
            self.text = printable.into_bytes();
        }
    }

    /// `name` is all that stands between the value before and this one.
    fn put(&mut self, name: &str, value: &(impl Serialize + ?Sized)) {
        self.text.extend_from_slice(name.as_bytes());
        // Texts and numbers into a Vec: that does not fail.
        let _ = serde_json::to_writer(&mut self.text, value);
    }

    /// As RFC 3339 has it, with microseconds.
    fn time(&mut self, time: Timestamp) {
        let second = time.as_second();
        if self.second != Some(second) {
            self.second = Some(second);
            let said = format!("{time:.0}");
            said.trim_end_matches('Z').clone_into(&mut self.said);
        }
        self.text.extend_from_slice(b"{\"time\":\"");
        self.text.extend_from_slice(self.said.as_bytes());
        self.text.push(b'.');
        // Before 1970, they would count backwards.
        let micros = time.subsec_microsecond().unsigned_abs();
        for place in [100_000, 10_000, 1_000, 100, 10, 1] {
            self.digit(micros / place);
        }
        self.text.extend_from_slice(b"Z\"");
    }

    /// There are two of them in each line, and by way of `Display` they were a third of what it takes.
    fn address(&mut self, name: &'static str, address: Option<SocketAddr>) {
        let address = match address {
            // A proxy in front has named the client without a port.
            Some(address) if address.port() == 0 => return self.put(name, &address.ip()),
            Some(SocketAddr::V4(address)) => address,
            other => return self.put(name, &other),
        };
        self.text.extend_from_slice(name.as_bytes());
        for (place, octet) in address.ip().octets().into_iter().enumerate() {
            self.text.push(if place == 0 { b'"' } else { b'.' });
            self.number(octet.into());
        }
        self.text.push(b':');
        self.number(address.port().into());
        self.text.push(b'"');
    }

    fn number(&mut self, number: u32) {
        if number >= 10 {
            self.number(number / 10);
        }
        self.digit(number);
    }

    fn digit(&mut self, number: u32) {
        let [digit, ..] = (number % 10).to_le_bytes();
        self.text.push(b'0' + digit);
    }
}

impl Format<AccessRecord> for Line {
    fn line<'l>(&'l mut self, record: &'l AccessRecord) -> &'l [u8] {
        self.of(record)
    }
}

/// Where records go. The thread that writes them ends when every clone is gone. Cheap to clone.
#[derive(Clone)]
pub struct AccessLog {
    lines: Option<LineQueue<AccessRecord>>,
}

impl AccessLog {
    /// Starts a thread that writes to `output`; lines that are lost are counted in `dropped`.
    pub fn start(output: impl Write + Send + 'static, dropped: IntCounter) -> io::Result<Self> {
        let lines = LineQueue::start("access-log", output, Line::default(), dropped)?;
        Ok(Self { lines: Some(lines) })
    }

    /// A log that keeps nothing.
    pub fn off() -> Self {
        Self { lines: None }
    }

    /// Hands a record over, or drops and counts it when the writer is behind.
    pub fn write(&self, record: AccessRecord) {
        if let Some(lines) = &self.lines {
            lines.push(record);
        }
    }

    /// Waits until every record so far is written, but no longer than a reader that has stopped reading deserves.
    pub fn flush(&self) {
        let unread = self
            .lines
            .as_ref()
            .is_some_and(|lines| !lines.flush(LAST_WORDS));
        if unread {
            tracing::warn!("nobody reads the access log: its last lines are lost");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::MediumTokens;
    use std::sync::Mutex;

    fn record(path: &str) -> AccessRecord {
        AccessRecord {
            time: "2026-11-21T10:00:00.5Z".parse().unwrap(),
            request_id: RequestId::next(),
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
            responses: None,
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
        let log = AccessLog::start(output.clone(), counter()).unwrap();
        log.write(record("/a\r\n\u{1b}[31m{\"x\":1}"));
        log.write(record(&"/x".repeat(10_000)));
        log.flush();
        let text = String::from_utf8(output.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["time"], "2026-11-21T10:00:00.500000Z");
        assert_eq!(lines[1]["path"].as_str().unwrap().len(), PATH_CAP);
    }

    #[test]
    fn a_client_that_a_proxy_names_without_a_port_stands_there_without_one() {
        for (client, said) in [
            ("192.0.2.1:0", "192.0.2.1"),
            ("[2001:db8::1]:0", "2001:db8::1"),
            ("192.0.2.1:9", "192.0.2.1:9"),
        ] {
            let mut record = record("/");
            record.client = Some(client.parse().unwrap());
            let line: serde_json::Value =
                serde_json::from_slice(Line::default().of(&record)).unwrap();
            assert_eq!(line["client"], said);
        }
    }

    #[test]
    fn a_line_says_all_there_is_by_its_name() {
        let mut record = record("/a b");
        record.time = "2026-11-21T10:00:00.000007Z".parse().unwrap();
        record.client = Some("[2001:db8::1]:65535".parse().unwrap());
        record.upstream = Some("10.0.200.1:8080".parse().unwrap());
        record.model = Some("\u{1b}\"gpt\"".to_owned());
        record.usage = Some(Tokens {
            input_tokens: u64::MAX,
            output_tokens: 2,
            cache_read_tokens: 3,
            cache_creation_tokens: 4,
            reasoning_tokens: 5,
            cache_creation_1h_tokens: 1,
            media: Media {
                audio: MediumTokens {
                    input: 7,
                    cache_read: 8,
                    output: 9,
                },
                image: MediumTokens {
                    output: 10,
                    ..MediumTokens::default()
                },
                unclear: true,
                ..Media::default()
            },
            searches: 6,
            model_calls: 2,
            other_models: true,
            service_tier: Some(ServiceTier::Flex),
        });
        record.cost = Some(Price {
            cost: Cost(1),
            currency: "EUR".into(),
            source: CostSource::Prices,
        });
        record.estimated = true;
        record.first_byte_ms = Some(0.25);
        record.reused = Some(true);
        let mut line = Line::default();
        let id = record.request_id;
        let expected = format!(
            "{{\"time\":\"2026-11-21T10:00:00.000007Z\",\"request_id\":\"{}\",\
             \"client\":\"[2001:db8::1]:65535\",\"key\":\"alice\",\"route\":null,\"provider\":null,\
             \"method\":\"POST\",\"path\":\"/a b\",\"status\":200,\"reason\":null,\"refused_by\":null,\
             \"request_bytes\":1,\"response_bytes\":2,\"events\":0,\"model\":\"\\u001b\\\"gpt\\\"\",\
             \"input_tokens\":18446744073709551615,\"output_tokens\":2,\"cache_read_tokens\":3,\
             \"cache_creation_tokens\":4,\"reasoning_tokens\":5,\"cache_creation_1h_tokens\":1,\"searches\":6,\
             \"input_audio_tokens\":7,\"cache_read_audio_tokens\":8,\"output_audio_tokens\":9,\
             \"output_image_tokens\":10,\"media_unclear\":true,\"model_calls\":2,\"other_models\":true,\
             \"service_tier\":\"flex\",\"estimated\":true,\
             \"cost\":\"0.000000000001\",\"currency\":\"EUR\",\"cost_source\":\"prices\",\
             \"duration_ms\":1.5,\"connect_ms\":0.0,\"added_ms\":0.1,\"first_byte_ms\":0.25,\
             \"upstream\":\"10.0.200.1:8080\",\"reused\":true,\"attempts\":1,\"aborted\":false}}\n",
            id.as_str()
        );
        assert_eq!(String::from_utf8_lossy(line.of(&record)), expected);
        // Of the same second, and of others.
        for (time, said) in [
            (
                "2026-11-21T10:00:00.999999999Z",
                "2026-11-21T10:00:00.999999Z",
            ),
            ("2026-11-21T10:00:01Z", "2026-11-21T10:00:01.000000Z"),
            ("2026-11-21T10:00:00Z", "2026-11-21T10:00:00.000000Z"),
        ] {
            record.time = time.parse().unwrap();
            for line in [&mut line, &mut Line::default()] {
                let line: serde_json::Value = serde_json::from_slice(line.of(&record)).unwrap();
                assert_eq!(line["time"], said);
            }
        }
    }

    #[test]
    fn no_line_moves_a_cursor_or_turns_a_text_around() {
        let mut record = record("/");
        let model = "m\u{e9}\u{9b}31m\u{202e}\u{7f}\u{1b}[31m\u{2028}\u{e0041}";
        record.model = Some(model.to_owned());
        let mut line = Line::default();
        let text = std::str::from_utf8(line.of(&record)).unwrap();
        let (text, end) = text.split_at(text.len() - 1);
        assert_eq!(end, "\n");
        let escaped =
            "\"model\":\"m\u{e9}\\u009b31m\\u202e\\u007f\\u001b[31m\\u2028\\udb40\\udc41\"";
        assert!(text.contains(escaped), "{text}");
        let read: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(read["model"], model);
    }
}
