//! A connection to an origin, for one exchange.
//!
//! Pingora writes and flushes a request's head before it has the body. Here the head waits for the first bytes of the
//! body, and goes out with them: one send, and over TLS one record. A head without a body is sent at once.
//!
//! Before Pingora keeps a connection for the next request, it tries to read one byte, and keeps one from which nothing
//! comes. This stream reports its end there, so that Pingora drops it, and on that returns the connection to
//! keygate's own pool. No other read of Pingora is that short: `tests/scenes/kept_connections.rs` holds it.
//!
//! Pingora would set a timer for each read. Here the watchdog of the exchange counts the time to the response, without a
//! timer of its own.
//!
//! Pingora reads ahead of the client: up to five chunks, and copies them into one write. Here a read is short, shorter
//! still while the client has no room, and after a full one the client's side has its turn first. So a client that does not
//! read costs the memory of two full reads and four short ones.

use std::fmt;
use std::future::Future as _;
use std::io::{self, IoSlice};
use std::mem;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::BufMut;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    Stream, TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use super::error::ConnectionError;
use super::head::announces_body;
use super::pool::IdlePool;
use crate::runtime::watchdog::{Watchdog, with_current};

/// Where a connection returns to.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) pool: Arc<IdlePool>,
    /// The hash of the peer that it leads to.
    pub(super) peer: u64,
    /// How long it may be idle.
    pub(super) idle_timeout: Duration,
}

/// A connection to an origin, for one exchange.
pub(super) struct OriginStream {
    /// `None` once it was returned.
    connection: Option<Stream>,
    home: Home,
    /// Set if it has served a request before.
    kept: Option<Arc<ProxyDigest>>,
    request: Request,
    /// Whether a byte moved since the wait for the response was noted.
    moved: bool,
    /// Whether the last read was a full one, after which the client's side has its turn.
    was_full: bool,
    /// Whether Pingora wants to keep it.
    reusable: bool,
}

/// How far the request is.
enum Request {
    /// Nothing of it was written.
    NotBegun,
    /// The head waits for the body. Its first `sent` bytes were sent with a part of the body that could not be.
    HeadHeld { head: Vec<u8>, sent: usize },
    /// What is written is sent.
    Passing,
}

/// How much is read at once, in bytes: as much as a TLS record holds.
const READ: usize = 16 << 10;
/// How much is read at once while the client has no room for more.
const READ_WHILE_STALLED: usize = 4 << 10;

/// Buffers that one send takes: the head, and what Pingora writes at once: a chunk's size, the chunk and its end.
const BUFFERS: usize = 4;

impl OriginStream {
    /// Lends `connection` to an exchange. `kept` marks one that has served a request before.
    pub(super) fn new(connection: Stream, home: Home, kept: Option<Arc<ProxyDigest>>) -> Self {
        Self {
            connection: Some(connection),
            home,
            kept,
            request: Request::NotBegun,
            moved: false,
            was_full: false,
            reusable: false,
        }
    }

    fn connection(&mut self) -> io::Result<Pin<&mut Stream>> {
        let connection = self.connection.as_mut();
        let connection = connection.ok_or(io::ErrorKind::NotConnected)?;
        Ok(Pin::new(connection))
    }

    /// Reads no more than is to be read at once.
    fn poll_some(
        &mut self,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let is_stalled = with_current(Watchdog::is_client_stalled).unwrap_or(false);
        let most = if is_stalled { READ_WHILE_STALLED } else { READ };
        let mut connection = self.connection()?;
        if into.remaining() <= most {
            return connection.poll_read(context, into);
        }
        let mut part = BufMut::limit(into, most);
        let read = pin!(connection.read_buf(&mut part));
        read.poll(context).map_ok(drop)
    }

    /// Whether the origin knows nothing of the request yet.
    fn is_unsent(&self) -> bool {
        matches!(self.request, Request::HeadHeld { sent: 0, .. })
    }

    /// Lets the watchdog count the time to the response. Fails if it has passed.
    fn wait(&mut self) -> io::Result<()> {
        let moved = mem::take(&mut self.moved);
        let is_overdue = with_current(|watchdog| {
            if moved {
                watchdog.await_response();
            }
            watchdog.is_response_overdue()
        });
        match is_overdue {
            Some(true) => Err(ConnectionError::Overdue.into()),
            _ => Ok(()),
        }
    }

    /// Sends the rest of the head together with `body`, and returns how much of `body` was sent.
    fn poll_head(
        &mut self,
        context: &mut Context<'_>,
        body: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let connection = self.connection.as_mut();
        let connection = connection.ok_or(io::ErrorKind::NotConnected)?;
        while let Request::HeadHeld { head, sent } = &mut self.request {
            let rest = head.get(*sent..).unwrap_or_default();
            let (all, count) = joined(rest, body);
            let all = all.get(..count).unwrap_or_default();
            let written = ready!(Pin::new(&mut *connection).poll_write_vectored(context, all))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            match written.checked_sub(rest.len()) {
                None => *sent += written,
                Some(of_body) => {
                    self.request = Request::Passing;
                    if of_body > 0 {
                        return Poll::Ready(Ok(of_body));
                    }
                }
            }
        }
        Pin::new(connection).poll_write_vectored(context, body)
    }
}

/// The buffers of one send, and how many they are.
fn joined<'b>(head: &'b [u8], body: &[IoSlice<'b>]) -> ([IoSlice<'b>; BUFFERS], usize) {
    let mut all = [IoSlice::new(&[]); BUFFERS];
    let mut count = 0;
    let buffers = std::iter::once(IoSlice::new(head)).chain(body.iter().copied());
    for (place, buffer) in all.iter_mut().zip(buffers) {
        *place = buffer;
        count += 1;
    }
    (all, count)
}

impl Drop for OriginStream {
    fn drop(&mut self) {
        let returns = self.reusable && matches!(self.request, Request::Passing);
        if let (true, Some(connection)) = (returns, self.connection.take()) {
            let Home {
                pool,
                peer,
                idle_timeout,
            } = &self.home;
            pool.put(*peer, connection, *idle_timeout);
        }
    }
}

impl AsyncRead for OriginStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if into.capacity() == 1 {
            self.reusable = true;
            return Poll::Ready(Ok(()));
        }
        if mem::take(&mut self.was_full) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = into.filled().len();
        let read = self.poll_some(context, into);
        if read.is_pending() {
            self.wait()?;
            return read;
        }
        let count = into.filled().len() - before;
        // What comes on a kept connection before the request is no response to it.
        if self.is_unsent() && (count == 0 || self.kept.is_some()) {
            return Poll::Ready(Err(ConnectionError::Unsent.into()));
        }
        self.was_full = count == READ;
        self.moved = true;
        read
    }
}

impl AsyncWrite for OriginStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.moved = true;
        match &self.request {
            Request::Passing => self.connection()?.poll_write(context, bytes),
            Request::HeadHeld { .. } => self.poll_head(context, &[IoSlice::new(bytes)]),
            Request::NotBegun if announces_body(bytes) => {
                let head = bytes.to_vec();
                self.request = Request::HeadHeld { head, sent: 0 };
                Poll::Ready(Ok(bytes.len()))
            }
            Request::NotBegun => {
                self.request = Request::Passing;
                self.connection()?.poll_write(context, bytes)
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.moved = true;
        if let Request::HeadHeld { .. } = self.request {
            return self.poll_head(context, buffers);
        }
        self.request = Request::Passing;
        self.connection()?.poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        let connection = self.connection.as_ref();
        connection.is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Request::HeadHeld { .. } = self.request {
            // Pingora flushes the head. The body follows, or the exchange fails.
            return Poll::Ready(Ok(()));
        }
        self.connection()?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection()?.poll_shutdown(context)
    }
}

#[async_trait]
impl Shutdown for OriginStream {
    async fn shutdown(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.shutdown().await;
        }
    }
}

#[async_trait]
impl Peek for OriginStream {}

impl UniqueID for OriginStream {
    fn id(&self) -> UniqueIDType {
        self.connection
            .as_ref()
            .map_or(-1, |connection| connection.id())
    }
}

impl Ssl for OriginStream {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.connection.as_ref()?.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.connection.as_ref()?.selected_alpn_proto()
    }
}

impl GetTimingDigest for OriginStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for OriginStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.kept.clone()
    }
}

impl GetSocketDigest for OriginStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.connection.as_ref()?.get_socket_digest()
    }
}

/// The head has the provider's token in it.
impl fmt::Debug for OriginStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OriginStream").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Buf;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::net::UnixStream;

    use super::*;

    const HEAD: &[u8] =
        b"POST /v1 HTTP/1.1\r\nAuthorization: Bearer token\r\nContent-Length: 300\r\n\r\n";
    const PEER: u64 = 7;

    fn home(pool: &Arc<IdlePool>) -> Home {
        Home {
            pool: pool.clone(),
            peer: PEER,
            idle_timeout: Duration::from_secs(60),
        }
    }

    /// A stream to an origin, and the origin's end of it.
    fn to_origin(pool: &Arc<IdlePool>) -> (OriginStream, UnixStream) {
        let (here, there) = UnixStream::pair().unwrap();
        (OriginStream::new(Box::new(here), home(pool), None), there)
    }

    fn narrow(bytes: usize) -> (OriginStream, DuplexStream) {
        let (here, there) = duplex(bytes);
        let home = home(&IdlePool::new(1));
        (OriginStream::new(Box::new(here), home, None), there)
    }

    /// What the origin has received, without waiting for more.
    fn received(origin: &UnixStream) -> Vec<u8> {
        let mut bytes = vec![0; 1 << 20];
        let count = origin.try_read(&mut bytes).unwrap_or(0);
        bytes.truncate(count);
        bytes
    }

    /// The question that Pingora asks before it keeps a connection.
    async fn asks_to_keep(stream: &mut OriginStream) {
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_head_goes_out_with_the_first_bytes_of_its_body() {
        let (mut stream, origin) = to_origin(&IdlePool::new(1));
        origin.writable().await.unwrap();
        stream.write_all(HEAD).await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(received(&origin), b"");
        stream.write_all(&[b'x'; 100]).await.unwrap();
        origin.readable().await.unwrap();
        assert_eq!(received(&origin), [HEAD, &[b'x'; 100]].concat());
        stream.write_all(&[b'y'; 200]).await.unwrap();
        origin.readable().await.unwrap();
        assert_eq!(received(&origin), [b'y'; 200]);
    }

    #[tokio::test]
    async fn a_head_without_a_body_goes_out_at_once() {
        let (mut stream, origin) = to_origin(&IdlePool::new(1));
        let head = b"GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n";
        stream.write_all(head).await.unwrap();
        origin.readable().await.unwrap();
        assert_eq!(received(&origin), head);
    }

    #[tokio::test]
    async fn a_connection_that_takes_few_bytes_at_once_gets_all_of_them_in_order() {
        let body: Vec<u8> = (0..=255).cycle().take(1000).collect();
        for room in [1, 7, HEAD.len() - 1, HEAD.len(), HEAD.len() + 1, 4096] {
            let (mut stream, mut origin) = narrow(room);
            let write = async {
                stream.write_all(HEAD).await.unwrap();
                stream.flush().await.unwrap();
                // As Pingora writes a chunk.
                let mut chunk = Buf::chain(Buf::chain(&b"3E8\r\n"[..], &body[..]), &b"\r\n"[..]);
                stream.write_all_buf(&mut chunk).await.unwrap();
                Shutdown::shutdown(&mut stream).await;
                drop(stream);
            };
            let mut all = Vec::new();
            let ((), read) = tokio::join!(write, origin.read_to_end(&mut all));
            read.unwrap();
            let expected = [HEAD, b"3E8\r\n", &body, b"\r\n"].concat();
            assert!(all == expected, "room for {room}");
        }
    }

    #[tokio::test]
    async fn a_connection_is_kept_only_if_pingora_wants_to_keep_it() {
        let pool = IdlePool::new(1);
        let (mut stream, _origin) = to_origin(&pool);
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        asks_to_keep(&mut stream).await;
        drop(stream);
        let kept = pool.take(PEER).unwrap();
        // One that broke.
        drop(OriginStream::new(kept, home(&pool), None));
        assert!(pool.take(PEER).is_none());
    }

    #[tokio::test]
    async fn a_connection_whose_head_was_not_sent_is_not_kept() {
        let pool = IdlePool::new(1);
        let (mut stream, mut origin) = to_origin(&pool);
        stream.write_all(HEAD).await.unwrap();
        asks_to_keep(&mut stream).await;
        drop(stream);
        assert!(pool.take(PEER).is_none());
        let mut all = Vec::new();
        origin.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"");
    }

    #[tokio::test]
    async fn an_origin_that_closes_while_the_head_waits_knows_nothing_of_the_request() {
        let unsent = |error: io::Error| {
            let inner = error.into_inner().unwrap();
            *inner.downcast::<ConnectionError>().unwrap() == ConnectionError::Unsent
        };
        let mut into = [0; 64];
        let (mut stream, origin) = to_origin(&IdlePool::new(1));
        stream.write_all(HEAD).await.unwrap();
        drop(origin);
        assert!(unsent(stream.read(&mut into).await.unwrap_err()));

        let (mut stream, origin) = to_origin(&IdlePool::new(1));
        stream.write_all(HEAD).await.unwrap();
        stream.write_all(b"body").await.unwrap();
        origin.readable().await.unwrap();
        received(&origin);
        drop(origin);
        assert_eq!(stream.read(&mut into).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn no_read_is_longer_than_a_record() {
        let (mut stream, mut origin) = narrow(1 << 20);
        origin.write_all(&vec![b'x'; 1 << 18]).await.unwrap();
        let mut into = bytes::BytesMut::with_capacity(1 << 18);
        let mut counts = Vec::new();
        while into.len() < 1 << 18 {
            into.reserve(1 << 16);
            counts.push(stream.read_buf(&mut into).await.unwrap());
        }
        assert_eq!(counts, [READ; 16]);
        assert!(into.iter().all(|byte| *byte == b'x'));
    }

    #[tokio::test]
    async fn the_token_in_a_head_that_waits_is_not_printed() {
        let (mut stream, _origin) = to_origin(&IdlePool::new(1));
        stream.write_all(HEAD).await.unwrap();
        assert!(!format!("{stream:?}").contains("token"));
    }
}
