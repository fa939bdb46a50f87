//! One exchange, from the head of a request to the end of its response: Pingora's CTX.
//!
//! However it ends, by a response, by an abort, by a deadline, by a panic, it is recorded once: see
//! `record`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Shared;
use super::admit::Admission;
use super::conversation::Conversation;
use super::reject::Rejection;
use super::stream_usage::StreamUsage;
use crate::grammar::request_id::RequestId;
use crate::limit::by_address::AtAddress;
use crate::runtime::in_flight::{InFlight, InFlightGuard};
use crate::runtime::watchdog::{Abort, Watchdog};
use crate::snapshot::{Rules, Snapshot};
use crate::telemetry::Trace;
use crate::usage::Meter;

/// What is known so far about one request. A stream holds it to its end, so what few have is in boxes.
pub struct Exchange {
    /// The configuration that it began with, whatever reloads meanwhile.
    pub rules: Arc<Rules>,
    /// The same with the keys, until it is admitted or refused.
    pub snapshot: Option<Arc<Snapshot>>,
    /// When its head had been read.
    pub started: Instant,
    /// The same by the wall clock.
    pub time: Timestamp,
    /// Its id.
    pub id: RequestId,
    /// The proof that it may go up, once there is one.
    pub admission: Option<Admission>,
    /// Why it was refused, once it was.
    pub rejection: Option<Rejection>,
    /// What is asked for and taken out again, if the stream may have to be asked for its usage.
    pub exact: Option<Box<StreamUsage>>,
    /// Its place in a trace, once it is admitted, if there are spans.
    pub trace: Option<Box<Trace>>,
    /// What goes into the access line.
    pub seen: Stats,
    /// The deadlines that it sets.
    pub(super) watchdog: Watchdog,
    pub(super) shared: Arc<Shared>,
    pub(super) recorded: bool,
    /// That it counts for its client's address, where its connection does not.
    pub(super) place: Option<Box<AtAddress>>,
    /// Dropped last, so that a drain waits for the record, too.
    _in_flight: InFlightGuard,
}

/// What was seen of an exchange while it went on.
#[derive(Default)]
pub struct Stats {
    /// The client's address.
    pub client: Option<SocketAddr>,
    /// The method.
    pub method: &'static str,
    /// The normal path, without query; empty if it could not be read.
    pub path: String,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Whether the client has sent all of it.
    pub asked: bool,
    /// How often it was sent to a provider.
    pub attempts: u32,
    /// When the last attempt turned to its endpoint.
    pub turned: Option<Instant>,
    /// When the last attempt got its connection.
    pub connected: Option<Instant>,
    /// What all attempts together waited for connections, and for those that broke.
    pub connecting: Duration,
    /// What the gateway took until the request was ready for the provider.
    pub ready: Option<Duration>,
    /// When the chunk of the response came that is looked at now.
    pub arrived: Option<Instant>,
    /// What the gateway itself took so far.
    pub added: Duration,
    /// The address of the last attempt.
    pub upstream: Option<SocketAddr>,
    /// What was tried in vain.
    pub failed: Failed,
    /// Whether any head of a response has come, an interim one (1xx) included.
    pub begun: bool,
    /// Whether its connection had been used before.
    pub reused: Option<bool>,
    /// The status of the response.
    pub status: u16,
    /// When the head of the provider's response came.
    pub first_byte: Option<Instant>,
    /// When the first and the last chunk of its body came.
    pub body: Option<(Instant, Instant)>,
    /// Bytes of the response's body.
    pub response_bytes: u64,
    /// What reads the response beside its way to the client, if there is anything to be read.
    pub meter: Option<Meter>,
    /// What reads a WebSocket, once the connection is one.
    pub conversation: Option<Box<Conversation>>,
    /// Whether the client left before the end.
    pub aborted: bool,
    /// Why it ended without order, if it was cut.
    pub(crate) cut: Option<Abort>,
}

/// Attempts of an exchange that failed.
#[derive(Default)]
pub struct Failed {
    /// The addresses that no connection could be made to, in the order of the attempts.
    pub unreachable: Vec<SocketAddr>,
    /// Whether a connection failed after it had been made, and the request was sent again.
    pub broken: bool,
    /// Whether that was for a provider that refused the request on that connection, over HTTP/2.
    pub refused: bool,
}

impl Stats {
    /// The connection that was waited for is there, or will not be.
    pub(super) fn waited_for_connection(&mut self, now: Instant) {
        if let Some(turned) = self.turned.take() {
            self.connecting += now.saturating_duration_since(turned);
        }
    }

    /// A connection broke, and another is to be tried.
    pub(super) fn waited_in_vain(&mut self) {
        if let Some(connected) = self.connected.take() {
            self.connecting += connected.elapsed();
        }
    }

    /// A chunk of the response is there.
    pub(super) fn arrives(&mut self) {
        self.arrived = Some(Instant::now());
    }

    /// The one that came at `now` is of the body.
    pub(super) fn is_body(&mut self, now: Instant) {
        let first = self.body.map_or(now, |(first, _)| first);
        self.body = Some((first, now));
    }

    /// It is ready for the client: what it took since.
    pub(super) fn departs(&mut self) -> Option<Duration> {
        let took = self.arrived.take()?.elapsed();
        self.added += took;
        Some(took)
    }
}

impl Exchange {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        let snapshot = shared.live.snapshot();
        Self {
            rules: snapshot.rules.clone(),
            snapshot: Some(snapshot),
            started: Instant::now(),
            time: Timestamp::now(),
            id: RequestId::next(),
            admission: None,
            rejection: None,
            exact: None,
            trace: None,
            seen: Stats::default(),
            watchdog: Watchdog::current(),
            _in_flight: InFlight::enter(&shared.in_flight),
            shared: shared.clone(),
            recorded: false,
            place: None,
        }
    }
}
