//! Requests to the admin listener of a running gateway.
//!
//! Knows where the listener is and nothing of who listens there: `listener` decides whether to believe a response.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use tokio::runtime::Builder;

use crate::admin::limits::{LimitsReport, Wanted};
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

/// What the limits have left of the gateway with this admin listener, and the JSON that it was read from.
pub(super) fn read_limits(
    admin: SocketAddr,
    wanted: &Wanted,
) -> Result<(LimitsReport, Bytes), Error> {
    request(admin, Method::GET, &format!("/limits{}", query(wanted)))
}

/// The query of a request for limits.
fn query(wanted: &Wanted) -> String {
    let numbers = [
        ("rows", wanted.rows.map(|it| it.to_string())),
        ("bytes", wanted.bytes.map(|it| it.to_string())),
    ];
    let texts = [
        ("name", &wanted.name),
        ("scope", &wanted.scope),
        ("key", &wanted.key),
        ("route", &wanted.route),
    ];
    let texts = texts.map(|(name, value)| (name, value.clone()));
    let all = numbers.into_iter().chain(texts);
    let all = all.filter_map(|(name, value)| {
        let value = value?;
        Some(format!(
            "{name}={}",
            utf8_percent_encode(&value, NON_ALPHANUMERIC)
        ))
    });
    let all: Vec<_> = all.collect();
    format!("?{}", all.join("&"))
}

fn request<T: DeserializeOwned>(
    admin: SocketAddr,
    method: Method,
    path: &str,
) -> Result<(T, Bytes), Error> {
    let failed = |why: String| Error::failed(format_args!("read the status from {admin}"), why);
    let response = call(admin, method, path).map_err(|error| failed(why(&error)))?;
    let body = match response.status().as_u16() {
        200 => response.into_body(),
        429 => return Err(failed("it is being probed already".to_owned())),
        404 if path.starts_with("/limits") => {
            return Err(failed("it is an older version, without limits".to_owned()));
        }
        400 | 500 if path.starts_with("/limits") => {
            let why = String::from_utf8_lossy(response.body())
                .trim_end()
                .to_owned();
            return Err(failed(why));
        }
        _ => return Err(failed(NOT_OURS.to_owned())),
    };
    let status = serde_json::from_slice(&body)
        .map_err(|error| Error::failed(format_args!("understand the status of {admin}"), error))?;
    Ok((status, body))
}

const NOT_OURS: &str = "that is not keygate's admin listener";

/// What listens there may be anything: a response that is no HTTP is not keygate's. A connection that broke says nothing
/// about who listens: the gateway may just have ended.
fn why(error: &CallError) -> String {
    match error {
        CallError::Exchange(error) => match error.root_cause().downcast_ref::<io::Error>() {
            Some(broken) => broken.to_string(),
            None => NOT_OURS.to_owned(),
        },
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// Why there is no status where `respond` responds to the request.
    fn failure(respond: impl FnOnce(TcpStream) + Send + 'static) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let admin = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            stream.peek(&mut [0]).unwrap();
            respond(stream);
        });
        let error = read_status(admin).err().unwrap();
        server.join().unwrap();
        error.to_string()
    }

    #[test]
    fn a_foreign_listener_is_told_from_a_connection_that_broke() {
        // Closing with the request unread resets the connection, as the end of a process does.
        let broken = failure(drop);
        assert!(broken.contains("reset by peer"), "{broken}");
        for foreign in [
            "SSH-2.0-canary\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
        ] {
            let error = failure(move |mut stream| {
                let _ = stream.read(&mut [0; 4096]);
                stream.write_all(foreign.as_bytes()).unwrap();
            });
            assert!(error.ends_with(NOT_OURS), "{error}");
        }
    }
}
