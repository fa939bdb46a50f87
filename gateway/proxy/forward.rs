//! Phase 2: which endpoint to try, and whether another try is safe.

use std::time::{Duration, Instant};

use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorSource, ErrorType};

use super::admit::Admission;
use super::exchange::Exchange;
use super::reject::{Reason, Rejection, is_connect_error};
use crate::origin::TunnelError;

/// How often a connection for one request is tried at most.
pub(super) const MAX_CONNECTS: usize = 8;

/// How often a connection to a single address is tried.
const MIN_CONNECTS: usize = 2;

/// On how many connections of HTTP/2 a stream is tried to be opened for one request: where the provider ends one after
/// so many requests, several may be ending at once.
const MAX_STREAMS_TRIED: u32 = 4;

/// Within how long a kept connection shows that it was closed before it was used: the way there and
/// back. What takes longer may have been begun by the provider, and is not sent again.
const STALE_WITHIN: Duration = Duration::from_millis(200);

/// The distance between the group of connections that requests are sent on, and that of those that a provider refused.
const AFTER_REFUSAL: u64 = 1 << 63;

/// The peer for the next attempt.
pub(super) fn next_peer(exchange: &mut Exchange) -> Result<Box<HttpPeer>, Rejection> {
    let Some(admission) = &exchange.admission else {
        return Err(Rejection::unrouted(Reason::Internal));
    };
    let route = admission.route();
    let endpoint = &route.targets.primary().provider.endpoint;
    let Some(mut peer) = endpoint.peer(admission.upgrade(), &exchange.seen.failed.unreachable)
    else {
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
    if exchange.seen.failed.refused {
        // Pingora shares connections within a group.
        peer.group_key = peer.group_key.wrapping_add(AFTER_REFUSAL);
    }
    exchange.seen.attempts += 1;
    exchange.seen.connected = None;
    exchange.seen.turned = Some(now);
    exchange.seen.upstream = peer._address.as_inet().copied();
    Ok(peer)
}

/// The connection that the attempt asked for is there, and a new one.
pub(super) fn note_reached(exchange: &Exchange) {
    if let (Some(admission), Some(address)) = (&exchange.admission, exchange.seen.upstream) {
        let endpoint = &admission.route().targets.primary().provider.endpoint;
        endpoint.addresses().reached(address);
    }
}

/// Allows another try after a connection that could not be made: nothing was sent.
pub(super) fn after_failed_connect(exchange: &mut Exchange, mut error: Box<Error>) -> Box<Error> {
    let again = match error.etype() {
        // A connection of HTTP/2 that takes no more streams: another one may.
        ErrorType::H2Error => exchange.seen.attempts < MAX_STREAMS_TRIED,
        // No other address has one, and this one is not to blame.
        _ if is_without_socket(&error) => false,
        // A proxy that refuses a tunnel refuses it again.
        ErrorType::ConnectProxyFailure if !tunnel_may_pass(&error) => false,
        // A certificate that does not hold today does not hold on a second try either, but perhaps elsewhere.
        ErrorType::InvalidCert | ErrorType::TLSHandshakeFailure | ErrorType::TLSWantX509Lookup => {
            connect_again(exchange, &error, 1)
        }
        etype if is_connect_error(etype) => connect_again(exchange, &error, MIN_CONNECTS),
        _ => connect_again(exchange, &error, 1),
    };
    error.as_up();
    error.set_retry(again);
    error
}

/// Whether there was no socket for the connection, for want of a file descriptor say. Pingora says so behind an error
/// that it also has where an address cannot be reached.
fn is_without_socket(error: &Error) -> bool {
    let cause = error.cause.as_ref();
    let cause = cause.and_then(|cause| cause.downcast_ref::<Box<Error>>());
    let etypes = [Some(error.etype()), cause.map(|cause| cause.etype())];
    etypes.contains(&Some(&ErrorType::SocketError))
}

/// Whether a proxy that opened no tunnel may do so a moment later.
fn tunnel_may_pass(error: &Error) -> bool {
    let cause = error.root_cause().downcast_ref::<TunnelError>();
    cause.is_some_and(TunnelError::may_pass)
}

/// Notes that the last attempt's address could not be reached; whether there may be another try. Each address is tried
/// once, and there are `at_least` so many tries. After the second, none begins once the time that one connection may
/// take in all is over.
fn connect_again(exchange: &mut Exchange, error: &Error, at_least: usize) -> bool {
    let (Some(admission), Some(address)) = (&exchange.admission, exchange.seen.upstream) else {
        return false;
    };
    let endpoint = &admission.route().targets.primary().provider.endpoint;
    let addresses = endpoint.addresses();
    if endpoint.blames_address(error) {
        addresses.failed(address);
    }
    exchange.seen.failed.unreachable.push(address);
    let tried = exchange.seen.failed.unreachable.len();
    let most = addresses.count().clamp(at_least, MAX_CONNECTS);
    let in_time = exchange.seen.connecting < endpoint.timeouts.connect * 2;
    tried < most && (tried < MIN_CONNECTS || in_time)
}

/// Whether the request may be sent again, which is once.
fn send_again(exchange: &mut Exchange) -> bool {
    !std::mem::replace(&mut exchange.seen.failed.broken, true)
}

/// Decides about a failure on a connection that had been made. The request is sent again once, if the provider cannot
/// have begun, or the request asks for nothing to be done, and the body is still at hand.
pub(super) fn after_broken_connection(
    exchange: &mut Exchange,
    mut error: Box<Error>,
    reused: bool,
    body_lost: bool,
) -> Box<Error> {
    // In any case: a retry that is left undecided panics.
    error.retry.decide_reuse(reused);
    let refusal = refusal(&error);
    let safe = refusal.is_some() || (error.retry() && is_stale(exchange, &error, reused));
    let again = safe && !exchange.seen.begun && !body_lost && send_again(exchange);
    exchange.seen.failed.refused |= again && refusal == Some(Refusal::Stream);
    error.set_retry(again);
    error
}

/// How a provider says over HTTP/2 that it did not begin with a request, and will not: a guarantee by which any request
/// may be sent again (RFC 9113, section 8.7), whenever it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// `RST_STREAM` with `REFUSED_STREAM`.
    Stream,
    /// A `GOAWAY`, for whatever reason, whose last stream is below that of the request: the HTTP/2 library ends no other
    /// stream with it.
    Connection,
}

fn refusal(error: &Error) -> Option<Refusal> {
    let cause = error.root_cause().downcast_ref::<h2::Error>();
    let cause = cause.filter(|cause| cause.is_remote())?;
    if *error.esource() != ErrorSource::Upstream {
        // A client says such things as well.
        None
    } else if cause.is_go_away() {
        Some(Refusal::Connection)
    } else {
        (cause.reason() == Some(h2::Reason::REFUSED_STREAM)).then_some(Refusal::Stream)
    }
}

/// Whether the connection could not be used: it wants HTTP/1.1 instead, or was kept from before and is found closed at
/// once. Before any byte of a response, that is; over HTTP/2, where nobody can tell, the request has to be a safe one.
fn is_stale(exchange: &Exchange, error: &Error, reused: bool) -> bool {
    let connected = exchange.seen.connected;
    let at_once = connected.is_some_and(|connected| connected.elapsed() < STALE_WITHIN);
    match error.etype() {
        ErrorType::H2Downgrade => true,
        ErrorType::ConnectionClosed | ErrorType::ReadError => {
            let http2 = error.root_cause().is::<h2::Error>();
            let harmless = nothing_was_read(error) || (http2 && is_safe(exchange));
            at_once && reused && harmless
        }
        _ => false,
    }
}

/// Whether the request's method asks for nothing to be done, so that it may be sent again even if the provider had begun
/// with it (RFC 9110, section 9.2.2).
fn is_safe(exchange: &Exchange) -> bool {
    let admission = exchange.admission.as_ref();
    let may_be_post = admission.is_none_or(Admission::post);
    matches!(exchange.seen.method, "GET" | "HEAD" | "OPTIONS") && !may_be_post
}

/// Whether a connection of HTTP/1.1 broke before a byte of the next head had come. Pingora says that in the error's text
/// alone. Of HTTP/2 it does not say it: there, an interim response may have come unseen.
fn nothing_was_read(error: &Error) -> bool {
    const NOTHING: &str = "while reading response headers, bytes already read: 0";
    let context = error.context.as_ref();
    context.is_some_and(|context| context.as_str() == NOTHING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_not_to_blame_for_a_socket_that_the_gateway_has_not() {
        let as_pingora = |cause| Error::because(ErrorType::InternalError, "", Error::new(cause));
        assert!(is_without_socket(&Error::new(ErrorType::SocketError)));
        assert!(is_without_socket(&as_pingora(ErrorType::SocketError)));
        // An address of IPv6, say, where there is none to come from.
        assert!(!is_without_socket(&as_pingora(ErrorType::BindError)));
        assert!(!is_without_socket(&Error::new(ErrorType::ConnectRefused)));
    }
}
