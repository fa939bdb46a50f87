//! Phase 5: one access line and the metrics of an exchange that is over.

use std::time::{Duration, Instant};

use super::Shared;
use super::deadline::Cut;
use super::exchange::{Exchange, Seen};
use super::reject::Reason;
use super::spending::Spending;
use crate::access_log::AccessRecord;
use crate::metrics::{NO_KEY, OTHER_KEYS};

impl Exchange {
    /// Records it, the first time it is asked to.
    pub(super) fn record(&mut self) {
        if !std::mem::replace(&mut self.recorded, true) {
            record(self, &self.shared);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        // Pingora's `logging` does not come when a request is cut off or panics.
        if !self.recorded {
            self.seen.cut = self.seen.cut.or_else(super::deadline::was_cut);
            self.seen.aborted |= self.seen.cut.is_none();
        }
        self.record();
    }
}

/// Records `exchange` as it is now.
fn record(exchange: &Exchange, shared: &Shared) {
    let seen = &exchange.seen;
    let duration = exchange.started.elapsed();
    let route = exchange
        .rejection
        .as_ref()
        .and_then(|rejection| rejection.route.as_ref())
        .or(exchange
            .admission
            .as_ref()
            .map(super::admit::Admission::route));
    let key = exchange
        .admission
        .as_ref()
        .and_then(super::admit::Admission::key)
        .or(exchange
            .rejection
            .as_ref()
            .and_then(|rejection| rejection.key.as_ref()));
    let reason = exchange
        .rejection
        .as_ref()
        .map(|rejection| rejection.reason);
    // Why it had no orderly end, if it had none.
    let unordered = match seen.cut {
        Some(Cut::Revoked) => Some(Reason::KeyRevoked),
        Some(Cut::Late) => Some(late(seen)),
        None => seen.aborted.then_some(Reason::ClientClosed),
    };
    // What the client was told, or would have been.
    let status = match (seen.status, reason) {
        (0, Some(reason)) => reason.status(),
        (0, None) => unordered.map_or(0, Reason::status),
        (status, _) => status,
    };
    let label = reason.or(unordered).map_or("", Reason::code);

    let metrics = route.map_or(&shared.live.metrics.routeless, |route| &route.metrics);
    metrics.count(status, label);
    metrics.duration.observe(duration.as_secs_f64());
    let since_start =
        |moment: Option<Instant>| moment.map(|at| at.duration_since(exchange.started));
    if let Some(wait) = since_start(seen.first_byte) {
        metrics.first_byte.observe(wait.as_secs_f64());
    }
    let spending = Spending::of(exchange, status);
    if let Some(route) = route {
        let metrics = &shared.live.metrics;
        let called = key.map_or(NO_KEY, |key| if key.counted { &key.id } else { OTHER_KEYS });
        spending.count(route, called, metrics);
        if key.is_some() {
            metrics.key_request(called, &route.name, status);
        }
    }
    if let Some(Reason::InvalidKey(failure)) = reason {
        shared.live.metrics.auth_failure(failure.label());
    }

    let refused_by = match reason {
        Some(Reason::ClientClosed) => None,
        // An answer that broke off was not refused by anybody.
        Some(_) => seen.first_byte.is_none().then_some("gateway"),
        None if (400..600).contains(&seen.status) => Some("provider"),
        None => None,
    };
    shared.access_log.write(AccessRecord {
        time: exchange.time,
        request_id: exchange.id.as_str().to_owned(),
        client: seen.client.clone(),
        key: key.map(|key| key.id.clone()),
        route: route.map(|route| route.name.clone()),
        provider: route.map(|route| route.provider.name.clone()),
        method: seen.method.clone(),
        path: seen.path.clone(),
        status,
        reason: match reason {
            Some(reason) => Some(reason.detail()),
            None => Some(label).filter(|label| !label.is_empty()),
        },
        refused_by,
        request_bytes: seen.request_bytes,
        response_bytes: seen.response_bytes,
        events: spending.events,
        model: spending.model.map(str::to_owned),
        usage: spending.usage.map(Into::into),
        estimated: spending.estimated,
        cost: spending.cost,
        duration_ms: millis(duration),
        connect_ms: millis(seen.connecting),
        added_ms: millis(seen.added),
        first_byte_ms: since_start(seen.first_byte).map(millis),
        upstream: seen.upstream.clone(),
        reused: seen.reused,
        attempts: seen.attempts,
        aborted: seen.aborted,
    });
}

/// Who was waited for when time ran out.
fn late(seen: &Seen) -> Reason {
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
