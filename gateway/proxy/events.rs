//! How many events a stream holds.

use crate::usage::Readable;

/// A stream of events, as it goes by.
pub struct EventStream {
    body: Readable,
    counter: EventCounter,
}

impl EventStream {
    /// One whose head says this of its encoding.
    pub fn encoded(encoding: &[u8]) -> Self {
        Self {
            body: Readable::of(encoding),
            counter: EventCounter::default(),
        }
    }

    /// Takes the next piece, as it goes to the client.
    pub fn feed(&mut self, piece: &[u8]) {
        let counter = &mut self.counter;
        self.body.feed(piece, |text| counter.feed(text));
    }

    /// How many events have ended so far.
    pub fn count(&self) -> u64 {
        self.counter.count()
    }
}

/// Counts server-sent events: an event ends at an empty line, wherever the pieces are cut.
///
/// <https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>, for
/// streams with LF or CRLF line ends, which is what every provider sends.
#[derive(Default)]
struct EventCounter {
    count: u64,
    /// Whether the line so far holds something.
    in_line: bool,
    /// Whether the event so far has a line.
    in_event: bool,
}

impl EventCounter {
    /// Takes the next piece.
    fn feed(&mut self, piece: &[u8]) {
        for byte in piece {
            match byte {
                b'\n' if self.in_line => self.in_line = false,
                b'\n' if self.in_event => {
                    self.count += 1;
                    self.in_event = false;
                }
                b'\n' | b'\r' => {}
                _ => {
                    self.in_line = true;
                    self.in_event = true;
                }
            }
        }
    }

    /// How many there were.
    fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_counted_wherever_the_pieces_are_cut() {
        let stream =
            b": hello\n\nevent: a\ndata: 1\n\ndata: 2\r\n\r\n\n\ndata: [DONE]\n\ndata: cut";
        for cut in 0..stream.len() {
            let mut events = EventCounter::default();
            events.feed(&stream[..cut]);
            events.feed(&stream[cut..]);
            assert_eq!(events.count(), 4, "cut at {cut}");
        }
    }
}
