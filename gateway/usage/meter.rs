//! The meter: reads an answer beside its way to the client, JSON or a stream of events, cut wherever it is.
//!
//! Takes some hundred bytes, and 40 KiB more for a compressed answer, however long it is.

use super::Readable;
use super::scanner::Scanner;
use super::tokens::{Found, Usage};

/// The media type of a stream of events.
const EVENTS: &[u8] = b"text/event-stream";

/// Whether a `Content-Type` says that the body is a stream of events.
pub fn is_event_stream(content_type: &[u8]) -> bool {
    media_type(content_type).eq_ignore_ascii_case(EVENTS)
}

fn media_type(content_type: &[u8]) -> &[u8] {
    let media = content_type.split(|byte| *byte == b';').next();
    media.unwrap_or_default().trim_ascii()
}

/// The meter of one answer.
pub struct Meter {
    body: Readable,
    /// The state of a stream of events; `None` for JSON.
    events: Option<Events>,
    scanner: Scanner,
    found: Found,
}

impl Meter {
    /// For an answer whose head says this of its type and its encoding; `None` where there is nothing to be
    /// read.
    pub fn of(content_type: &[u8], encoding: &[u8]) -> Option<Self> {
        let media = media_type(content_type).to_ascii_lowercase();
        let events = is_event_stream(content_type);
        let json =
            media == b"application/json" || media.ends_with(b"+json") || media.ends_with(b"ndjson");
        (events || json).then(|| Self {
            body: Readable::of(encoding),
            events: events.then(Events::default),
            scanner: Scanner::default(),
            found: Found::default(),
        })
    }

    /// Takes the next piece, as it goes to the client.
    pub fn feed(&mut self, piece: &[u8]) {
        let Self {
            body,
            events,
            scanner,
            found,
        } = self;
        body.feed(piece, |text| match events {
            Some(events) => events.feed(text, scanner, found),
            None => scanner.feed(text, found),
        });
    }

    /// Whether it is a stream of events.
    pub fn is_stream(&self) -> bool {
        self.events.is_some()
    }

    /// Whether it could not be read, or not to its end.
    pub fn is_blind(&self) -> bool {
        self.body.is_blind()
    }

    /// How many events have ended so far.
    pub fn events(&self) -> u64 {
        self.events.as_ref().map_or(0, |events| events.count)
    }

    /// The tokens so far, if the answer has said any.
    pub fn usage(&self) -> Option<Usage> {
        self.found.usage()
    }

    /// The model, as the answer names it first; cut off at 128 bytes.
    pub fn model(&self) -> Option<&str> {
        self.found.model.as_deref()
    }

    /// How many counts in it were none: negative, broken, or no numbers.
    pub fn malformed(&self) -> u64 {
        self.found.malformed
    }
}

/// Server-sent events, of which the data are read
/// (<https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>), for streams with
/// LF or CRLF line ends, which is what every provider sends.
#[derive(Default)]
struct Events {
    count: u64,
    line: Line,
    /// Whether the event so far has a line.
    begun: bool,
    /// Whether it has data.
    told: bool,
}

/// Where in a line it is.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// At its beginning.
    #[default]
    Start,
    /// Within `data:`, so many bytes of it.
    Field(usize),
    /// Behind it.
    Data,
    /// In a line that is of no interest.
    Other,
}

const FIELD: &[u8] = b"data:";

impl Events {
    fn feed(&mut self, text: &[u8], scanner: &mut Scanner, found: &mut Found) {
        let mut rest = text;
        while let Some(&byte) = rest.first() {
            if self.line == Line::Data || self.line == Line::Other {
                let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
                let (inside, behind) = rest.split_at(end);
                if self.line == Line::Data {
                    scanner.feed(inside, found);
                }
                rest = behind;
                if let Some((_, next)) = behind.split_first() {
                    // Data in several lines are one text, in which the line's end is white space.
                    if self.line == Line::Data {
                        scanner.feed(b"\n", found);
                    }
                    self.line = Line::Start;
                    rest = next;
                }
                continue;
            }
            rest = rest.get(1..).unwrap_or_default();
            self.line = match (self.line, byte) {
                (Line::Start, b'\n') => {
                    self.end(scanner);
                    Line::Start
                }
                (Line::Start, b'\r') | (Line::Field(_), b'\n') => Line::Start,
                (Line::Start, byte) => {
                    // A comment is none: some say that they are still at work so.
                    self.begun |= byte != b':';
                    Self::field(0, byte)
                }
                (Line::Field(matched), byte) => Self::field(matched, byte),
                (line, _) => line,
            };
            if self.line == Line::Data && !std::mem::replace(&mut self.told, true) {
                let (line, ends) = only_line(rest);
                if ends && !found.may_learn_from(line) {
                    self.line = Line::Other;
                }
            }
        }
    }

    fn field(matched: usize, byte: u8) -> Line {
        match FIELD.get(matched) {
            Some(wanted) if *wanted == byte && matched + 1 == FIELD.len() => Line::Data,
            Some(wanted) if *wanted == byte => Line::Field(matched + 1),
            _ => Line::Other,
        }
    }

    fn end(&mut self, scanner: &mut Scanner) {
        if std::mem::take(&mut self.begun) {
            self.count += 1;
            self.told = false;
            scanner.reset();
        }
    }
}

/// The rest of a line, and whether it is there to its end and the event ends with it.
fn only_line(rest: &[u8]) -> (&[u8], bool) {
    let Some(end) = memchr::memchr(b'\n', rest) else {
        return (rest, false);
    };
    let (line, behind) = rest.split_at(end);
    (
        line,
        behind.starts_with(b"\n\n") || behind.starts_with(b"\n\r\n"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a transcript cut into pieces of one size.
    fn read(media: &str, text: &str, cut: usize) -> (Option<Usage>, u64, Option<String>) {
        let mut meter = Meter::of(media.as_bytes(), b"").unwrap();
        for piece in text.as_bytes().chunks(cut) {
            meter.feed(piece);
        }
        assert_eq!(meter.malformed(), 0, "{text}");
        (
            meter.usage(),
            meter.events(),
            meter.model().map(str::to_owned),
        )
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
    fn what_is_neither_json_nor_events_is_not_read() {
        for media in ["audio/mpeg", "text/plain", "", "multipart/form-data"] {
            assert!(Meter::of(media.as_bytes(), b"").is_none(), "{media}");
        }
        for media in [
            "application/JSON; charset=utf-8",
            "application/x-ndjson",
            "application/problem+json",
        ] {
            assert!(
                !Meter::of(media.as_bytes(), b"").unwrap().is_stream(),
                "{media}"
            );
        }
        assert!(size_of::<Meter>() < 1024);
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
