//! A client's stream that is read up to the end of the current request, and no further.
//!
//! Only where the [`Boundary`] permits it are bytes of the next request read ahead, and when the connection closes,
//! what the client still sends is read and dropped.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::server::connection::boundary::{
    Boundary, CHUNKED, HELD, Kept, LAST, OPEN, OVER, SWITCHED, TUNNEL,
};
use crate::server::connection::layer::{delegate_io, delegate_writes};

/// How much of the next request is read ahead while a request is served, in bytes. Reading ahead notices a client that
/// closes the connection.
const MAX_AHEAD: usize = 4 << 10;
/// How much is read at a time, in bytes.
const READ: usize = 1 << 10;
/// How much of what a client still sends is read when the connection closes, in bytes, and for how long.
const MAX_DISCARDED: usize = 2 << 20;
const DISCARD_TIME: Duration = Duration::from_secs(2);

/// A stream that is read up to its [`Boundary`].
#[derive(Debug)]
pub(crate) struct BoundedStream<S> {
    stream: S,
    boundary: Arc<Boundary>,
    /// Set once the connection closes. Boxed: most connections never need it.
    discard: Option<Box<Discard>>,
}

/// How much longer the client of a closing connection is read, so that it can read the response.
#[derive(Debug)]
struct Discard {
    timer: Pin<Box<Sleep>>,
    remaining: usize,
}

impl<S> BoundedStream<S> {
    /// Bounds `stream`. No request has started on it.
    pub(crate) fn new(stream: S) -> (Self, Arc<Boundary>) {
        let boundary = Arc::new(Boundary::new());
        let bounded = Self {
            stream,
            boundary: boundary.clone(),
            discard: None,
        };
        (bounded, boundary)
    }

    /// Finds the end of a chunked body in what was read into `read` after its first `before` bytes, and keeps the bytes
    /// behind that end for the next request.
    fn split_chunks(&self, read: &mut ReadBuf<'_>, before: usize) {
        let arrived = read.filled().get(before..).unwrap_or_default();
        let Some(end) = self.boundary.read_chunks(arrived) else {
            return;
        };
        let next = arrived.get(end..).unwrap_or_default();
        self.boundary.kept().next.extend_from_slice(next);
        read.set_filled(before + end);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> BoundedStream<S> {
    /// Reads ahead into what is kept of the next request. Ready only at the end of the stream.
    fn poll_ahead(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut kept = self.boundary.kept();
        while kept.next.len() < MAX_AHEAD {
            let mut scratch = [0; READ];
            let mut read = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            kept.next.extend_from_slice(read.filled());
        }
        drop(kept);
        // No waker is registered for reading: the rest is read after this exchange. Written bytes are flushed, as
        // everywhere that a read has to wait.
        match Pin::new(&mut self.stream).poll_flush(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> BoundedStream<S> {
    /// Reads a body that is held for its exchange.
    fn poll_held(
        &mut self,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut kept = self.boundary.kept();
        let Kept { next, held, .. } = &mut *kept;
        let Some(held) = held else {
            return Poll::Ready(Ok(()));
        };
        ready!(held.poll_read(&mut self.stream, context, into, next))?;
        if held.is_over() {
            kept.held = None;
            self.boundary.set(0);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads and drops what the client still sends. Closing a socket with unread bytes resets the connection, and the
    /// reset can overtake the end of the response.
    fn poll_discard(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(discard) = &mut self.discard else {
            return Poll::Ready(Ok(()));
        };
        while discard.remaining > 0 && discard.timer.as_mut().poll(context).is_pending() {
            let mut scratch = [0; READ];
            let mut read = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut read))?;
            discard.remaining = match read.filled().len() {
                0 => 0,
                read => discard.remaining.saturating_sub(read),
            };
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for BoundedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let remaining = self.boundary.remaining();
        if remaining == 0 || remaining == OVER {
            return self.poll_ahead(context);
        }
        if remaining == HELD {
            return self.poll_held(context, into);
        }
        if remaining == SWITCHED {
            if self.boundary.read_kept(into) {
                return Poll::Ready(Ok(()));
            }
            self.boundary.set(TUNNEL);
        }
        if remaining < HELD && self.boundary.read_begun(into) {
            return Poll::Ready(Ok(()));
        }
        let room = usize::try_from(remaining).unwrap_or(usize::MAX);
        if room >= into.remaining() {
            let before = into.filled().len();
            ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
            match remaining {
                OPEN | LAST | SWITCHED | TUNNEL => {}
                CHUNKED => self.split_chunks(into, before),
                _ => self
                    .boundary
                    .subtract((into.filled().len() - before) as u64),
            }
            return Poll::Ready(Ok(()));
        }
        let mut part = ReadBuf::new(into.initialize_unfilled_to(room));
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut part))?;
        let read = part.filled().len();
        into.advance(read);
        self.boundary.subtract(read as u64);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for BoundedStream<S> {
    delegate_writes!();

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.discard.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            if !self.boundary.may_have_unread() {
                return Poll::Ready(Ok(()));
            }
            self.discard = Some(Box::new(Discard {
                timer: Box::pin(tokio::time::sleep(DISCARD_TIME)),
                remaining: MAX_DISCARDED,
            }));
        }
        self.poll_discard(context)
    }
}

delegate_io!(BoundedStream);

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use bytes::BytesMut;
    use prometheus::IntGauge;
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::limit::held_bodies::HeldBodies;
    use crate::proxy::connection::{Requests as _, Unread};
    use crate::server::connection::head::{self, Head};

    #[tokio::test]
    async fn a_vectored_write_is_passed_on_as_one() {
        let (stream, _other) = tokio::net::UnixStream::pair().unwrap();
        let (mut bounded, _) = BoundedStream::new(stream);
        assert!(bounded.is_write_vectored());
        let parts = ["5\r\n", "hello", "\r\n"].map(|part| io::IoSlice::new(part.as_bytes()));
        assert_eq!(bounded.write_vectored(&parts).await.unwrap(), 10);
    }

    /// Reads requests from `stream` until it ends, each with a buffer of `size` bytes. Like Pingora, it reads on after
    /// each of them, and finds nothing.
    async fn requests(stream: impl AsyncRead + AsyncWrite + Unpin, size: usize) -> Vec<Vec<u8>> {
        let (mut stream, boundary) = BoundedStream::new(stream);
        let mut requests = Vec::new();
        while let Some(Head::Whole(mut request)) =
            head::read(&mut stream, boundary.take_next(), 1 << 20).await
        {
            boundary.start_request(&mut request);
            while boundary.remaining() != 0 {
                let mut buffer = vec![0; size];
                let read = stream.read(&mut buffer).await.unwrap();
                assert!(read > 0);
                request.extend_from_slice(&buffer[..read]);
            }
            let mut behind = [0; 8];
            let reading = tokio::time::timeout(std::time::Duration::ZERO, stream.read(&mut behind));
            assert!(!matches!(reading.await, Ok(Ok(1..))));
            assert!(boundary.allows_next());
            requests.push(request.to_vec());
        }
        requests
    }

    /// Reads requests like [`requests`], but holds each body of which not all came with the head.
    async fn held_requests(
        stream: impl AsyncRead + AsyncWrite + Unpin,
        stand_ins: usize,
    ) -> Vec<Vec<u8>> {
        let gauge = IntGauge::new("held", "held").unwrap();
        let all = HeldBodies::new(gauge.clone());
        let (mut stream, boundary) = BoundedStream::new(stream);
        let mut requests = Vec::new();
        let mut buffer = [0; 8];
        while let Some(Head::Whole(mut request)) =
            head::read(&mut stream, boundary.take_next(), 1 << 20).await
        {
            boundary.start_request(&mut request);
            if let Unread::Bytes(length) = boundary.unread() {
                boundary.hold(stand_ins, all.take(length, u64::MAX).unwrap());
                let whole = poll_fn(|context| {
                    let mut into = ReadBuf::new(&mut buffer);
                    let read = Pin::new(&mut stream).poll_read(context, &mut into);
                    assert!(read.is_pending());
                    boundary.take_held().map_or(Poll::Pending, Poll::Ready)
                });
                request.extend_from_slice(&whole.await);
                for _ in 0..stand_ins {
                    assert!(!boundary.allows_next());
                    assert_eq!(stream.read(&mut buffer).await.unwrap(), 1);
                }
            }
            while boundary.remaining() != 0 {
                let read = stream.read(&mut buffer).await.unwrap();
                assert!(read > 0);
                request.extend_from_slice(&buffer[..read]);
            }
            assert!(boundary.allows_next() && gauge.get() == 0);
            requests.push(request.to_vec());
        }
        requests
    }

    /// A stream that `sent` was written to, with its first request begun.
    async fn begun(sent: &str) -> (BoundedStream<tokio::io::DuplexStream>, Arc<Boundary>) {
        let (mut client, stream) = tokio::io::duplex(1 << 10);
        client.write_all(sent.as_bytes()).await.unwrap();
        drop(client);
        let (mut stream, boundary) = BoundedStream::new(stream);
        let head = head::read(&mut stream, BytesMut::new(), 1 << 20).await;
        let Some(Head::Whole(mut begun)) = head else {
            panic!("{head:?}");
        };
        boundary.start_request(&mut begun);
        (stream, boundary)
    }

    #[tokio::test]
    async fn no_request_follows_one_with_trailers() {
        let sent = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\na: b\r\n\r\nGET / HTTP/1.1\r\n\r\n";
        let (mut stream, boundary) = begun(sent).await;
        let mut buffer = [0; 100];
        while boundary.remaining() != OVER {
            assert!(stream.read(&mut buffer).await.unwrap() > 0);
        }
        assert!(boundary.nothing_follows() && !boundary.allows_next());
        // The client's close is noticed.
        assert_eq!(stream.read(&mut buffer).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_keeps_sending_after_the_last_request_is_read_for_a_while() {
        let (mut client, stream) = tokio::io::duplex(1 << 10);
        let (mut stream, boundary) = BoundedStream::new(stream);
        let start = tokio::time::Instant::now();
        let mut sent = BytesMut::from("GET / HTTP/1.1\r\n\r\n");
        boundary.start_request(&mut sent);
        stream.shutdown().await.unwrap();
        assert!(start.elapsed().is_zero());
        sent.extend_from_slice(b"GET /more HTTP/1.1\r\n");
        boundary.start_request(&mut sent);
        let (ended, ()) = tokio::join!(stream.shutdown(), async {
            client.write_all(&[b'a'; 4 << 10]).await.unwrap();
        });
        ended.unwrap();
        assert_eq!(start.elapsed(), DISCARD_TIME);
    }

    #[tokio::test]
    async fn bytes_sent_before_a_protocol_switch_are_read_after_it() {
        let (mut stream, boundary) =
            begun("GET / HTTP/1.1\r\nUpgrade: x\r\n\r\nnew protocol").await;
        let mut probe = [0];
        let reading =
            tokio::time::timeout(std::time::Duration::from_millis(1), stream.read(&mut probe));
        assert!(!matches!(reading.await, Ok(Ok(1..))));
        boundary.switch();
        let mut read = String::new();
        assert_eq!(stream.read(&mut probe).await.unwrap(), 1);
        stream.read_to_string(&mut read).await.unwrap();
        assert_eq!((probe, read.as_str()), (*b"n", "ew protocol"));
    }

    fn request() -> impl Strategy<Value = String> {
        let head = "POST /p HTTP/1.1\r\nHost: h\r\n";
        let body = prop::collection::vec("[a\r\n0;]{1,40}", 0..4);
        (0..3, body).prop_map(move |(kind, parts)| match kind {
            0 => format!("{head}\r\n"),
            1 => {
                let body = parts.concat();
                format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
            }
            _ => {
                let chunks: Vec<String> = parts
                    .iter()
                    .map(|part| format!("{:x};x\r\n{part}\r\n", part.len()))
                    .collect();
                let body = chunks.concat();
                format!("{head}Transfer-Encoding: chunked\r\n\r\n{body}0\r\n\r\n")
            }
        })
    }

    /// What `reading` reads of requests that a client sends in chunks of `cut` bytes.
    fn read_of<R: Future<Output = Vec<Vec<u8>>>>(
        sent: &[String],
        cut: usize,
        reading: impl FnOnce(tokio::io::DuplexStream) -> R,
    ) -> Vec<String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let read = runtime.block_on(async {
            let (mut client, stream) = tokio::io::duplex(64);
            let all = sent.concat();
            let writing = async move {
                for chunk in all.as_bytes().chunks(cut) {
                    client.write_all(chunk).await.unwrap();
                }
            };
            tokio::join!(reading(stream), writing).0
        });
        let texts = read.into_iter().map(|it| String::from_utf8(it).unwrap());
        texts.collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        /// However they are cut on the way, and however large the buffers that they are read into.
        #[test]
        fn pipelined_requests_are_separated(
            sent in prop::collection::vec(request(), 1..6),
            cut in 1_usize..200,
            size in 1_usize..100,
        ) {
            prop_assert_eq!(read_of(&sent, cut, |stream| requests(stream, size)), sent);
        }

        /// The same with held bodies.
        #[test]
        fn pipelined_requests_with_held_bodies_are_separated(
            sent in prop::collection::vec(request(), 1..6),
            cut in 1_usize..200,
            stand_ins in 1_usize..4,
        ) {
            prop_assert_eq!(read_of(&sent, cut, |stream| held_requests(stream, stand_ins)), sent);
        }
    }
}
