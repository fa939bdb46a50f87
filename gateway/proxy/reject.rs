//! Every reason to refuse a request. Decides the status, the code and the head of each response, and the metric label;
//! `dialect` writes the JSON. Of what a client sent, only names of headers are echoed.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, UPGRADE, WWW_AUTHENTICATE};
use pingora::http::ResponseHeader;
use pingora_core::{Error, ErrorSource, ErrorType};

use super::dialect;
use crate::grammar::request_id::RequestId;
use crate::key::{ClientKey, KeptKey, KeyFailure};
use crate::provider::ErrorFormat;
use crate::route::Route;

/// The header that names who refused, on every refusal: `gateway` or `provider`.
pub(super) const REFUSED_BY: &str = "x-keygate-refused-by";
/// The header with the gateway's id of the request, on every response.
pub(super) const REQUEST_ID: &str = "x-keygate-request-id";

/// The type of the error that ends an exchange whose response redirects to a foreign host.
pub(super) const FOREIGN_REDIRECT: &str = "ForeignRedirect";
/// The type of the error that ends an exchange whose response switches to a protocol that the client has not requested.
pub(super) const UNEXPECTED_SWITCH: &str = "UnexpectedSwitch";

/// Why the gateway itself responds to a request, instead of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A preflight, in which a browser requests what a page may do. This is no refusal: the gateway has the response.
    Preflight,
    /// The path has two readings.
    BadPath,
    /// The request holds two different client keys.
    AmbiguousCredentials,
    /// A header's name can be read as another one, which is not accepted from clients.
    AmbiguousHeader,
    /// The message's framing has two readings.
    BadFraming,
    /// The request holds no key, or none that is valid.
    InvalidKey(KeyFailure),
    /// The client must bring the provider's token itself, and did not.
    NoProviderToken,
    /// The key is valid, and the route's selector does not take it.
    KeyNotAllowed,
    /// The route does not let connections be upgraded.
    UpgradeNotAllowed,
    /// The route does not let connections be upgraded, and the API takes the same requests over HTTP.
    UpgradeNotNeeded,
    /// The path is another spelling of one that another route serves.
    AmbiguousPath,
    /// No route takes this host and path.
    NoRoute,
    /// The path is the bare prefix of a route whose provider has no endpoint for it.
    NoDefaultEndpoint,
    /// The client sent its body too slowly.
    RequestTimeout,
    /// The body is larger than the limit.
    BodyTooLarge,
    /// The head is larger than the limit.
    HeadersTooLarge,
    /// The client's address came with too many invalid keys.
    TooManyFailedKeys,
    /// The client's address, which a proxy in front names, has too many requests in flight.
    TooManyConnections,
    /// The client left before the response; nobody reads this refusal.
    ClientClosed,
    /// The key is not valid any more (removed, disabled, expired, or at the end of its overlap with a newer one), and
    /// its exchange was dropped; nobody reads this refusal.
    KeyRevoked,
    /// The gateway has a bug.
    Internal,
    /// The provider could not be reached, or broke off before its response.
    ProviderUnreachable,
    /// The provider's response sends the client to a host that the configuration does not name.
    ForeignRedirect,
    /// The provider's response switches to a protocol that the client has not requested.
    UnexpectedSwitch,
    /// The provider's token is missing.
    ProviderUnavailable,
    /// The provider did not respond in time.
    ProviderTimeout,
}

/// The response to a client that falls back from a WebSocket to HTTP when it gets this status.
const UPGRADE_NOT_NEEDED: (u16, &str, &str) = (
    426,
    "upgrade_not_allowed",
    "This route does not allow WebSocket connections: send the same as a POST.",
);

impl Reason {
    /// The status, the code that clients see, and the sentence for people.
    #[expect(clippy::too_many_lines, reason = "a table has a row for each reason")]
    fn response(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Preflight => (204, "preflight", ""),
            Self::BadPath => (
                400,
                "bad_path",
                "The request's path cannot be read in one way only.",
            ),
            Self::AmbiguousCredentials => (
                400,
                "ambiguous_credentials",
                "The request holds two different API keys.",
            ),
            Self::AmbiguousHeader => (
                400,
                "ambiguous_header",
                "The name of a header can be read in two ways.",
            ),
            Self::BadFraming => (
                400,
                "bad_framing",
                "The request's framing cannot be read in one way only.",
            ),
            Self::InvalidKey(_) => (401, "invalid_api_key", "Invalid API key."),
            Self::NoProviderToken => (
                401,
                "provider_token_missing",
                "This route passes on a provider token of your own: put it in the provider's header, \
                 and the gateway's key in another.",
            ),
            Self::KeyNotAllowed => (
                403,
                "key_not_allowed",
                "This API key may not use this route.",
            ),
            Self::UpgradeNotAllowed => (
                403,
                "upgrade_not_allowed",
                "This route does not allow WebSocket connections.",
            ),
            Self::UpgradeNotNeeded => UPGRADE_NOT_NEEDED,
            Self::AmbiguousPath => (
                400,
                "ambiguous_path",
                "This path leads to an endpoint that another route of this gateway serves: use that \
                 route's path, usually the endpoint's full path with its version.",
            ),
            Self::NoRoute => (404, "no_route", "There is no route for this host and path."),
            Self::NoDefaultEndpoint => (
                404,
                "no_default_endpoint",
                "This route has no endpoint of its own: add the provider's path to the URL.",
            ),
            Self::RequestTimeout => (
                408,
                "request_timeout",
                "The request's body did not arrive in time.",
            ),
            Self::BodyTooLarge => (
                413,
                "body_too_large",
                "The request's body is larger than this gateway accepts.",
            ),
            Self::HeadersTooLarge => (
                431,
                "headers_too_large",
                "The request's headers are larger than this gateway accepts.",
            ),
            Self::TooManyFailedKeys => (
                429,
                "too_many_failed_keys",
                "Too many invalid API keys came from this address.",
            ),
            Self::TooManyConnections => (
                429,
                "too_many_connections",
                "Too many requests from this address are going on at once.",
            ),
            Self::KeyRevoked => (401, "key_revoked", "This API key was revoked."),
            Self::ClientClosed => (499, "client_closed", "The client closed the request."),
            Self::Internal => (
                500,
                "internal_error",
                "The gateway failed to handle the request.",
            ),
            Self::ProviderUnreachable => (
                502,
                "provider_unreachable",
                "The provider could not be reached.",
            ),
            Self::ForeignRedirect => (
                502,
                "foreign_redirect",
                "The provider redirects to another host, which this gateway does not send keys and prompts to.",
            ),
            Self::UnexpectedSwitch => (
                502,
                "unexpected_switch",
                "The provider switches to another protocol (101), which this request does not ask for.",
            ),
            Self::ProviderUnavailable => (
                503,
                "provider_unavailable",
                "The provider is not available through this gateway.",
            ),
            Self::ProviderTimeout => (
                504,
                "provider_timeout",
                "The provider did not respond in time.",
            ),
        }
    }

    /// The status of the response.
    pub(crate) fn status(self) -> u16 {
        self.response().0
    }

    /// The code in the response's body and in metrics.
    pub(crate) fn code(self) -> &'static str {
        self.response().1
    }

    /// The sentence for people.
    pub(crate) fn message(self) -> &'static str {
        self.response().2
    }

    /// The reason in the log: the code, or for a key the exact reason, which clients do not learn.
    pub(crate) fn detail(self) -> &'static str {
        match self {
            Self::InvalidKey(failure) => failure.label(),
            other => other.code(),
        }
    }
}

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
}

impl Rejection {
    /// A refusal of a request for which no route was found.
    pub(crate) fn unrouted(reason: Reason) -> Self {
        Self {
            reason,
            route: None,
            key: None,
            message: None,
        }
    }

    /// A refusal of a request on `route`.
    pub(crate) fn on(route: &Arc<Route>, reason: Reason) -> Self {
        Self {
            reason,
            route: Some(route.clone()),
            key: None,
            message: None,
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

    /// The response, as head and body. They depend on the reason, its message, the dialect and the id alone.
    pub(crate) fn response(
        &self,
        id: &RequestId,
    ) -> Result<(Box<ResponseHeader>, Bytes), Box<Error>> {
        let (status, code, sentence) = self.reason.response();
        let message = self.message.as_deref().unwrap_or(sentence);
        if self.reason == Reason::Preflight {
            return Ok((preflight(id)?, Bytes::new()));
        }
        let dialect = self.dialect();
        let body = Bytes::from(dialect::body(dialect, status, code, message));
        let mut head = ResponseHeader::build(status, Some(8))?;
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
        if status == 429 {
            // An estimate; the true wait depends on the limit.
            head.insert_header(RETRY_AFTER, 1)?;
        }
        Ok((Box::new(head), body))
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
mod tests {
    use super::*;

    #[test]
    fn every_refused_key_gets_the_same_bytes() {
        let id = RequestId::next();
        let response = |failure| {
            let rejection = Rejection::unrouted(Reason::InvalidKey(failure));
            let (head, body) = rejection.response(&id).unwrap();
            (format!("{:?}", head.headers), body)
        };
        let first = response(KeyFailure::Missing);
        for failure in [
            KeyFailure::Malformed,
            KeyFailure::Unknown,
            KeyFailure::Disabled,
            KeyFailure::NotYetValid,
            KeyFailure::Expired,
        ] {
            assert_eq!(response(failure), first);
        }
    }

    #[test]
    fn a_refusal_is_json_that_an_sdk_reads() {
        let (head, body) = Rejection::unrouted(Reason::NoRoute)
            .response(&RequestId::next())
            .unwrap();
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(head.status, 404);
        assert_eq!(json["error"]["code"], "no_route");
        assert_eq!(json["error"]["type"], "invalid_request_error");
        assert_eq!(
            head.headers[CONTENT_LENGTH],
            body.len().to_string().as_str()
        );
    }
}
