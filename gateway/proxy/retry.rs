//! Whether a failed try is followed by another one. [`judge`] is a plain function; it knows no Pingora, no session and
//! no clock.
//!
//! A request goes up twice only where the provider cannot have acted on it the first time, or where acting twice does no
//! harm.

use std::time::Duration;

/// Connections that may fail before the client gets an error.
const MAX_CONNECTS: usize = 8;

/// How many times Pingora may try to send a request: the tries to connect, and one more on a connection that broke.
pub(crate) const ATTEMPTS: usize = MAX_CONNECTS + 1;

/// A single address is tried twice, unless another try cannot help.
const MIN_CONNECTS: usize = 2;

/// After so many failed connections, the time limit for connecting applies.
const UNTIMED_CONNECTS: usize = 2;

/// On how many HTTP/2 connections a stream is tried. Where a provider ends a connection after some number of requests,
/// several may be ending at once.
const MAX_STREAMS_TRIED: u32 = 4;

/// How soon a kept connection that the provider had closed already shows that: within one round trip. After that, the
/// provider may have begun with the request.
const STALE_WITHIN: Duration = Duration::from_millis(200);

/// How a try failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The HTTP/2 connection takes no more streams; another one may.
    NoStream,
    /// The gateway had no socket for a connection.
    NoSocket,
    /// The egress proxy refused the tunnel, and would do so again.
    TunnelRefused,
    /// The address could not be connected to.
    Unreachable,
    /// The address could not be connected to, and would fail in the same way again, as with an invalid certificate.
    /// Another address may do better.
    UnreachableForGood,
    /// The provider refused the stream (`RST_STREAM` with `REFUSED_STREAM`): it has not begun with it (RFC 9113,
    /// section 8.7).
    StreamRefused,
    /// The provider ends the HTTP/2 connection (`GOAWAY`) and reports that it has not begun with this stream.
    ConnectionEnding,
    /// The connection speaks HTTP/1.1 where HTTP/2 was tried.
    Http1Wanted,
    /// The connection closed before a byte of the request was sent.
    ClosedUnsent,
    /// The connection closed before any byte of a response.
    ClosedUnread,
    /// The HTTP/2 connection closed. A response may have begun unseen.
    ClosedHttp2,
    /// The connection failed in another way, or after a response had begun.
    Broken,
}

/// What else the decision depends on.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one fact about the failed try"
)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    /// How many connections were requested.
    pub(super) tries: u32,
    /// How many of them could not be made, the last one included.
    pub(super) unreachable: usize,
    /// How many addresses the provider has.
    pub(super) addresses: usize,
    /// Whether the time that connecting may take altogether is not over.
    pub(super) may_connect: bool,
    /// How long the failed connection was there.
    pub(super) connected_for: Option<Duration>,
    /// Whether it had been used before.
    pub(super) reused: bool,
    /// Whether the request was sent again before.
    pub(super) resent: bool,
    /// Whether a head of a response has come, an interim one included.
    pub(super) response_begun: bool,
    /// Whether the request's body can be sent again.
    pub(super) has_body: bool,
    /// Whether the request's method is a safe one (RFC 9110, section 9.2.2).
    pub(super) is_safe: bool,
}

/// What follows a failed try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The client gets an error.
    Respond,
    /// Another try.
    Retry,
    /// Another try, on a connection that no other request uses: the provider takes no more on the others.
    RetryApart,
}

/// Decides what follows `failure`.
pub(super) fn judge(failure: Failure, situation: &Situation) -> Next {
    let again = match failure {
        Failure::NoStream => situation.tries < MAX_STREAMS_TRIED,
        // There is no socket for another address, either, and the egress proxy refuses the next tunnel as well. On a
        // connection that broke in any other way, the request may have been served.
        Failure::NoSocket | Failure::TunnelRefused | Failure::Broken => false,
        Failure::Unreachable => situation.may_connect_again(MIN_CONNECTS),
        Failure::UnreachableForGood => situation.may_connect_again(1),
        Failure::StreamRefused
        | Failure::ConnectionEnding
        | Failure::Http1Wanted
        | Failure::ClosedUnsent => situation.may_send_again(),
        Failure::ClosedUnread => situation.is_stale() && situation.may_send_again(),
        Failure::ClosedHttp2 => {
            situation.is_stale() && situation.is_safe && situation.may_send_again()
        }
    };
    match again {
        true if failure == Failure::StreamRefused => Next::RetryApart,
        true => Next::Retry,
        false => Next::Respond,
    }
}

impl Situation {
    /// Whether another connection may be tried. Each address is tried once; if there are fewer addresses than
    /// `at_least`, that many tries are made all the same. After the second try, none begins once the time for connecting
    /// is over.
    fn may_connect_again(&self, at_least: usize) -> bool {
        let most = self.addresses.clamp(at_least, MAX_CONNECTS);
        self.unreachable < most && (self.unreachable < UNTIMED_CONNECTS || self.may_connect)
    }

    /// Whether the request may be sent a second time, if the provider cannot have acted on it.
    fn may_send_again(&self) -> bool {
        !self.resent && !self.response_begun && self.has_body
    }

    /// Whether the connection was kept from before and closed at once.
    fn is_stale(&self) -> bool {
        let at_once = |connected_for| connected_for < STALE_WITHIN;
        self.reused && self.connected_for.is_some_and(at_once)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first try of a request, at a provider with one address.
    const FIRST: Situation = Situation {
        tries: 1,
        unreachable: 0,
        addresses: 1,
        may_connect: true,
        connected_for: None,
        reused: false,
        resent: false,
        response_begun: false,
        has_body: true,
        is_safe: false,
    };

    /// A connection of before that broke at once.
    const STALE: Situation = Situation {
        connected_for: Some(Duration::from_millis(1)),
        reused: true,
        ..FIRST
    };

    #[test]
    fn a_request_goes_up_again_only_where_the_provider_cannot_have_acted_on_it() {
        let unreachable = |unreachable, addresses| Situation {
            unreachable,
            addresses,
            ..FIRST
        };
        let late = |situation| Situation {
            may_connect: false,
            ..situation
        };
        let resent = |situation| Situation {
            resent: true,
            ..situation
        };
        let begun = |situation| Situation {
            response_begun: true,
            ..situation
        };
        let without_body = |situation| Situation {
            has_body: false,
            ..situation
        };
        let safe = |situation| Situation {
            is_safe: true,
            ..situation
        };
        let slow = Situation {
            connected_for: Some(STALE_WITHIN),
            ..STALE
        };
        let new = Situation {
            reused: false,
            ..STALE
        };
        let tries = |tries| Situation { tries, ..FIRST };
        #[rustfmt::skip]
        let cases = [
            // A connection of HTTP/2 that is full or ending: four are tried, whatever the addresses.
            (Failure::NoStream, tries(1), Next::Retry),
            (Failure::NoStream, tries(3), Next::Retry),
            (Failure::NoStream, tries(4), Next::Respond),
            (Failure::NoStream, late(tries(3)), Next::Retry),
            // Nothing that another try could change.
            (Failure::NoSocket, FIRST, Next::Respond),
            (Failure::NoSocket, unreachable(0, 8), Next::Respond),
            (Failure::TunnelRefused, FIRST, Next::Respond),
            // An address that cannot be reached: each once, a single one twice, eight in all.
            (Failure::Unreachable, unreachable(1, 1), Next::Retry),
            (Failure::Unreachable, unreachable(2, 1), Next::Respond),
            (Failure::Unreachable, unreachable(1, 3), Next::Retry),
            (Failure::Unreachable, unreachable(2, 3), Next::Retry),
            (Failure::Unreachable, unreachable(3, 3), Next::Respond),
            (Failure::Unreachable, unreachable(7, 20), Next::Retry),
            (Failure::Unreachable, unreachable(8, 20), Next::Respond),
            (Failure::Unreachable, unreachable(1, 0), Next::Retry),
            // The second try takes place even where the first one took all the time.
            (Failure::Unreachable, late(unreachable(1, 3)), Next::Retry),
            (Failure::Unreachable, late(unreachable(2, 3)), Next::Respond),
            // What would fail again at the same address is tried at others alone.
            (Failure::UnreachableForGood, unreachable(1, 1), Next::Respond),
            (Failure::UnreachableForGood, unreachable(1, 0), Next::Respond),
            (Failure::UnreachableForGood, unreachable(1, 2), Next::Retry),
            (Failure::UnreachableForGood, unreachable(2, 2), Next::Respond),
            (Failure::UnreachableForGood, late(unreachable(1, 3)), Next::Retry),
            (Failure::UnreachableForGood, late(unreachable(2, 3)), Next::Respond),
            // A provider that reports that it has not begun: once, whenever it does so and whatever the method.
            (Failure::StreamRefused, slow, Next::RetryApart),
            (Failure::StreamRefused, new, Next::RetryApart),
            (Failure::StreamRefused, late(STALE), Next::RetryApart),
            (Failure::StreamRefused, resent(STALE), Next::Respond),
            (Failure::StreamRefused, begun(STALE), Next::Respond),
            (Failure::StreamRefused, without_body(STALE), Next::Respond),
            (Failure::ConnectionEnding, slow, Next::Retry),
            (Failure::ConnectionEnding, new, Next::Retry),
            (Failure::ConnectionEnding, resent(STALE), Next::Respond),
            (Failure::ConnectionEnding, begun(STALE), Next::Respond),
            (Failure::ConnectionEnding, without_body(STALE), Next::Respond),
            (Failure::Http1Wanted, new, Next::Retry),
            (Failure::Http1Wanted, resent(new), Next::Respond),
            (Failure::Http1Wanted, begun(new), Next::Respond),
            (Failure::Http1Wanted, without_body(new), Next::Respond),
            // A connection that had been closed before it was used again.
            (Failure::ClosedUnread, STALE, Next::Retry),
            (Failure::ClosedUnread, safe(STALE), Next::Retry),
            (Failure::ClosedUnread, new, Next::Respond),
            (Failure::ClosedUnread, slow, Next::Respond),
            (Failure::ClosedUnread, safe(slow), Next::Respond),
            (Failure::ClosedUnread, Situation { connected_for: None, ..STALE }, Next::Respond),
            (Failure::ClosedUnread, resent(STALE), Next::Respond),
            (Failure::ClosedUnread, begun(STALE), Next::Respond),
            (Failure::ClosedUnread, without_body(STALE), Next::Respond),
            // Over HTTP/2 a response may have begun unseen: the method must be a safe one.
            (Failure::ClosedHttp2, safe(STALE), Next::Retry),
            (Failure::ClosedHttp2, STALE, Next::Respond),
            (Failure::ClosedHttp2, safe(new), Next::Respond),
            (Failure::ClosedHttp2, safe(slow), Next::Respond),
            (Failure::ClosedHttp2, resent(safe(STALE)), Next::Respond),
            (Failure::ClosedHttp2, begun(safe(STALE)), Next::Respond),
            (Failure::ClosedHttp2, without_body(safe(STALE)), Next::Respond),
            // Anything else.
            (Failure::Broken, safe(STALE), Next::Respond),
            (Failure::Broken, FIRST, Next::Respond),
        ];
        for (failure, situation, next) in cases {
            assert_eq!(
                judge(failure, &situation),
                next,
                "{failure:?}, {situation:?}"
            );
        }
    }

    #[test]
    fn a_request_of_which_nothing_was_sent_goes_up_again_once() {
        let late = Situation {
            connected_for: Some(STALE_WITHIN * 100),
            ..FIRST
        };
        let resent = Situation {
            resent: true,
            ..late
        };
        let without_body = Situation {
            has_body: false,
            ..late
        };
        assert_eq!(judge(Failure::ClosedUnsent, &late), Next::Retry);
        assert_eq!(judge(Failure::ClosedUnsent, &resent), Next::Respond);
        assert_eq!(judge(Failure::ClosedUnsent, &without_body), Next::Respond);
    }
}
