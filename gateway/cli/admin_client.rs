//! Requests to the admin listener of a running gateway.
//!
//! Knows where the listener is and nothing of who listens there: `listener` decides whether to believe a response.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Response};
use tokio::runtime::Builder;

use crate::admin::status::Status;
use crate::error::Error;
use crate::origin::{CallError, CallLimits, CallRequest, call_plain};

/// Longer than a probe takes; and the size of a status of more routes than there will be.
const LIMITS: CallLimits = CallLimits {
    deadline: Duration::from_secs(30),
    response_bytes: 256 << 20,
};

/// The status of the gateway with this admin listener, and the JSON that it was read from.
pub(super) fn read_status(admin: SocketAddr) -> Result<(Status, Bytes), Error> {
    request(admin, Method::GET, "/status")
}

/// The status as above, after the gateway has probed its providers.
pub(super) fn probe(admin: SocketAddr) -> Result<(Status, Bytes), Error> {
    request(admin, Method::POST, "/probe")
}

fn request(admin: SocketAddr, method: Method, path: &str) -> Result<(Status, Bytes), Error> {
    let failed = |why: String| Error::failed(format_args!("read the status from {admin}"), why);
    let response = call(admin, method, path).map_err(|error| failed(why(&error)))?;
    let body = match response.status().as_u16() {
        200 => response.into_body(),
        429 => return Err(failed("it is being probed already".to_owned())),
        _ => return Err(failed(NOT_OURS.to_owned())),
    };
    let status = serde_json::from_slice(&body)
        .map_err(|error| Error::failed(format_args!("understand the status of {admin}"), error))?;
    Ok((status, body))
}

const NOT_OURS: &str = "that is not keygate's admin listener";

/// What listens there may be anything: a response that is no HTTP is not keygate's.
fn why(error: &CallError) -> String {
    match error {
        CallError::Exchange(_) => NOT_OURS.to_owned(),
        other => other.to_string(),
    }
}

/// The call, on a runtime of this thread that ends with it.
fn call(admin: SocketAddr, method: Method, path: &str) -> Result<Response<Bytes>, CallError> {
    let host = HeaderValue::try_from(admin.to_string()).unwrap_or(HeaderValue::from_static(""));
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CallError::Io)?;
    runtime.block_on(call_plain(
        admin,
        CallRequest::new(method, host, path),
        LIMITS,
    ))
}
