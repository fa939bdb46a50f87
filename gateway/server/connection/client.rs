//! A connection of a client, from its first packet to its end.

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
use crate::runtime::watchdog::{self, ConnectionTimeouts};
use crate::server::connection::boundary::Boundary;
use crate::server::connection::connections::{Connection, Connections};
use crate::server::connection::flush::FlushBeforeWait;
use crate::server::connection::head::{self, Head};
use crate::server::connection::http2;
use crate::server::connection::pace::{Pace, Paced};
use crate::server::connection::socket::Socket;
use crate::server::listen::accept::{Accepted, ConnectionHandler};
use crate::server::listen::proxy_header;

/// What Pingora takes for any time: an exchange has a deadline of its own.
const KEEPALIVE: u64 = 0;

/// What a client sends first to speak HTTP/2 without TLS (RFC 9113, section 3.4), up to where it may not be HTTP/1.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// An application whose connections are counted from their first packet on, and must say something soon.
pub(crate) struct Client<A> {
    pub(crate) app: Arc<A>,
    /// What makes them private. Pingora's own handshake comes before anything can be counted, and may take a minute.
    pub(crate) tls: Option<Arc<Acceptor>>,
    /// Whether HTTP/2 is spoken without TLS.
    pub(crate) h2c: bool,
    /// Those that are open.
    pub(crate) connections: Arc<Connections>,
    /// What those without a request end by, later than accepting ends.
    pub(crate) quiet: IdleShutdown,
}

/// When connections without a request end.
#[derive(Clone)]
pub(crate) struct IdleShutdown {
    /// Those of HTTP/1.1, where a request that is on its way is lost.
    pub(crate) http1: ShutdownWatch,
    /// Those of HTTP/2, which says what is still answered.
    pub(crate) http2: ShutdownWatch,
}

impl<A: HttpServerApp + Send + Sync + 'static> ConnectionHandler for Client<A> {
    type Permit = Connection;

    fn admit(&self, socket: &std::net::TcpStream, peer: SocketAddr) -> Option<Connection> {
        self.connections.admit(socket, peer.ip())
    }

    async fn serve(self: Arc<Self>, arrival: Accepted<Connection>) {
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
            // Boxed, for it is large and soon over.
            match Box::pin(self.handshake(socket, peer, &mut permit)).await {
                Some(Greeted::Http2(stream, pace)) => {
                    let keepalive = self
                        .connections
                        .live()
                        .snapshot()
                        .rules
                        .server
                        .limits
                        .keepalive;
                    let most = http2::Limits {
                        idle: keepalive,
                        requests: self.most_requests().unwrap_or(u32::MAX),
                    };
                    let quiet = self.quiet.http2.clone();
                    Box::pin(http2::serve(&self.app, stream, &pace, most, quiet)).await;
                }
                Some(Greeted::Http1(stream, boundary)) => {
                    let exchanges = self.http1(stream, &boundary, &permit);
                    let exchanges = connection::http1(boundary.clone(), exchanges);
                    watchdog::run_http1(Box::pin(exchanges)).await;
                }
                None => {}
            }
        };
        watchdog::connection(arrival.at + within, Box::pin(work)).await;
        drop(permit);
    }
}

impl<A: HttpServerApp + Send + Sync + 'static> Client<A> {
    /// Ends what has no request and none on its way, from when it is time on.
    pub(crate) async fn drain_idle(&self) {
        // Gone is as good as quiet.
        let _ = self.quiet.http1.clone().wait_for(|quiet| *quiet).await;
        self.app.http_cleanup().await;
    }

    /// The stream that HTTP is spoken on.
    async fn handshake(
        &self,
        mut socket: TcpStream,
        mut peer: SocketAddr,
        place: &mut Connection,
    ) -> Option<Greeted> {
        let mut read = Vec::new();
        if place.begins_with_proxy_header() {
            (peer, read) = proxy_header::read(&mut socket, peer, place).await?;
        }
        if let Some(tls) = &self.tls {
            let socket = Socket::private(socket, peer).after(read);
            return self.private(tls, socket, peer).await;
        }
        let mut plain = Socket::plain(socket, peer).after(read);
        if self.h2c && plain.begins_with(HTTP2_PREFACE).await.ok()? {
            return Some(paced(plain));
        }
        Some(run_http1(plain))
    }

    /// The stream behind a TLS handshake.
    async fn private(&self, tls: &Acceptor, socket: Socket, peer: SocketAddr) -> Option<Greeted> {
        let mut begun = Handshake {
            failures: &self.connections.live().metrics.tls_handshake_failures,
            over: false,
        };
        let done = tls.tls_handshake(socket).await;
        begun.over = done.is_ok();
        match done {
            // The HTTP/2 library flushes by itself.
            Ok(stream) if stream.selected_alpn_proto() == Some(ALPN::H2) => Some(paced(stream)),
            Ok(stream) => Some(run_http1(FlushBeforeWait::new(stream))),
            Err(error) => {
                // Whoever only looks whether the port is open is no news.
                if !left(&error) {
                    tracing::info!(client = %peer, "TLS handshake: {error}");
                }
                None
            }
        }
    }

    /// How many requests a connection may have.
    fn most_requests(&self) -> Option<u32> {
        self.app.server_options()?.keepalive_request_limit
    }

    /// One exchange after the other, as Pingora does it; but what waits for a request is not yet a session of Pingora's,
    /// which takes ten times the memory.
    async fn http1(&self, mut stream: Stream, boundary: &Boundary, place: &Connection) {
        let mut settings = None;
        let mut quiet = self.quiet.http1.clone();
        while let Some(begun) = self.request(&mut stream, boundary, &mut quiet, place).await {
            let Some(reused) = self.exchange(stream, settings, begun).await else {
                return;
            };
            if !boundary.is_passed() {
                return;
            }
            (stream, settings) = reused.consume();
        }
    }

    /// An exchange that has begun on a connection. Not an `async fn`, for that would hold the session's place, too.
    fn exchange(
        &self,
        stream: Stream,
        settings: Option<HttpPersistentSettings>,
        begun: BytesMut,
    ) -> impl Future<Output = Option<ReusedHttpStream>> + Send {
        let mut session = ServerSession::new_http1(stream);
        match settings {
            None => {
                let quiet = *self.quiet.http1.borrow();
                session.set_keepalive((!quiet).then_some(KEEPALIVE));
                // Pingora counts the requests behind the first.
                let reuses = self.most_requests().map(|most| most.saturating_sub(1));
                session.set_keepalive_reuses_remaining(reuses);
            }
            Some(settings) => settings.apply_to_session(&mut session),
        }
        // There is no other one: Pingora sees nothing of what follows a request, or does not use the connection again.
        debug_assert!(!session.pipelining_enabled());
        session.set_pipelined_prefix(begun);
        self.app.process_new_http(session, &self.quiet.http1)
    }

    /// The head of the next request, and what came of its body. Nothing if there is none, or none is wanted.
    async fn request(
        &self,
        stream: &mut Stream,
        boundary: &Boundary,
        quiet: &mut ShutdownWatch,
        place: &Connection,
    ) -> Option<BytesMut> {
        let (patience, limit) = {
            let snapshot = self.connections.live().snapshot();
            let server = &snapshot.rules.server;
            (
                ConnectionTimeouts::from(server),
                server.limits.max_header_bytes,
            )
        };
        watchdog::wait_for_request(patience);
        place.waits();
        let begun = boundary.open();
        if !begun.is_empty() {
            watchdog::heard();
        }
        let head = tokio::select! {
            biased;
            head = head::read(stream, begun, limit) => head?,
            () = place.gives_way() => return None,
            // Gone is as good as quiet.
            _ = quiet.wait_for(|quiet| *quiet) => return None,
        };
        place.responses();
        Some(match head {
            Head::Whole(mut begun) => {
                boundary.begin(&mut begun);
                begun
            }
            Head::Refused(reason, instead) => {
                connection::refuse_next(reason);
                instead
            }
        })
    }
}

/// A stream that HTTP is spoken on.
enum Greeted {
    /// With where its requests end.
    Http1(Stream, Arc<Boundary>),
    /// With how fast it is read.
    Http2(Stream, Arc<Pace>),
}

fn paced(stream: impl IO + 'static) -> Greeted {
    let pace = Pace::new();
    Greeted::Http2(Box::new(Paced::new(stream, pace.clone())), pace)
}

fn run_http1(stream: impl IO + 'static) -> Greeted {
    let (stream, boundary) = Boundary::on(stream);
    Greeted::Http1(Box::new(stream), boundary)
}

impl From<&ServerConfig> for ConnectionTimeouts {
    fn from(server: &ServerConfig) -> Self {
        Self {
            idle: server.limits.keepalive,
            head: server.limits.client_head,
            // Later than Pingora, whose time limit for a chunk of a body makes an orderly end.
            write: server.limits.client_write.mul_f64(1.1),
        }
    }
}

/// One that goes on, or has ended one way or the other: in time, or dropped.
struct Handshake<'m> {
    failures: &'m prometheus::IntCounter,
    over: bool,
}

impl Drop for Handshake<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.failures.inc();
        }
    }
}

/// Whether the other side closed the connection.
fn left(error: &pingora_core::Error) -> bool {
    let cause = error.root_cause().downcast_ref::<io::Error>();
    cause.is_some_and(|cause| {
        matches!(
            cause.kind(),
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
        )
    })
}
