//! Responses of the gateway itself: sends the refusal that an exchange holds, so that the client can read it. Which
//! status and body a refusal has is decided by [`reject`](super::reject).

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pingora::http::ResponseHeader;
use pingora_core::protocols::http::ServerSession;
use pingora_core::{Error, Result};
use pingora_proxy::{FailToProxy, Session};

use super::admit::Admission;
use super::attempt::Attempt;
use super::connection;
use super::cors;
use super::exchange::Exchange;
use super::head::declared_length;
use super::reject::{Reason, Rejection, reason_of};
use crate::origin::TunnelError;
use crate::provider::Provider;

/// The largest body that is read and discarded before a refusal is sent.
const DRAIN_BYTES: u64 = 64 << 10;
/// How much of a larger one is read after the refusal.
const LINGER_BYTES: u64 = 2 << 20;
/// How long either may take.
const DISCARD_TIME: Duration = Duration::from_secs(2);

/// How long the client of an address waits that came with too many invalid keys.
pub(crate) const PENALTY: Duration = Duration::from_secs(1);

/// The status of the final response, if that was begun. A 100 or 103 before it does not count.
pub(super) fn final_status(session: &Session) -> Option<u16> {
    let status = session.response_written()?.status;
    (!status.is_informational() || status == 101).then_some(status.as_u16())
}

/// Closes the connection after this response if no request can follow it, or if a successor process takes new ones.
pub(super) fn end_with_this_response(session: &mut Session, exchange: &Exchange) {
    if exchange.shared.closing.load(Ordering::Relaxed) || connection::nothing_follows() {
        session.set_keepalive(None);
    }
}

/// Refuses a request before anything of it goes up. The result makes Pingora end the exchange.
pub(super) async fn refuse(
    session: &mut Session,
    exchange: &mut Exchange,
    rejection: Rejection,
) -> Result<bool> {
    // On the connection of a proxy in front, the requests of others would wait as well.
    let is_alone = exchange.address_permit.is_none();
    if rejection.reason == Reason::TooManyFailedKeys && is_alone && !connection::failed_too_often()
    {
        session.set_keepalive(None);
        // A new connection costs a client more than a response does, so that it makes few guesses.
        tokio::time::sleep(PENALTY).await;
    }
    exchange.rejection = Some(rejection);
    respond(session, exchange).await?;
    Ok(true)
}

/// Turns the failure of an exchange into a response, if none has begun.
pub(super) async fn failure(
    session: &mut Session,
    exchange: &mut Exchange,
    error: &Error,
) -> FailToProxy {
    let (reason, status) = if let Some(rejection) = &exchange.rejection {
        (rejection.reason, rejection.status())
    } else {
        let reason = reason_of(error);
        log_failure(exchange, reason, error);
        exchange.rejection = Some(exchange.rejection_for(reason));
        (reason, reason.status())
    };
    // A client that left reads nothing; a response that has begun cannot begin again.
    if reason != Reason::ClientClosed && final_status(session).is_none() {
        // Pingora closes the connection after a failure, which the response announces.
        session.set_keepalive(None);
        let _ = respond(session, exchange).await;
    }
    FailToProxy {
        error_code: status,
        can_reuse_downstream: false,
    }
}

/// Logs a failure that is not the client's, once. The error's own text may hold bytes of a provider's response, so only
/// its kind is written, and its cause if that comes from the system or a tunnel.
fn log_failure(exchange: &Exchange, reason: Reason, error: &Error) {
    if matches!(
        reason,
        Reason::ClientClosed | Reason::RequestTimeout | Reason::BadFraming
    ) {
        return;
    }
    let route = exchange.admission.as_ref().map(Admission::route);
    let provider = exchange.attempt.as_ref().map(Attempt::provider);
    let address = exchange
        .attempt
        .as_ref()
        .and_then(|attempt| attempt.tries.address);
    let cause = error.root_cause();
    let io = cause.downcast_ref::<std::io::Error>();
    let tunnel = cause.downcast_ref::<TunnelError>();
    let cause = io
        .map(ToString::to_string)
        .or_else(|| tunnel.map(ToString::to_string));
    tracing::warn!(
        request = exchange.id.as_str(),
        route = route.map(|route| &*route.name),
        provider = provider.map(|provider| &*provider.name),
        upstream = address.map(tracing::field::display),
        // If there is one, the address is the proxy's.
        proxy = provider.and_then(Provider::proxy),
        reason = reason.code(),
        kind = error.etype().as_str(),
        cause,
        "exchange failed"
    );
}

/// Sends the refusal, or another response of the gateway itself, that the exchange holds.
async fn respond(session: &mut Session, exchange: &mut Exchange) -> Result<()> {
    let Some(rejection) = &exchange.rejection else {
        return Ok(());
    };
    let (mut head, body) = rejection.response(&exchange.id)?;
    if let Some(route) = &rejection.route {
        cors::apply(route, session.req_header(), &mut head)?;
    }
    if rejection.reason == Reason::Preflight {
        cors::allow_preflight(&mut head)?;
    }
    // Pingora has no time limit for a head that is to be sent.
    let longest = DISCARD_TIME * 2 + exchange.rules.server.limits.client_write;
    let watchdog = &exchange.watchdog;
    watchdog.set_deadline(Instant::now() + longest);
    exchange.stats.status = head.status.as_u16();
    let request = session.req_header();
    let expects = request.headers.contains_key(http::header::EXPECT);
    let bodiless = request.method == http::Method::HEAD || body.is_empty();
    let is_small = declared_length(request) <= DRAIN_BYTES;
    if is_small && !expects && !session.is_body_done() {
        // A small body is read before the response, which leaves the connection usable if the body was whole.
        if discard(session, DRAIN_BYTES).await != Discarded::Whole {
            session.set_keepalive(None);
        }
    }
    if rejection.reason == Reason::BadFraming {
        // Where such a request ends depends on the reader (RFC 9112, section 6.3).
        session.set_keepalive(None);
    }
    end_with_this_response(session, exchange);
    let unread = !session.is_body_done();
    exchange.stats.response_bytes = write(session, head, body, bodiless).await?;
    if unread && !expects {
        discard(session, LINGER_BYTES).await;
    }
    Ok(())
}

/// Writes a response. Returns the length of the body that was sent.
async fn write(
    session: &mut Session,
    mut head: Box<ResponseHeader>,
    body: Bytes,
    bodiless: bool,
) -> Result<u64> {
    let http2 = session.as_http1().is_none();
    if http2 && !bodiless {
        // The response may have to go without its body.
        head.remove_header(&http::header::CONTENT_LENGTH);
    }
    session.write_response_header(head, bodiless).await?;
    if bodiless {
        return Ok(0);
    }
    let length = body.len() as u64;
    let all = if http2 {
        write_at_once(session, body).await?
    } else {
        session.write_response_body(Some(body), true).await?;
        true
    };
    Ok(if all { length } else { 0 })
}

/// Writes the body of a refusal over HTTP/2, if the client's window has room for it now. If not, the response ends
/// without a body, so that no exchange waits for a client that opens no window. Returns whether the body was written.
async fn write_at_once(session: &mut Session, body: Bytes) -> Result<bool> {
    let written = {
        let mut writing = pin!(session.write_response_body(Some(body), true));
        poll_fn(|context| match writing.as_mut().poll(context) {
            Poll::Ready(written) => Poll::Ready(Some(written)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    };
    if let Some(written) = written {
        return written.map(|()| true);
    }
    if let ServerSession::H2(stream) = session.as_mut() {
        // An empty DATA frame needs no window (RFC 9113, section 6.9.1).
        stream.write_body(Bytes::new(), true).await?;
    }
    Ok(false)
}

/// Reads what the client still sends and discards it, up to a limit in bytes and time. Closing a socket with unread data
/// resets the connection, and the reset can overtake the response.
///
/// Pingora treats a body that it cannot read as one that is over. What follows such a body on the connection must not be
/// read as the next request.
async fn discard(session: &mut Session, limit: u64) -> Discarded {
    if session.as_http1().is_none() {
        return Discarded::Whole;
    }
    let mut left = limit;
    let reading = async {
        loop {
            match session.read_request_body().await {
                Ok(None) => return Discarded::Whole,
                Ok(Some(chunk)) => match left.checked_sub(chunk.len() as u64) {
                    Some(rest) => left = rest,
                    None => return Discarded::Not,
                },
                Err(_) => return Discarded::Not,
            }
        }
    };
    tokio::time::timeout(DISCARD_TIME, reading)
        .await
        .unwrap_or(Discarded::Not)
}

/// How far a body was discarded.
#[derive(PartialEq, Eq)]
enum Discarded {
    /// It was read to its end.
    Whole,
    /// It was too long, too slow, or broken.
    Not,
}
