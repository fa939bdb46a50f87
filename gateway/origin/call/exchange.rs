//! The steps of a call on a connection: send the request, read the head, read the body as far as the limit.

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use pingora::http::ResponseHeader;
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::{Error, ErrorType};

use super::error::CallError;
use super::request::CallRequest;

pub(super) async fn send(
    session: &mut HttpSession,
    request: &CallRequest,
) -> Result<(), CallError> {
    let head = request.head().map_err(CallError::Invalid)?;
    session
        .write_request_header(Box::new(head))
        .await
        .map_err(CallError::Exchange)?;
    if !request.body().is_empty() {
        session
            .write_request_body(request.body().clone(), true)
            .await
            .map_err(CallError::Exchange)?;
    }
    session
        .finish_request_body()
        .await
        .map_err(CallError::Exchange)
}

/// The head of the final response. A server may send interim responses before it (RFC 9110, section 15.2), which have no
/// body: Pingora panics if one is read. A switch of protocols, which no call requests, is an error.
pub(super) async fn read_head(session: &mut HttpSession) -> Result<ResponseHeader, CallError> {
    let invalid = || CallError::Exchange(Error::new(ErrorType::InvalidHTTPHeader));
    loop {
        session
            .read_response_header()
            .await
            .map_err(CallError::Exchange)?;
        let head = session.response_header().ok_or_else(invalid)?;
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(invalid());
        }
        if !head.status.is_informational() {
            return Ok(head.clone());
        }
    }
}

/// The body, which may have `limit` bytes.
pub(super) async fn read_body(session: &mut HttpSession, limit: usize) -> Result<Bytes, CallError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = session
        .read_response_body()
        .await
        .map_err(CallError::Exchange)?
    {
        if body.len() + chunk.len() > limit {
            return Err(CallError::TooLarge(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
