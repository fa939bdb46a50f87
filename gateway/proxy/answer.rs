//! Answers of our own: the refusal that an exchange holds, sent so that the client can read it.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pingora_core::Result;
use pingora_proxy::Session;

use super::admit;
use super::deadline;
use super::exchange::Exchange;

/// The largest body that is read and thrown away before a refusal.
const DRAIN_BYTES: u64 = 64 << 10;
/// How much of a larger one is read after it.
const LINGER_BYTES: u64 = 2 << 20;
/// How long either may take.
const DISCARD_TIME: Duration = Duration::from_secs(2);

/// The status of the answer that was begun: a 100 or 103 before it is none.
pub(super) fn final_status(session: &Session) -> Option<u16> {
    let status = session.response_written()?.status;
    (!status.is_informational() || status == 101).then_some(status.as_u16())
}

/// Another process takes what follows on this connection: the client is told so with the answer.
pub(super) fn end_with_this_answer(session: &mut Session, exchange: &Exchange) {
    if exchange.shared.closing.load(Ordering::Relaxed) {
        session.set_keepalive(None);
    }
}

/// Sends the refusal that the exchange holds.
pub(super) async fn answer(session: &mut Session, exchange: &mut Exchange) -> Result<()> {
    let Some(rejection) = &exchange.rejection else {
        return Ok(());
    };
    let (head, body) = rejection.response(&exchange.id)?;
    // Pingora has no time limit for a head that is to be sent.
    let most = DISCARD_TIME * 2 + exchange.rules.server.client_write;
    deadline::end_by(Instant::now() + most);
    exchange.seen.status = head.status.as_u16();
    let expects = session
        .req_header()
        .headers
        .contains_key(http::header::EXPECT);
    let bodiless = session.req_header().method == http::Method::HEAD;
    let length = admit::declared_length(session.req_header());
    if length <= DRAIN_BYTES && !expects && !session.is_body_done() {
        // A small body is read before the answer, which leaves the connection usable if it was whole.
        if discard(session, DRAIN_BYTES).await != Discarded::Whole {
            session.set_keepalive(None);
        }
    }
    end_with_this_answer(session, exchange);
    let unread = !session.is_body_done();
    session.write_response_header(head, bodiless).await?;
    if !bodiless {
        exchange.seen.response_bytes = body.len() as u64;
        session.write_response_body(Some(body), true).await?;
    }
    if unread && !expects {
        discard(session, LINGER_BYTES).await;
    }
    Ok(())
}

/// Reads what the client still sends and throws it away, up to a limit in bytes and time: closing
/// with unread data in the socket resets the connection, and the reset can overtake the answer.
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
                Ok(Some(piece)) => match left.checked_sub(piece.len() as u64) {
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
