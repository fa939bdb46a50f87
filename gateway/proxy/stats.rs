//! What was observed of an exchange while it went on, for its access line, metrics and span.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::conversation::Conversation;
use crate::runtime::watchdog::Abort;
use crate::usage::Meter;

/// What was observed of an exchange so far. What was observed of its attempt is in `Tries`.
#[derive(Default)]
pub(super) struct Stats {
    /// The client's address.
    pub(super) client: Option<SocketAddr>,
    /// The method, or `other` if it is none of the usual ones.
    pub(super) method: &'static str,
    /// The normal path, without its query; empty if it could not be read.
    pub(super) path: String,
    /// The bytes of the request's body so far.
    pub(super) request_bytes: u64,
    /// Whether the client has sent all of its request.
    pub(super) request_complete: bool,
    /// The time that the gateway itself took until the request was ready for the provider.
    pub(super) added_request: Option<Duration>,
    /// When the head or chunk that is now being passed on arrived.
    pub(super) arrived: Option<Instant>,
    /// The time that the gateway itself took so far.
    pub(super) added: Duration,
    /// The status of the response, 0 as long as there is none.
    pub(super) status: u16,
    /// When the head of the provider's response came.
    pub(super) first_byte: Option<Instant>,
    /// When the first and the last chunk of the response's body came.
    pub(super) body: Option<(Instant, Instant)>,
    /// The bytes of the response's body so far.
    pub(super) response_bytes: u64,
    /// Reads the response beside its way to the client, if there is anything to read.
    pub(super) meter: Option<Meter>,
    /// Reads a WebSocket, once the connection is one.
    pub(super) conversation: Option<Box<Conversation>>,
    /// Whether the client left before the end.
    pub(super) client_left: bool,
    /// Why the exchange was dropped before its end, if it was.
    pub(super) abort: Option<Abort>,
}

impl Stats {
    /// The chunk that came at `now` belongs to the body.
    pub(super) fn note_body(&mut self, now: Instant) {
        let first = self.body.map_or(now, |(first, _)| first);
        self.body = Some((first, now));
    }

    /// What arrived last is ready for the client, at the time that `now` reads. The result is the time that the gateway
    /// took for it.
    pub(super) fn depart(&mut self, now: impl FnOnce() -> Instant) -> Option<Duration> {
        let took = now().saturating_duration_since(self.arrived.take()?);
        self.added += took;
        Some(took)
    }
}
