//! Streams on routes with `meter_streams = "exact"`: the request is changed so that the provider reports the usage, and
//! what the client did not request is removed from the response.

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderValue, Method, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora_core::Error;

use super::attempt::Attempt;
use crate::grammar::media::{MediaType, is_event_stream};
use crate::usage::{ExcludeUsage, IncludeUsage, Metering, ROOM};

/// The endpoints whose streams report their usage on request.
const ENDPOINTS: [&str; 2] = ["/chat/completions", "/completions"];

/// Whether `target`, a path at the provider with or without a query, is one of them to a provider that ignores case.
fn is_endpoint(target: &str) -> bool {
    let path = target
        .split('?')
        .next()
        .unwrap_or_default()
        .trim_end_matches('/')
        .to_ascii_lowercase();
    ENDPOINTS.iter().any(|endpoint| path.ends_with(endpoint))
}

/// The changes to both bodies of one exchange.
pub(super) struct StreamUsage {
    include: IncludeUsage,
    /// Whether the client has sent all of its body.
    complete: bool,
    response: Response,
}

/// What is done with the response.
enum Response {
    /// It passes unchanged.
    Unchanged,
    /// It is a stream that can be changed, of which no chunk has come.
    Undecided,
    /// It is a stream whose usage was requested here, and is removed.
    Changed(ExcludeUsage),
}

impl StreamUsage {
    /// Begins for a request that may be for a stream, and writes into its head how long its body becomes. `None` for
    /// any other. It begins anew for each try.
    pub(super) fn begin(
        metering: Metering,
        attempt: &Attempt,
        upstream: &mut RequestHeader,
    ) -> Result<Option<Self>, Box<Error>> {
        let may_stream = metering == Metering::Exact
            && upstream.method == Method::POST
            && attempt.readings().any(is_endpoint)
            && may_be_json(&upstream.headers)
            && is_plain(&upstream.headers);
        if !may_stream {
            return Ok(None);
        }
        let declared = upstream.headers.get(CONTENT_LENGTH);
        let length: Option<u64> =
            declared.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        if length == Some(0) {
            return Ok(None);
        }
        if let Some(length) = length {
            let longer = length.saturating_add(ROOM as u64);
            upstream.insert_header(CONTENT_LENGTH, longer.to_string())?;
        }
        // A compressed response could not be changed.
        upstream.insert_header(ACCEPT_ENCODING, "identity")?;
        Ok(Some(Self {
            include: IncludeUsage::new(length.is_some()),
            complete: false,
            response: Response::Unchanged,
        }))
    }

    /// Changes a chunk of the request's body; `end`: no chunk follows.
    pub(super) fn request_body(&mut self, body: &mut Option<Bytes>, end: bool) {
        let chunk = body.as_deref().unwrap_or_default();
        let sent = self.include.feed(chunk, end);
        self.complete |= end;
        if body.is_some() || !sent.is_empty() {
            *body = Some(sent.into());
        }
    }

    /// Decides by the head of the response whether that is a stream to change, whose body then becomes shorter.
    pub(super) fn head(&mut self, response: &mut ResponseHeader) -> Result<(), Box<Error>> {
        let media = response.headers.get(CONTENT_TYPE);
        let is_stream = media.is_some_and(|media| is_event_stream(media.as_bytes()));
        let has_body = !matches!(response.status.as_u16(), 204 | 304);
        let may_report = self.include.has_requested_usage() || !self.complete;
        if may_report && is_stream && has_body && is_plain(&response.headers) {
            if response.remove_header(&CONTENT_LENGTH).is_some() {
                // The body is chunked from now on, which HTTP/1.0 does not know.
                response.set_version(Version::HTTP_11);
                response.insert_header(TRANSFER_ENCODING, "chunked")?;
            }
            self.response = Response::Undecided;
        }
        Ok(())
    }

    /// Changes a chunk of the response's body; `end`: no chunk follows.
    pub(super) fn response_body(&mut self, body: &mut Option<Bytes>, end: bool) {
        if matches!(self.response, Response::Undecided) && (body.is_some() || end) {
            self.response = if self.include.has_requested_usage() {
                Response::Changed(ExcludeUsage::default())
            } else {
                Response::Unchanged
            };
        }
        let Response::Changed(exclude) = &mut self.response else {
            return;
        };
        let chunk = body.as_deref().unwrap_or_default();
        let passed = exclude.feed(chunk, end);
        if body.is_some() || !passed.is_empty() {
            *body = Some(passed.into());
        }
    }

    /// What was held back of a response that ends with trailers.
    pub(super) fn rest(&mut self) -> Option<Bytes> {
        let Response::Changed(exclude) = &mut self.response else {
            return None;
        };
        Some(exclude.rest().into()).filter(|rest: &Bytes| !rest.is_empty())
    }

    /// The number of events that the client did not get.
    pub(super) fn taken_out(&self) -> u64 {
        match &self.response {
            Response::Changed(exclude) => exclude.taken_out(),
            Response::Unchanged | Response::Undecided => 0,
        }
    }
}

/// Whether a body may be JSON. Many clients declare another media type for it, or none.
fn may_be_json(headers: &HeaderMap) -> bool {
    let declared = headers
        .get(CONTENT_TYPE)
        .map_or(&b""[..], HeaderValue::as_bytes);
    let media = MediaType::of(declared);
    let others = [
        &b""[..],
        b"text/plain",
        b"application/x-www-form-urlencoded",
    ];
    media.ends_with(b"json") || others.iter().any(|other| media.is(other))
}

/// Whether a body is not compressed.
fn is_plain(headers: &HeaderMap) -> bool {
    let coding = headers
        .get(CONTENT_ENCODING)
        .map_or(&b""[..], |value| value.as_bytes().trim_ascii());
    coding.is_empty() || coding.eq_ignore_ascii_case(b"identity")
}
