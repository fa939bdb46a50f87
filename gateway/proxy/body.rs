//! The request's body on its way up: how long it may be, how fast it must come, and until when.

use std::time::Duration;

use bytes::Bytes;
use pingora_core::{Error, Result};
use pingora_proxy::Session;

use super::exchange::Exchange;
use super::limits;
use super::reject::Reason;

/// How long a body may take before its rate is checked.
const BODY_GRACE: Duration = Duration::from_secs(10);

/// Passes on a chunk of the request's body, or refuses it. `end`: no chunk follows.
pub(super) fn up(
    session: &Session,
    exchange: &mut Exchange,
    body: &mut Option<Bytes>,
    end: bool,
) -> Result<()> {
    if end && exchange.stats.first_byte.is_none() {
        // From here on the provider is waited for, which has timeouts of its own.
        exchange.stats.request_complete = true;
        exchange.watchdog.clear_idle();
    }
    if exchange.held.is_some() {
        replace(exchange, body)?;
    } else if let Some(chunk) = body {
        exchange.watchdog.activity();
        exchange.stats.request_bytes += chunk.len() as u64;
        // Marked as the client's error: over HTTP/2 to the provider, Pingora ignores other errors here.
        limit(exchange, session.was_upgraded()).map_err(Error::into_down)?;
        limits::read(exchange, chunk);
        if let Some(conversation) = &mut exchange.stats.conversation {
            conversation.read_client(chunk);
        }
    }
    if let Some(stream_usage) = &mut exchange.stream_usage {
        stream_usage.request_body(body, end);
    }
    if end {
        // Pingora would write an empty last chunk as a chunk, which is the end of the body already, and then the end
        // again, which would be the beginning of the next request on this connection.
        body.take_if(|chunk| chunk.is_empty());
    }
    Ok(())
}

/// Replaces the bytes that Pingora has read by the parts of the held body that they stand for. The limits of the body were
/// enforced while it came.
fn replace(exchange: &mut Exchange, body: &mut Option<Bytes>) -> Result<()> {
    let (Some(held), Some(stand_ins)) = (&mut exchange.held, &body) else {
        return Ok(());
    };
    exchange.watchdog.activity();
    if let Some(part) = held.next(stand_ins.len()) {
        exchange.stats.request_bytes = held.length() as u64;
        *body = Some(part);
        return Ok(());
    }
    let rejection = exchange.rejection_for(Reason::Internal);
    Err(exchange.refuse(rejection).into_down())
}

/// Refuses a body that has become too long, took too long, or comes too slowly.
/// `upgraded`: the bytes are no body but belong to the other protocol.
pub(super) fn limit(exchange: &mut Exchange, upgraded: bool) -> Result<()> {
    let Some(attempt) = &exchange.attempt else {
        return Ok(());
    };
    let total = attempt.timeouts().total;
    let limit = exchange.rules.server.limits.max_request_body;
    let took = exchange.took();
    let reason = if exchange.stats.request_bytes > limit && !upgraded {
        Reason::BodyTooLarge
    } else if total.is_some_and(|total| took >= total) || (is_slow(exchange, took) && !upgraded) {
        Reason::RequestTimeout
    } else {
        return Ok(());
    };
    let rejection = exchange.rejection_for(reason);
    Err(exchange.refuse(rejection))
}

/// Whether less of the body has come in the time that it `took` than the configured rate demands.
fn is_slow(exchange: &Exchange, took: Duration) -> bool {
    let late = took.saturating_sub(BODY_GRACE).as_secs();
    let due = exchange
        .rules
        .server
        .limits
        .min_body_rate
        .saturating_mul(late);
    exchange.stats.request_bytes < due
}
