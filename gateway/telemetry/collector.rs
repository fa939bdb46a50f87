//! The HTTP client that the OpenTelemetry library sends batches with: [`Caller`], for one collector.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Method};
use opentelemetry_http::{HttpClient, HttpError};

use super::spec::TelemetrySpec;
use crate::origin::{
    CallLimits, CallRequest, Caller, Endpoint, EndpointSpec, HttpVersion, Resolver, Timeouts,
};

/// How long one batch may take.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
/// The bounds of one batch.
const LIMITS: CallLimits = CallLimits {
    deadline: TIMEOUT,
    response_bytes: 64 << 10,
};

/// One collector.
pub(super) struct Collector {
    caller: Caller,
    endpoint: Endpoint,
    host: HeaderValue,
    path: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Collector {
    /// `None` if the collector's host cannot stand in a header.
    pub(super) fn new(spec: &TelemetrySpec, resolver: &Resolver) -> Option<Self> {
        let url = &spec.collector;
        let endpoint = EndpointSpec {
            url,
            sni: &url.host,
            ca: None,
            http: HttpVersion::Http1,
            timeouts: Timeouts {
                first_byte: TIMEOUT,
                write: TIMEOUT,
                ..Timeouts::default()
            },
            proxy: None,
        };
        Some(Self {
            caller: Caller::new(),
            endpoint: Endpoint::new(&endpoint, resolver.addresses_of(url)),
            host: HeaderValue::try_from(url.authority()).ok()?,
            path: format!("{}/v1/traces", url.path),
            headers: spec.headers.clone(),
        })
    }

    fn request(&self, batch: http::Request<Bytes>) -> CallRequest {
        let (head, body) = batch.into_parts();
        let mut request = CallRequest::new(Method::POST, self.host.clone(), self.path.as_str());
        // The library's other headers come from environment variables, which may be meant for another collector.
        if let Some(media_type) = head.headers.get(CONTENT_TYPE) {
            request.set(CONTENT_TYPE, media_type.clone());
        }
        for (name, value) in &self.headers {
            request.set(name.clone(), value.clone());
        }
        request.with_body(body)
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(
        &self,
        batch: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, HttpError> {
        let request = self.request(batch);
        let response = self.caller.call(&self.endpoint, &request, LIMITS).await?;
        if !response.status().is_success() {
            return Err(Refused(response.status().as_u16()).into());
        }
        Ok(response)
    }
}

impl fmt::Debug for Collector {
    /// Without the headers, which are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").finish_non_exhaustive()
    }
}

/// The collector responded with this status.
#[derive(Debug, thiserror::Error)]
#[error("it responds with {0}")]
struct Refused(u16);
