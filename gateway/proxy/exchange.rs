//! One exchange, from the head of a request to the end of its answer: Pingora's CTX.
//!
//! However it ends, by an answer, by an abort, by a deadline, by a panic, it is recorded once.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use jiff::Timestamp;
use tokio::sync::Notify;

use super::Shared;
use super::admit::Admission;
use super::observe::EventCounter;
use super::reject::Rejection;
use crate::snapshot::Snapshot;

/// What is known so far about one request.
pub struct Exchange {
    /// The configuration that it began with, whatever reloads meanwhile.
    pub snapshot: Arc<Snapshot>,
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
    /// What goes into the access line.
    pub seen: Seen,
    shared: Arc<Shared>,
    recorded: bool,
    /// Dropped last, so that a drain waits for the record, too.
    _in_flight: InFlightGuard,
}

/// What was seen of an exchange while it went on.
#[derive(Default)]
pub struct Seen {
    /// The client's address.
    pub client: Option<String>,
    /// The method.
    pub method: String,
    /// The normal path, without query; empty if it could not be read.
    pub path: String,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// How often it was sent to a provider.
    pub attempts: u32,
    /// When the last attempt got its connection.
    pub connected: Option<Instant>,
    /// The address of the last attempt.
    pub upstream: Option<String>,
    /// Whether its connection had been used before.
    pub reused: Option<bool>,
    /// The status of the answer.
    pub status: u16,
    /// When the head of the provider's answer came.
    pub first_byte: Option<Instant>,
    /// Bytes of the answer's body.
    pub response_bytes: u64,
    /// Events, if it is a stream of them.
    pub events: Option<EventCounter>,
    /// Whether the client left before the end.
    pub aborted: bool,
    /// Whether it ran out of time after the answer had begun.
    pub cut: bool,
}

impl Exchange {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            snapshot: shared.live.snapshot(),
            started: Instant::now(),
            time: Timestamp::now(),
            id: RequestId::next(),
            admission: None,
            rejection: None,
            seen: Seen::default(),
            _in_flight: InFlight::enter(&shared.in_flight),
            shared: shared.clone(),
            recorded: false,
        }
    }

    /// Records it, the first time it is asked to.
    pub(super) fn record(&mut self) {
        if !std::mem::replace(&mut self.recorded, true) {
            super::record::record(self, &self.shared);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        // Pingora's `logging` does not come when a request is cut off or panics.
        if !self.recorded {
            self.seen.cut |= super::deadline::was_cut();
            self.seen.aborted |= !self.seen.cut;
        }
        self.record();
    }
}

/// The id of a request: 32 hexadecimal digits, unique among all gateways.
pub struct RequestId(String);

impl RequestId {
    /// A new one: a random start for each process, and a count.
    pub fn next() -> Self {
        static START: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
        static COUNT: AtomicU64 = AtomicU64::new(0);
        // Without a generator of the system's no process starts: see `server::start`. The zero here
        // would merely make ids of two processes alike.
        let start = START.get_or_init(|| getrandom::u64().unwrap_or_default());
        let mut id = String::with_capacity(32);
        // Writing to a String cannot fail.
        let _ = write!(
            id,
            "{start:016x}{:016x}",
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        Self(id)
    }

    /// Its digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How many exchanges are going on, and a way to wait until there is none.
#[derive(Default)]
pub struct InFlight {
    count: AtomicUsize,
    gauge: Option<prometheus::IntGauge>,
    idle: Notify,
}

impl InFlight {
    /// None yet, shown in `gauge`.
    pub fn new(gauge: prometheus::IntGauge) -> Arc<Self> {
        Arc::new(Self {
            gauge: Some(gauge),
            ..Self::default()
        })
    }

    fn enter(self: &Arc<Self>) -> InFlightGuard {
        self.count.fetch_add(1, Ordering::AcqRel);
        if let Some(gauge) = &self.gauge {
            gauge.inc();
        }
        InFlightGuard(self.clone())
    }

    /// How many there are now.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Waits until there is none.
    pub async fn drained(&self) {
        loop {
            let notified = self.idle.notified();
            if self.count() == 0 {
                return;
            }
            notified.await;
        }
    }
}

struct InFlightGuard(Arc<InFlight>);

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        if let Some(gauge) = &self.0.gauge {
            gauge.dec();
        }
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_drain_ends_with_the_last_exchange() {
        let in_flight = Arc::new(InFlight::default());
        in_flight.drained().await;
        let (a, b) = (in_flight.enter(), in_flight.enter());
        let waiting = tokio::spawn({
            let in_flight = in_flight.clone();
            async move { in_flight.drained().await }
        });
        drop(a);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(b);
        waiting.await.unwrap();
        assert_eq!(in_flight.count(), 0);
    }

    #[test]
    fn no_two_ids_are_alike() {
        let (a, b) = (RequestId::next(), RequestId::next());
        assert_ne!(a.as_str(), b.as_str());
        assert_eq!(a.as_str().len(), 32);
    }
}
