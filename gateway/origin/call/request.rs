//! The request of a call.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use pingora::http::RequestHeader;
use pingora_core::Result;

/// The request of a call: a method, a target, headers, and a body that is held whole.
///
/// It has no `Debug`: its headers and its body may hold secrets.
#[derive(Clone)]
pub(crate) struct CallRequest {
    method: Method,
    target: String,
    host: HeaderValue,
    headers: HeaderMap,
    body: Bytes,
}

impl CallRequest {
    /// A request for `target`, a path with or without a query. `host` is the authority, for `Host`.
    pub(crate) fn new(method: Method, host: HeaderValue, target: impl Into<String>) -> Self {
        Self {
            method,
            target: target.into(),
            host,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// The same request with `body`. Its length goes into `Content-Length`.
    #[must_use]
    pub(crate) fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets a header, in place of all that have its name. `Host` and `Content-Length` are the call's own.
    pub(crate) fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.headers.insert(name, sensitive(value));
    }

    /// Adds a header beside those that have its name.
    pub(crate) fn append(&mut self, name: HeaderName, value: HeaderValue) {
        self.headers.append(name, sensitive(value));
    }

    /// The head as Pingora sends it.
    pub(super) fn head(&self) -> Result<RequestHeader> {
        let mut head = RequestHeader::build(
            self.method.clone(),
            self.target.as_bytes(),
            Some(self.headers.len() + 2),
        )?;
        head.insert_header(HOST, self.host.clone())?;
        for (name, value) in &self.headers {
            if ![HOST, CONTENT_LENGTH].contains(name) {
                head.append_header(name.clone(), value.clone())?;
            }
        }
        // Servers want the length of a POST or PUT without a body as well (RFC 9110, section 8.6).
        if !self.body.is_empty() || [Method::POST, Method::PUT].contains(&self.method) {
            head.insert_header(CONTENT_LENGTH, self.body.len())?;
        }
        Ok(head)
    }

    pub(super) fn body(&self) -> &Bytes {
        &self.body
    }
}

/// Any header may hold a credential. The mark keeps the value out of `Debug` output and HTTP/2's tables.
fn sensitive(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}
