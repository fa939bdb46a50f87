//! Removes from an event stream what the provider sent only because the gateway requested usage: the event that reports
//! usage, and the empty `usage` of every other event. The client gets the bytes that it would have got without the
//! gateway's request.
//!
//! Unlike the meter, this has to hold lines back: each until it is complete, and the lines that name an event until its
//! data. Comments, and lines longer than [`LONGEST`], pass as they come. Lines that end with CR alone are not examined.
//!
//! It splits lines itself and shares only [`Field`] with the reader of `wire::sse`, which reports the data of events and
//! drops everything else: here every byte has to come out again as it came in, ends of lines and comments included.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::wire::json::members::{Mark, Members};
use crate::wire::sse::Field;

/// The longest line that is examined, in bytes. A line that reports usage has some hundred.
const LONGEST: usize = 32 << 10;

/// The bytes that every line with usage holds.
const NAME: &[u8] = b"\"usage\"";
static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(NAME));

/// The filter of one event stream.
#[derive(Default)]
pub struct ExcludeUsage {
    /// The lines that name the event, and the current line so far.
    held: Vec<u8>,
    /// The offset in `held` at which the current line begins.
    line: usize,
    state: State,
    /// The state at the end of a line that passes as it comes. A comment changes nothing, any other line begins the event.
    after_passing: State,
    taken_out: u64,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// At a line of an event of which the client has got nothing.
    #[default]
    Fresh,
    /// At a line of an event of which the client has got a part.
    Begun,
    /// At the line behind one that was removed.
    TakenOut,
    /// In a line that passes as it comes.
    Passing,
}

impl ExcludeUsage {
    /// The bytes for the client in place of the next chunk. `end`: no chunk follows.
    pub fn feed(&mut self, chunk: &[u8], end: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.held.len() + chunk.len());
        for part in chunk.split_inclusive(|byte| *byte == b'\n') {
            let whole = part.ends_with(b"\n");
            if self.state == State::Passing {
                out.extend_from_slice(part);
            } else {
                self.held.extend_from_slice(part);
                if whole {
                    self.line_ended(&mut out);
                } else if self.held.len() > LONGEST || self.is_comment() || self.ends_with_cr() {
                    self.after_passing = if self.is_comment() {
                        self.state
                    } else {
                        State::Begun
                    };
                    out.append(&mut self.held);
                    self.line = 0;
                    self.state = State::Passing;
                }
            }
            if whole && self.state == State::Passing {
                self.state = self.after_passing;
            }
        }
        if end {
            out.append(&mut self.rest());
        }
        out
    }

    /// The bytes that are held back, for a stream that ends here.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        self.line = 0;
        std::mem::take(&mut self.held)
    }

    /// The number of events that were removed.
    pub(crate) fn taken_out(&self) -> u64 {
        self.taken_out
    }

    /// Whether the current line has a CR that no LF follows, so that lines end with CR alone here.
    fn ends_with_cr(&self) -> bool {
        let line = self.held.get(self.line..).unwrap_or_default();
        memchr::memchr(b'\r', line).is_some_and(|at| at + 1 < line.len())
    }

    fn is_comment(&self) -> bool {
        self.line == 0 && self.held.starts_with(b":")
    }

    /// Decides about the current line, which is complete.
    fn line_ended(&mut self, out: &mut Vec<u8>) {
        let line = self.held.get(self.line..).unwrap_or_default();
        let (field, length) = (Field::of(line), line.len());
        let edit = match field {
            // The end of an event that was removed.
            Field::End if self.state == State::TakenOut => {
                self.held.clear();
                self.line = 0;
                self.state = State::Fresh;
                return;
            }
            Field::Header if self.held.len() <= LONGEST => {
                self.line = self.held.len();
                return;
            }
            Field::Data(text) if length <= LONGEST => edit(text),
            _ => Edit::Keep,
        };
        match edit {
            Edit::Remove if self.state != State::Begun => {
                self.taken_out += 1;
                self.held.clear();
                self.state = State::TakenOut;
            }
            Edit::Cut { from, to, of } => {
                let begin = self.held.len() - of;
                out.extend_from_slice(self.held.get(..begin + from).unwrap_or_default());
                out.extend_from_slice(self.held.get(begin + to..).unwrap_or_default());
                self.held.clear();
                self.state = State::Begun;
            }
            Edit::Keep | Edit::Remove => {
                self.state = match field {
                    Field::End => State::Fresh,
                    Field::Comment => self.state,
                    _ => State::Begun,
                };
                out.append(&mut self.held);
            }
        }
        self.line = 0;
    }
}

/// What happens to the data of an event.
enum Edit {
    /// They stay as they are.
    Keep,
    /// The bytes `from..to` of the data, which have `of` bytes, are an empty `usage` and are removed.
    Cut { from: usize, to: usize, of: usize },
    /// They report usage, and are removed.
    Remove,
}

/// Decides about `text`, the data of an event in one line.
fn edit(text: &[u8]) -> Edit {
    // Most events of most providers hold no usage. This search is all that they cost.
    if FINDER.find(text).is_none() {
        return Edit::Keep;
    }
    let [usage, choices] = members(text, ["usage", "choices"]);
    let Some((from, to)) = usage else {
        return Edit::Keep;
    };
    let is_empty = |(from, to)| {
        let inside = text.get(from..to).and_then(|list: &[u8]| {
            let list = list.strip_prefix(b"[")?;
            list.strip_suffix(b"]")
        });
        inside.is_some_and(|inside| inside.trim_ascii().is_empty())
    };
    match text.get(from..to) {
        Some(b"null") => cut(text, from, to).map_or(Edit::Keep, |(from, to)| {
            let of = text.len();
            Edit::Cut { from, to, of }
        }),
        Some([b'{', ..]) if choices.is_some_and(is_empty) => Edit::Remove,
        _ => Edit::Keep,
    }
}

/// The ranges of the values of the root's members of these names; `None` for a name that the root has twice or not at
/// all.
fn members(text: &[u8], names: [&str; 2]) -> [Option<(usize, usize)>; 2] {
    let (mut walk, mut begun) = (Members::default(), None);
    let (mut found, mut twice) = ([None; 2], [false; 2]);
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let skipped = walk.text(text.get(at..).unwrap_or_default());
        if skipped > 0 {
            at += skipped;
            continue;
        }
        let mark = walk.step(byte);
        let end = match mark {
            Mark::Begins => {
                let which = names.iter().position(|name| walk.is(name));
                begun = which.map(|which| (which, at));
                None
            }
            Mark::Ends => Some(at + 1),
            Mark::Ended | Mark::EndedAndCloses => Some(at),
            _ => None,
        };
        if let Some(end) = end
            && let Some((which, begin)) = begun.take()
            && let (Some(place), Some(twice)) = (found.get_mut(which), twice.get_mut(which))
        {
            *twice |= place.replace((begin, end)).is_some();
        }
        at += 1;
    }
    for (place, twice) in found.iter_mut().zip(twice) {
        *place = place.filter(|_| !twice);
    }
    found
}

/// The range of the member whose value is at `from..to`, with the comma between it and its neighbour.
fn cut(text: &[u8], from: usize, to: usize) -> Option<(usize, usize)> {
    let before = text.get(..from)?.trim_ascii_end().strip_suffix(b":")?;
    let name = before.trim_ascii_end().strip_suffix(NAME)?;
    let before = name.trim_ascii_end();
    if let Some(others) = before.strip_suffix(b",") {
        return Some((others.len(), to));
    }
    // The first of them.
    let after = text.get(to..)?.trim_ascii_start();
    let after = after
        .strip_prefix(b",")
        .map_or(after, <[u8]>::trim_ascii_start);
    Some((name.len(), text.len() - after.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(stream: &str, cut: usize) -> (String, u64) {
        let mut exclude = ExcludeUsage::default();
        let mut passed = Vec::new();
        for chunk in stream.as_bytes().chunks(cut) {
            passed.extend(exclude.feed(chunk, false));
        }
        passed.extend(exclude.feed(b"", true));
        (String::from_utf8(passed).unwrap(), exclude.taken_out())
    }

    #[test]
    fn the_client_gets_what_it_would_have_got() {
        for (stream, wanted) in [
            // As OpenAI and Azure send them.
            (
                "data: {\"choices\":[{\"delta\":{\"content\":\"\\\"usage\\\":null\"}}],\"usage\":null}\n\n\
                 data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n\
                 data: [DONE]\n\n",
                "data: {\"choices\":[{\"delta\":{\"content\":\"\\\"usage\\\":null\"}}]}\n\n\
                 data: [DONE]\n\n",
            ),
            (
                "data: {\"choices\":[],\"prompt_filter_results\":[],\"usage\":null}\r\n\r\n\
                 data: {\"choices\" : [ ] , \"usage\" : {}}\r\n\r\n",
                "data: {\"choices\":[],\"prompt_filter_results\":[]}\r\n\r\n",
            ),
            (
                "data: {\"choices\":[{}],\"usage\":null,\"obfuscation\":\"aB\"}\n\n",
                "data: {\"choices\":[{}],\"obfuscation\":\"aB\"}\n\n",
            ),
            (
                "data: {\"usage\": null, \"choices\": [{}]}\n\ndata:{\"usage\":null}\n\n",
                "data: {\"choices\": [{}]}\n\ndata:{}\n\n",
            ),
        ] {
            for cut in 1..=stream.len() {
                assert_eq!(passed(stream, cut).0, wanted, "cut at {cut}");
            }
        }
        // With a name, and with comments; and without blank lines in between.
        let gone = "data: {\"choices\":[],\"usage\":{}}\n";
        for (stream, wanted) in [
            (format!("{gone}\n: x\n\n"), ": x\n\n"),
            (format!(": waiting\n{gone}\n"), ": waiting\n"),
            (
                format!(": x\n\nevent: m\nid: 1\n{gone}\nid: 2\ndata: y\n\n"),
                ": x\n\nid: 2\ndata: y\n\n",
            ),
            (
                format!("data: x\n\n{gone}data: [DONE]\n"),
                "data: x\n\ndata: [DONE]\n",
            ),
        ] {
            for cut in 1..=stream.len() {
                assert_eq!(passed(&stream, cut), (wanted.to_owned(), 1), "cut at {cut}");
            }
        }
    }

    #[test]
    fn what_is_something_else_stays() {
        let long = format!(
            "data: {{\"x\":\"{}\",\"choices\":[],\"usage\":{{}}}}\n\ndata: y\n\n",
            "z".repeat(3 * LONGEST)
        );
        for stream in [
            // Usage in a chunk that holds something besides.
            "data: {\"choices\":[{\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1}}\n\n",
            "data: {\"usage\":{}}\n\n",
            "data: {\"choices\":[],\ndata: \"usage\":null}\n\n",
            "data: {\"choices\":[],\"usage\":null,\"usage\":{}}\n\n",
            "data: {\"choices\":[],\"us\\u0061ge\":null}\n\n",
            "data: [\"usage\"]\n\nevent: x\nid: \"usage\"\n\n",
            // Of an event of which something has gone already.
            "data: x\ndata: {\"choices\":[],\"usage\":{}}\n\n",
            // That breaks off.
            "data: {\"choices\":[],\"usage\":{}}",
            "\n\n\n\r\n",
            "",
            &long,
        ] {
            for cut in [1, 2, 3, 5, 64, 1000, 1 << 20] {
                assert_eq!(passed(stream, cut), (stream.to_owned(), 0), "cut at {cut}");
            }
        }
    }

    #[test]
    fn a_stream_whose_lines_end_with_cr_alone_passes_as_it_comes() {
        let stream = "data: {\"usage\":null}\r\rdata: {\"choices\":[],\"usage\":{}}\r\r";
        let mut exclude = ExcludeUsage::default();
        for event in stream.split_inclusive("\r\r") {
            assert_eq!(exclude.feed(event.as_bytes(), false), event.as_bytes());
        }
        for cut in 1..stream.len() {
            assert_eq!(passed(stream, cut), (stream.to_owned(), 0), "cut at {cut}");
        }
    }

    #[test]
    fn a_whole_line_does_not_wait_and_nothing_is_held_but_a_line() {
        let mut exclude = ExcludeUsage::default();
        let event = b"data: {\"choices\":[{}]}\n\n";
        assert_eq!(exclude.feed(event, false), event);
        assert_eq!(exclude.feed(b"data: {", false), b"");
        assert_eq!(exclude.feed(b"}\n", false), b"data: {}\n");
        assert_eq!(exclude.feed(b": still", false), b": still");
        assert_eq!(exclude.feed(b" here\ndata: 2", false), b" here\n");
        assert_eq!(exclude.rest(), b"data: 2");
        let endless = vec![b'x'; LONGEST];
        for _ in 0..4 {
            exclude.feed(&endless, false);
            assert!(exclude.held.capacity() <= 2 * LONGEST);
        }
    }
}
