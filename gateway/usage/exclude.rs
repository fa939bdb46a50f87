//! Takes out of a stream what only stands in it because the gateway asked for usage: the chunk that tells it,
//! and the empty `usage` of every other chunk. The client's bytes are what they would have been.
//!
//! An event goes on when it is whole, which is when a client can read it; one that is longer than
//! [`LONGEST`] goes on as it comes.

use super::members::{Mark, Members};

/// The longest event that is looked at. One that tells usage has some hundred bytes.
const LONGEST: usize = 32 << 10;

/// What a chunk of usage must hold.
const NAME: &[u8] = b"\"usage\"";

/// One stream of events.
#[derive(Default)]
pub struct ExcludeUsage {
    /// The event so far.
    held: Vec<u8>,
    /// Whether the line so far has something in it.
    in_line: bool,
    /// Whether the event is too long, and goes on as it comes.
    passing: bool,
    taken_out: u64,
}

impl ExcludeUsage {
    /// What goes on for the next piece; `end` says that none follows.
    pub fn feed(&mut self, piece: &[u8], end: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.held.len() + piece.len());
        let mut begin = 0;
        for (at, byte) in piece.iter().enumerate() {
            match byte {
                b'\r' => {}
                b'\n' if self.in_line => self.in_line = false,
                b'\n' => {
                    let rest = piece.get(begin..=at).unwrap_or_default();
                    begin = at + 1;
                    self.event(rest, &mut out);
                }
                _ => self.in_line = true,
            }
        }
        let rest = piece.get(begin..).unwrap_or_default();
        if self.passing || self.held.len() + rest.len() > LONGEST {
            self.passing = true;
            out.append(&mut self.held);
            out.extend_from_slice(rest);
        } else {
            self.held.extend_from_slice(rest);
        }
        if end {
            out.append(&mut self.held);
        }
        out
    }

    /// How many events it has taken out.
    pub fn taken_out(&self) -> u64 {
        self.taken_out
    }

    /// An event is whole with `rest`.
    fn event(&mut self, rest: &[u8], out: &mut Vec<u8>) {
        if std::mem::take(&mut self.passing) || self.held.len() + rest.len() > LONGEST {
            out.append(&mut self.held);
            out.extend_from_slice(rest);
            return;
        }
        let held = std::mem::take(&mut self.held);
        let event = if held.is_empty() {
            std::borrow::Cow::Borrowed(rest)
        } else {
            std::borrow::Cow::Owned([&held, rest].concat())
        };
        match look(&event) {
            Look::Leave => out.extend_from_slice(&event),
            Look::Cut { from, to } => {
                out.extend_from_slice(event.get(..from).unwrap_or_default());
                out.extend_from_slice(event.get(to..).unwrap_or_default());
            }
            Look::TakeOut => self.taken_out += 1,
        }
    }
}

/// What is to be done with an event.
enum Look {
    /// It is as it would have been.
    Leave,
    /// It has an empty `usage` there.
    Cut { from: usize, to: usize },
    /// It is the chunk that tells usage.
    TakeOut,
}

fn look(event: &[u8]) -> Look {
    // Most chunks of most providers.
    if !event.windows(NAME.len()).any(|window| window == NAME) {
        return Look::Leave;
    }
    let mut data = None;
    let mut begin = 0;
    for line in event.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b"data:") && data.replace((begin, line)).is_some() {
            // No provider writes a chunk in several lines.
            return Look::Leave;
        }
        begin += line.len();
    }
    let Some((begin, line)) = data else {
        return Look::Leave;
    };
    let skipped = "data:".len();
    let text = line.get(skipped..).unwrap_or_default();
    let (mut usage, mut choices) = (None, None);
    for (name, value) in [("usage", &mut usage), ("choices", &mut choices)] {
        *value = member(text, name);
    }
    let Some((from, to)) = usage else {
        return Look::Leave;
    };
    let is_empty = |(from, to)| {
        let inside = text.get(from..to).and_then(|list: &[u8]| {
            let list = list.strip_prefix(b"[")?;
            list.strip_suffix(b"]")
        });
        inside.is_some_and(|inside| inside.trim_ascii().is_empty())
    };
    match text.get(from..to) {
        Some(b"null") => cut(text, from, to).map_or(Look::Leave, |(from, to)| Look::Cut {
            from: begin + skipped + from,
            to: begin + skipped + to,
        }),
        Some([b'{', ..]) if choices.is_some_and(is_empty) => Look::TakeOut,
        _ => Look::Leave,
    }
}

/// Where the value of the root's member of this name stands, if there is exactly one.
fn member(text: &[u8], name: &str) -> Option<(usize, usize)> {
    let (mut members, mut begun, mut found) = (Members::default(), None, None);
    for (at, byte) in text.iter().enumerate() {
        let end = match members.step(*byte) {
            Mark::Begins if members.is(name) => {
                begun = Some(at);
                continue;
            }
            Mark::Ends => at + 1,
            Mark::Ended | Mark::EndedAndCloses => at,
            _ => continue,
        };
        if let Some(begin) = begun.take()
            && found.replace((begin, end)).is_some()
        {
            return None;
        }
    }
    found
}

/// All of the member whose value stands there, with the comma that binds it to the others.
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
        for piece in stream.as_bytes().chunks(cut) {
            passed.extend(exclude.feed(piece, false));
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
        let stream = "data: {\"choices\":[],\"usage\":{}}\n\n: x\n\n";
        assert_eq!(passed(stream, 9), (": x\n\n".to_owned(), 1));
    }

    #[test]
    fn what_is_something_else_stays() {
        let long = format!(
            "data: {{\"x\":\"{}\",\"choices\":[],\"usage\":{{}}}}\n\ndata: y\n\n",
            "z".repeat(3 * LONGEST)
        );
        for stream in [
            // Usage in a chunk that says something besides.
            "data: {\"choices\":[{\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1}}\n\n",
            "data: {\"usage\":{}}\n\n",
            "data: {\"choices\":[],\ndata: \"usage\":null}\n\n",
            "data: {\"choices\":[],\"usage\":null,\"usage\":{}}\n\n",
            "data: {\"choices\":[],\"us\\u0061ge\":null}\n\n",
            "data: [\"usage\"]\n\nevent: x\nid: \"usage\"\n\n",
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
    fn a_whole_event_does_not_wait_and_nothing_is_held_but_an_event() {
        let mut exclude = ExcludeUsage::default();
        let event = b"data: {\"choices\":[{}]}\n\n";
        assert_eq!(exclude.feed(event, false), event);
        assert_eq!(exclude.feed(b"data: {", false), b"");
        assert_eq!(exclude.feed(b"}\n", false), b"");
        assert_eq!(exclude.feed(b"\ndata: 2", false), b"data: {}\n\n");
        let endless = vec![b'x'; LONGEST];
        for _ in 0..4 {
            exclude.feed(&endless, false);
            assert!(exclude.held.capacity() <= 2 * LONGEST);
        }
    }
}
