//! A connection of a client, from its first packet to its end.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use memchr::{memchr, memchr_iter};
use pingora_core::apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream, ServerApp};
use pingora_core::listeners::tls::Acceptor;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::{ALPN, Peek, Stream};
use pingora_core::server::ShutdownWatch;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

use super::accept::{Arrival, Serve};
use super::connections::{Connection, Connections};
use super::socket::Socket;
use crate::config::ServerConfig;
use crate::proxy::deadline::{self, Patience};

/// What Pingora takes for any time: an exchange has a deadline of its own.
const KEEPALIVE: u64 = 0;

/// How much is read at a time of a request that begins.
const PIECE: usize = 4 << 10;
/// The rest of a head that is longer, and of a body, is read by Pingora.
const LONG: usize = 16 << 10;

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

    fn admit(&self, socket: &std::net::TcpStream, peer: SocketAddr) -> Option<Connection> {
        self.connections.admit(socket, peer.ip())
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
                deadline::one_by_one(Box::pin(self.http1(stream))).await;
            }
        };
        deadline::connection(arrival.at + within, Box::pin(work)).await;
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
    async fn private(&self, tls: &Acceptor, socket: Socket, peer: SocketAddr) -> Option<Stream> {
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

    /// One exchange after the other, as Pingora does it; but what waits for a request is not yet a session of Pingora's,
    /// which takes ten times the memory.
    async fn http1(&self, mut stream: Stream) {
        let mut settings = None;
        let mut quiet = self.quiet.http1.clone();
        while let Some(begun) = self.request(&mut stream, &mut quiet).await {
            let Some(reused) = self.exchange(stream, settings, begun).await else {
                return;
            };
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
                let limit = self.app.server_options();
                let limit = limit.and_then(|options| options.keepalive_request_limit);
                session.set_keepalive_reuses_remaining(limit);
            }
            Some(settings) => settings.apply_to_session(&mut session),
        }
        // There is no other one: without pipelining, a connection on which more came is not used again.
        debug_assert!(!session.pipelining_enabled());
        session.set_pipelined_prefix(begun);
        self.app.process_new_http(session, &self.quiet.http1)
    }

    /// The beginning of the next request: all of its head, mostly. Nothing if there is none, or none is wanted.
    async fn request(&self, stream: &mut Stream, quiet: &mut ShutdownWatch) -> Option<BytesMut> {
        let patience = Patience::from(&self.connections.live().snapshot().rules.server);
        deadline::wait_for_request(patience);
        tokio::select! {
            biased;
            begun = begin(stream) => begun,
            // Gone is as good as quiet.
            _ = quiet.wait_for(|quiet| *quiet) => None,
        }
    }
}

impl From<&ServerConfig> for Patience {
    fn from(server: &ServerConfig) -> Self {
        Self {
            idle: server.keepalive,
            head: server.client_head,
            // Later than Pingora, whose time limit for a piece of a body makes an orderly end.
            write: server.client_write.mul_f64(1.1),
        }
    }
}

/// Reads a head, and what comes with it. It may not be whole yet if it is long, or cannot become one: what is wrong with
/// it, Pingora says.
async fn begin(stream: &mut (impl AsyncRead + Unpin)) -> Option<BytesMut> {
    let mut begun = BytesMut::new();
    loop {
        let before = begun.len();
        poll_fn(|context| poll_more(stream, &mut begun, context)).await?;
        let empty = begun.iter().take_while(|byte| b"\r\n".contains(byte));
        let head = empty.count();
        let unseen = before.saturating_sub(3).max(head);
        if is_end(begun.get(unseen..).unwrap_or_default()) {
            return Some(begun);
        }
        if begun.len() >= LONG || is_strange(begun.get(head..).unwrap_or_default()) {
            // Pingora reads the rest into what room there is.
            begun.reserve(PIECE);
            return Some(begun);
        }
    }
}

thread_local! {
    /// Where the beginnings of requests are read to: how long one is, is known when it is there.
    static SCRATCH: RefCell<[u8; PIECE]> = const { RefCell::new([0; PIECE]) };
}

/// Reads more; nothing if there is no more.
fn poll_more(
    stream: &mut (impl AsyncRead + Unpin),
    begun: &mut BytesMut,
    context: &mut Context<'_>,
) -> Poll<Option<()>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let mut more = ReadBuf::new(scratch);
        let read = ready!(Pin::new(stream).poll_read(context, &mut more));
        let more = more.filled();
        begun.extend_from_slice(more);
        Poll::Ready((read.is_ok() && !more.is_empty()).then_some(()))
    })
}

/// Whether there is an empty line, however lines end.
fn is_end(text: &[u8]) -> bool {
    memchr_iter(b'\n', text).any(|line_end| {
        let next = text.get(line_end + 1..).unwrap_or_default();
        next.starts_with(b"\n") || next.starts_with(b"\r\n")
    })
}

/// Whether it begins with something else than a request: whoever speaks that is not waited for.
fn is_strange(begun: &[u8]) -> bool {
    if let Some(line) = memchr(b'\n', begun).and_then(|end| begun.get(..end)) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        return !line.ends_with(b" HTTP/1.1") && !line.ends_with(b" HTTP/1.0");
    }
    let mut method = begun.iter().take_while(|byte| **byte != b' ');
    method.any(|byte| byte.is_ascii_control() && *byte != b'\r')
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

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::AsyncWriteExt;

    use super::*;

    /// What is read of `pieces`, and after how many of them.
    async fn begun(pieces: &[&[u8]]) -> (Option<BytesMut>, usize) {
        let (mut client, mut stream) = tokio::io::duplex(2 * LONG);
        let mut reading = Box::pin(begin(&mut stream));
        for (number, piece) in pieces.iter().enumerate() {
            client.write_all(piece).await.unwrap();
            if let Poll::Ready(begun) = poll(&mut reading) {
                return (begun, number + 1);
            }
        }
        drop(client);
        (reading.await, pieces.len() + 1)
    }

    fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
        Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn a_head_is_whole_with_its_empty_line_wherever_it_is_split() {
        for head in [
            "A / HTTP/1.1\r\nb: c\r\n\r\n",
            "\r\n\r\nA / HTTP/1.0\nb: c\n\n",
        ] {
            let head = head.as_bytes();
            for split in 1..head.len() {
                let (first, second) = head.split_at(split);
                let (begun, after) = begun(&[first, second, b"more"]).await;
                assert_eq!((begun.as_deref(), after), (Some(head), 2), "{split}");
            }
        }
    }

    #[tokio::test]
    async fn who_speaks_something_else_and_who_says_too_much_is_not_waited_for() {
        let others: [&[u8]; 4] = [&[0x16, 3, 1], b"GET /\r\n", b"SSH-2.0-x\r\n", b"EHLO x\n"];
        for other in others {
            assert_eq!(begun(&[other, b"more"]).await, (Some(other.into()), 1));
        }
        let long = [b"A / HTTP/1.1\r\nb: ".as_slice(), &vec![b'c'; 2 * LONG]].concat();
        let pieces: Vec<_> = long.chunks(PIECE).collect();
        let (begun, after) = begun(&pieces).await;
        assert_eq!((begun.unwrap().len(), after), (LONG, LONG / PIECE));
    }

    #[tokio::test]
    async fn what_ends_too_early_is_nothing() {
        for piece in ["", "A / HTTP/1.1\r\n", "\r\n\r\n", "A /\x01"] {
            assert_eq!(begun(&[piece.as_bytes()]).await, (None, 2), "{piece:?}");
        }
    }
}
