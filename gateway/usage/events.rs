//! The meter of an event stream: scans the data of each event for usage, and counts events and errors.
//!
//! How a stream is split into events is known to [`crate::wire::sse`]; what counts as usage or as an error, to the meter's
//! [`Extractor`].

use super::extract::Extractor;
use crate::wire::json::scanner::Scanner;
use crate::wire::sse::{EventReader, EventSink};

/// The state of one stream.
#[derive(Default)]
pub(super) struct Events {
    reader: EventReader,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    /// Events that have ended.
    events: u64,
    /// The number of these that were errors.
    errors: u64,
}

impl Events {
    /// Takes the next bytes of the stream.
    pub(super) fn feed(&mut self, text: &[u8], scanner: &mut Scanner, found: &mut Extractor) {
        let counts = &mut self.counts;
        let mut sink = Sink {
            counts,
            scanner,
            found,
        };
        self.reader.feed(text, &mut sink);
    }

    /// The number of events that have ended.
    pub(super) fn count(&self) -> u64 {
        self.counts.events
    }

    /// The number of errors, the event that has not ended included.
    pub(super) fn errors(&self, found: &Extractor) -> u64 {
        self.counts.errors + found.errors.count()
    }
}

/// Gives the data of events to the scanner.
struct Sink<'s> {
    counts: &'s mut Counts,
    scanner: &'s mut Scanner,
    found: &'s mut Extractor,
}

impl EventSink for Sink<'_> {
    const NAME: &'static [u8] = b"error";

    #[inline]
    fn skips(&self, line: &[u8]) -> bool {
        !self.found.may_learn_from(line)
    }

    #[inline]
    fn data(&mut self, text: &[u8]) {
        self.scanner.feed(text, self.found);
    }

    #[inline]
    fn named(&mut self) {
        self.found.errors.add(true);
    }

    #[inline]
    fn ended(&mut self, is_event: bool) {
        let failed = self.found.errors.event_ended();
        if is_event {
            self.counts.events += 1;
            self.counts.errors += u64::from(failed);
            self.scanner.reset();
        }
    }
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
