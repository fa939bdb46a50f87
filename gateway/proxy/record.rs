//! Phase 5: one access line and the metrics of an exchange that is over.

use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::admit::Admission;
use super::consumption::{Consumption, key_label};
use super::exchange::{Exchange, Stats};
use super::reject::Reason;
use crate::access_log::AccessRecord;
use crate::key::ClientKey;
use crate::metrics::Metrics;
use crate::route::Route;
use crate::runtime::watchdog::{self, Abort};
use crate::telemetry::{SpanInput, Telemetry};

impl Exchange {
    /// Records it, the first time it is asked to.
    pub(super) fn record(&mut self) {
        if !std::mem::replace(&mut self.recorded, true) {
            let path = std::mem::take(&mut self.seen.path);
            record(self, path, &self.shared);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        // Pingora's `logging` does not come when a request is cut off or panics.
        if !self.recorded {
            self.seen.cut = self.seen.cut.or_else(watchdog::was_cut);
            self.seen.aborted |= self.seen.cut.is_none();
        }
        self.record();
    }
}

/// Records `exchange`, which was on `path`, as it is now.
fn record(exchange: &Exchange, path: String, shared: &Shared) {
    let outcome = Outcome::of(exchange);
    let spending = Consumption::of(exchange, outcome.status);
    outcome.count(exchange, &spending, &shared.live.metrics);
    if let (Some(admission), true) = (&exchange.admission, outcome.gave_up(&exchange.seen)) {
        admission.route().provider.endpoint.gave_up();
    }
    let line = outcome.line(exchange, path, spending);
    if let Some(telemetry) = &shared.telemetry {
        outcome.span(exchange, &line, telemetry);
    }
    shared.access_log.write(line);
}

/// How an exchange ended.
struct Outcome<'e> {
    route: Option<&'e Arc<Route>>,
    key: Option<&'e Arc<ClientKey>>,
    /// Why it was refused, if it was.
    refused: Option<Reason>,
    /// Why it had no orderly end, if it had none.
    unordered: Option<Reason>,
    /// What the client was told, or would have been.
    status: u16,
    took: Duration,
}

impl<'e> Outcome<'e> {
    fn of(exchange: &'e Exchange) -> Self {
        let seen = &exchange.seen;
        let rejection = exchange.rejection.as_ref();
        let admission = exchange.admission.as_ref();
        let refused = rejection.map(|rejection| rejection.reason);
        let unordered = match seen.cut {
            Some(Abort::KeyRevoked) => Some(Reason::KeyRevoked),
            Some(Abort::Deadline) => Some(late(seen)),
            // As if it had left: nobody else is to blame.
            Some(Abort::ClientStalled) => Some(Reason::ClientClosed),
            None => seen.aborted.then_some(Reason::ClientClosed),
        };
        Self {
            route: rejection
                .and_then(|rejection| rejection.route.as_ref())
                .or(admission.map(Admission::route)),
            key: admission
                .and_then(Admission::key)
                .or(rejection.and_then(|rejection| rejection.key.as_ref())),
            refused,
            unordered,
            status: match (seen.status, refused) {
                (0, Some(reason)) => reason.status(),
                (0, None) => unordered.map_or(0, Reason::status),
                (status, _) => status,
            },
            took: exchange.started.elapsed(),
        }
    }

    /// Why it did not go well, as metrics say it; empty if it did.
    fn label(&self) -> &'static str {
        self.refused.or(self.unordered).map_or("", Reason::code)
    }

    /// Whether the provider was asked, and its response did not end in order.
    fn gave_up(&self, seen: &Stats) -> bool {
        seen.connected.is_some() && (self.refused.is_some() || self.unordered.is_some())
    }

    fn refused_by(&self, seen: &Stats) -> Option<&'static str> {
        match self.refused {
            Some(Reason::ClientClosed | Reason::Preflight) => None,
            // A response that broke off was not refused by anybody.
            Some(_) => seen.first_byte.is_none().then_some("gateway"),
            None if (400..600).contains(&seen.status) => Some("provider"),
            None => None,
        }
    }

    fn count(&self, exchange: &Exchange, spending: &Consumption<'_>, all: &Metrics) {
        let metrics = self.route.map_or(&all.unrouted, |route| &route.metrics);
        metrics.count(self.status, self.label());
        metrics.duration.observe(self.took.as_secs_f64());
        if let Some(ready) = exchange.seen.ready {
            metrics.added_request.observe(ready.as_secs_f64());
        }
        if let Some(wait) = first_byte(exchange) {
            metrics.first_byte.observe(wait.as_secs_f64());
        }
        if let Some(Reason::InvalidKey(failure)) = self.refused {
            all.auth_failure(failure.label());
        }
        let Some(route) = self.route else { return };
        let key = key_label(self.key);
        spending.count(route, key, all);
        if self.key.is_some() {
            all.key_request(key, &route.name, self.status);
        }
    }

    fn line(&self, exchange: &Exchange, path: String, spending: Consumption<'_>) -> AccessRecord {
        let seen = &exchange.seen;
        AccessRecord {
            time: exchange.time,
            request_id: exchange.id,
            client: seen.client,
            key: self.key.map(|key| key.id.clone()),
            route: self.route.map(|route| route.name.clone()),
            provider: self.route.map(|route| route.provider.name.clone()),
            method: seen.method,
            path,
            status: self.status,
            reason: match self.refused {
                Some(reason) => Some(reason.detail()),
                None => self
                    .unordered
                    .map(Reason::code)
                    .or_else(|| spending.error()),
            },
            refused_by: self.refused_by(seen),
            request_bytes: seen.request_bytes,
            response_bytes: seen.response_bytes,
            events: spending.events,
            responses: spending.responses,
            model: spending.model.map(str::to_owned),
            usage: spending.usage,
            estimated: spending.estimated,
            cost: spending.cost,
            duration_ms: millis(self.took),
            connect_ms: millis(seen.connecting),
            added_ms: millis(seen.added),
            first_byte_ms: first_byte(exchange).map(millis),
            upstream: seen.upstream,
            reused: seen.reused,
            attempts: seen.attempts,
            aborted: seen.aborted,
        }
    }

    fn span(&self, exchange: &Exchange, line: &AccessRecord, telemetry: &Telemetry) {
        let facts = SpanInput {
            line,
            route: self.route.map(|route| route.path.as_str()),
            kind: self.route.map(|route| route.provider.kind),
            target: exchange.admission.as_ref().map(Admission::target),
            took: self.took,
        };
        match &exchange.trace {
            Some(trace) => telemetry.end(trace, &facts),
            // Of what was refused at once, nobody's word is taken for where it belongs.
            None => telemetry.end(&telemetry.begin(None), &facts),
        }
    }
}

/// From the head of the request to that of the response.
fn first_byte(exchange: &Exchange) -> Option<Duration> {
    let came = exchange.seen.first_byte?;
    Some(came.duration_since(exchange.started))
}

/// Who was waited for when time ran out.
fn late(seen: &Stats) -> Reason {
    if seen.asked || seen.first_byte.is_some() {
        Reason::ProviderTimeout
    } else {
        Reason::RequestTimeout
    }
}

/// With microseconds as its fraction, and no more.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
