//! Phase 5, record: one access line, the metrics and the span of an exchange that is over.

mod history;

use std::sync::Arc;
use std::time::Duration;

use pingora_core::{Error, ErrorSource};
use pingora_proxy::Session;

use super::admit::Admission;
use super::attempt::{Attempt, Tries};
use super::consumption::Consumption;
use super::exchange::Exchange;
use super::limits::settle;
use super::reject::Reason;
use super::reject::limit_refusal::LimitRefusal;
use super::reserved::Reserved;
use super::respond::final_status;
use super::shared::Shared;
use super::spend::{Account, key_label};
use super::stats::Stats;
use crate::access_log::AccessRecord;
use crate::key::ClientKey;
use crate::limit::admitted::Admitted;
use crate::limit::terms::Mode;
use crate::metrics::Metrics;
use crate::route::{Route, Target};
use crate::runtime::watchdog::Abort;
use crate::telemetry::{SpanInput, Telemetry};

/// Records an exchange whose response has been handed to Pingora, or that failed with `error`.
pub(super) fn end(session: &Session, exchange: &mut Exchange, error: Option<&Error>) {
    exchange.watchdog.clear();
    // Pingora has no time limit for what is left to be sent; the client must read it by then.
    let end = exchange.watchdog.read_clock() + exchange.rules.server.limits.client_write;
    exchange.watchdog.set_deadline(end);
    if let Some(status) = final_status(session) {
        exchange.stats.status = status;
    }
    if let Some(error) = error {
        let reason = exchange
            .rejection
            .as_ref()
            .map(|rejection| rejection.reason);
        let is_clients = *error.esource() == ErrorSource::Downstream;
        let is_unrefused = reason.is_none_or(|reason| reason == Reason::ClientClosed);
        exchange.stats.client_left |= is_clients && is_unrefused;
    }
    exchange.record();
}

impl Exchange {
    /// Records the exchange, once.
    fn record(&mut self) {
        if !std::mem::replace(&mut self.recorded, true) {
            let path = std::mem::take(&mut self.stats.path);
            let reserved = self.reserved.take();
            write_record(self, path, reserved, &self.shared);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        // Pingora does not call `logging` where a request is dropped or panics.
        if !self.recorded {
            self.stats.abort = self.stats.abort.or(self.watchdog.abort_reason());
            self.stats.client_left |= self.stats.abort.is_none();
        }
        self.record();
    }
}

/// Records `exchange`, which was on `path`, as it is now.
fn write_record(
    exchange: &Exchange,
    path: String,
    reserved: Option<Box<Reserved>>,
    shared: &Shared,
) {
    let outcome = Outcome::of(exchange);
    let consumption = Consumption::of(exchange, outcome.status);
    let held = reserved
        .as_ref()
        .map_or_else(Admitted::default, |it| it.admitted);
    if let Some(mut reserved) = reserved {
        for by in reserved.reservation.observed() {
            let metrics = &shared.live.metrics.limits;
            metrics.refusal(&by.limit.name, by.limit.counts, by.limit.mode);
        }
        settle(exchange, &mut reserved, &consumption, outcome.status);
    }
    outcome.count(exchange, &consumption, &shared.live.metrics);
    if let Some(attempt) = exchange.attempt.as_ref().filter(|it| outcome.gave_up(it)) {
        attempt.provider().endpoint.gave_up();
    }
    let line = outcome.line(exchange, path, held, consumption);
    if let Some(telemetry) = &shared.telemetry {
        outcome.span(exchange, &line, telemetry);
    }
    if shared.ledger.has_file() {
        shared.ledger.note_usage(history::row(&line));
    }
    shared.access_log.write(line);
}

/// How an exchange ended.
struct Outcome<'e> {
    route: Option<&'e Arc<Route>>,
    /// The target that was tried last, or the one that the route counts refusals for.
    target: Option<&'e Target>,
    key: Option<&'e ClientKey>,
    /// Why the request was refused or failed, if it was.
    refused: Option<Reason>,
    /// Why the exchange was dropped or left, if it was.
    ended_early: Option<Reason>,
    /// The status that the client got, or would have got.
    status: u16,
    took: Duration,
}

impl<'e> Outcome<'e> {
    fn of(exchange: &'e Exchange) -> Self {
        let stats = &exchange.stats;
        let rejection = exchange.rejection.as_ref();
        let admission = exchange.admission.as_ref();
        let refused = rejection.map(|rejection| rejection.reason);
        let ended_early = early_end(stats);
        let route = rejection
            .and_then(|rejection| rejection.route.as_ref())
            .or(admission.map(Admission::route));
        let tried = exchange.attempt.as_ref().map(Attempt::target);
        Self {
            route,
            target: tried.or(route.map(|route| &**route.targets.primary())),
            key: admission
                .and_then(Admission::key)
                .or_else(|| rejection?.key()),
            refused,
            ended_early,
            status: match (stats.status, rejection) {
                (0, Some(rejection)) => rejection.status(),
                (0, None) => ended_early.map_or(0, Reason::status),
                (sent, _) => sent,
            },
            took: exchange.took(),
        }
    }

    /// Why it did not go well, as a metric label; empty if it did.
    fn label(&self) -> &'static str {
        self.refused.or(self.ended_early).map_or("", Reason::code)
    }

    /// Whether the request had reached the provider, whose response did not end in order.
    fn gave_up(&self, attempt: &Attempt) -> bool {
        attempt.tries.connected.is_some() && (self.refused.is_some() || self.ended_early.is_some())
    }

    fn refused_by(&self, stats: &Stats) -> Option<&'static str> {
        match self.refused {
            Some(Reason::ClientClosed | Reason::Preflight) => None,
            // Nobody refused a response that broke off.
            Some(_) => stats.first_byte.is_none().then_some("gateway"),
            None if (400..600).contains(&stats.status) => Some("provider"),
            None => None,
        }
    }

    fn count(&self, exchange: &Exchange, consumption: &Consumption<'_>, all: &Metrics) {
        let metrics = self.target.map_or(&all.unrouted, |target| &target.metrics);
        metrics.count(self.status, self.label());
        metrics.duration.observe(self.took.as_secs_f64());
        if let Some(added) = exchange.stats.added_request {
            metrics.added_request.observe(added.as_secs_f64());
        }
        if let Some(wait) = first_byte(exchange) {
            metrics.first_byte.observe(wait.as_secs_f64());
        }
        if let Some(Reason::InvalidKey(failure)) = self.refused {
            all.auth_failure(failure.label());
        }
        if let Some(by) = refusing_limit(exchange) {
            all.limits.refusal(&by.name, by.counts, Mode::Enforce);
        }
        let (Some(route), Some(target)) = (self.route, self.target) else {
            return;
        };
        let key = key_label(self.key);
        let account = Account { route, target, key };
        consumption.count(&account, all);
        if self.key.is_some() {
            all.key_request(key, &route.name, self.status);
        }
    }

    fn line(
        &self,
        exchange: &Exchange,
        path: String,
        reserved: Admitted,
        consumption: Consumption<'_>,
    ) -> AccessRecord {
        let stats = &exchange.stats;
        let tries = exchange.attempt.as_ref().map(|attempt| &attempt.tries);
        AccessRecord {
            time: exchange.time,
            request_id: exchange.id,
            client: stats.client,
            key: self.key.map(|key| key.id.clone()),
            route: self.route.map(|route| route.name.clone()),
            provider: self.target.map(|target| target.provider.name.clone()),
            method: stats.method,
            path,
            status: self.status,
            reason: match self.refused {
                Some(reason) => Some(reason.detail()),
                None => self
                    .ended_early
                    .map(Reason::code)
                    .or_else(|| consumption.error()),
            },
            refused_by: self.refused_by(stats),
            limit: refusing_limit(exchange).map(|limit| limit.name.clone()),
            reserved,
            request_bytes: stats.request_bytes,
            response_bytes: stats.response_bytes,
            events: consumption.events,
            responses: consumption.responses,
            model: consumption.model.map(str::to_owned),
            usage: consumption.usage,
            estimated: consumption.estimated,
            cost: consumption.cost,
            duration_ms: millis(self.took),
            connect_ms: millis(tries.map_or(Duration::ZERO, |tries| tries.connecting)),
            added_ms: millis(stats.added),
            first_byte_ms: first_byte(exchange).map(millis),
            upstream: tries.and_then(|tries| tries.address),
            reused: tries.and_then(|tries| tries.reused),
            attempts: tries.map_or(0, |tries: &Tries| tries.count),
            client_left: stats.client_left,
        }
    }

    fn span(&self, exchange: &Exchange, line: &AccessRecord, telemetry: &Telemetry) {
        let input = SpanInput {
            line,
            route: self.route.map(|route| route.path.as_str()),
            kind: self.target.map(|target| target.provider.kind),
            target: exchange.attempt.as_ref().map(Attempt::path),
            took: self.took,
        };
        match &exchange.trace {
            Some(trace) => telemetry.end(trace, &input),
            // A request that was refused is in a trace of its own: the trace that it names is not trusted.
            None => telemetry.end(&telemetry.begin(None), &input),
        }
    }
}

/// The limit that refused the request, or cut its response.
fn refusing_limit(exchange: &Exchange) -> Option<&LimitRefusal> {
    exchange.rejection.as_ref()?.limit.as_deref()
}

/// Why the exchange ended before its end, if it did.
fn early_end(stats: &Stats) -> Option<Reason> {
    match stats.abort {
        Some(Abort::KeyRevoked) => Some(Reason::KeyRevoked),
        Some(Abort::Deadline) => Some(late(stats)),
        // As if the client had left: nobody else is to blame.
        Some(Abort::ClientStalled) => Some(Reason::ClientClosed),
        None => stats.client_left.then_some(Reason::ClientClosed),
    }
}

/// From the head of the request to the head of the response.
fn first_byte(exchange: &Exchange) -> Option<Duration> {
    let came = exchange.stats.first_byte?;
    Some(came.duration_since(exchange.started))
}

/// The reason of an exchange that took too long: the side that was waited for.
fn late(stats: &Stats) -> Reason {
    if stats.request_complete || stats.first_byte.is_some() {
        Reason::ProviderTimeout
    } else {
        Reason::RequestTimeout
    }
}

/// In milliseconds, with three decimals.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
