//! A tunnel through an HTTP proxy, opened by CONNECT: the connection that TLS with the provider runs on.
//!
//! The proxy gets the provider's name and resolves it. It sees nothing else of a request: the provider's certificate is
//! verified as without a proxy. Pingora supports proxies on Unix sockets only, so the connection is made here and handed
//! to Pingora, which keeps it in its pool.

mod error;
mod response;

pub(crate) use self::error::TunnelError;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::net::SocketAddr as StdAddr;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora_core::connectors::L4Connect;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::{Error, ErrorType, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use zeroize::Zeroizing;

use self::response::{Failure, is_open};
use super::egress_proxy::EgressProxy;
use super::egress_proxy::bracketed;
use super::reserve::refuse_reserved;
use super::url::BaseUrl;

/// How to open a tunnel through one proxy to one provider.
pub(crate) struct Tunnel {
    proxy: String,
    target: String,
    /// The CONNECT request in bytes, with the proxy's credentials.
    request: Zeroizing<Vec<u8>>,
    has_token: bool,
    /// For the connection to the proxy, and again for its response.
    timeout: Duration,
}

impl Tunnel {
    /// A tunnel through `proxy` to the host and port of `url`.
    pub(crate) fn new(proxy: &EgressProxy, url: &BaseUrl, timeout: Duration) -> Self {
        let target = format!("{}:{}", bracketed(&url.host), url.port);
        let mut request = Zeroizing::new(Vec::with_capacity(1024));
        request.extend_from_slice(
            format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").as_bytes(),
        );
        if let Some(authorization) = proxy.authorization() {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(authorization.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        Self {
            proxy: proxy.to_string(),
            target,
            request,
            has_token: proxy.authorization().is_some(),
            timeout,
        }
    }

    /// Opens the tunnel on `connection`, a blocking connection to the proxy whose reads have a timeout. The response as a
    /// whole has the tunnel's timeout.
    pub(crate) fn open(&self, connection: &mut (impl Read + Write)) -> Result<(), TunnelError> {
        let (begun, mut received) = (Instant::now(), Vec::new());
        let mut request = || {
            connection.write_all(&self.request)?;
            loop {
                if begun.elapsed() > self.timeout {
                    return Err(Failure::Late(self.timeout));
                }
                let mut chunk = [0; 1024];
                let read = connection.read(&mut chunk)?;
                received.extend(chunk.get(..read).unwrap_or_default());
                if is_open(&received, read == 0)? {
                    return Ok(());
                }
            }
        };
        request().map_err(|failure| self.error(failure))
    }

    async fn request(&self, connection: &mut TcpStream) -> Result<(), Failure> {
        connection.write_all(&self.request).await?;
        let mut received = Vec::with_capacity(1024);
        loop {
            let read = connection.read_buf(&mut received).await?;
            if is_open(&received, read == 0)? {
                return Ok(());
            }
        }
    }

    async fn reach(&self, address: StdAddr) -> Result<TcpStream> {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        };
        let no_socket = |error| Error::because(ErrorType::SocketError, "no socket", error);
        let socket = socket.map_err(no_socket)?;
        refuse_reserved(&socket)?;
        match tokio::time::timeout(self.timeout, socket.connect(address)).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(unreachable(error)),
            Err(late) => Err(Error::because(
                ErrorType::ConnectTimedout,
                "the proxy",
                late,
            )),
        }
    }

    fn error(&self, failure: Failure) -> TunnelError {
        TunnelError {
            proxy: self.proxy.clone(),
            target: self.target.clone(),
            has_token: self.has_token,
            failure,
        }
    }
}

#[async_trait]
impl L4Connect for Tunnel {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let Some(address) = address.as_inet() else {
            return Err(Error::explain(
                ErrorType::InternalError,
                "a proxy has an IP address",
            ));
        };
        let mut connection = self.reach(*address).await?;
        let opened = tokio::time::timeout(self.timeout, self.request(&mut connection)).await;
        let (etype, failure) = match opened {
            Ok(Ok(())) => return Ok(connection.into()),
            Ok(Err(failure)) => (ErrorType::ConnectProxyFailure, failure),
            Err(_) => (ErrorType::ConnectTimedout, Failure::Late(self.timeout)),
        };
        Err(Error::because(
            etype,
            "requesting a tunnel from the proxy",
            self.error(failure),
        ))
    }
}

/// Tunnels with equal hashes share pooled connections: not those of other targets or other credentials.
impl Hash for Tunnel {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.proxy.hash(state);
        self.request.hash(state);
    }
}

/// Leaves out the request, which holds the credentials.
impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tunnel to {} through {}", self.target, self.proxy)
    }
}

fn unreachable(error: io::Error) -> Box<Error> {
    let etype = match error.kind() {
        io::ErrorKind::ConnectionRefused => ErrorType::ConnectRefused,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            ErrorType::ConnectNoRoute
        }
        io::ErrorKind::AddrNotAvailable => ErrorType::BindError,
        _ => ErrorType::ConnectError,
    };
    Error::because(etype, "connecting to the proxy", error)
}

#[cfg(test)]
mod tests;
