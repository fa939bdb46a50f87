//! The meter: reads a response beside its way to the client, as JSON or as an event stream, cut
//! into chunks anywhere.
//!
//! It takes a few hundred bytes, and 40 KiB more for a compressed response, however long the
//! response is.

use super::events::Events;
use super::extract::Extractor;
use super::form::{Form, Sniffer};
use super::tokens::Usage;
use crate::wire::decoder::BodyDecoder;
use crate::wire::json::scanner::Scanner;

/// The meter of one response.
pub struct Meter {
    body: BodyDecoder,
    reader: BodyReader,
}

/// The reader of the decompressed body.
struct BodyReader {
    form: BodyForm,
    /// Whether event streams are read.
    streams: bool,
    events: Events,
    scanner: Scanner,
    extractor: Extractor,
}

/// The form of the body, once it is known.
enum BodyForm {
    Unknown(Sniffer),
    Known(Form),
}

impl Meter {
    /// Creates a meter for a response with these `content-type` and `content-encoding` headers.
    /// Returns `None` if the body holds nothing to read. A wrong or missing type does no harm: see
    /// `usage::form`.
    pub fn of(content_type: &[u8], encoding: &[u8]) -> Option<Self> {
        Some(Self {
            reader: BodyReader {
                form: BodyForm::Unknown(Sniffer::of(content_type)?),
                streams: true,
                events: Events::default(),
                scanner: Scanner::default(),
                extractor: Extractor::default(),
            },
            body: BodyDecoder::of(encoding),
        })
    }

    /// Stops this meter from reading event streams. Returns `None` if the response declares to be
    /// one.
    #[must_use]
    pub(crate) fn without_streams(mut self) -> Option<Self> {
        self.reader.streams = false;
        (!self.is_stream()).then_some(self)
    }

    /// Reads the next chunk.
    pub fn feed(&mut self, chunk: &[u8]) {
        let Self { body, reader } = self;
        body.feed(chunk, |text| reader.feed(text));
        if matches!(reader.form, BodyForm::Known(Form::Other)) {
            // Stop decompressing a body that is not read.
            *body = BodyDecoder::Plain;
        }
    }

    /// Returns whether the body is an event stream; before its first byte, whether the header
    /// declares one.
    pub(crate) fn is_stream(&self) -> bool {
        match &self.reader.form {
            BodyForm::Unknown(sniffer) => sniffer.expects_events(),
            BodyForm::Known(form) => *form == Form::Events,
        }
    }

    /// Returns whether the body could not be read to its end.
    pub fn is_unreadable(&self) -> bool {
        self.body.is_unreadable()
    }

    /// The number of events that have ended.
    pub fn events(&self) -> u64 {
        self.reader.events.count()
    }

    /// The number of events that were errors; outside of event streams, the number of documents
    /// that were.
    pub(crate) fn errors(&self) -> u64 {
        if self.is_stream() {
            self.reader.events.errors(&self.reader.extractor)
        } else {
            self.reader.extractor.errors.count()
        }
    }

    /// The usage reported so far, if any.
    pub fn usage(&self) -> Option<Usage> {
        self.reader.extractor.usage()
    }

    /// The model that the response named first, cut off at 128 bytes.
    pub fn model(&self) -> Option<&str> {
        self.reader.extractor.model.as_deref()
    }

    /// The number of malformed counts: negative, broken or not a number.
    pub fn malformed(&self) -> u64 {
        self.reader.extractor.malformed
    }
}

impl BodyReader {
    fn feed(&mut self, text: &[u8]) {
        match &mut self.form {
            BodyForm::Known(Form::Json) => self.scanner.feed(text, &mut self.extractor),
            BodyForm::Known(Form::Events) if self.streams => {
                self.events
                    .feed(text, &mut self.scanner, &mut self.extractor);
            }
            BodyForm::Known(Form::Events | Form::Other) => {}
            BodyForm::Unknown(sniffer) => {
                let Some((form, rest)) = sniffer.look(text) else {
                    return;
                };
                if form == Form::Json {
                    self.extractor.errors.count_documents();
                }
                let before = std::mem::replace(&mut self.form, BodyForm::Known(form));
                if let BodyForm::Unknown(sniffer) = before {
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
        // Drops the fields that only prices need.
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

    /// Golden transcripts: `# EVENTS INPUT OUTPUT CACHE_READ CACHE_CREATION REASONING MODEL`, then
    /// the body.
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
            // With the line ends of HTTP.
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
        let read_tokens = |tokens: u64| {
            let mut meter = Meter::of(b"application/json", b"").unwrap();
            let both = format!(
                "{{\"usage\": {{\"input_tokens\": {tokens}, \"cache_read_input_tokens\": {tokens}}}}}"
            );
            meter.feed(both.as_bytes());
            (meter.malformed(), meter.usage().map(|usage| usage.input))
        };
        assert_eq!(read_tokens(10_000_000_000), (0, Some(20_000_000_000)));
        for lie in [10_000_000_001, u64::MAX] {
            assert_eq!(read_tokens(lie), (2, None));
        }
    }

    #[test]
    fn the_form_is_detected_whatever_the_content_type() {
        let json = r#"{"model":"m","usage":{"prompt_tokens":10,"completion_tokens":5}}"#;
        let events = format!("data: {{\"model\":\"m\"}}\n\ndata: {json}\n\n");
        let lines = format!("{{\"model\":\"m\"}}\n{json}\n");
        let content_types = [
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
        for media in content_types {
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
                // A number ends only when something follows it.
                meter.feed(b"\n");
                assert_eq!((meter.errors(), meter.events()), (errors, 0), "{body}");
            }
        }
    }

    #[test]
    fn streams_are_not_read_if_disabled_whatever_the_content_type() {
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
    fn events_are_counted_wherever_the_chunks_are_cut() {
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
