//! What is counted of each route, with its handles at hand: a request looks nothing up by label.

use std::sync::OnceLock;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};

use super::Declare;

/// From 1 ms to 10 minutes: models think.
const REQUEST_SECONDS: [f64; 14] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0,
];
/// What the gateway itself costs: from 10 us to 100 ms.
const ADDED_SECONDS: [f64; 10] = [
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.005, 0.025, 0.1,
];

/// Tokens come at 1 to 1,000 a second.
const EVENT_SECONDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 1.0, 10.0,
];

/// The status codes that a route keeps a counter at hand for.
const STATUS_CODES: std::ops::Range<u16> = 100..600;

/// The families that have series for each route.
pub(super) struct RouteFamilies {
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

/// The handles of one route, so that a request looks nothing up by label.
pub struct RouteMetrics {
    requests: IntCounterVec,
    route: String,
    provider: String,
    passed: Box<[OnceLock<IntCounter>]>,
    /// From the first byte of the request's head to the last of the response.
    pub duration: Histogram,
    /// What the gateway took before the request was ready for the provider, without the connection to it.
    pub added_request: Histogram,
    /// What it took from the head of the provider's response until that was ready for the client.
    pub added_first_byte: Histogram,
    /// What it took of each chunk of a response's body, likewise.
    pub added_chunk: Histogram,
    /// From the request's head to the response's.
    pub first_byte: Histogram,
    /// From one event of a stream to the next, on the average of one stream.
    pub time_per_event: Histogram,
    /// Events of streams that were passed on.
    pub events: IntCounter,
    /// Streams that never said what they took.
    pub unmetered: IntCounter,
    /// Responses, streams or not, that should have said what they took and did not.
    pub unmetered_responses: IntCounter,
    /// Events of streams that were errors.
    pub error_events: IntCounter,
    /// Responses that ended over WebSockets.
    pub websocket_responses: IntCounter,
    /// Counts of tokens that were none.
    pub malformed_usage: IntCounter,
    /// Responses that told their tokens and whose model has no price.
    pub unpriced: IntCounter,
    /// Responses that could not be read.
    pub unreadable: IntCounter,
    /// Connections to the provider that were made for a request.
    pub connections_new: IntCounter,
    /// Connections to the provider that were used again.
    pub connections_reused: IntCounter,
}

impl RouteMetrics {
    /// Counts a request that ended with `code`; `reason` is empty unless the gateway refused it.
    pub fn count(&self, code: u16, reason: &str) {
        let at_hand = code
            .checked_sub(STATUS_CODES.start)
            .filter(|_| reason.is_empty())
            .and_then(|index| self.passed.get(usize::from(index)));
        match at_hand {
            Some(cell) => cell.get_or_init(|| self.counter(code, reason)).inc(),
            None => self.counter(code, reason).inc(),
        }
    }

    fn counter(&self, code: u16, reason: &str) -> IntCounter {
        let code = known(code);
        self.requests.with_label_values::<&str>(&[
            &self.route,
            &self.provider,
            &code.to_string(),
            reason,
        ])
    }
}

impl RouteFamilies {
    pub(super) fn declare(declare: &Declare<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            requests: declare.counters(
                "requests_total",
                "Requests by outcome; reason is empty unless the gateway itself refused.",
                &["route", "provider", "code", "reason"],
            )?,
            request_duration: declare.histograms(
                "request_duration_seconds",
                "From a request's head to the last byte of its answer.",
                &REQUEST_SECONDS,
                &["route", "provider"],
            )?,
            added_duration: declare.histograms(
                "added_duration_seconds",
                "What the gateway itself took: before the request was ready for the provider (without the connection \
                 to it), from the response's head until it was ready for the client, and of each chunk likewise.",
                &ADDED_SECONDS,
                &["route", "provider", "phase"],
            )?,
            time_to_first_byte: declare.histograms(
                "time_to_first_byte_seconds",
                "From a request's head to the head of the provider's response.",
                &REQUEST_SECONDS,
                &["route", "provider"],
            )?,
            time_per_event: declare.histograms(
                "time_per_output_event_seconds",
                "From one event of a stream to the next, on the average of a stream.",
                &EVENT_SECONDS,
                &["route", "provider"],
            )?,
            stream_events: declare.counters(
                "stream_events_total",
                "Server-sent events passed on.",
                &["route", "provider"],
            )?,
            unmetered: declare.counters(
                "unmetered_streams_total",
                "Streams that ended without saying how many tokens they took.",
                &["route", "provider"],
            )?,
            unmetered_responses: declare.counters(
                "unmetered_responses_total",
                "Responses of 2xx to a POST that had a model at work, whole or streamed and of any content type, that \
                 said no tokens, and responses over WebSockets that did not or were not over at the end: their usage \
                 and cost are not counted.",
                &["route", "provider"],
            )?,
            error_events: declare.counters(
                "error_events_total",
                "Errors that came as an event of a stream, or as a JSON document, in a response whose status said that all \
                 is well, or as a message of a WebSocket.",
                &["route", "provider"],
            )?,
            websocket_responses: declare.counters(
                "websocket_responses_total",
                "Responses and transcriptions that ended over WebSockets; a connection is one request.",
                &["route", "provider"],
            )?,
            malformed_usage: declare.counters(
                "malformed_usage_total",
                "Counts of tokens in responses that were negative, broken, no numbers, or larger than any response takes.",
                &["route", "provider"],
            )?,
            unpriced: declare.counters(
                "unpriced_answers_total",
                "Answers that told their tokens and for which the price file has no price: for their model, or for something \
                 in them.",
                &["route", "provider"],
            )?,
            unreadable: declare.counters(
                "unreadable_answers_total",
                "Answers whose compression, or WebSockets whose frames could not be read, and so not their tokens.",
                &["route", "provider"],
            )?,
            upstream_connections: declare.counters(
                "upstream_connections_total",
                "Connections to providers that requests went over, by whether they were used before.",
                &["provider", "reused"],
            )?,
        })
    }

    pub(super) fn handles(&self, route: &str, provider: &str) -> RouteMetrics {
        let labels = &[route, provider];
        let connections = |reused| {
            self.upstream_connections
                .with_label_values(&[provider, reused])
        };
        let added = |phase| {
            self.added_duration
                .with_label_values(&[route, provider, phase])
        };
        RouteMetrics {
            requests: self.requests.clone(),
            route: route.to_owned(),
            provider: provider.to_owned(),
            passed: STATUS_CODES.map(|_| OnceLock::new()).collect(),
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

/// A status, or 0 for what is none: a provider can make up any number.
pub(super) fn known(code: u16) -> u16 {
    if STATUS_CODES.contains(&code) {
        code
    } else {
        0
    }
}
