//! Responses of our own: the refusal that an exchange holds, sent so that the client can read it.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pingora_core::Result;
use pingora_core::protocols::http::ServerSession;
use pingora_proxy::Session;

use super::admit;
use super::connection;
use super::cors;
use super::exchange::Exchange;
use super::reject::Reason;
use crate::runtime::watchdog;

/// The largest body that is read and thrown away before a refusal.
const DRAIN_BYTES: u64 = 64 << 10;
/// How much of a larger one is read after it.
const LINGER_BYTES: u64 = 2 << 20;
/// How long either may take.
const DISCARD_TIME: Duration = Duration::from_secs(2);

/// The status of the response that was begun: a 100 or 103 before it is none.
pub(super) fn final_status(session: &Session) -> Option<u16> {
    let status = session.response_written()?.status;
    (!status.is_informational() || status == 101).then_some(status.as_u16())
}

/// Nothing follows on this connection, or another process takes it: the client is told so with the response.
pub(super) fn end_with_this_response(session: &mut Session, exchange: &Exchange) {
    if exchange.shared.closing.load(Ordering::Relaxed) || connection::nothing_follows() {
        session.set_keepalive(None);
    }
}

/// Sends the refusal, or other response of the gateway's own, that the exchange holds.
pub(super) async fn respond(session: &mut Session, exchange: &mut Exchange) -> Result<()> {
    let Some(rejection) = &exchange.rejection else {
        return Ok(());
    };
    let (mut head, body) = rejection.response(&exchange.id)?;
    if let Some(route) = &rejection.route {
        cors::apply(route, session.req_header(), &mut head)?;
    }
    if rejection.reason == Reason::Preflight {
        cors::answer_preflight(&mut head)?;
    }
    // Pingora has no time limit for a head that is to be sent.
    let most = DISCARD_TIME * 2 + exchange.rules.server.limits.client_write;
    watchdog::set_deadline(Instant::now() + most);
    exchange.seen.status = head.status.as_u16();
    let expects = session
        .req_header()
        .headers
        .contains_key(http::header::EXPECT);
    let bodiless = session.req_header().method == http::Method::HEAD || body.is_empty();
    let length = admit::declared_length(session.req_header());
    if length <= DRAIN_BYTES && !expects && !session.is_body_done() {
        // A small body is read before the response, which leaves the connection usable if it was whole.
        if discard(session, DRAIN_BYTES).await != Discarded::Whole {
            session.set_keepalive(None);
        }
    }
    if rejection.reason == Reason::BadFraming {
        // Where it ends is an opinion (RFC 9112, section 6.3).
        session.set_keepalive(None);
    }
    end_with_this_response(session, exchange);
    let unread = !session.is_body_done();
    let http2 = session.as_http1().is_none();
    if http2 && !bodiless {
        // It may have to go without its body.
        head.remove_header(&http::header::CONTENT_LENGTH);
    }
    session.write_response_header(head, bodiless).await?;
    if !bodiless {
        let length = body.len() as u64;
        let all = if http2 {
            write_at_once(session, body).await?
        } else {
            session.write_response_body(Some(body), true).await?;
            true
        };
        exchange.seen.response_bytes = if all { length } else { 0 };
    }
    if unread && !expects {
        discard(session, LINGER_BYTES).await;
    }
    Ok(())
}

/// Writes the body of a refusal over HTTP/2, if the client has a window for it now. If not, the response ends without a
/// body, so that no exchange waits for a client that opens no window. Whether the body was written.
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

/// Reads what the client still sends and throws it away, up to a limit in bytes and time: closing
/// with unread data in the socket resets the connection, and the reset can overtake the response.
///
/// Pingora takes a body that it cannot read for one that is over. What follows such a body on the
/// connection must not be taken for the next request.
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

/// What became of a body that nobody wanted.
#[derive(PartialEq, Eq)]
enum Discarded {
    /// It was read to its end.
    Whole,
    /// It was too long, too slow, or broken.
    Not,
}
