//! Server-sent events, of which the data are read
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>), byte by byte, however
//! they are cut and whatever ends their lines: LF, CRLF or CR.

use memchr::memchr2;

use super::extract::Extractor;
use crate::wire::json::scanner::Scanner;

/// The state of one stream.
#[derive(Default)]
pub(super) struct Events {
    /// Events that have ended.
    count: u64,
    /// Of these, errors.
    errors: u64,
    line: Line,
    /// Whether the event so far has a line.
    begun: bool,
    /// Whether it has data.
    told: bool,
    /// Whether the line before ended with a CR, so that an LF belongs to it.
    returned: bool,
}

/// Where in a line it is.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// At its beginning.
    #[default]
    Start,
    /// Within `data:`, so many bytes of it.
    Data(usize),
    /// Within `event:error`, so many bytes of it.
    Event(usize),
    /// Behind `data:`.
    Value,
    /// In a line that is of no interest.
    Other,
}

const DATA: &[u8] = b"data:";
const EVENT: &[u8] = b"event:error";
/// How the line begins that names an event, as nearly everybody writes it, and how long its name is then.
const NAMED: &[u8] = b"event: ";

impl Events {
    pub(super) fn feed(&mut self, text: &[u8], scanner: &mut Scanner, found: &mut Extractor) {
        let mut rest = text;
        while let Some(&byte) = rest.first() {
            rest = match self.line {
                Line::Value | Line::Other => self.within(rest, scanner, found),
                Line::Start if rest.starts_with(DATA) => {
                    self.begun = true;
                    self.value(rest.get(DATA.len()..).unwrap_or_default(), found)
                }
                _ => self.name(byte, rest, scanner, found),
            };
        }
    }

    /// How many events have ended.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// How many errors there were, with the last event if that has not ended.
    pub(super) fn errors(&self, found: &Extractor) -> u64 {
        self.errors + found.errors.count()
    }

    /// The rest of a line whose field is known; gives what is behind it.
    fn within<'b>(
        &mut self,
        rest: &'b [u8],
        scanner: &mut Scanner,
        found: &mut Extractor,
    ) -> &'b [u8] {
        let end = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let (inside, behind) = rest.split_at(end);
        if self.line == Line::Value {
            scanner.feed(inside, found);
        }
        let Some((&byte, next)) = behind.split_first() else {
            return behind;
        };
        // Data in several lines are one text, in which the line's end is white space.
        if self.line == Line::Value {
            scanner.feed(b"\n", found);
        }
        self.line_ended(byte);
        next
    }

    /// A byte of a line whose field is not known yet; gives what is behind it.
    fn name<'b>(
        &mut self,
        byte: u8,
        rest: &'b [u8],
        scanner: &mut Scanner,
        found: &mut Extractor,
    ) -> &'b [u8] {
        let behind = rest.get(1..).unwrap_or_default();
        match (self.line, byte) {
            (Line::Start, b'\n') if std::mem::take(&mut self.returned) => {}
            (Line::Start, b'\n' | b'\r') => {
                self.line_ended(byte);
                self.end(scanner, found);
            }
            (line, b'\n' | b'\r') => {
                found.errors.add(line == Line::Event(EVENT.len()));
                self.line_ended(byte);
            }
            (Line::Start, byte) => {
                self.returned = false;
                // A comment is none: some say that they are still at work so.
                self.begun |= byte != b':';
                self.line = match byte {
                    b'd' => Line::Data(1),
                    b'e' if !is_plain_name(rest) => Line::Event(1),
                    _ => Line::Other,
                };
            }
            (Line::Data(matched), byte) if DATA.get(matched) == Some(&byte) => {
                if matched + 1 == DATA.len() {
                    return self.value(behind, found);
                }
                self.line = Line::Data(matched + 1);
            }
            // Blanks may stand behind the colon.
            (Line::Event(matched), b' ') if matched + 1 == NAMED.len() => {}
            (Line::Event(matched), byte) if EVENT.get(matched) == Some(&byte) => {
                self.line = Line::Event(matched + 1);
            }
            _ => self.line = Line::Other,
        }
        behind
    }

    /// What is behind `data:`; gives what is behind that, where it is known to say nothing.
    fn value<'b>(&mut self, rest: &'b [u8], found: &Extractor) -> &'b [u8] {
        self.returned = false;
        self.line = Line::Value;
        if std::mem::replace(&mut self.told, true) {
            return rest;
        }
        let Some((line, end, behind)) = only_line(rest) else {
            return rest;
        };
        if found.may_learn_from(line) {
            return rest;
        }
        self.line_ended(end);
        behind
    }

    fn line_ended(&mut self, byte: u8) {
        self.line = Line::Start;
        self.returned = byte == b'\r';
    }

    fn end(&mut self, scanner: &mut Scanner, found: &mut Extractor) {
        let failed = found.errors.event_ended();
        if std::mem::take(&mut self.begun) {
            self.count += 1;
            self.errors += u64::from(failed);
            self.told = false;
            scanner.reset();
        }
    }
}

/// Whether a line that is there so far names an event that is none of errors.
fn is_plain_name(line: &[u8]) -> bool {
    let name = line.strip_prefix(NAMED);
    name.is_some_and(|name| name.first().is_some_and(|byte| !b"e ".contains(byte)))
}

/// The rest of a line, the byte that ends it, and what is behind that, if the line is there to its end and the event
/// ends with it.
fn only_line(rest: &[u8]) -> Option<(&[u8], u8, &[u8])> {
    let end = memchr2(b'\n', b'\r', rest)?;
    let (line, behind) = rest.split_at(end);
    let ends = [&b"\n\n"[..], b"\r\n\r\n", b"\n\r\n", b"\r\r"];
    let (byte, next) = behind.split_first()?;
    let known = ends.iter().any(|end| behind.starts_with(end));
    known.then_some((line, *byte, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many events and errors there are in a stream that comes in chunks of one size.
    fn count(text: &str, cut: usize) -> (u64, u64) {
        let (mut events, mut scanner, mut found) =
            (Events::default(), Scanner::default(), Extractor::default());
        for chunk in text.as_bytes().chunks(cut) {
            events.feed(chunk, &mut scanner, &mut found);
        }
        (events.count(), events.errors(&found))
    }

    #[test]
    fn events_and_errors_are_counted_wherever_they_are_cut_and_whatever_ends_their_lines() {
        let first = "data: {\"model\": \"m\", \"error\": null}\n\n";
        for (rest, events, errors) in [
            ("data: {\"a\": 1}\n\n", 1, 0),
            (": comment\n\n\n\ndata\n\ndata: unfinished\n", 1, 0),
            ("event: ping\ndata: {}\n\nevent: end\ndata: {}\n\n", 2, 0),
            (
                "data: {\"error\": {\"message\": \"m\"}}\n\ndata: [DONE]\n\n",
                2,
                1,
            ),
            (
                "data: {\"error\": \"overloaded\", \"error_type\": \"x\"}\n\n",
                1,
                1,
            ),
            (
                "event: error\ndata: {\"type\": \"error\", \"error\": {}}\n\n",
                1,
                1,
            ),
            ("event:error\ndata: overloaded\n\ndata: {}\n\n", 2, 1),
            (
                "event: errors\ndata: {}\n\nevent:  error\ndata: {}\n\n",
                2,
                1,
            ),
            ("data: {\"error\": 503}\n\ndata: {\"error\": 0}\n\n", 2, 1),
            (
                "data: {\"object\": \"error\", \"message\": \"m\", \"code\": 400}\n\ndata: [DONE]\n\n",
                2,
                1,
            ),
            (
                "data: {\"type\": \"error\", \"code\": \"server_error\"}\n\n",
                1,
                1,
            ),
            (
                "data: {\"type\": \"response.failed\", \"response\": {\"error\": {\"code\": \"x\"}}}\n\n",
                1,
                1,
            ),
            (
                "data: {\"type\": \"response.created\", \"response\": {\"error\": null}}\n\n",
                1,
                0,
            ),
            (
                "data: {\"choices\": [{\"delta\": {\"content\": \"\\\"error\\\": {}\"}}]}\n\n",
                1,
                0,
            ),
            ("data: {\"error\": {\"message\": \"not ended\"}}", 0, 1),
        ] {
            for end in ["\n", "\r\n", "\r"] {
                let text = format!("{first}{rest}").replace('\n', end);
                for cut in 1..=text.len() {
                    assert_eq!(
                        count(&text, cut),
                        (events + 1, errors),
                        "{text:?} cut at {cut}"
                    );
                }
            }
        }
    }
}
