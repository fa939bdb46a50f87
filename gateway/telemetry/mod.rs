//! OpenTelemetry: a span for each request, with the attributes that its conventions define for HTTP and for
//! generative AI, sent to a collector by OTLP over HTTP. Off unless the configuration names a collector.
//!
//! A span holds what the access line holds: no header's value, no query, nothing of a body. A request never waits
//! for the collector: spans that find the queue full are dropped and counted.
//!
//! <https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/>, <https://www.w3.org/TR/trace-context/>

mod collector;
mod exporter;
mod sample;
mod span;
mod spec;
mod trace;

pub(crate) use self::exporter::{Exporter, ExporterError};
pub(crate) use self::span::SpanInput;
pub(crate) use self::spec::TelemetrySpec;
pub(crate) use self::trace::Trace;

use http::HeaderMap;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{SpanContext, TraceContextExt, TraceFlags, TraceState};
use opentelemetry::{Context, InstrumentationScope};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SpanData};
use prometheus::{IntCounter, IntCounterVec};
use tokio::sync::mpsc::{Sender, channel};

use self::sample::is_sampled;
use self::trace::TRACEPARENT;
use crate::origin::Resolver;

/// How many spans may wait to be sent.
const CAPACITY: usize = 4096;

/// Makes spans of requests.
pub(crate) struct Telemetry {
    spans: Sender<SpanData>,
    dropped: IntCounter,
    sample: u32,
    ids: RandomIdGenerator,
    propagator: TraceContextPropagator,
    scope: InstrumentationScope,
}

impl Telemetry {
    /// Makes spans as `spec` describes, and the exporter that sends them: it must be run, and ends after the telemetry is
    /// dropped. `outcomes` counts spans by its only label, `outcome`.
    pub(crate) fn start(
        spec: &TelemetrySpec,
        resolver: &Resolver,
        outcomes: &IntCounterVec,
    ) -> Result<(Self, Exporter), ExporterError> {
        let (sender, receiver) = channel(CAPACITY);
        let exporter = Exporter::new(spec, receiver, resolver, outcomes)?;
        let scope =
            InstrumentationScope::builder("keygate").with_version(env!("CARGO_PKG_VERSION"));
        let telemetry = Self {
            spans: sender,
            dropped: outcomes.with_label_values(&["dropped"]),
            sample: spec.sample,
            ids: RandomIdGenerator::default(),
            propagator: TraceContextPropagator::new(),
            scope: scope.build(),
        };
        Ok((telemetry, exporter))
    }

    /// The place of a request: in its client's trace if `client` has one, which then decides whether it is recorded,
    /// else in a new trace.
    pub(crate) fn begin(&self, client: Option<&HeaderMap>) -> Trace {
        match client.and_then(|headers| self.parent(headers)) {
            Some(parent) => self.child_of(&parent),
            None => self.root(),
        }
    }

    /// The client's span. Two `traceparent` headers count as none.
    fn parent(&self, headers: &HeaderMap) -> Option<SpanContext> {
        if headers.get_all(TRACEPARENT).iter().count() != 1 {
            return None;
        }
        let extractor = HeaderExtractor(headers);
        let context = self
            .propagator
            .extract_with_context(&Context::new(), &extractor);
        Some(context.span().span_context().clone()).filter(SpanContext::is_valid)
    }

    fn child_of(&self, parent: &SpanContext) -> Trace {
        let own = SpanContext::new(
            parent.trace_id(),
            self.ids.new_span_id(),
            parent.trace_flags(),
            false,
            parent.trace_state().clone(),
        );
        Trace {
            own,
            parent: Some(parent.span_id()),
        }
    }

    fn root(&self) -> Trace {
        let (trace, span) = (self.ids.new_trace_id(), self.ids.new_span_id());
        let flags = TraceFlags::default().with_sampled(is_sampled(trace, self.sample));
        Trace {
            own: SpanContext::new(trace, span, flags, false, TraceState::default()),
            parent: None,
        }
    }

    /// Queues the span of a request that has ended, if its trace is sampled.
    pub(crate) fn end(&self, trace: &Trace, input: &SpanInput<'_>) {
        if !trace.own.is_sampled() {
            return;
        }
        let span = input.span(trace, self.scope.clone());
        if self.spans.try_send(span).is_err() {
            self.dropped.inc();
        }
    }
}
