//! The metrics of each target, which is a provider as one route uses it. The handles are kept, so that a request looks
//! up nothing by label.

use std::sync::OnceLock;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};

use super::catalog;
use super::declare::Declare;

/// From 1 ms to 10 minutes, since models can take that long.
const REQUEST_SECONDS: [f64; 14] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0,
];
/// The overhead of the gateway itself: from 10 us to 100 ms.
const ADDED_SECONDS: [f64; 10] = [
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.005, 0.025, 0.1,
];

/// Models generate 1 to 1,000 tokens per second.
const EVENT_SECONDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 1.0, 10.0,
];

/// The status codes for which a target keeps a counter handle.
const STATUS_CODES: std::ops::Range<u16> = 100..600;

/// The families that have series for each route.
pub(super) struct TargetFamilies {
    requests: IntCounterVec,
    request_duration: HistogramVec,
    added_duration: HistogramVec,
    time_to_first_byte: HistogramVec,
    time_per_event: HistogramVec,
    stream_events: IntCounterVec,
    unmetered: IntCounterVec,
    unmetered_responses: IntCounterVec,
    error_events: IntCounterVec,
    websocket_responses: IntCounterVec,
    malformed_usage: IntCounterVec,
    unpriced: IntCounterVec,
    unreadable: IntCounterVec,
    upstream_connections: IntCounterVec,
}

/// The handles of one target, so that a request looks up nothing by label.
pub struct TargetMetrics {
    requests: IntCounterVec,
    route: String,
    provider: String,
    by_status: Box<[OnceLock<IntCounter>]>,
    /// Seconds from the first byte of the request's head to the last byte of the response.
    pub(crate) duration: Histogram,
    /// Seconds that the gateway took until the request was ready for the provider, without the time
    /// to connect.
    pub(crate) added_request: Histogram,
    /// Seconds that the gateway took from the head of the provider's response until it was ready
    /// for the client.
    pub(crate) added_first_byte: Histogram,
    /// Seconds that the gateway took for each chunk of a response's body.
    pub(crate) added_chunk: Histogram,
    /// Seconds from the request's head to the response's head.
    pub(crate) first_byte: Histogram,
    /// Seconds between the events of a stream, averaged over the stream.
    pub(crate) time_per_event: Histogram,
    /// Stream events that were forwarded.
    pub(crate) events: IntCounter,
    /// Streams that reported no usage.
    pub(crate) unmetered: IntCounter,
    /// Responses, streamed or not, that should have reported usage and did not.
    pub(crate) unmetered_responses: IntCounter,
    /// Stream events that were errors.
    pub(crate) error_events: IntCounter,
    /// Responses that ended over WebSockets.
    pub(crate) websocket_responses: IntCounter,
    /// Malformed token counts.
    pub(crate) malformed_usage: IntCounter,
    /// Responses that reported usage and whose model has no price.
    pub(crate) unpriced: IntCounter,
    /// Responses that could not be read.
    pub(crate) unreadable: IntCounter,
    /// Requests that opened a new connection to the provider.
    pub(crate) connections_new: IntCounter,
    /// Requests that reused a connection to the provider.
    pub(crate) connections_reused: IntCounter,
}

impl TargetMetrics {
    /// Counts a request that ended with `code`. `reason` is empty unless the gateway rejected the
    /// request.
    pub(crate) fn count(&self, code: u16, reason: &str) {
        let cached = code
            .checked_sub(STATUS_CODES.start)
            .filter(|_| reason.is_empty())
            .and_then(|index| self.by_status.get(usize::from(index)));
        match cached {
            Some(cell) => cell.get_or_init(|| self.counter(code, reason)).inc(),
            None => self.counter(code, reason).inc(),
        }
    }

    fn counter(&self, code: u16, reason: &str) -> IntCounter {
        let code = status_label(code);
        self.requests.with_label_values::<&str>(&[
            &self.route,
            &self.provider,
            &code.to_string(),
            reason,
        ])
    }
}

impl TargetFamilies {
    pub(super) fn declare(declare: &Declare<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            requests: declare.counters(&catalog::REQUESTS)?,
            request_duration: declare.histograms(&catalog::REQUEST_DURATION, &REQUEST_SECONDS)?,
            added_duration: declare.histograms(&catalog::ADDED_DURATION, &ADDED_SECONDS)?,
            time_to_first_byte: declare
                .histograms(&catalog::TIME_TO_FIRST_BYTE, &REQUEST_SECONDS)?,
            time_per_event: declare.histograms(&catalog::TIME_PER_EVENT, &EVENT_SECONDS)?,
            stream_events: declare.counters(&catalog::STREAM_EVENTS)?,
            unmetered: declare.counters(&catalog::UNMETERED_STREAMS)?,
            unmetered_responses: declare.counters(&catalog::UNMETERED_RESPONSES)?,
            error_events: declare.counters(&catalog::ERROR_EVENTS)?,
            websocket_responses: declare.counters(&catalog::WEBSOCKET_RESPONSES)?,
            malformed_usage: declare.counters(&catalog::MALFORMED_USAGE)?,
            unpriced: declare.counters(&catalog::UNPRICED)?,
            unreadable: declare.counters(&catalog::UNREADABLE)?,
            upstream_connections: declare.counters(&catalog::UPSTREAM_CONNECTIONS)?,
        })
    }

    pub(super) fn handles(&self, route: &str, provider: &str) -> TargetMetrics {
        let labels = &[route, provider];
        let connections = |reused| {
            self.upstream_connections
                .with_label_values(&[provider, reused])
        };
        let added = |phase| {
            self.added_duration
                .with_label_values(&[route, provider, phase])
        };
        TargetMetrics {
            requests: self.requests.clone(),
            route: route.to_owned(),
            provider: provider.to_owned(),
            by_status: STATUS_CODES.map(|_| OnceLock::new()).collect(),
            duration: self.request_duration.with_label_values(labels),
            added_request: added("request"),
            added_first_byte: added("first_byte"),
            added_chunk: added("chunk"),
            first_byte: self.time_to_first_byte.with_label_values(labels),
            time_per_event: self.time_per_event.with_label_values(labels),
            events: self.stream_events.with_label_values(labels),
            unmetered: self.unmetered.with_label_values(labels),
            unmetered_responses: self.unmetered_responses.with_label_values(labels),
            error_events: self.error_events.with_label_values(labels),
            websocket_responses: self.websocket_responses.with_label_values(labels),
            malformed_usage: self.malformed_usage.with_label_values(labels),
            unpriced: self.unpriced.with_label_values(labels),
            unreadable: self.unreadable.with_label_values(labels),
            connections_new: connections("false"),
            connections_reused: connections("true"),
        }
    }
}

/// Returns the status code, or 0 if it is none: a provider can send any number.
pub(super) fn status_label(code: u16) -> u16 {
    if STATUS_CODES.contains(&code) {
        code
    } else {
        0
    }
}
