//! Phase 2: which endpoint to try, and whether another try is safe.

use std::time::{Duration, Instant};

use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorType};

use super::exchange::Exchange;
use super::reject::{Reason, Rejection, is_connect_error};

/// How often a request is tried at most: once more after a connection that could not be made, or
/// that turned out to be closed already.
pub(super) const MAX_ATTEMPTS: u32 = 2;

/// Within how long a kept connection shows that it was closed before it was used: the way there and
/// back. What takes longer may have been begun by the provider, and is not sent again.
const STALE_WITHIN: Duration = Duration::from_millis(200);

/// The peer for the next attempt.
pub(super) fn next_peer(exchange: &mut Exchange) -> Result<Box<HttpPeer>, Rejection> {
    let Some(admission) = &exchange.admission else {
        return Err(Rejection::routeless(Reason::Internal));
    };
    let route = admission.route();
    let endpoint = &route.provider.endpoint;
    let Some(mut peer) = endpoint.peer(admission.upgrade()) else {
        return Err(admission.rejection(Reason::ProviderUnreachable));
    };
    let now = Instant::now();
    if let Some(total) = endpoint.timeouts.total {
        let left = total.saturating_sub(now.saturating_duration_since(exchange.started));
        if left.is_zero() {
            return Err(admission.rejection(Reason::ProviderTimeout));
        }
        peer.options.read_timeout = Some(endpoint.timeouts.first_byte.min(left));
    }
    exchange.seen.attempts += 1;
    exchange.seen.connected = None;
    exchange.seen.turned = Some(now);
    exchange.seen.upstream = peer._address.as_inet().copied();
    Ok(peer)
}

/// Allows one more try after a connection that could not be made: nothing was sent. A certificate
/// that does not hold today does not hold on a second try either.
pub(super) fn after_failed_connect(exchange: &Exchange, mut error: Box<Error>) -> Box<Error> {
    let refused_trust = matches!(
        error.etype(),
        ErrorType::InvalidCert | ErrorType::TLSHandshakeFailure | ErrorType::TLSWantX509Lookup
    );
    let again =
        exchange.seen.attempts < MAX_ATTEMPTS && is_connect_error(error.etype()) && !refused_trust;
    error.as_up();
    error.set_retry(again);
    error
}

/// Decides about a failure on a connection that had been made. The request is sent again only if
/// its connection was kept from before and was found closed at once, before any byte of an answer,
/// and its body is still at hand; or if the provider said that it wants HTTP/1.1 instead.
pub(super) fn after_broken_connection(
    exchange: &Exchange,
    mut error: Box<Error>,
    reused: bool,
    body_lost: bool,
) -> Box<Error> {
    // In any case first: a retry that is left undecided panics.
    error.retry.decide_reuse(reused);
    let at_once = exchange
        .seen
        .connected
        .is_some_and(|connected| connected.elapsed() < STALE_WITHIN);
    // Pingora would also try again after frames that it cannot read, or a GOAWAY, however late.
    let untouched = *error.etype() == ErrorType::H2Downgrade
        || (reused && at_once && *error.etype() != ErrorType::InvalidH2);
    let again = error.retry()
        && untouched
        && !body_lost
        && exchange.seen.first_byte.is_none()
        && exchange.seen.attempts < MAX_ATTEMPTS;
    error.set_retry(again);
    error
}
