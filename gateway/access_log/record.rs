//! What is logged about one request.

use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;

use crate::grammar::request_id::RequestId;
use crate::limit::admitted::Admitted;
use crate::usage::{Cost, CostSource, Usage};

/// The longest path that is logged in full, in bytes.
pub(super) const MAX_PATH: usize = 512;

/// What is logged about one request. The fields have the names that they have in the line, except
/// where they say otherwise.
pub(crate) struct AccessRecord {
    /// The time at which the head of the request was read.
    pub(crate) time: Timestamp,
    /// The id that the client receives in `x-keygate-request-id`.
    pub(crate) request_id: RequestId,
    /// The client's address, with port 0 if the port is unknown.
    pub(crate) client: Option<SocketAddr>,
    /// The id of the client's key.
    pub(crate) key: Option<Arc<str>>,
    /// The name of the route.
    pub(crate) route: Option<Arc<str>>,
    /// The provider that the request was sent to, or would have been.
    pub(crate) provider: Option<Arc<str>>,
    /// The request's method.
    pub(crate) method: &'static str,
    /// The path in normal form, without the query. The line truncates it.
    pub(crate) path: String,
    /// The response's status; 0 if there was no response.
    pub(crate) status: u16,
    /// Why the gateway rejected the request, or what failed.
    pub(crate) reason: Option<&'static str>,
    /// Who rejected the request: `gateway` or `provider`.
    pub(crate) refused_by: Option<&'static str>,
    /// The name of the limit that refused.
    pub(crate) limit: Option<Arc<str>>,
    /// What was reserved when the request was admitted, if it has limits.
    pub(crate) reserved: Admitted,
    /// The size of the request's body in bytes.
    pub(crate) request_bytes: u64,
    /// The size of the response's body in bytes.
    pub(crate) response_bytes: u64,
    /// The number of server-sent events in the response.
    pub(crate) events: u64,
    /// The number of responses that ended over a WebSocket, if the gateway read it.
    pub(crate) responses: Option<u64>,
    /// The model that the response names; for a WebSocket, the model of its last response.
    pub(crate) model: Option<String>,
    /// The usage that the response reported; if it was cut off, what it had reported by then. The
    /// line has `input_tokens` and so on, and leaves out most counts that are zero.
    pub(crate) usage: Option<Usage>,
    /// Whether `usage` is an estimate from the number of events, because the response reported
    /// none.
    pub(crate) estimated: bool,
    /// The cost, if the provider reported it or the price file has the model.
    pub(crate) cost: Option<RequestCost>,
    /// Milliseconds from the request's head to the end of the response.
    pub(crate) duration_ms: f64,
    /// The part of `duration_ms` that it took to get a connection to the provider.
    pub(crate) connect_ms: f64,
    /// The part of `duration_ms` that the gateway itself took.
    pub(crate) added_ms: f64,
    /// Milliseconds from the request's head to the head of the provider's response.
    pub(crate) first_byte_ms: Option<f64>,
    /// The address that the request was forwarded to.
    pub(crate) upstream: Option<SocketAddr>,
    /// Whether the request used a connection that was already open.
    pub(crate) reused: Option<bool>,
    /// How often the request was sent.
    pub(crate) attempts: u32,
    /// Whether the client left before the end of the response; the line's `aborted`.
    pub(crate) client_left: bool,
}

/// What one request cost.
#[derive(Clone)]
pub(crate) struct RequestCost {
    /// The exact amount. The line has it as a text, because a JSON number might be rounded.
    pub(crate) cost: Cost,
    /// The currency, such as `USD`.
    pub(crate) currency: Arc<str>,
    /// The source of the amount, `cost_source` in the line.
    pub(crate) source: CostSource,
}

/// Truncates a path to the length that the logs keep.
pub(crate) fn cap(path: &str) -> &str {
    // A normalized path is ASCII; the path of a request that was rejected for it is not logged at
    // all.
    path.get(..MAX_PATH).unwrap_or(path)
}

#[cfg(test)]
impl AccessRecord {
    /// A record for tests.
    pub(super) fn example(path: &str) -> Self {
        Self {
            time: "2026-11-21T10:00:00.5Z".parse().unwrap(),
            request_id: RequestId::next(),
            client: None,
            key: Some("alice".into()),
            route: None,
            provider: None,
            method: "POST",
            path: path.to_owned(),
            status: 200,
            reason: None,
            refused_by: None,
            limit: None,
            reserved: Admitted::default(),
            request_bytes: 1,
            response_bytes: 2,
            events: 0,
            responses: None,
            model: None,
            usage: None,
            estimated: false,
            cost: None,
            duration_ms: 1.5,
            connect_ms: 0.0,
            added_ms: 0.1,
            first_byte_ms: None,
            upstream: None,
            reused: None,
            attempts: 1,
            client_left: false,
        }
    }
}
