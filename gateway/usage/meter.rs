//! The meter: reads a response beside its way to the client, JSON or a stream of events, cut wherever it is.
//!
//! Takes some hundred bytes, and 40 KiB more for a compressed response, however long it is.

use super::events::Events;
use super::form::{Form, Sniffer};
use super::tokens::{Found, Usage};
use crate::wire::decoder::BodyDecoder;
use crate::wire::json::scanner::Scanner;

/// The meter of one response.
pub struct Meter {
    body: BodyDecoder,
    text: Text,
}

/// The text of the body, as far as it was read.
struct Text {
    form: Known,
    /// Whether a stream of events is to be read.
    streams: bool,
    events: Events,
    scanner: Scanner,
    found: Found,
}

/// What is known of the body's form.
enum Known {
    NotYet(Sniffer),
    As(Form),
}

impl Meter {
    /// For a response whose head says this of its type and its encoding; `None` where there is nothing to be read. A
    /// type that is wrong or left out does no harm: see `usage::form`.
    pub fn of(content_type: &[u8], encoding: &[u8]) -> Option<Self> {
        Some(Self {
            text: Text {
                form: Known::NotYet(Sniffer::of(content_type)?),
                streams: true,
                events: Events::default(),
                scanner: Scanner::default(),
                found: Found::default(),
            },
            body: BodyDecoder::of(encoding),
        })
    }

    /// The same, which reads no stream of events; `None` for what is said to be one.
    #[must_use]
    pub fn without_streams(mut self) -> Option<Self> {
        self.text.streams = false;
        (!self.is_stream()).then_some(self)
    }

    /// Takes the next chunk, as it goes to the client.
    pub fn feed(&mut self, chunk: &[u8]) {
        let Self { body, text } = self;
        body.feed(chunk, |read| text.feed(read));
        if matches!(text.form, Known::As(Form::Other)) {
            // No more of it is decompressed.
            *body = BodyDecoder::Plain;
        }
    }

    /// Whether it is a stream of events, or is said to be one before its first byte.
    pub fn is_stream(&self) -> bool {
        match &self.text.form {
            Known::NotYet(sniffer) => sniffer.expects_events(),
            Known::As(form) => *form == Form::Events,
        }
    }

    /// Whether it could not be read, or not to its end.
    pub fn is_blind(&self) -> bool {
        self.body.is_blind()
    }

    /// How many events have ended so far.
    pub fn events(&self) -> u64 {
        self.text.events.count()
    }

    /// How many events were errors, or how many documents where it is no stream of events.
    pub fn errors(&self) -> u64 {
        if self.is_stream() {
            self.text.events.errors(&self.text.found)
        } else {
            self.text.found.errors.count()
        }
    }

    /// The tokens so far, if the response has said any.
    pub fn usage(&self) -> Option<Usage> {
        self.text.found.usage()
    }

    /// The model, as the response names it first; cut off at 128 bytes.
    pub fn model(&self) -> Option<&str> {
        self.text.found.model.as_deref()
    }

    /// How many counts in it were none: negative, broken, or no numbers.
    pub fn malformed(&self) -> u64 {
        self.text.found.malformed
    }
}

impl Text {
    fn feed(&mut self, text: &[u8]) {
        match &mut self.form {
            Known::As(Form::Json) => self.scanner.feed(text, &mut self.found),
            Known::As(Form::Events) if self.streams => {
                self.events.feed(text, &mut self.scanner, &mut self.found);
            }
            Known::As(Form::Events | Form::Other) => {}
            Known::NotYet(sniffer) => {
                let Some((form, rest)) = sniffer.look(text) else {
                    return;
                };
                if form == Form::Json {
                    self.found.errors.count_documents();
                }
                let before = std::mem::replace(&mut self.form, Known::As(form));
                if let Known::NotYet(sniffer) = before {
                    self.feed(sniffer.held());
                }
                self.feed(rest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a transcript cut into chunks of one size.
    fn read(media: &str, text: &str, cut: usize) -> (Option<Usage>, u64, Option<String>) {
        let mut meter = Meter::of(media.as_bytes(), b"").unwrap();
        for chunk in text.as_bytes().chunks(cut) {
            meter.feed(chunk);
        }
        assert_eq!(meter.malformed(), 0, "{text}");
        // Without what only prices need.
        let usage = meter.usage().map(|usage| Usage {
            input: usage.input,
            output: usage.output,
            cache_read: usage.cache_read,
            cache_creation: usage.cache_creation,
            reasoning: usage.reasoning,
            ..Usage::default()
        });
        (usage, meter.events(), meter.model().map(str::to_owned))
    }

    /// Golden transcripts: `# EVENTS INPUT OUTPUT CACHE_READ CACHE_CREATION REASONING MODEL`, then the body.
    #[test]
    fn transcripts_of_each_api_give_the_same_totals_wherever_they_are_cut() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/usage");
        let mut seen = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let file = std::fs::read_to_string(&path).unwrap();
            let (head, body) = file.split_once('\n').unwrap();
            let mut words = head.trim_start_matches('#').split_whitespace();
            let mut number = || words.next().unwrap().parse::<u64>().unwrap();
            let events = number();
            let usage = Usage {
                input: number(),
                output: number(),
                cache_read: number(),
                cache_creation: number(),
                reasoning: number(),
                ..Usage::default()
            };
            let model = words.next().map(str::to_owned);
            let usage = (usage != Usage::default()).then_some(usage);
            let stream = path.extension().is_some_and(|end| end == "sse");
            let media = if stream {
                "text/event-stream; charset=utf-8"
            } else {
                "application/json"
            };
            for cut in (1..200).chain([body.len()]) {
                let read = read(media, body, cut);
                assert_eq!(
                    read,
                    (usage, events, model.clone()),
                    "{} cut at {cut}",
                    path.display()
                );
            }
            // With the line ends that HTTP has.
            let other = body.replace('\n', "\r\n");
            assert_eq!(
                read(media, &other, 7),
                (usage, events, model),
                "{}",
                path.display()
            );
            seen += 1;
        }
        assert!(seen >= 28, "{seen}");
    }

    #[test]
    fn numbers_that_no_response_takes_are_malformed_and_not_counted() {
        let lie = r#"{"usage": {"prompt_tokens": -5, "completion_tokens": 9223372036854775808, "prompt_tokens_details": {"cached_tokens": "many"}, "output_tokens_details": {"reasoning_tokens": 1.5}}}"#;
        let mut meter = Meter::of(b"application/json", b"").unwrap();
        meter.feed(lie.as_bytes());
        assert_eq!((meter.malformed(), meter.usage()), (4, None));
        let said = |tokens: u64| {
            let mut meter = Meter::of(b"application/json", b"").unwrap();
            let both = format!(
                "{{\"usage\": {{\"input_tokens\": {tokens}, \"cache_read_input_tokens\": {tokens}}}}}"
            );
            meter.feed(both.as_bytes());
            (meter.malformed(), meter.usage().map(|usage| usage.input))
        };
        assert_eq!(said(10_000_000_000), (0, Some(20_000_000_000)));
        for lie in [10_000_000_001, u64::MAX] {
            assert_eq!(said(lie), (2, None));
        }
    }

    #[test]
    fn what_is_said_of_a_body_does_not_hide_what_it_is() {
        let json = r#"{"model":"m","usage":{"prompt_tokens":10,"completion_tokens":5}}"#;
        let events = format!("data: {{\"model\":\"m\"}}\n\ndata: {json}\n\n");
        let lines = format!("{{\"model\":\"m\"}}\n{json}\n");
        let said = [
            "application/json",
            "text/event-stream",
            "text/plain",
            "",
            "application/octet-stream",
            "text/json",
            "application/jsonl",
            "application/x-ndjson",
            "application/json-seq",
            "application/problem+json",
        ];
        for media in said {
            for (body, count) in [
                (json, 0),
                (&*events, 2),
                (&lines, 0),
                (&events.replace('\n', "\r"), 2),
            ] {
                for before in ["", "\u{feff}", "\n"] {
                    for cut in [1, 3, 1000] {
                        let (usage, events, model) = read(media, &format!("{before}{body}"), cut);
                        let counts = usage.map(|usage| (usage.input, usage.output));
                        assert_eq!(
                            (counts, events, model.as_deref()),
                            (Some((10, 5)), count, Some("m")),
                            "{media} {body}"
                        );
                    }
                }
            }
        }
        for media in ["audio/mpeg", "multipart/form-data"] {
            assert!(Meter::of(media.as_bytes(), b"").is_none(), "{media}");
        }
        assert!(size_of::<Meter>() <= 1024);
    }

    #[test]
    fn errors_are_counted_in_json_of_any_kind_as_in_events() {
        let text = r#"{"error": {"message": "m"}}"#;
        for (media, body, errors) in [
            ("application/json", text.to_owned(), 1),
            // A list of documents, as Gemini streams without `alt=sse`.
            (
                "application/json",
                format!("[{{\"candidates\": []}},\n{text}]"),
                1,
            ),
            ("application/json", format!("[{text}, {text}]"), 2),
            (
                "application/x-ndjson",
                "{\"response\": \"a\"}\n{\"error\": \"out of memory\"}\n".to_owned(),
                1,
            ),
            ("application/x-ndjson", format!("{text}\n{{}}\n{text}\n{{}}\n"), 2),
            (
                "application/json",
                r#"{"object": "error", "message": "m", "type": "BadRequestError", "code": 400}"#.to_owned(),
                1,
            ),
            ("application/json", r#"{"error": 503}"#.to_owned(), 1),
            ("application/json", r#"{"error": true}"#.to_owned(), 1),
            // No errors.
            (
                "application/json",
                r#"{"id": "r", "object": "response", "error": null, "output": [{"error": {"a": 1}}]}"#.to_owned(),
                0,
            ),
            (
                "application/json",
                r#"[{"error": 0}, {"error": ""}, {"error": false}, {"object": "list"}]"#.to_owned(),
                0,
            ),
        ] {
            for cut in [1, 5, 1000] {
                let mut meter = Meter::of(media.as_bytes(), b"").unwrap();
                for chunk in body.as_bytes().chunks(cut) {
                    meter.feed(chunk);
                }
                // A number is over when something follows it.
                meter.feed(b"\n");
                assert_eq!((meter.errors(), meter.events()), (errors, 0), "{body}");
            }
        }
    }

    #[test]
    fn streams_are_not_read_where_none_is_to_be_whatever_they_are_called() {
        let stream = "data: {\"usage\":{\"prompt_tokens\":10}}\n\n";
        let meter = |media: &[u8]| Meter::of(media, b"").unwrap().without_streams();
        assert!(meter(b"text/event-stream").is_none());
        let mut other = meter(b"application/json").unwrap();
        other.feed(stream.as_bytes());
        assert_eq!(
            (other.usage(), other.events(), other.is_stream()),
            (None, 0, true)
        );
        let mut json = meter(b"").unwrap();
        json.feed(br#"{"usage":{"prompt_tokens":10}}"#);
        assert!(json.usage().is_some());
    }

    #[test]
    fn events_are_counted_wherever_the_pieces_are_cut() {
        let text = "data: a\n\nevent: x\ndata: {\"model\":\ndata: \"m\"}\n\n: comment\n\n\n\ndata\n\ndata: unfinished\n";
        for cut in 1..text.len() {
            let (usage, events, model) = read("text/event-stream", text, cut);
            assert_eq!(
                (usage, events, model.as_deref()),
                (None, 3, Some("m")),
                "cut at {cut}"
            );
        }
    }
}
