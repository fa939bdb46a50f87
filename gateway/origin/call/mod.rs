//! One bounded request of keygate's own, over HTTP/1.1: to a provider that is probed, a collector, an admin listener.
//!
//! A call has a deadline for everything from connecting to the last byte, and a limit on the response. Redirects are
//! returned and not followed: the destination is the one that the configuration names. How an origin is connected to
//! (TLS, egress proxy, connect timeout) is the [`Endpoint`]'s; what a request or a response means is the caller's.

mod error;
mod exchange;
mod request;

pub(crate) use self::error::CallError;
pub(crate) use self::request::CallRequest;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Response, StatusCode};
use pingora_core::connectors::http::Connector;
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::protocols::http::v1::client::HttpSession as Http1Session;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::upstreams::peer::HttpPeer;
use tokio::net::TcpStream;

use self::exchange::{read_body, read_head, send};
use super::endpoint::Endpoint;

/// The bounds of one call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallLimits {
    /// For the whole call: connections to every address, the request, and the response.
    pub(crate) deadline: Duration,
    /// The largest body of a response, in bytes. A larger one fails the call.
    pub(crate) response_bytes: usize,
}

/// Calls origins, and keeps their connections for the next call.
pub(crate) struct Caller {
    connector: Connector,
}

impl Caller {
    /// A caller without connections. Loads the system's certificates: callers are shared and not made for each call.
    pub(crate) fn new() -> Self {
        Self {
            connector: Connector::new(None),
        }
    }

    /// Sends `request` to `endpoint` and returns the whole response, whatever its status.
    pub(crate) async fn call(
        &self,
        endpoint: &Endpoint,
        request: &CallRequest,
        limits: CallLimits,
    ) -> Result<Response<Bytes>, CallError> {
        in_time(limits.deadline, async {
            let (mut session, peer) = self.connect(endpoint).await?;
            let response = respond(&mut session, request, limits.response_bytes).await?;
            let idle = Some(endpoint.timeouts.pool_idle);
            self.connector
                .release_http_session(session, &*peer, idle)
                .await;
            Ok(response)
        })
        .await
    }

    /// Sends `request` to `endpoint` and returns the status of the response. Its body, of whatever length, is not read:
    /// the connection is closed. `deadline` is for the whole call.
    pub(crate) async fn status(
        &self,
        endpoint: &Endpoint,
        request: &CallRequest,
        deadline: Duration,
    ) -> Result<StatusCode, CallError> {
        in_time(deadline, async {
            let (mut session, _) = self.connect(endpoint).await?;
            send(&mut session, request).await?;
            let status = read_head(&mut session).await?.status;
            session.shutdown().await;
            Ok(status)
        })
        .await
    }

    async fn connect(
        &self,
        endpoint: &Endpoint,
    ) -> Result<(HttpSession, Box<HttpPeer>), CallError> {
        // Boxed: Pingora's connecting future has 19 kB, which every caller's future would have as well.
        Box::pin(endpoint.connect(&self.connector))
            .await
            .map_err(CallError::Connect)?
            .ok_or(CallError::Unresolved)
    }
}

/// Sends `request` to `address` by plain HTTP, over a connection of its own that is closed afterwards.
///
/// For a command that makes one call and ends: unlike a [`Caller`], this loads no certificates.
pub(crate) async fn call_plain(
    address: SocketAddr,
    mut request: CallRequest,
    limits: CallLimits,
) -> Result<Response<Bytes>, CallError> {
    request.set(CONNECTION, HeaderValue::from_static("close"));
    in_time(limits.deadline, async {
        let stream = TcpStream::connect(address).await.map_err(CallError::Io)?;
        call_over(stream.into(), &request, limits.response_bytes).await
    })
    .await
}

/// One call over `stream`, a TCP or Unix socket.
async fn call_over(
    stream: Stream,
    request: &CallRequest,
    response_bytes: usize,
) -> Result<Response<Bytes>, CallError> {
    let mut session = HttpSession::H1(Http1Session::new(Box::new(stream)));
    respond(&mut session, request, response_bytes).await
}

async fn respond(
    session: &mut HttpSession,
    request: &CallRequest,
    response_bytes: usize,
) -> Result<Response<Bytes>, CallError> {
    send(session, request).await?;
    let head = read_head(session).await?;
    let body = read_body(session, response_bytes).await?;
    Ok(Response::from_parts(head.into(), body))
}

async fn in_time<T>(
    deadline: Duration,
    call: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    tokio::time::timeout(deadline, call)
        .await
        .unwrap_or(Err(CallError::TimedOut(deadline)))
}

#[cfg(test)]
mod tests;
