//! Reads from Pingora's errors how a try failed. Pingora's types end here: [`retry`](super::retry) decides by the
//! result alone.

use std::io::ErrorKind;

use pingora_core::{Error, ErrorSource, ErrorType};

use super::reject::is_connect_error;
use super::retry::Failure;
use crate::origin::{ConnectionError, TunnelError};

/// How a connection could not be made. Nothing was sent.
pub(super) fn of_connect(error: &Error) -> Failure {
    match error.etype() {
        ErrorType::H2Error => Failure::NoStream,
        _ if is_without_socket(error) => Failure::NoSocket,
        ErrorType::ConnectProxyFailure if !tunnel_may_pass(error) => Failure::TunnelRefused,
        ErrorType::InvalidCert | ErrorType::TLSHandshakeFailure | ErrorType::TLSWantX509Lookup => {
            Failure::UnreachableForGood
        }
        etype if is_connect_error(etype) => Failure::Unreachable,
        _ => Failure::UnreachableForGood,
    }
}

/// How a connection failed after it had been made. Pingora must have decided before whether its own rules allow a retry.
pub(super) fn of_connection(error: &Error) -> Failure {
    if let Some(refusal) = refusal(error) {
        return refusal;
    }
    if ConnectionError::of(error) == Some(ConnectionError::Unsent) {
        return Failure::ClosedUnsent;
    }
    match error.etype() {
        // Not all of the request was sent, and then no response came.
        ErrorType::WriteError if is_closed(error) => Failure::ClosedUnread,
        _ if !error.retry() => Failure::Broken,
        ErrorType::H2Downgrade => Failure::Http1Wanted,
        ErrorType::ConnectionClosed | ErrorType::ReadError if nothing_was_read(error) => {
            Failure::ClosedUnread
        }
        ErrorType::ConnectionClosed | ErrorType::ReadError
            if error.root_cause().is::<h2::Error>() =>
        {
            Failure::ClosedHttp2
        }
        _ => Failure::Broken,
    }
}

/// Whether the provider had closed the HTTP/1.1 connection. Over HTTP/2, the cause is another one.
fn is_closed(error: &Error) -> bool {
    const CLOSED: [ErrorKind; 2] = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
    let cause = error.root_cause().downcast_ref::<std::io::Error>();
    *error.esource() == ErrorSource::Upstream
        && cause.is_some_and(|cause| CLOSED.contains(&cause.kind()))
}

/// Whether there was no socket for the connection, as for want of a file descriptor. Pingora hides that behind an error
/// that it also has for an address that cannot be reached.
fn is_without_socket(error: &Error) -> bool {
    let cause = error
        .cause
        .as_ref()
        .and_then(|cause| cause.downcast_ref::<Box<Error>>());
    let etypes = [Some(error.etype()), cause.map(|cause| cause.etype())];
    etypes.contains(&Some(&ErrorType::SocketError))
}

/// Whether an egress proxy that opened no tunnel may open one a moment later.
fn tunnel_may_pass(error: &Error) -> bool {
    let cause = error.root_cause().downcast_ref::<TunnelError>();
    cause.is_some_and(TunnelError::may_pass)
}

/// How the provider said over HTTP/2 that it has not begun with the request, if it did. That holds for any request and
/// at any time (RFC 9113, section 8.7). The HTTP/2 library ends a stream with a `GOAWAY` only if its number is above the
/// last one that the provider names.
fn refusal(error: &Error) -> Option<Failure> {
    // A client may send the same frames.
    if *error.esource() != ErrorSource::Upstream {
        return None;
    }
    let cause = error
        .root_cause()
        .downcast_ref::<h2::Error>()
        .filter(|cause| cause.is_remote())?;
    if cause.is_go_away() {
        Some(Failure::ConnectionEnding)
    } else {
        (cause.reason() == Some(h2::Reason::REFUSED_STREAM)).then_some(Failure::StreamRefused)
    }
}

/// Whether an HTTP/1.1 connection broke before a byte of the next head had come. Pingora has that in the error's text
/// alone. For HTTP/2 it has not: an interim response may have come unseen there.
fn nothing_was_read(error: &Error) -> bool {
    const NOTHING: &str = "while reading response headers, bytes already read: 0";
    let context = error.context.as_ref();
    context.is_some_and(|context| context.as_str() == NOTHING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_could_not_be_sent_whole_on_a_closed_connection_was_not_read() {
        let failed = |kind| Error::because(ErrorType::WriteError, "", std::io::Error::from(kind));
        for kind in [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset] {
            let error = failed(kind);
            assert_eq!(of_connection(&error), Failure::Broken);
            assert_eq!(of_connection(&error.into_up()), Failure::ClosedUnread);
        }
        let late = failed(ErrorKind::TimedOut).into_up();
        assert_eq!(of_connection(&late), Failure::Broken);
    }

    #[test]
    fn an_address_is_not_to_blame_for_a_socket_that_the_gateway_has_not() {
        let as_pingora = |cause| Error::because(ErrorType::InternalError, "", Error::new(cause));
        assert!(is_without_socket(&Error::new(ErrorType::SocketError)));
        assert!(is_without_socket(&as_pingora(ErrorType::SocketError)));
        // An IPv6 address, for example, on a machine that has none itself.
        assert!(!is_without_socket(&as_pingora(ErrorType::BindError)));
        assert!(!is_without_socket(&Error::new(ErrorType::ConnectRefused)));
    }
}
