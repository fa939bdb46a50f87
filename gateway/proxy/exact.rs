//! Streams on routes with `meter_streams = "exact"`: asked for their usage on the way up, and what comes only of
//! that taken out on the way down.

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderName, Method};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora_core::Error;

use super::admit::Admission;
use crate::usage::{ExcludeUsage, IncludeUsage, Metering, ROOM, is_event_stream};

/// The endpoints whose streams can be asked.
const ENDPOINTS: [&str; 2] = ["/chat/completions", "/completions"];

/// Both ways of one exchange.
pub struct Exact {
    include: IncludeUsage,
    exclude: Option<ExcludeUsage>,
}

impl Exact {
    /// For a request that may ask for a stream; its head says then how long its body becomes. To be begun anew
    /// for each attempt.
    pub fn begin(
        admission: &Admission,
        upstream: &mut RequestHeader,
    ) -> Result<Option<Self>, Box<Error>> {
        let target = admission.target();
        let path = target.split('?').next().unwrap_or_default();
        let asked = admission.route().metering == Metering::Exact
            && upstream.method == Method::POST
            && ENDPOINTS.iter().any(|endpoint| path.ends_with(endpoint))
            && is(&upstream.headers, &CONTENT_TYPE, "application/json")
            && is(&upstream.headers, &CONTENT_ENCODING, "");
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
            exclude: None,
        }))
    }

    /// A piece of the request's body.
    pub fn request_body(&mut self, body: &mut Option<Bytes>, end: bool) {
        let piece = body.as_deref().unwrap_or_default();
        let sent = self.include.feed(piece, end);
        if body.is_some() || !sent.is_empty() {
            *body = Some(sent.into());
        }
    }

    /// The head of the answer: the body of a stream that was asked here becomes shorter.
    pub fn head(&mut self, answer: &mut ResponseHeader) -> Result<(), Box<Error>> {
        let media = answer.headers.get(CONTENT_TYPE);
        let is_stream = media.is_some_and(|media| is_event_stream(media.as_bytes()));
        if !self.include.asked() || !is_stream || !is(&answer.headers, &CONTENT_ENCODING, "") {
            return Ok(());
        }
        if answer.remove_header(&CONTENT_LENGTH).is_some() {
            answer.insert_header(TRANSFER_ENCODING, "chunked")?;
        }
        self.exclude = Some(ExcludeUsage::default());
        Ok(())
    }

    /// A piece of the answer's body.
    pub fn answer_body(&mut self, body: &mut Option<Bytes>, end: bool) {
        let Some(exclude) = &mut self.exclude else {
            return;
        };
        let piece = body.as_deref().unwrap_or_default();
        let passed = exclude.feed(piece, end);
        if body.is_some() || !passed.is_empty() {
            *body = Some(passed.into());
        }
    }

    /// Events that the client did not get.
    pub fn taken_out(&self) -> u64 {
        self.exclude.as_ref().map_or(0, ExcludeUsage::taken_out)
    }
}

/// Whether a header says this, parameters apart; one that is not there says nothing.
fn is(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    let value = headers.get(name).map_or(&b""[..], |value| value.as_bytes());
    let said = value.split(|byte| *byte == b';').next().unwrap_or_default();
    said.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes())
}
