//! Streams on routes with `meter_streams = "exact"`: asked for their usage on the way up, and what comes only of
//! that taken out on the way down.

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderValue, Method, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora_core::Error;

use super::admit::Admission;
use crate::grammar::media::{MediaType, is_event_stream};
use crate::usage::{ExcludeUsage, IncludeUsage, Metering, ROOM};

/// The endpoints whose streams can be asked.
const ENDPOINTS: [&str; 2] = ["/chat/completions", "/completions"];

/// Whether `target`, a path at the provider with or without a query, is one of them to a provider that tells no capital
/// letters from small ones.
fn is_endpoint(target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default();
    let path = path.trim_end_matches('/').to_ascii_lowercase();
    ENDPOINTS.iter().any(|endpoint| path.ends_with(endpoint))
}

/// Both ways of one exchange.
pub struct StreamUsage {
    include: IncludeUsage,
    /// Whether the client has sent all of its body.
    complete: bool,
    response: Answer,
}

/// The response, as far as it is known.
enum Answer {
    /// Nothing is to be taken out of it.
    Other,
    /// A stream that can be changed, of which nothing has come.
    Stream,
    /// One that was asked for its usage here.
    Asked(ExcludeUsage),
}

impl StreamUsage {
    /// For a request that may ask for a stream; its head says then how long its body becomes. To be begun anew
    /// for each attempt.
    pub fn begin(
        admission: &Admission,
        upstream: &mut RequestHeader,
    ) -> Result<Option<Self>, Box<Error>> {
        let asked = admission.route().metering == Metering::Exact
            && upstream.method == Method::POST
            && admission.readings().any(is_endpoint)
            && may_be_json(&upstream.headers)
            && is_plain(&upstream.headers);
        let length = upstream.headers.get(CONTENT_LENGTH);
        let length: Option<u64> = length.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        if !asked || length == Some(0) {
            return Ok(None);
        }
        if let Some(length) = length {
            let longer = length.saturating_add(ROOM as u64);
            upstream.insert_header(CONTENT_LENGTH, longer.to_string())?;
        }
        // What is compressed could not be changed.
        upstream.insert_header(ACCEPT_ENCODING, "identity")?;
        Ok(Some(Self {
            include: IncludeUsage::new(length.is_some()),
            complete: false,
            response: Answer::Other,
        }))
    }

    /// A chunk of the request's body.
    pub fn request_body(&mut self, body: &mut Option<Bytes>, end: bool) {
        let chunk = body.as_deref().unwrap_or_default();
        let sent = self.include.feed(chunk, end);
        self.complete |= end;
        if body.is_some() || !sent.is_empty() {
            *body = Some(sent.into());
        }
    }

    /// The head of the response: the body of a stream that was asked here becomes shorter.
    pub fn head(&mut self, response: &mut ResponseHeader) -> Result<(), Box<Error>> {
        let media = response.headers.get(CONTENT_TYPE);
        let is_stream = media.is_some_and(|media| is_event_stream(media.as_bytes()));
        let has_body = !matches!(response.status.as_u16(), 204 | 304);
        let may_be_asked = self.include.asked() || !self.complete;
        if may_be_asked && is_stream && has_body && is_plain(&response.headers) {
            if response.remove_header(&CONTENT_LENGTH).is_some() {
                // HTTP/1.0 has no chunks.
                response.set_version(Version::HTTP_11);
                response.insert_header(TRANSFER_ENCODING, "chunked")?;
            }
            self.response = Answer::Stream;
        }
        Ok(())
    }

    /// A chunk of the response's body.
    pub fn response_body(&mut self, body: &mut Option<Bytes>, end: bool) {
        if matches!(self.response, Answer::Stream) && (body.is_some() || end) {
            self.response = if self.include.asked() {
                Answer::Asked(ExcludeUsage::default())
            } else {
                Answer::Other
            };
        }
        let Answer::Asked(exclude) = &mut self.response else {
            return;
        };
        let chunk = body.as_deref().unwrap_or_default();
        let passed = exclude.feed(chunk, end);
        if body.is_some() || !passed.is_empty() {
            *body = Some(passed.into());
        }
    }

    /// What was held back of a response that ends with trailers.
    pub fn rest(&mut self) -> Option<Bytes> {
        let Answer::Asked(exclude) = &mut self.response else {
            return None;
        };
        Some(exclude.rest().into()).filter(|rest: &Bytes| !rest.is_empty())
    }

    /// Events that the client did not get.
    pub fn taken_out(&self) -> u64 {
        match &self.response {
            Answer::Asked(exclude) => exclude.taken_out(),
            Answer::Other | Answer::Stream => 0,
        }
    }
}

/// Whether a body may be JSON: many say so in other words, or not at all.
fn may_be_json(headers: &HeaderMap) -> bool {
    let said = headers
        .get(CONTENT_TYPE)
        .map_or(&b""[..], HeaderValue::as_bytes);
    let media = MediaType::of(said);
    let others = [
        &b""[..],
        b"text/plain",
        b"application/x-www-form-urlencoded",
    ];
    media.ends_with(b"json") || others.iter().any(|other| media.is(other))
}

/// Whether a body is not compressed.
fn is_plain(headers: &HeaderMap) -> bool {
    let said = headers
        .get(CONTENT_ENCODING)
        .map_or(&b""[..], HeaderValue::as_bytes);
    let said = said.trim_ascii();
    said.is_empty() || said.eq_ignore_ascii_case(b"identity")
}
