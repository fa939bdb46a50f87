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
        let mut line = 0;
        for at in memchr::memchr_iter(b'\n', piece) {
            let text = piece.get(line..at).unwrap_or_default();
            line = at + 1;
            let is_empty = !self.in_line && text.iter().all(|byte| *byte == b'\r');
            self.in_line = false;
            if is_empty {
                let rest = piece.get(begin..=at).unwrap_or_default();
                begin = at + 1;
                self.event(rest, &mut out);
            }
        }
        let text = piece.get(line..).unwrap_or_default();
        self.in_line |= text.iter().any(|byte| *byte != b'\r');
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
    if memchr::memmem::find(event, NAME).is_none() {
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
    let [usage, choices] = members(text, ["usage", "choices"]);
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

/// Where the values of the root's members of these names stand, of which there is exactly one each.
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
