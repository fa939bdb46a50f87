//! Where spans are sent and which requests make one, as configured.

use http::{HeaderName, HeaderValue};

use crate::origin::BaseUrl;

/// A [`Telemetry`](super::Telemetry) as configured.
#[derive(PartialEq, Eq)]
pub(crate) struct TelemetrySpec {
    /// The collector. Spans are posted to `/v1/traces` under this URL.
    pub(crate) collector: BaseUrl,
    /// Headers of every request to the collector, such as its own token.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// How many of a million requests are sampled, of those that arrive without a trace of their own.
    pub(crate) sample: u32,
    /// The `service.name` of this gateway.
    pub(crate) service: String,
}
