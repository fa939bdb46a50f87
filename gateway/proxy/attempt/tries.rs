//! The connections that were tried for one attempt: how many, how long they took, and how the last one went.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The tries of one attempt so far.
#[derive(Default)]
pub(crate) struct Tries {
    /// How many connections were requested; the access line's `attempts`.
    pub(in crate::proxy) count: u32,
    /// When the last one was requested, until it is there or has failed.
    waiting_since: Option<Instant>,
    /// When the last one was there.
    pub(in crate::proxy) connected: Option<Instant>,
    /// The time spent waiting for connections, plus the time on connections that broke.
    pub(in crate::proxy) connecting: Duration,
    /// The address of the last one.
    pub(in crate::proxy) address: Option<SocketAddr>,
    /// Whether the last one had been used before.
    pub(in crate::proxy) reused: Option<bool>,
    /// The addresses that could not be connected to, in the order of the tries.
    pub(in crate::proxy) unreachable: Vec<SocketAddr>,
    /// Whether a connection broke and the request was sent again.
    pub(in crate::proxy) resent: bool,
    /// Whether that was because the provider refused the request on that HTTP/2 connection.
    pub(in crate::proxy) refused: bool,
    /// Whether the head of a response has come, an interim one (1xx) included.
    pub(in crate::proxy) response_begun: bool,
}

impl Tries {
    /// A connection to `address` is requested at `now`.
    pub(in crate::proxy) fn begin(&mut self, address: Option<SocketAddr>, now: Instant) {
        self.count += 1;
        self.connected = None;
        self.waiting_since = Some(now);
        self.address = address;
    }

    /// The connection that was waited for is there, or has failed.
    pub(in crate::proxy) fn end_wait(&mut self, now: Instant) {
        if let Some(since) = self.waiting_since.take() {
            self.connecting += now.saturating_duration_since(since);
        }
    }

    /// The connection is there; it may have been `reused`.
    pub(in crate::proxy) fn connect(&mut self, reused: bool, now: Instant) {
        self.end_wait(now);
        self.connected = Some(now);
        self.reused = Some(reused);
    }

    /// The connection broke, and another one is to be tried: the time on it counts as time to connect.
    pub(in crate::proxy) fn give_up_connection(&mut self) {
        if let Some(connected) = self.connected.take() {
            self.connecting += connected.elapsed();
        }
    }
}
