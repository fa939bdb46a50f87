//! Phase 4, observe: the provider's response is read beside its way to the client. Its head loses what is not for
//! clients; its body is not changed, but for a stream that was made to report its usage.

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora_core::{Error, ErrorType, Result};
use pingora_proxy::Session;

use super::admit::Admission;
use super::attempt::Attempt;
use super::connection;
use super::conversation::{Billing, Conversation};
use super::cors;
use super::exchange::Exchange;
use super::header_map::edit_response;
use super::http10;
use super::limits;
use super::location::Request;
use super::reject::{FOREIGN_REDIRECT, REFUSED_BY, REQUEST_ID, UNEXPECTED_SWITCH};
use super::respond::end_with_this_response;
use super::response_headers::{pass_on, pass_on_trailers};
use super::spend::{Account, key_label};
use super::stream_usage::StreamUsage;
use crate::usage::{Meter, Metering};

/// The header with the provider's own id of the request. Names are statics because a text would be parsed at each use.
static ID: HeaderName = HeaderName::from_static("x-request-id");
static OUR_ID: HeaderName = HeaderName::from_static(REQUEST_ID);

/// Notes that the head of a response has come. Refuses one that switches to a protocol which the client has not
/// requested, or over a version of HTTP that cannot switch: the client would take what follows for the response to its
/// next request.
pub(super) async fn arrival(exchange: &mut Exchange, head: &ResponseHeader) -> Result<()> {
    if let Some(attempt) = &mut exchange.attempt {
        attempt.tries.response_begun = true;
    }
    let switches = head.status == StatusCode::SWITCHING_PROTOCOLS;
    if !head.status.is_informational() || switches {
        exchange.arrive();
        if let Some(held) = &mut exchange.held {
            held.response_begun();
        }
    }
    let admission = exchange.admission.as_ref();
    let may_switch = head.version == Version::HTTP_11 && admission.is_some_and(Admission::upgrade);
    if switches && !may_switch {
        return Err(failed(UNEXPECTED_SWITCH));
    }
    if head.status.is_success() && limits::read_body(exchange) {
        // The provider has not waited for the end of the request: its limits do not wait for it either.
        return limits::end_of_body(exchange, true, 0).await;
    }
    Ok(())
}

/// The error that ends an exchange because of its response.
fn failed(why: &'static str) -> Box<Error> {
    let mut error = Error::new_up(ErrorType::new(why));
    error.set_retry(false);
    error
}

/// Passes on the head of a response, interim ones included.
pub(super) fn head(
    session: &mut Session,
    exchange: &mut Exchange,
    head: &mut ResponseHeader,
) -> Result<()> {
    let is_interim = head.status.is_informational() && head.status != 101;
    change_headers(exchange, session.req_header(), head, is_interim)?;
    if !is_interim {
        final_head(exchange, session.req_header(), head)?;
    }
    end_with_this_response(session, exchange);
    http10::end_with_body(session, head);
    set_deadlines(exchange);
    if head.status == 101 {
        // From here on both sides send as they like: the idle timeout bounds their pauses.
        session.set_read_timeout(None);
        connection::switch();
    }
    let took = exchange.stats.depart(|| exchange.watchdog.read_clock());
    if let (Some(took), Some(attempt)) = (took, &exchange.attempt) {
        let metrics = &attempt.target().metrics;
        metrics.added_first_byte.observe(took.as_secs_f64());
    }
    Ok(())
}

/// Removes what is not for the client, leads URLs back to the gateway, and writes the gateway's own headers. Refuses a
/// redirect to a foreign host.
fn change_headers(
    exchange: &Exchange,
    client: &RequestHeader,
    head: &mut ResponseHeader,
    is_interim: bool,
) -> Result<()> {
    let admitted = exchange.admission.as_ref().zip(exchange.attempt.as_ref());
    let request = admitted
        .filter(|_| !is_interim)
        .map(|(admission, attempt)| Request {
            prefix: &admission.route().path,
            provider: attempt.provider(),
            client,
            target: attempt.path(),
            tls: exchange.rules.server.listener.tls.is_some(),
        });
    let provider = exchange.attempt.as_ref().map(Attempt::provider);
    let status = head.status;
    let may_pass = edit_response(head, |headers| {
        let may_pass = pass_on(headers, status, provider, request.as_ref());
        if may_pass && !is_interim {
            write_own(exchange, status, headers);
        }
        may_pass
    })?;
    may_pass
        .then_some(())
        .ok_or_else(|| failed(FOREIGN_REDIRECT))
}

/// Notes the head of the final response, and begins to read what follows it.
fn final_head(
    exchange: &mut Exchange,
    client: &RequestHeader,
    head: &mut ResponseHeader,
) -> Result<()> {
    if let Some(admission) = &exchange.admission {
        cors::apply(admission.route(), client, head)?;
    }
    let stats = &mut exchange.stats;
    stats.status = head.status.as_u16();
    stats.first_byte = Some(stats.arrived.unwrap_or_else(|| exchange.watchdog.now()));
    begin_reading(exchange, head);
    if let Some(stream_usage) = &mut exchange.stream_usage {
        stream_usage.head(head)?;
    }
    Ok(())
}

/// Writes the gateway's own headers into those of the final response, which has `status`.
fn write_own(exchange: &Exchange, status: StatusCode, headers: &mut HeaderMap) {
    let id = HeaderValue::from_str(exchange.id.as_str()).unwrap_or(HeaderValue::from_static(""));
    // The provider's own id stays, because its support needs it; the gateway's stands beside it.
    if !headers.contains_key(&ID) {
        headers.insert(ID.clone(), id.clone());
    }
    headers.insert(OUR_ID.clone(), id);
    limits::write(exchange, headers);
    if status.as_u16() >= 400 {
        headers.insert(REFUSED_BY, HeaderValue::from_static("provider"));
    }
}

/// Chooses what reads the response: a meter, for JSON and events, or a conversation, for the frames behind an upgrade.
fn begin_reading(exchange: &mut Exchange, head: &ResponseHeader) {
    let admission = exchange.admission.as_ref();
    let metering = admission.map(|admission| admission.route().metering);
    let value = |name: &HeaderName| {
        let value = head.headers.get(name);
        value.map_or(&b""[..], HeaderValue::as_bytes)
    };
    let is_upgraded = head.status == 101;
    let meter = Meter::of(value(&CONTENT_TYPE), value(&CONTENT_ENCODING)).filter(|_| !is_upgraded);
    let stats = &mut exchange.stats;
    stats.meter = match metering {
        Some(Metering::Off) => meter.and_then(Meter::without_streams),
        _ => meter,
    };
    if is_upgraded && metering != Some(Metering::Off) {
        let attempt = exchange.attempt.as_ref();
        let begin = |attempt: &Attempt| Box::new(Conversation::begin(attempt.path()));
        stats.conversation = attempt.map(begin);
    }
}

/// From the head of the response on, no pause may be longer than the provider's idle timeout, and the exchange must be
/// over within its total timeout.
fn set_deadlines(exchange: &Exchange) {
    let (Some(attempt), Some(first_byte)) = (&exchange.attempt, exchange.stats.first_byte) else {
        return;
    };
    let timeouts = attempt.timeouts();
    let watchdog = &exchange.watchdog;
    watchdog.clear_response();
    watchdog.set_idle_timeout(timeouts.idle, first_byte);
    if let Some(total) = timeouts.total {
        watchdog.set_deadline(exchange.started + total);
    }
}

/// Passes on a chunk of the response's body. `end`: no chunk follows.
pub(super) fn body(exchange: &mut Exchange, body: &mut Option<Bytes>, end: bool) -> Result<()> {
    if let Some(chunk) = body {
        let arrived = exchange.stats.arrived;
        let now = arrived.unwrap_or_else(|| exchange.watchdog.now());
        exchange.watchdog.activity_at(now);
        exchange.stats.note_body(now);
        read(exchange, chunk);
        if let Some(over) = limits::raise(exchange) {
            return Err(exchange.refuse(over));
        }
    }
    if let Some(stream_usage) = &mut exchange.stream_usage {
        stream_usage.response_body(body, end);
    }
    exchange.stats.response_bytes += body.as_ref().map_or(0, Bytes::len) as u64;
    let took = exchange.stats.depart(|| exchange.watchdog.read_clock());
    if let (Some(took), Some(attempt)) = (took, &exchange.attempt) {
        let metrics = &attempt.target().metrics;
        metrics.added_chunk.observe(took.as_secs_f64());
    }
    Ok(())
}

/// Reads a chunk of the response beside its way to the client.
fn read(exchange: &mut Exchange, chunk: &[u8]) {
    let stats = &mut exchange.stats;
    if let Some(meter) = &mut stats.meter {
        return meter.feed(chunk);
    }
    let (Some(conversation), Some(admission), Some(attempt)) = (
        &mut stats.conversation,
        &exchange.admission,
        &exchange.attempt,
    ) else {
        return;
    };
    let account = Account {
        route: admission.route(),
        target: attempt.target(),
        key: key_label(admission.key()),
    };
    let billing = Billing {
        account,
        prices: exchange.rules.prices.as_deref(),
        metrics: &exchange.shared.live.metrics,
    };
    conversation.read_provider(chunk, &billing);
}

/// Passes on the trailers of a response, which are subject to the rules for its head. What was held back of the body is
/// sent in their place, if there is something: a client misses the body sooner than the trailers.
pub(super) fn trailers(exchange: &mut Exchange, trailers: &mut HeaderMap) -> Option<Bytes> {
    let provider = exchange.attempt.as_ref().map(Attempt::provider);
    pass_on_trailers(trailers, provider);
    let stream_usage = exchange.stream_usage.as_deref_mut();
    stream_usage.and_then(StreamUsage::rest)
}
