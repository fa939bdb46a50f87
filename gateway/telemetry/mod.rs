//! OpenTelemetry: a span for each request, with the attributes that its conventions have for HTTP and for
//! generative AI, sent to a collector by OTLP over HTTP. Off unless the configuration names one.
//!
//! A span holds what the access line holds: no header's value, no query, nothing of a body. A request never waits
//! for the collector: what finds the queue full is dropped and counted.
//!
//! <https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/>, <https://www.w3.org/TR/trace-context/>

mod collector;
mod span;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use opentelemetry::{Context, InstrumentationScope};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SpanData};
use pingora::http::RequestHeader;
use pingora_core::Error;
use prometheus::{IntCounter, IntCounterVec};
use tokio::sync::mpsc::{Sender, channel};

pub use self::collector::Exporter;
pub use self::span::SpanInput;
use crate::origin::{BaseUrl, Resolver};

/// How many spans may wait to be sent.
const CAPACITY: usize = 4096;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Where spans go, and which.
#[derive(PartialEq, Eq)]
pub struct TelemetrySpec {
    /// The collector; spans go to its `/v1/traces`.
    pub collector: BaseUrl,
    /// What it wants to see besides: its own tokens, for instance.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Of how many requests in a million, of those that come without a trace of their own.
    pub sample: u32,
    /// What this gateway is called there.
    pub service: String,
}

/// Makes spans of requests.
pub struct Telemetry {
    spans: Sender<SpanData>,
    dropped: IntCounter,
    sample: u32,
    ids: RandomIdGenerator,
    propagator: TraceContextPropagator,
    scope: InstrumentationScope,
}

/// The place of one request in a trace.
pub struct Trace {
    own: SpanContext,
    /// The span of the client, if it has sent one.
    parent: Option<SpanId>,
}

impl Telemetry {
    /// Sends to what `spec` names; `outcomes` are counted by their only label. The exporter is to be run, and
    /// ends when the telemetry is gone.
    pub fn start(
        spec: &TelemetrySpec,
        resolver: &Resolver,
        outcomes: &IntCounterVec,
    ) -> Result<(Self, Exporter), String> {
        let (sender, receiver) = channel(CAPACITY);
        let sample = spec.sample;
        let exporter = Exporter::new(spec, receiver, resolver, outcomes)?;
        let version = env!("CARGO_PKG_VERSION");
        let scope = InstrumentationScope::builder("keygate").with_version(version);
        let telemetry = Self {
            spans: sender,
            dropped: outcomes.with_label_values(&["dropped"]),
            sample,
            ids: RandomIdGenerator::default(),
            propagator: TraceContextPropagator::new(),
            scope: scope.build(),
        };
        Ok((telemetry, exporter))
    }

    /// The place of a request: in its client's trace if it has one, which then says whether it is recorded,
    /// else in one of its own.
    pub fn begin(&self, client: Option<&HeaderMap>) -> Trace {
        let parent = client
            .filter(|headers| headers.get_all(TRACEPARENT).iter().count() == 1)
            .map(|headers| {
                let extractor = HeaderExtractor(headers);
                let context = Context::new();
                self.propagator.extract_with_context(&context, &extractor)
            });
        let parent = parent
            .as_ref()
            .map(|context| context.span().span_context().clone());
        let span = self.ids.new_span_id();
        let Some(parent) = parent.filter(SpanContext::is_valid) else {
            let trace = self.ids.new_trace_id();
            let flags = TraceFlags::default().with_sampled(is_sampled(trace, self.sample));
            return Trace {
                own: SpanContext::new(trace, span, flags, false, TraceState::default()),
                parent: None,
            };
        };
        let state = parent.trace_state().clone();
        let own = SpanContext::new(parent.trace_id(), span, parent.trace_flags(), false, state);
        Trace {
            own,
            parent: Some(parent.span_id()),
        }
    }

    /// A request is over.
    pub fn end(&self, trace: &Trace, facts: &SpanInput<'_>) {
        if !trace.own.is_sampled() {
            return;
        }
        let span = facts.span(trace, self.scope.clone());
        if self.spans.try_send(span).is_err() {
            self.dropped.inc();
        }
    }
}

impl Trace {
    /// Tells the provider that it goes on there.
    pub fn pass_on(&self, upstream: &mut RequestHeader) -> Result<(), Box<Error>> {
        let own = &self.own;
        let flags = own.trace_flags() & TraceFlags::SAMPLED;
        let value = format!("00-{}-{}-{flags:02x}", own.trace_id(), own.span_id());
        // What belongs to no trace that could be read.
        if self.parent.is_none() {
            upstream.remove_header(&TRACESTATE);
        }
        upstream.insert_header(TRACEPARENT, value)
    }
}

/// The same response for one trace wherever it is asked for
/// (<https://opentelemetry.io/docs/specs/otel/trace/sdk/#traceidratiobased>).
fn is_sampled(trace: TraceId, in_a_million: u32) -> bool {
    // The last seven bytes are random.
    let random = u128::from_be_bytes(trace.to_bytes()) & ((1 << 56) - 1);
    let share = (random * 1_000_000) >> 56;
    share < u128::from(in_a_million)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_traces_are_sampled_as_are_meant_to_be() {
        let ids = RandomIdGenerator::default();
        let count = |sample| {
            (0..10_000)
                .filter(|_| is_sampled(ids.new_trace_id(), sample))
                .count()
        };
        assert_eq!((count(0), count(1_000_000)), (0, 10_000));
        let tenth = count(100_000);
        assert!((800..1200).contains(&tenth), "{tenth}");
    }
}
