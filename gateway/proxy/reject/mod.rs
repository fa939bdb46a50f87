//! A refusal of a request. Decides the head of the response; `reason` has the status and the code, which is the metric
//! label too, and `dialect` writes the JSON. Of what a client sent, only names of headers are echoed.

pub(crate) mod limit_refusal;
mod reason;
mod retry_after;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, UPGRADE, WWW_AUTHENTICATE};
use pingora::http::ResponseHeader;
use pingora_core::{Error, ErrorSource, ErrorType};

use self::limit_refusal::LimitRefusal;
pub(crate) use self::reason::Reason;
use self::retry_after::RetryAfter;
pub(super) use self::retry_after::{next_second, whole_milliseconds, whole_seconds};
use super::dialect::{self, Refused};
use crate::grammar::request_id::RequestId;
use crate::key::{ClientKey, KeptKey};
use crate::provider::ErrorFormat;
use crate::route::Route;

/// The header that names who refused, on every refusal: `gateway` or `provider`.
pub(super) const REFUSED_BY: &str = "x-keygate-refused-by";
/// The header with the gateway's id of the request, on every response.
pub(super) const REQUEST_ID: &str = "x-keygate-request-id";

/// The header with the moment at which a limit opens that is closed for long.
pub(super) const LIMIT_RESET: &str = "x-keygate-limit-reset";

/// The type of the error that ends an exchange whose response redirects to a foreign host.
pub(super) const FOREIGN_REDIRECT: &str = "ForeignRedirect";
/// The type of the error that ends an exchange whose response switches to a protocol that the client has not requested.
pub(super) const UNEXPECTED_SWITCH: &str = "UnexpectedSwitch";

/// A refusal, and what is known about the request by then.
#[derive(Clone)]
pub struct Rejection {
    /// Why the request is refused.
    pub(crate) reason: Reason,
    /// The route, if one was found, for its dialect and its metrics.
    pub(crate) route: Option<Arc<Route>>,
    /// The key, if one was verified, for the log.
    pub(super) key: Option<KeptKey>,
    /// The message for the client in place of the reason's own. It names headers, never their values.
    pub(crate) message: Option<Box<str>>,
    /// What the refusal says of the limit that refused. In a box, because most refusals have none.
    pub(super) limit: Option<Box<LimitRefusal>>,
}

impl Rejection {
    /// A refusal of a request for which no route was found.
    pub(crate) fn unrouted(reason: Reason) -> Self {
        Self {
            reason,
            route: None,
            key: None,
            message: None,
            limit: None,
        }
    }

    /// A refusal of a request on `route`.
    pub(crate) fn on(route: &Arc<Route>, reason: Reason) -> Self {
        Self {
            reason,
            route: Some(route.clone()),
            key: None,
            message: None,
            limit: None,
        }
    }

    /// The same refusal, which says of `limit` what the client needs to know.
    pub(crate) fn with_limit(self, limit: LimitRefusal) -> Self {
        Self {
            message: Some(limit.message(self.reason).into()),
            limit: Some(Box::new(limit)),
            ..self
        }
    }

    /// The status of the response.
    pub(crate) fn status(&self) -> u16 {
        match &self.limit {
            Some(limit) if self.reason == Reason::BudgetExceeded => limit.budget_status.code(),
            _ => self.reason.status(),
        }
    }

    /// The key, if one was verified.
    pub(crate) fn key(&self) -> Option<&ClientKey> {
        self.key.as_ref()?.get()
    }

    fn dialect(&self) -> ErrorFormat {
        self.route
            .as_ref()
            .map_or(ErrorFormat::OpenAi, |route| route.dialect)
    }

    fn retry_after(&self) -> RetryAfter {
        let wait = self.limit.as_ref().and_then(|limit| limit.wait);
        RetryAfter::of(self.reason, wait)
    }

    /// The response, as head and body. They depend on the reason, its message and limit, the dialect and the id alone.
    pub(crate) fn response(
        &self,
        id: &RequestId,
    ) -> Result<(Box<ResponseHeader>, Bytes), Box<Error>> {
        self.response_in(self.dialect(), id)
    }

    /// The response for clients of `dialect`.
    fn response_in(
        &self,
        dialect: ErrorFormat,
        id: &RequestId,
    ) -> Result<(Box<ResponseHeader>, Bytes), Box<Error>> {
        if self.reason == Reason::Preflight {
            return Ok((preflight(id)?, Bytes::new()));
        }
        let (status, retry_after) = (self.status(), self.retry_after());
        let sentence = self.reason.message();
        let refused = Refused {
            status,
            code: self.reason.code(),
            message: self.message.as_deref().unwrap_or(sentence),
            is_budget: self.reason == Reason::BudgetExceeded,
            retry_in: retry_after.milliseconds(),
        };
        let body = Bytes::from(dialect::body(dialect, refused));
        let mut head = ResponseHeader::build(status, Some(12))?;
        head.insert_header(CONTENT_TYPE, "application/json")?;
        head.insert_header(CONTENT_LENGTH, body.len())?;
        head.insert_header(dialect::request_id_header(dialect), id.as_str())?;
        head.insert_header(REQUEST_ID, id.as_str())?;
        head.insert_header(REFUSED_BY, "gateway")?;
        if status == 401 {
            head.insert_header(WWW_AUTHENTICATE, "Bearer realm=\"keygate\"")?;
        }
        if status == 426 {
            // A 426 must name the protocol to use (RFC 9110, section 15.5.22). Pingora writes `Connection` itself.
            head.insert_header(UPGRADE, "HTTP/1.1")?;
        }
        for (name, value) in retry_after.headers() {
            head.insert_header(name, value)?;
        }
        if retry_after.is_final() {
            self.write_reset(dialect, &mut head)?;
        }
        Ok((Box::new(head), body))
    }

    /// Writes when the limit opens that is closed for so long that the client should not wait.
    fn write_reset(
        &self,
        dialect: ErrorFormat,
        head: &mut ResponseHeader,
    ) -> Result<(), Box<Error>> {
        let resets = self.limit.as_ref().and_then(|limit| limit.resets);
        let resets = resets.map(next_second);
        if let Some(resets) = resets {
            head.insert_header(LIMIT_RESET, resets.to_string())?;
        }
        if dialect == ErrorFormat::Anthropic {
            // Without these, Claude Code tries again and again.
            head.insert_header("anthropic-ratelimit-unified-status", "rejected")?;
            if let Some(resets) = resets {
                head.insert_header("anthropic-ratelimit-unified-reset", resets.as_second())?;
            }
        }
        Ok(())
    }
}

/// The head of the response to a preflight, without what depends on the request.
fn preflight(id: &RequestId) -> Result<Box<ResponseHeader>, Box<Error>> {
    let mut head = ResponseHeader::build(204, Some(8))?;
    head.insert_header(REQUEST_ID, id.as_str())?;
    Ok(Box::new(head))
}

/// The reason for an error of Pingora's. Refusals of the gateway itself are noted in the exchange before.
pub(super) fn reason_of(error: &Error) -> Reason {
    let timed_out = matches!(
        error.etype(),
        ErrorType::ConnectTimedout
            | ErrorType::TLSHandshakeTimedout
            | ErrorType::ReadTimedout
            | ErrorType::WriteTimedout
    );
    match error.esource() {
        ErrorSource::Upstream if timed_out => Reason::ProviderTimeout,
        ErrorSource::Upstream if error.etype().as_str() == FOREIGN_REDIRECT => {
            Reason::ForeignRedirect
        }
        ErrorSource::Upstream if error.etype().as_str() == UNEXPECTED_SWITCH => {
            Reason::UnexpectedSwitch
        }
        ErrorSource::Upstream => Reason::ProviderUnreachable,
        ErrorSource::Downstream => match error.etype() {
            ErrorType::ReadTimedout => Reason::RequestTimeout,
            // Pingora checks the sizes of chunks and the headers that `Connection` names.
            ErrorType::InvalidHTTPHeader => Reason::BadFraming,
            other if other.as_str() == "InvalidChunk" => Reason::BadFraming,
            _ => Reason::ClientClosed,
        },
        // Until a connection is made, Pingora's errors name no side.
        ErrorSource::Unset if is_connect_error(error.etype()) => {
            if timed_out {
                Reason::ProviderTimeout
            } else {
                Reason::ProviderUnreachable
            }
        }
        ErrorSource::Internal | ErrorSource::Unset => Reason::Internal,
    }
}

/// Whether a connection could not be made, so that nothing was sent to the provider.
pub(super) fn is_connect_error(etype: &ErrorType) -> bool {
    matches!(
        etype,
        ErrorType::ConnectTimedout
            | ErrorType::ConnectRefused
            | ErrorType::ConnectNoRoute
            | ErrorType::ConnectError
            | ErrorType::BindError
            | ErrorType::AcceptError
            | ErrorType::SocketError
            | ErrorType::ConnectProxyFailure
            | ErrorType::TLSHandshakeFailure
            | ErrorType::TLSHandshakeTimedout
            | ErrorType::TLSWantX509Lookup
            | ErrorType::InvalidCert
            | ErrorType::HandshakeError
    )
}

#[cfg(test)]
mod tests;
