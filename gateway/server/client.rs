//! A connection of a client, from its first packet to its end.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;

use pingora_core::apps::{HttpServerApp, ServerApp};
use pingora_core::listeners::tls::Acceptor;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::{ALPN, Peek, Stream};
use pingora_core::server::ShutdownWatch;
use tokio::net::TcpStream;

use super::accept::{Arrival, Serve};
use super::connections::{Connection, Connections};
use super::socket::{Private, Socket};
use crate::proxy::deadline;

/// What Pingora takes for any time: an exchange has a deadline of its own.
const KEEPALIVE: u64 = 0;

/// An application whose connections are counted from their first packet on, and must say something soon.
pub(super) struct Client<A> {
    pub(super) app: Arc<A>,
    /// What makes them private. Pingora's own handshake comes before anything can be counted, and may take a minute.
    pub(super) tls: Option<Arc<Acceptor>>,
    /// Whether HTTP/2 is spoken without TLS.
    pub(super) h2c: bool,
    /// Those that are open.
    pub(super) connections: Arc<Connections>,
    /// What those without a request end by, later than accepting ends.
    pub(super) quiet: Quiet,
}

/// When connections without a request end.
#[derive(Clone)]
pub(super) struct Quiet {
    /// Those of HTTP/1.1, where a request that is on its way is lost.
    pub(super) http1: ShutdownWatch,
    /// Those of HTTP/2, which says what is still answered.
    pub(super) http2: ShutdownWatch,
}

impl<A: HttpServerApp + Send + Sync + 'static> Serve for Client<A> {
    type Permit = Connection;

    fn admit(&self, peer: SocketAddr) -> Option<Connection> {
        self.connections.enter(peer.ip())
    }

    async fn serve(self: Arc<Self>, arrival: Arrival<Connection>) {
        let within = self.connections.live().snapshot().rules.server.client_head;
        let (socket, peer) = (arrival.socket, arrival.peer);
        let work = async {
            let Ok(socket) = TcpStream::from_std(socket) else {
                return;
            };
            // Boxed, for it is large and soon over.
            let Some((stream, http2)) = Box::pin(self.greet(socket, peer)).await else {
                return;
            };
            if http2 {
                self.app.process_new(stream, &self.quiet.http2).await;
            } else {
                deadline::one_by_one(self.http1(stream)).await;
            }
        };
        deadline::connection(arrival.at + within, work).await;
        drop(arrival.permit);
    }
}

impl<A: HttpServerApp + Send + Sync + 'static> Client<A> {
    /// Ends what has no request and none on its way, from when it is time on.
    pub(super) async fn no_more(&self) {
        // Gone is as good as quiet.
        let _ = self.quiet.http1.clone().wait_for(|quiet| *quiet).await;
        self.app.http_cleanup().await;
    }

    /// The stream that HTTP is spoken on, and whether that is HTTP/2.
    async fn greet(&self, socket: TcpStream, peer: SocketAddr) -> Option<(Stream, bool)> {
        if let Some(tls) = &self.tls {
            let stream = self
                .private(tls, Socket::private(socket, peer), peer)
                .await?;
            let http2 = matches!(stream.selected_alpn_proto(), Some(ALPN::H2));
            return Some((stream, http2));
        }
        let mut plain = Socket::plain(socket, peer);
        let mut seen = [0; 24];
        if self.h2c {
            // What is looked at is put back.
            plain.try_peek(&mut seen).await.ok()?;
        }
        Some((Box::new(plain), seen.starts_with(b"PRI * HTTP/2.0")))
    }

    /// The stream behind a TLS handshake.
    async fn private(&self, tls: &Acceptor, socket: Private, peer: SocketAddr) -> Option<Stream> {
        let mut begun = Handshake {
            failures: &self.connections.live().metrics.tls_handshake_failures,
            over: false,
        };
        let done = tls.tls_handshake(socket).await;
        begun.over = done.is_ok();
        match done {
            Ok(stream) => Some(Box::new(stream)),
            Err(error) => {
                // Whoever only looks whether the port is open is no news.
                if !left(&error) {
                    tracing::info!(client = %peer, "TLS handshake: {error}");
                }
                None
            }
        }
    }

    /// One exchange after the other, as Pingora does it.
    async fn http1(&self, stream: Stream) {
        let quiet = &self.quiet.http1;
        let mut session = ServerSession::new_http1(stream);
        session.set_keepalive((!*quiet.borrow()).then_some(KEEPALIVE));
        let options = self.app.server_options();
        session.set_keepalive_reuses_remaining(
            options.and_then(|options| options.keepalive_request_limit),
        );
        while let Some(reused) = self.app.process_new_http(session, quiet).await {
            let (stream, settings) = reused.consume();
            session = ServerSession::new_http1(stream);
            if let Some(settings) = settings {
                settings.apply_to_session(&mut session);
            }
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
