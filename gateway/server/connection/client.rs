//! Serves a client connection from its first packet to its end: PROXY protocol header, TLS handshake, choice of the HTTP
//! version, and the requests of HTTP/1.1. Those of HTTP/2 are in `http2`.
//!
//! Knows time limits and connection limits. It leaves requests to an [`HttpServerApp`], without looking into them.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use pingora_core::apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream};
use pingora_core::listeners::tls::Acceptor;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::{ALPN, IO, Ssl, Stream};
use pingora_core::server::ShutdownWatch;
use tokio::net::TcpStream;

use crate::config::ServerConfig;
use crate::proxy::connection;
use crate::runtime::watchdog::{self, ConnectionTimeouts, Watchdog};
use crate::server::connection::boundary::Boundary;
use crate::server::connection::bounded_stream::BoundedStream;
use crate::server::connection::count::{ConnectionPermit, OpenConnections};
use crate::server::connection::flush::FlushBeforeWait;
use crate::server::connection::handler::{Accepted, ConnectionHandler};
use crate::server::connection::head::{self, Head};
use crate::server::connection::http2;
use crate::server::connection::proxy_header;
use crate::server::connection::stream::ClientStream;
use crate::server::connection::throttle::{Throttle, ThrottledStream};

/// Keep-alive without a time limit, in Pingora's terms: the watchdog limits how long a connection is idle.
const KEEPALIVE: u64 = 0;

/// The start of HTTP/2's connection preface (RFC 9113, section 3.4), as long as no HTTP/1 request can start with it.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// Serves client connections for the application `app`. Connections are counted from their first packet on.
pub(crate) struct ClientHandler<A> {
    pub(crate) app: Arc<A>,
    /// TLS acceptor; `None` without TLS. The handshake runs here because Pingora's happens before a connection is counted,
    /// with a time limit of one minute.
    pub(crate) tls: Option<Arc<Acceptor>>,
    /// Accept HTTP/2 without TLS as well.
    pub(crate) h2c: bool,
    /// Counts and limits the open connections.
    pub(crate) connections: Arc<OpenConnections>,
    /// Closes idle connections, some time after the server stopped accepting.
    pub(crate) idle_shutdown: IdleShutdown,
}

/// Turns true when connections without a request are to be closed.
#[derive(Clone)]
pub(crate) struct IdleShutdown {
    /// For HTTP/1.1. Closing loses a request that is on its way.
    pub(crate) http1: ShutdownWatch,
    /// For HTTP/2, which can be closed earlier: GOAWAY says which requests are still served.
    pub(crate) http2: ShutdownWatch,
}

impl<A: HttpServerApp + Send + Sync + 'static> ConnectionHandler for ClientHandler<A> {
    type Permit = ConnectionPermit;

    fn admit(&self, socket: &std::net::TcpStream, peer: SocketAddr) -> Option<ConnectionPermit> {
        self.connections.admit(socket, peer.ip())
    }

    async fn serve(self: Arc<Self>, arrival: Accepted<ConnectionPermit>) {
        let within = self
            .connections
            .live()
            .snapshot()
            .rules
            .server
            .limits
            .client_head;
        let (socket, peer, mut permit) = (arrival.socket, arrival.peer, arrival.permit);
        let work = async {
            let Ok(socket) = TcpStream::from_std(socket) else {
                return;
            };
            // Boxed: its state is large, and the connection outlives it.
            match Box::pin(self.handshake(socket, peer, &mut permit)).await {
                Some(Negotiated::Http2(stream, throttle)) => {
                    let keepalive = self
                        .connections
                        .live()
                        .snapshot()
                        .rules
                        .server
                        .limits
                        .keepalive;
                    let limits = http2::Limits {
                        idle: keepalive,
                        requests: self.max_requests().unwrap_or(u32::MAX),
                    };
                    let drain = self.idle_shutdown.http2.clone();
                    Box::pin(http2::serve(&self.app, stream, &throttle, limits, drain)).await;
                }
                Some(Negotiated::Http1(stream, boundary)) => {
                    let watchdog = Watchdog::new();
                    let exchanges = self.http1(stream, &boundary, &permit, &watchdog);
                    let exchanges = connection::http1(boundary.clone(), exchanges);
                    watchdog::run_http1(watchdog.clone(), Box::pin(exchanges)).await;
                }
                None => {}
            }
        };
        watchdog::run_connection(arrival.at + within, Box::pin(work)).await;
        drop(permit);
    }
}

impl<A: HttpServerApp + Send + Sync + 'static> ClientHandler<A> {
    /// Waits until idle connections are to be closed, then closes what the application holds of them.
    pub(crate) async fn drain_idle(&self) {
        // A closed channel means shutdown, too.
        let mut drain = self.idle_shutdown.http1.clone();
        let _ = drain.wait_for(|begun| *begun).await;
        self.app.http_cleanup().await;
    }

    /// Everything before the first request: PROXY protocol header, TLS handshake, HTTP version. `None` if the connection
    /// is closed.
    async fn handshake(
        &self,
        mut socket: TcpStream,
        mut peer: SocketAddr,
        permit: &mut ConnectionPermit,
    ) -> Option<Negotiated> {
        let mut prefix = Vec::new();
        if permit.expects_proxy_header() {
            (peer, prefix) = proxy_header::read(&mut socket, peer, permit).await?;
        }
        if let Some(tls) = &self.tls {
            let stream = ClientStream::tls(socket, peer).with_prefix(prefix);
            return self.tls_handshake(tls, stream, peer).await;
        }
        let mut stream = ClientStream::plain(socket, peer).with_prefix(prefix);
        if self.h2c && stream.starts_with(HTTP2_PREFACE).await.ok()? {
            return Some(Negotiated::http2(stream));
        }
        Some(Negotiated::http1(stream))
    }

    /// Performs the TLS handshake on `stream`. `None` if it fails, which is counted.
    async fn tls_handshake(
        &self,
        tls: &Acceptor,
        stream: ClientStream,
        peer: SocketAddr,
    ) -> Option<Negotiated> {
        let mut handshake = Handshake {
            failures: &self.connections.live().metrics.tls_handshake_failures,
            succeeded: false,
        };
        let outcome = tls.tls_handshake(stream).await;
        handshake.succeeded = outcome.is_ok();
        match outcome {
            // The HTTP/2 library flushes by itself.
            Ok(stream) if stream.selected_alpn_proto() == Some(ALPN::H2) => {
                Some(Negotiated::http2(stream))
            }
            Ok(stream) => Some(Negotiated::http1(FlushBeforeWait::new(stream))),
            Err(error) => {
                // The client closed the connection, as a port check does: not worth a log line.
                if !is_disconnect(&error) {
                    tracing::info!(client = %peer, "TLS handshake: {error}");
                }
                None
            }
        }
    }

    /// How many requests a connection may carry.
    fn max_requests(&self) -> Option<u32> {
        self.app.server_options()?.keepalive_request_limit
    }

    /// Serves one exchange after the other, as Pingora's own loop does. But a connection that waits for a request is no
    /// session of Pingora's yet, which would take ten times the memory.
    async fn http1(
        &self,
        mut stream: Stream,
        boundary: &Boundary,
        permit: &ConnectionPermit,
        watchdog: &Watchdog,
    ) {
        let mut settings = None;
        let mut drain = self.idle_shutdown.http1.clone();
        while let Some(begun) = self
            .request(&mut stream, boundary, &mut drain, permit, watchdog)
            .await
        {
            let Some(reused) = self.exchange(stream, settings, begun).await else {
                return;
            };
            if !boundary.allows_next() {
                return;
            }
            (stream, settings) = reused.consume();
        }
    }

    /// Serves the exchange whose request starts with `begun`. Not an `async fn`: its future would hold the session a second
    /// time.
    fn exchange(
        &self,
        stream: Stream,
        settings: Option<HttpPersistentSettings>,
        begun: BytesMut,
    ) -> impl Future<Output = Option<ReusedHttpStream>> + Send {
        let mut session = ServerSession::new_http1(stream);
        match settings {
            None => {
                let draining = *self.idle_shutdown.http1.borrow();
                session.set_keepalive((!draining).then_some(KEEPALIVE));
                // Pingora counts the requests after the first.
                let reuses = self.max_requests().map(|most| most.saturating_sub(1));
                session.set_keepalive_reuses_remaining(reuses);
            }
            Some(settings) => settings.apply_to_session(&mut session),
        }
        // No prefix can be set yet: Pingora reads nothing past a request's end, or does not reuse the connection.
        debug_assert!(!session.pipelining_enabled());
        session.set_pipelined_prefix(begun);
        self.app
            .process_new_http(session, &self.idle_shutdown.http1)
    }

    /// Reads the head of the next request, and the bytes of its body that arrive with it. `None` if the client closes the
    /// connection, or the server does because it is idle.
    async fn request(
        &self,
        stream: &mut Stream,
        boundary: &Boundary,
        drain: &mut ShutdownWatch,
        permit: &ConnectionPermit,
        watchdog: &Watchdog,
    ) -> Option<BytesMut> {
        let (timeouts, limit) = {
            let snapshot = self.connections.live().snapshot();
            let server = &snapshot.rules.server;
            (
                ConnectionTimeouts::from(server),
                server.limits.max_header_bytes,
            )
        };
        watchdog.wait_for_request(timeouts);
        permit.mark_idle();
        let begun = boundary.take_next();
        if !begun.is_empty() {
            watchdog.on_read();
        }
        let head = tokio::select! {
            biased;
            head = head::read(stream, begun, limit) => head?,
            () = permit.evicted() => return None,
            // A closed channel means shutdown, too.
            _ = drain.wait_for(|begun| *begun) => return None,
        };
        permit.mark_busy();
        Some(match head {
            Head::Whole(mut begun) => {
                boundary.start_request(&mut begun);
                begun
            }
            Head::Refused(reason, replacement) => {
                connection::refuse_next(reason);
                replacement
            }
        })
    }
}

/// A stream whose HTTP version is known, with what controls its reading.
enum Negotiated {
    /// The boundary keeps its requests apart.
    Http1(Stream, Arc<Boundary>),
    /// The throttle slows reading until a key is verified.
    Http2(Stream, Arc<Throttle>),
}

impl Negotiated {
    fn http1(stream: impl IO + 'static) -> Self {
        let (stream, boundary) = BoundedStream::new(stream);
        Self::Http1(Box::new(stream), boundary)
    }

    fn http2(stream: impl IO + 'static) -> Self {
        let throttle = Throttle::new();
        let stream = ThrottledStream::new(stream, throttle.clone());
        Self::Http2(Box::new(stream), throttle)
    }
}

impl From<&ServerConfig> for ConnectionTimeouts {
    fn from(server: &ServerConfig) -> Self {
        Self {
            idle: server.limits.keepalive,
            head: server.limits.client_head,
            // Later than Pingora's own time limit for writing a body chunk, which ends an exchange in order.
            write: server.limits.client_write.mul_f64(1.1),
        }
    }
}

/// Counts a TLS handshake as failed if it does not succeed before it is dropped, as a time limit does.
struct Handshake<'m> {
    failures: &'m prometheus::IntCounter,
    succeeded: bool,
}

impl Drop for Handshake<'_> {
    fn drop(&mut self) {
        if !self.succeeded {
            self.failures.inc();
        }
    }
}

/// Whether the peer closed the connection.
fn is_disconnect(error: &pingora_core::Error) -> bool {
    let cause = error.root_cause().downcast_ref::<io::Error>();
    cause.is_some_and(|cause| {
        matches!(
            cause.kind(),
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
        )
    })
}
