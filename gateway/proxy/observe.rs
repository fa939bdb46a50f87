//! Phase 4: what comes back is looked at and passed on; its body is never changed.

use std::time::Instant;

use http::header::{ALT_SVC, CONTENT_TYPE, SET_COOKIE, STRICT_TRANSPORT_SECURITY};
use http::{HeaderMap, HeaderName};
use pingora::http::ResponseHeader;
use pingora_core::Error;

use super::events::EventCounter;
use super::exchange::Exchange;
use super::reject::{REFUSED_BY, REQUEST_ID};

/// The media type of a stream of events.
const EVENTS: &[u8] = b"text/event-stream";

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
    if content_type.is_some_and(|media| {
        media
            .get(..EVENTS.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(EVENTS))
    }) {
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

/// The trailers of the provider's answer.
pub(super) fn trailers(trailers: &mut HeaderMap) {
    for name in &NOT_PASSED_ON {
        trailers.remove(name);
    }
}

/// A piece of the answer's body.
pub(super) fn body(exchange: &mut Exchange, piece: &[u8]) {
    exchange.seen.response_bytes += piece.len() as u64;
    if let Some(events) = &mut exchange.seen.events {
        events.feed(piece);
    }
}
