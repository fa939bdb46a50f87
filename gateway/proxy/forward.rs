//! Phase 2, forward: the connections for the attempt. Whether there is another try is decided by
//! [`judge`].
//!
//! Deadlines: `forward`, `observe`, `respond` and `record` set them on `runtime::watchdog`; the client's socket reports
//! reads and writes to it in `server/connection/stream`. `receive` and `forward` set the client's write timeout.
//!
//! Revocation: where `rules.cut_revoked` is set, [`begin`] lets the watchdog end an exchange whose key is revoked.

use std::time::{Duration, Instant};

use pingora_core::protocols::Digest;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorType, Result};
use pingora_proxy::Session;

use super::admit::Admission;
use super::attempt::Attempt;
use super::connection;
use super::exchange::Exchange;
use super::failure;
use super::held_body::HeldBody;
use super::hold;
use super::http10;
use super::limits;
use super::reject::{Reason, Rejection};
use super::respond;
use super::retry::{Failure, Next, Situation, judge};
use crate::origin::{ConnectionError, Timeouts, is_own_connection, was_kept};

/// How much later than the timeout the watchdog drops an exchange that has no response, so that the timeout can still
/// send one.
const GRACE: Duration = Duration::from_secs(5);

/// Added to the group key after `REFUSED_STREAM`, so that the next try uses no connection of the usual group.
const AFTER_REFUSAL: u64 = 1 << 63;

/// Begins to forward an admitted request: takes what it needs from its limits, sets its deadlines and its place in a trace,
/// and reads its body if that is held. Returns whether it was refused.
pub(super) async fn begin(
    session: &mut Session,
    exchange: &mut Exchange,
    (admission, attempt): (Admission, Attempt),
) -> Result<bool> {
    connection::verified();
    http10::begin(session);
    let head = session.req_header();
    if let Err(rejection) = limits::head(head, exchange, &admission, &attempt).await {
        return respond::refuse(session, exchange, rejection).await;
    }
    let holds = hold::begin(session, exchange);
    exchange.stats.request_complete = session.is_body_empty();
    set_deadlines(session, exchange, attempt.timeouts());
    if let Some(digest) = admission.digest().filter(|_| exchange.rules.cut_revoked) {
        let live = exchange.shared.live.clone();
        let revoked = async move { live.revoked(digest).await };
        exchange.watchdog.end_when_revoked(revoked);
    }
    exchange.admission = Some(admission);
    exchange.attempt = Some(attempt);
    if let Some(telemetry) = &exchange.shared.telemetry {
        let headers = &session.req_header().headers;
        exchange.trace = Some(Box::new(telemetry.begin(Some(headers))));
    }
    if holds {
        hold::read(session, exchange).await?;
    } else if limits::read_body(exchange) {
        hold::read_what_came(session, exchange).await?;
    }
    if exchange.stats.request_complete
        && let Err(rejection) = limits::body(exchange).await
    {
        return respond::refuse(session, exchange, rejection).await;
    }
    Ok(false)
}

/// Sets the deadlines that hold until a response begins.
fn set_deadlines(session: &mut Session, exchange: &Exchange, timeouts: &Timeouts) {
    let server = &exchange.rules.server;
    let watchdog = &exchange.watchdog;
    if session.as_http1().is_none() && !exchange.stats.request_complete {
        // Pingora has no timeout for an HTTP/2 body that does not come. The provider may be the cause as well: its
        // timeouts end the exchange with a response, and so they pass first.
        let orderly = timeouts.write.max(timeouts.connect * 4);
        let idle = server.limits.client_read.max(orderly) + GRACE;
        watchdog.set_idle_timeout(idle, exchange.started);
    }
    // A client that stops reading also stalls the provider's side. Its timeout is shorter than the provider's idle
    // timeout, so that the client is blamed.
    let idle = timeouts.idle.mul_f64(0.9);
    session.set_write_timeout(Some(server.limits.client_write.min(idle)));
    if let Some(total) = timeouts.total {
        watchdog.set_deadline(exchange.started + total + GRACE);
    }
}

/// The peer for the next try.
pub(super) fn next_peer(exchange: &mut Exchange) -> std::result::Result<Box<HttpPeer>, Rejection> {
    let (Some(admission), Some(attempt)) = (&exchange.admission, &mut exchange.attempt) else {
        return Err(exchange.rejection_for(Reason::Internal));
    };
    let provider = &attempt.target().provider;
    let endpoint = &provider.endpoint;
    let mut peer = endpoint
        .peer(admission.upgrade(), &attempt.tries.unreachable)
        .ok_or_else(|| admission.rejection(Reason::ProviderUnreachable))?;
    let now = exchange.watchdog.now();
    let mut first_byte = endpoint.timeouts.first_byte;
    if let Some(total) = endpoint.timeouts.total {
        let left = total.saturating_sub(now.saturating_duration_since(exchange.started));
        if left.is_zero() {
            return Err(admission.rejection(Reason::ProviderTimeout));
        }
        first_byte = first_byte.min(left);
    }
    if is_own_connection(&peer) {
        exchange.watchdog.set_response_timeout(first_byte);
    } else {
        peer.options.read_timeout = Some(first_byte);
    }
    if attempt.tries.refused {
        // Pingora shares connections within a group.
        peer.group_key = peer.group_key.wrapping_add(AFTER_REFUSAL);
    }
    if let Some(held) = &mut exchange.held {
        held.rewind();
    }
    let address = peer._address.as_inet().copied();
    attempt.tries.begin(address, now);
    Ok(peer)
}

/// Notes that a connection is there, new or kept. Pingora knows whether it is `reused` for those of its own; `digest` has
/// it for the others.
pub(super) fn connected(exchange: &mut Exchange, reused: bool, digest: Option<&Digest>) {
    let reused = reused || digest.is_some_and(was_kept);
    let Some(attempt) = &mut exchange.attempt else {
        return;
    };
    attempt.tries.connect(reused, exchange.watchdog.now());
    let target = attempt.target();
    if reused {
        target.metrics.connections_reused.inc();
        return;
    }
    target.metrics.connections_new.inc();
    if let Some(address) = attempt.tries.address {
        target.provider.endpoint.addresses().reached(address);
    }
}

/// Decides about a connection that could not be made. Nothing was sent.
pub(super) fn connect_failed(exchange: &mut Exchange, mut error: Box<Error>) -> Box<Error> {
    let next = match &mut exchange.attempt {
        Some(attempt) => next_after_failed_connect(attempt, &error),
        None => Next::Respond,
    };
    error.as_up();
    error.set_retry(next != Next::Respond);
    error
}

fn next_after_failed_connect(attempt: &mut Attempt, error: &Error) -> Next {
    attempt.tries.end_wait(Instant::now());
    let failure = failure::of_connect(error);
    if [Failure::Unreachable, Failure::UnreachableForGood].contains(&failure) {
        let Some(address) = attempt.tries.address else {
            return Next::Respond;
        };
        attempt.tries.unreachable.push(address);
        let endpoint = &attempt.provider().endpoint;
        if endpoint.blames_address(error) {
            endpoint.addresses().failed(address);
        }
    }
    judge(failure, &before_sending(attempt))
}

/// Decides about a connection that had been made and broke.
pub(super) fn connection_broke(
    session: &mut Session,
    exchange: &mut Exchange,
    mut error: Box<Error>,
) -> Box<Error> {
    let attempt = exchange.attempt.as_ref();
    let reused = attempt.is_some_and(|attempt| attempt.tries.reused == Some(true));
    if ConnectionError::of(&error) == Some(ConnectionError::Overdue) {
        // As Pingora has it where it sets the timer itself.
        error.etype = ErrorType::ReadTimedout;
    }
    // In any case: Pingora panics on a retry that is left undecided.
    error.retry.decide_reuse(reused);
    let next = match &mut exchange.attempt {
        Some(attempt) => {
            let situation = Situation {
                reused,
                has_body: has_body(session, exchange.held.as_deref()),
                is_safe: is_safe(exchange.stats.method, exchange.admission.as_ref()),
                ..before_sending(attempt)
            };
            judge(failure::of_connection(&error), &situation)
        }
        None => Next::Respond,
    };
    let again = next != Next::Respond;
    if let (true, Some(attempt)) = (again, &mut exchange.attempt) {
        attempt.tries.resent = true;
        attempt.tries.refused |= next == Next::RetryApart;
        attempt.tries.give_up_connection();
        // The body is sent, and so counted, again.
        exchange.stats.request_bytes = 0;
    }
    error.set_retry(again);
    error
}

/// What is known if nothing was sent; `connection_broke` replaces three fields.
fn before_sending(attempt: &Attempt) -> Situation {
    let tries = &attempt.tries;
    let endpoint = &attempt.provider().endpoint;
    Situation {
        tries: tries.count,
        unreachable: tries.unreachable.len(),
        addresses: endpoint.addresses().count(),
        may_connect: tries.connecting < endpoint.timeouts.connect * 2,
        connected_for: tries.connected.map(|connected| connected.elapsed()),
        reused: false,
        resent: tries.resent,
        response_begun: tries.response_begun,
        has_body: true,
        is_safe: false,
    }
}

/// Whether the request's body can be sent again.
fn has_body(session: &Session, held: Option<&HeldBody>) -> bool {
    // Of a held body, Pingora's buffer has what stands for it.
    held.is_none_or(HeldBody::is_whole) && !session.as_ref().retry_buffer_truncated()
}

/// Whether a request's method is a safe one. A header that may replace the method leaves that open.
fn is_safe(method: &str, admission: Option<&Admission>) -> bool {
    let may_be_post = admission.is_none_or(Admission::may_be_post);
    matches!(method, "GET" | "HEAD" | "OPTIONS") && !may_be_post
}
