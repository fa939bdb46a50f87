//! One exchange, from the head of a request to the end of its response: Pingora's CTX. It holds what the phases pass
//! to each other and decides nothing.
//!
//! However it ends, by a response, an abort, a deadline or a panic, it is recorded once: see `record`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use pingora_core::{Error, ErrorType};

use super::admit::Admission;
use super::attempt::Attempt;
use super::held_body::HeldBody;
use super::reject::{Reason, Rejection};
use super::reserved::Reserved;
use super::shared::Shared;
use super::stats::Stats;
use super::stream_usage::StreamUsage;
use crate::grammar::request_id::RequestId;
use crate::limit::by_address::AtAddress;
use crate::limit::moment::Moment;
use crate::runtime::in_flight::{InFlight, InFlightGuard};
use crate::runtime::watchdog::Watchdog;
use crate::snapshot::{Rules, Snapshot};
use crate::telemetry::Trace;

/// The state of one exchange. A stream holds it to its end, so what few of them have is in boxes.
pub(crate) struct Exchange {
    /// The configuration that it began with, whatever is reloaded meanwhile.
    pub(super) rules: Arc<Rules>,
    /// The snapshot that `rules` belong to, until the request is decided about. It is given up then, because it holds
    /// all keys.
    pub(super) snapshot: Option<Arc<Snapshot>>,
    /// When the poll began in which the request's head had been read, or its first bytes came in that poll: see
    /// [`Watchdog::now`].
    pub(super) started: Instant,
    /// `started`, by the wall clock.
    pub(super) time: Timestamp,
    /// The gateway's id of the request.
    pub(super) id: RequestId,
    /// The proof that the request may come in, once it is admitted.
    pub(super) admission: Option<Admission>,
    /// The target that is tried, once the request is admitted.
    pub(super) attempt: Option<Attempt>,
    /// The request's body, if it is held until the provider responds.
    pub(super) held: Option<Box<HeldBody>>,
    /// What is held of the limits of the request, if it has any.
    pub(super) reserved: Option<Box<Reserved>>,
    /// Why the request was refused or failed, once it was.
    pub(super) rejection: Option<Rejection>,
    /// Changes the bodies so that a stream reports its usage, where that is configured.
    pub(super) stream_usage: Option<Box<StreamUsage>>,
    /// The request's place in a trace, once it is admitted, if spans are exported.
    pub(super) trace: Option<Box<Trace>>,
    /// What was observed so far.
    pub(super) stats: Stats,
    /// Sets the exchange's deadlines.
    pub(super) watchdog: Watchdog,
    pub(super) shared: Arc<Shared>,
    /// Whether it has been recorded.
    pub(super) recorded: bool,
    /// Counts the request for its client's address, where the connection does not count for one.
    pub(super) address_permit: Option<Box<AtAddress>>,
    /// Dropped last, so that a drain waits for the record, too.
    _in_flight: InFlightGuard,
}

impl Exchange {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        let snapshot = shared.live.snapshot();
        let watchdog = Watchdog::current();
        Self {
            rules: snapshot.rules.clone(),
            snapshot: Some(snapshot),
            started: watchdog.now(),
            time: Timestamp::now(),
            id: RequestId::next(),
            admission: None,
            attempt: None,
            held: None,
            reserved: None,
            rejection: None,
            stream_usage: None,
            trace: None,
            stats: Stats::default(),
            watchdog,
            _in_flight: InFlight::enter(&shared.in_flight),
            shared: shared.clone(),
            recorded: false,
            address_permit: None,
        }
    }

    /// A head or a chunk of the response is there: from here on the time is the gateway's own.
    pub(super) fn arrive(&mut self) {
        self.stats.arrived = Some(self.watchdog.now());
    }

    /// The time of the request by the clock of keys and calendars, which never goes back.
    pub(super) fn clock_time(&self) -> Timestamp {
        self.shared.live.clock.at(self.time, self.started)
    }

    /// The moment of the request, for its limits.
    pub(super) fn moment(&self) -> Moment {
        let book = self.rules.plan.book();
        book.moment(self.started, self.clock_time())
    }

    /// This moment, for limits.
    pub(super) fn moment_now(&self) -> Moment {
        let now = self.watchdog.now();
        let time = self.shared.live.clock.at(Timestamp::now(), now);
        self.rules.plan.book().moment(now, time)
    }

    /// The time since `started`.
    pub(super) fn took(&self) -> Duration {
        let now = self.watchdog.now();
        now.saturating_duration_since(self.started)
    }

    /// A rejection for `reason`, with what is known about the route and the key.
    pub(super) fn rejection_for(&self, reason: Reason) -> Rejection {
        match &self.admission {
            Some(admission) => admission.rejection(reason),
            None => Rejection::unrouted(reason),
        }
    }

    /// Notes `rejection`, and makes the error by which Pingora stops here.
    pub(super) fn refuse(&mut self, rejection: Rejection) -> Box<Error> {
        let status = rejection.status();
        self.rejection = Some(rejection);
        let mut error = Error::new_in(ErrorType::HTTPStatus(status));
        error.set_retry(false);
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exchange_is_small_because_a_stream_holds_it_to_its_end() {
        let size = size_of::<Exchange>();
        assert!(size <= 1664, "{size}");
        // What a request with limits holds beside it, in a box.
        let size = size_of::<Reserved>();
        assert!(size <= 320, "{size}");
    }
}
