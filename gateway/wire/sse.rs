//! Server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>), read
//! beside the stream wherever its bytes are cut. Lines end with LF, CRLF or CR.
//!
//! Knows fields and events, and nothing of what stands in them. The reader holds back and copies nothing: what it finds
//! goes to an [`EventSink`] as it comes.

use memchr::memchr2;

/// What the lines of an event stream may begin with. A comment begins with a colon.
pub(crate) const FIELDS: [&[u8]; 5] = [DATA, EVENT, b"id:", b"retry:", b":"];

const DATA: &[u8] = b"data:";
const EVENT: &[u8] = b"event:";
/// The beginning of a line that names an event, as nearly every server writes it.
const SPACED_EVENT: &[u8] = b"event: ";

/// The field of one whole line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field<'l> {
    /// `data:`, with the value up to the end of the line, its line end included.
    Data(&'l [u8]),
    /// `event:`, `id:` or `retry:`, which say something about the data that follow.
    Header,
    /// A comment.
    Comment,
    /// Nothing: the empty line that ends an event.
    End,
    /// Any other line, which means nothing.
    Unknown,
}

impl<'l> Field<'l> {
    /// The field of `line`, a line that ends with LF or CRLF.
    pub(crate) fn of(line: &'l [u8]) -> Self {
        if let Some(value) = line.strip_prefix(DATA) {
            Self::Data(value)
        } else if matches!(line, b"\n" | b"\r\n") {
            Self::End
        } else if line.starts_with(b":") {
            Self::Comment
        } else if FIELDS.iter().any(|field| line.starts_with(field)) {
            Self::Header
        } else {
            Self::Unknown
        }
    }
}

/// What an [`EventReader`] calls, in the order of the stream.
pub(crate) trait EventSink {
    /// The name of the events that are reported to [`Self::named`]. Not empty, and without spaces.
    const NAME: &'static [u8];
    /// Whether `line` is of no use: the only data of an event, all of which has come. It is not given to
    /// [`Self::data`] then.
    fn skips(&self, line: &[u8]) -> bool;
    /// The next bytes of the event's data. Several lines of data have a line feed between them.
    fn data(&mut self, text: &[u8]);
    /// The event is called [`Self::NAME`].
    fn named(&mut self);
    /// An empty line. `is_event`: whether it ends an event, that is whether any line but comments came since the
    /// last one.
    fn ended(&mut self, is_event: bool);
}

/// The state of one stream.
#[derive(Default)]
pub(crate) struct EventReader {
    line: Line,
    /// Whether the event so far has a line.
    has_lines: bool,
    /// Whether it has data.
    has_data: bool,
    /// Whether the last line ended with a CR, so that an LF belongs to it.
    after_cr: bool,
}

/// The place of the reader in a line.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// At its beginning.
    #[default]
    Start,
    /// In `data:`, behind so many bytes of it.
    Data(usize),
    /// In `event:` and the name of interest, behind so many bytes of the two.
    Event(usize),
    /// Behind `data:`.
    Value,
    /// In a line that is of no interest.
    Other,
}

impl EventReader {
    /// Takes the next bytes of the stream.
    // Inlined into its caller, which makes the sink: the references in it then stay in registers.
    #[inline]
    pub(crate) fn feed<S: EventSink>(&mut self, text: &[u8], sink: &mut S) {
        let mut rest = text;
        while let Some(&byte) = rest.first() {
            rest = match self.line {
                Line::Value | Line::Other => self.within(rest, sink),
                Line::Start if rest.starts_with(DATA) => {
                    self.has_lines = true;
                    self.value(rest.get(DATA.len()..).unwrap_or_default(), sink)
                }
                _ => self.field(byte, rest, sink),
            };
        }
    }

    /// Reads the rest of a line whose field is known; returns what follows the line.
    fn within<'b, S: EventSink>(&mut self, rest: &'b [u8], sink: &mut S) -> &'b [u8] {
        let end = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let (inside, behind) = rest.split_at(end);
        if self.line == Line::Value {
            sink.data(inside);
        }
        let Some((&byte, next)) = behind.split_first() else {
            return behind;
        };
        if self.line == Line::Value {
            sink.data(b"\n");
        }
        self.line_ended(byte);
        next
    }

    /// Reads one byte of a line whose field is not known yet; returns what follows it.
    fn field<'b, S: EventSink>(&mut self, byte: u8, rest: &'b [u8], sink: &mut S) -> &'b [u8] {
        let behind = rest.get(1..).unwrap_or_default();
        match (self.line, byte) {
            (Line::Start, b'\n') if std::mem::take(&mut self.after_cr) => {}
            (Line::Start, b'\n' | b'\r') => {
                self.line_ended(byte);
                self.event_ended(sink);
            }
            (line, b'\n' | b'\r') => {
                if line == Line::Event(EVENT.len() + S::NAME.len()) {
                    sink.named();
                }
                self.line_ended(byte);
            }
            (Line::Start, byte) => {
                self.after_cr = false;
                // Comments alone make no event: some servers send them to keep a connection open.
                self.has_lines |= byte != b':';
                self.line = match byte {
                    b'd' => Line::Data(1),
                    b'e' if !has_other_name::<S>(rest) => Line::Event(1),
                    _ => Line::Other,
                };
            }
            (Line::Data(matched), byte) if DATA.get(matched) == Some(&byte) => {
                if matched + 1 == DATA.len() {
                    return self.value(behind, sink);
                }
                self.line = Line::Data(matched + 1);
            }
            // Spaces may stand before the name.
            (Line::Event(matched), b' ') if matched == EVENT.len() => {}
            (Line::Event(matched), byte) if event_line::<S>(matched) == Some(&byte) => {
                self.line = Line::Event(matched + 1);
            }
            _ => self.line = Line::Other,
        }
        behind
    }

    /// Begins the value of a data line; returns what follows it, or all of `rest` if the value is to be read.
    fn value<'b, S: EventSink>(&mut self, rest: &'b [u8], sink: &mut S) -> &'b [u8] {
        self.after_cr = false;
        self.line = Line::Value;
        if std::mem::replace(&mut self.has_data, true) {
            return rest;
        }
        let Some((line, end, behind)) = only_line(rest) else {
            return rest;
        };
        if !sink.skips(line) {
            return rest;
        }
        self.line_ended(end);
        // In most streams, the event ends with the next byte, which need not be looked at as the beginning of a line.
        match behind.split_first() {
            Some((b'\n', next)) if end == b'\n' => {
                self.event_ended(sink);
                next
            }
            _ => behind,
        }
    }

    fn line_ended(&mut self, byte: u8) {
        self.line = Line::Start;
        self.after_cr = byte == b'\r';
    }

    fn event_ended<S: EventSink>(&mut self, sink: &mut S) {
        let is_event = std::mem::take(&mut self.has_lines);
        if is_event {
            self.has_data = false;
        }
        sink.ended(is_event);
    }
}

/// The byte at a place of `event:` and the name of interest.
fn event_line<S: EventSink>(at: usize) -> Option<&'static u8> {
    let in_name = |at: usize| S::NAME.get(at);
    EVENT
        .get(at)
        .or_else(|| at.checked_sub(EVENT.len()).and_then(in_name))
}

/// Whether `line`, as far as it has come, names an event that is not the one of interest.
fn has_other_name<S: EventSink>(line: &[u8]) -> bool {
    let name = line.strip_prefix(SPACED_EVENT).and_then(<[u8]>::first);
    name.is_some_and(|first| *first != b' ' && Some(first) != S::NAME.first())
}

/// The rest of a line, the byte that ends it, and what follows that byte; `None` unless the line has come to its end and
/// the event ends with it.
fn only_line(rest: &[u8]) -> Option<(&[u8], u8, &[u8])> {
    let end = memchr2(b'\n', b'\r', rest)?;
    let (line, behind) = rest.split_at(end);
    let ends = [&b"\n\n"[..], b"\r\n\r\n", b"\n\r\n", b"\r\r"];
    let (byte, next) = behind.split_first()?;
    let is_end = ends.iter().any(|end| behind.starts_with(end));
    is_end.then_some((line, *byte, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The events of a stream: their data, and whether they have the name of interest.
    #[derive(Default)]
    struct Events {
        all: Vec<(String, bool)>,
        data: Vec<u8>,
        is_named: bool,
    }

    impl EventSink for Events {
        const NAME: &'static [u8] = b"error";

        fn skips(&self, line: &[u8]) -> bool {
            line == b"skipped"
        }

        fn data(&mut self, text: &[u8]) {
            self.data.extend_from_slice(text);
        }

        fn named(&mut self) {
            self.is_named = true;
        }

        fn ended(&mut self, is_event: bool) {
            let data = String::from_utf8(std::mem::take(&mut self.data)).unwrap();
            let is_named = std::mem::take(&mut self.is_named);
            if is_event {
                self.all.push((data, is_named));
            }
        }
    }

    fn events(stream: &str, cut: usize) -> Vec<(String, bool)> {
        let (mut reader, mut events) = (EventReader::default(), Events::default());
        for chunk in stream.as_bytes().chunks(cut) {
            reader.feed(chunk, &mut events);
        }
        events.all
    }

    #[test]
    fn events_are_found_wherever_they_are_cut_and_whatever_ends_their_lines() {
        let stream = "data: a\n\nevent: error\ndata: b\ndata:c\n\n: comment\n\n\nevent:error\n\nevent: errors\nid\n\ndata: open";
        let wanted = [(" a\n", false), (" b\nc\n", true), ("", true), ("", false)];
        for end in ["\n", "\r\n", "\r"] {
            let stream = stream.replace('\n', end);
            for cut in 1..=stream.len() {
                let found = events(&stream, cut);
                let found: Vec<(&str, bool)> = found
                    .iter()
                    .map(|(data, is_named)| (data.as_str(), *is_named))
                    .collect();
                assert_eq!(found, wanted, "{stream:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_line_is_skipped_only_where_it_is_all_of_an_event() {
        let found = events("data:skipped\n\ndata:skipped\ndata:b\n\n", 100);
        let data: Vec<&str> = found.iter().map(|(data, _)| data.as_str()).collect();
        assert_eq!(data, ["", "skipped\nb\n"]);
    }

    #[test]
    fn the_field_of_a_line_is_known_by_its_beginning() {
        for (line, field) in [
            ("data: a\n", Field::Data(b" a\n")),
            ("data:\r\n", Field::Data(b"\r\n")),
            ("event: a\n", Field::Header),
            ("id:\n", Field::Header),
            ("retry: 1\n", Field::Header),
            (": data:\n", Field::Comment),
            ("\n", Field::End),
            ("\r\n", Field::End),
            ("data\n", Field::Unknown),
            (" data: a\n", Field::Unknown),
        ] {
            assert_eq!(Field::of(line.as_bytes()), field, "{line:?}");
        }
    }
}
