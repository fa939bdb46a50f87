//! The place of one request in a trace, and the header that hands it on.

use http::HeaderName;
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags};
use pingora::http::RequestHeader;
use pingora_core::Result;

pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The place of one request in a trace.
pub(crate) struct Trace {
    /// The span of this request.
    pub(super) own: SpanContext,
    /// The client's span, if it sent one that is valid.
    pub(super) parent: Option<SpanId>,
}

impl Trace {
    /// Sets `traceparent`, so that the provider continues this trace.
    pub(crate) fn pass_on(&self, upstream: &mut RequestHeader) -> Result<()> {
        let own = &self.own;
        let flags = own.trace_flags() & TraceFlags::SAMPLED;
        let value = format!("00-{}-{}-{flags:02x}", own.trace_id(), own.span_id());
        // The client's `tracestate` belongs to its `traceparent`, which could not be read.
        if self.parent.is_none() {
            upstream.remove_header(&TRACESTATE);
        }
        upstream.insert_header(TRACEPARENT, value)
    }
}
