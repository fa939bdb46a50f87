//! Phase 4: what comes back is looked at and passed on; its body is never changed.

use std::time::Instant;

use http::HeaderName;
use http::header::{ALT_SVC, CONTENT_TYPE, SET_COOKIE, STRICT_TRANSPORT_SECURITY};
use pingora::http::ResponseHeader;
use pingora_core::Error;

use super::exchange::Exchange;
use super::reject::{REFUSED_BY, REQUEST_ID};

/// Headers of a provider that no client gets: cookies of an account that others share, the account
/// itself, and what would send browsers past the gateway.
const NOT_PASSED_ON: [HeaderName; 5] = [
    SET_COOKIE,
    ALT_SVC,
    STRICT_TRANSPORT_SECURITY,
    HeaderName::from_static("openai-organization"),
    HeaderName::from_static("openai-project"),
];

/// The head of the provider's answer.
pub(super) fn head(exchange: &mut Exchange, answer: &mut ResponseHeader) -> Result<(), Box<Error>> {
    for name in &NOT_PASSED_ON {
        answer.remove_header(name);
    }
    if answer.status.is_informational() && answer.status != 101 {
        return Ok(());
    }
    let seen = &mut exchange.seen;
    seen.status = answer.status.as_u16();
    seen.first_byte = Some(Instant::now());
    let content_type = answer
        .headers
        .get(CONTENT_TYPE)
        .map(http::HeaderValue::as_bytes);
    if content_type.is_some_and(|media| media.starts_with(b"text/event-stream")) {
        seen.events = Some(EventCounter::default());
    }
    // The provider's own id is what its support asks for: ours stands beside it.
    if !answer.headers.contains_key("x-request-id") {
        answer.insert_header("x-request-id", exchange.id.as_str())?;
    }
    answer.insert_header(REQUEST_ID, exchange.id.as_str())?;
    if answer.status.as_u16() >= 400 {
        answer.insert_header(REFUSED_BY, "provider")?;
    } else {
        // Only the gateway says this.
        answer.remove_header(REFUSED_BY);
    }
    Ok(())
}

/// A piece of the answer's body.
pub(super) fn body(exchange: &mut Exchange, piece: &[u8]) {
    exchange.seen.response_bytes += piece.len() as u64;
    if let Some(events) = &mut exchange.seen.events {
        events.feed(piece);
    }
}

/// Counts server-sent events: an event ends at an empty line, wherever the pieces are cut.
///
/// <https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>, for
/// streams with LF or CRLF line ends, which is what every provider sends.
#[derive(Default)]
pub struct EventCounter {
    count: u64,
    /// Whether the line so far holds something.
    in_line: bool,
    /// Whether the event so far has a line.
    in_event: bool,
}

impl EventCounter {
    /// Takes the next piece.
    pub fn feed(&mut self, piece: &[u8]) {
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
    pub fn count(&self) -> u64 {
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
