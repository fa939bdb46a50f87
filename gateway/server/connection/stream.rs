//! A client's TCP stream, in the form that Pingora serves.
//!
//! It replaces Pingora's own stream, whose read buffer of 64 KiB would cost a gateway with ten thousand open streams more
//! than half a gigabyte. This one holds memory only while bytes wait to be read or sent.

use std::cell::RefCell;
use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use async_trait::async_trait;
use pingora_core::protocols::l4::socket;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, IO, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use crate::runtime::watchdog::{self, Watchdog};
use crate::server::connection::coalescer::WriteCoalescer;

/// How much is read at a time below TLS, in bytes. The TLS library itself would read 4 KiB at a time; HTTP reads as much
/// as there is.
const READ_TLS: usize = 16 << 10;

/// The TCP stream of a client: reads ahead below TLS, coalesces small writes, and reports both to the watchdog.
#[derive(Debug)]
pub(crate) struct ClientStream<S: AsyncWrite + Unpin = TcpStream> {
    stream: WriteCoalescer<S>,
    descriptor: RawFd,
    digest: Arc<SocketDigest>,
    /// Reads more than the reader requests, to save system calls.
    read_ahead: bool,
    /// Bytes that were read from the socket before the reader requested them.
    buffer: Vec<u8>,
    /// How many bytes of the buffer the reader has taken.
    taken: usize,
}

impl ClientStream {
    /// The stream of a client at `peer` that speaks HTTP directly.
    pub(crate) fn plain(stream: TcpStream, peer: SocketAddr) -> Self {
        let descriptor = stream.as_raw_fd();
        Self::new(stream, descriptor, peer, false)
    }

    /// The stream of a client at `peer` that a TLS handshake follows on.
    pub(crate) fn tls(stream: TcpStream, peer: SocketAddr) -> Self {
        let descriptor = stream.as_raw_fd();
        Self::new(stream, descriptor, peer, true)
    }
}

impl<S: AsyncWrite + Unpin> ClientStream<S> {
    /// Puts `read`, which was read from the socket already, before what is read next.
    pub(crate) fn with_prefix(mut self, read: Vec<u8>) -> Self {
        self.buffer = read;
        self
    }

    fn new(stream: S, descriptor: RawFd, peer: SocketAddr, read_ahead: bool) -> Self {
        let digest = SocketDigest::from_raw_fd(descriptor);
        // Cannot fail: a new digest has no peer address yet.
        let _ = digest.peer_addr.set(Some(socket::SocketAddr::Inet(peer)));
        Self {
            stream: WriteCoalescer::new(stream),
            descriptor,
            digest: Arc::new(digest),
            read_ahead,
            buffer: Vec::new(),
            taken: 0,
        }
    }
}

thread_local! {
    /// A buffer for reads whose length is not known before. Copied from, so that no connection holds one.
    static SCRATCH: RefCell<[u8; READ_TLS]> = const { RefCell::new([0; READ_TLS]) };
}

impl<S: AsyncRead + AsyncWrite + Unpin> ClientStream<S> {
    /// Whether the client sends `expected` first. Reads no further than the first byte that differs: a client that sends
    /// less and waits for a response is not waited for. The bytes read here are read again afterwards.
    pub(crate) async fn starts_with(&mut self, expected: &[u8]) -> io::Result<bool> {
        let mut start = Vec::new();
        let mut byte = [0];
        while expected.starts_with(&start) && start.len() < expected.len() {
            if self.read(&mut byte).await? == 0 {
                break;
            }
            start.extend(byte);
        }
        let is_expected = start == expected;
        let taken = self.taken;
        self.buffer.splice(..taken, start);
        self.taken = 0;
        Ok(is_expected)
    }

    /// Reads from the buffer, or from the socket if the buffer is empty.
    fn poll_buffered(
        &mut self,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = into.remaining();
        let buffered = self.buffer.get(self.taken..).unwrap_or_default();
        if !buffered.is_empty() {
            let (fits, _) = buffered.split_at(buffered.len().min(room));
            into.put_slice(fits);
            self.taken += fits.len();
            if self.taken == self.buffer.len() {
                self.buffer = Vec::new();
                self.taken = 0;
            }
            return Poll::Ready(Ok(()));
        }
        let stream = Pin::new(self.stream.get_mut());
        if !self.read_ahead || room >= READ_TLS {
            return stream.poll_read(context, into);
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let mut ahead = ReadBuf::new(scratch);
            ready!(stream.poll_read(context, &mut ahead))?;
            let read = ahead.filled();
            let (fits, rest) = read.split_at(read.len().min(room));
            into.put_slice(fits);
            self.buffer.extend_from_slice(rest);
            Poll::Ready(Ok(()))
        })
    }
}

impl<S: AsyncWrite + Unpin> Drop for ClientStream<S> {
    /// Sends what is still buffered, if the socket has room for it.
    fn drop(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        let _ = Pin::new(&mut self.stream).poll_flush(&mut context);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for ClientStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = self.poll_buffered(context, into);
        if into.filled().len() > before {
            watchdog::with_current(Watchdog::on_read);
        }
        if read.is_pending() && !self.stream.is_empty() {
            // Pingora flushes a response with a Content-Length only at its end.
            let _ = sent(self.stream.poll_send(context))?;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ClientStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        sent(Pin::new(&mut self.stream).poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        chunks: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        sent(Pin::new(&mut self.stream).poll_write_vectored(context, chunks))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        sent(Pin::new(&mut self.stream).poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        sent(Pin::new(&mut self.stream).poll_shutdown(context))
    }
}

/// Reports to the watchdog whether the client has room for what is sent: Pingora has no time limit for writing heads
/// and last chunks.
fn sent<T>(progress: Poll<T>) -> Poll<T> {
    watchdog::with_current(|watchdog| watchdog.on_write(progress.is_ready()));
    progress
}

#[async_trait]
impl<S: AsyncWrite + Unpin + Send> Shutdown for ClientStream<S> {
    async fn shutdown(&mut self) {
        // An error means that the client has gone.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Peek for ClientStream<S> {}

impl<S: AsyncWrite + Unpin> UniqueID for ClientStream<S> {
    fn id(&self) -> RawFd {
        self.descriptor
    }
}

impl<S: AsyncWrite + Unpin> Ssl for ClientStream<S> {}

impl<S: AsyncWrite + Unpin> GetTimingDigest for ClientStream<S> {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl<S: AsyncWrite + Unpin> GetProxyDigest for ClientStream<S> {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl<S: AsyncWrite + Unpin> GetSocketDigest for ClientStream<S> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(self.digest.clone())
    }
}

/// A compile-time check: the stream is one that Pingora serves.
const _: fn(ClientStream) -> Box<dyn IO> = |stream| Box::new(stream);

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream as Std};

    use super::*;
    use crate::server::connection::coalescer::WRITE;

    fn pair() -> (ClientStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = Std::connect(listener.local_addr().unwrap()).unwrap();
        let (server, peer) = listener.accept().unwrap();
        let tokio = |socket: Std| {
            socket.set_nonblocking(true).unwrap();
            TcpStream::from_std(socket).unwrap()
        };
        (ClientStream::plain(tokio(server), peer), tokio(client))
    }

    #[tokio::test]
    async fn starts_with_reads_up_to_the_first_difference_and_its_bytes_are_read_again() {
        for (sent, starts) in [("012345", true), ("0123456789", true), ("0x", false)] {
            let (mut socket, mut client) = pair();
            client.write_all(sent.as_bytes()).await.unwrap();
            for _ in 0..2 {
                assert_eq!(socket.starts_with(b"012345").await.unwrap(), starts);
            }
            let mut chunk = [0; 1];
            socket.read_exact(&mut chunk).await.unwrap();
            assert_eq!(&chunk, b"0");
            client.shutdown().await.unwrap();
            let mut rest = String::new();
            socket.read_to_string(&mut rest).await.unwrap();
            assert_eq!(rest, sent[1..]);
        }
        let (mut socket, mut client) = pair();
        client.write_all(b"01").await.unwrap();
        client.shutdown().await.unwrap();
        assert!(!socket.starts_with(b"012345").await.unwrap());
    }

    #[tokio::test]
    async fn buffered_writes_are_sent_before_a_read_waits() {
        let (mut socket, mut client) = pair();
        socket.write_all(b"small").await.unwrap();
        let waiting = tokio::spawn(async move { socket.read_u8().await.unwrap() });
        let mut got = [0; 5];
        client.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"small");
        client.write_all(b"x").await.unwrap();
        assert_eq!(waiting.await.unwrap(), b'x');
    }

    #[tokio::test]
    async fn coalesced_writes_and_read_ahead_keep_all_bytes_in_order() {
        // Too small for any chunk as a whole.
        let (near, far) = tokio::io::duplex(97);
        let peer = ([127, 0, 0, 1], 1).into();
        let (mut writer, mut reader) = (
            WriteCoalescer::new(near),
            ClientStream::new(far, -1, peer, true),
        );
        let lengths = (0..400_usize).map(|n| (n * 37) % (2 * WRITE));
        let sent: Vec<Vec<u8>> = lengths
            .enumerate()
            .map(|(n, length)| vec![u8::try_from(n % 251).unwrap(); length])
            .collect();
        let all = sent.concat();
        let reading = tokio::spawn(async move {
            let (mut got, mut chunk) = (Vec::new(), [0; 31]);
            loop {
                match reader.read(&mut chunk).await.unwrap() {
                    0 => return got,
                    count => got.extend_from_slice(&chunk[..count]),
                }
                assert!(!reader.buffer.is_empty() || reader.buffer.capacity() == 0);
            }
        });
        for (number, chunk) in sent.iter().enumerate() {
            if number % 3 == 0 {
                let half = chunk.split_at(chunk.len() / 2);
                let mut halves = [IoSlice::new(half.0), IoSlice::new(half.1)];
                let mut left = &mut halves[..];
                while left.iter().any(|chunk| !chunk.is_empty()) {
                    let count = writer.write_vectored(left).await.unwrap();
                    IoSlice::advance_slices(&mut left, count);
                }
            } else {
                writer.write_all(chunk).await.unwrap();
            }
            if number % 7 == 0 {
                writer.flush().await.unwrap();
                assert_eq!(writer.capacity(), 0);
            }
        }
        writer.shutdown().await.unwrap();
        drop(writer);
        assert!(reading.await.unwrap() == all);
    }

    #[tokio::test]
    async fn large_writes_are_sent_at_once_and_the_rest_when_the_stream_is_dropped() {
        let (mut socket, mut client) = pair();
        let large = vec![b'x'; 3 * WRITE];
        let chunks = [
            IoSlice::new(b"1000\r\n"),
            IoSlice::new(&large),
            IoSlice::new(b"\r\n"),
        ];
        assert!(socket.is_write_vectored());
        let count = socket.write_vectored(&chunks).await.unwrap();
        assert_eq!(count, large.len() + 8);
        socket.write_all(b"end").await.unwrap();
        drop(socket);
        let mut all = Vec::new();
        client.read_to_end(&mut all).await.unwrap();
        assert_eq!(all.len(), large.len() + 11);
        assert!(all.ends_with(b"\r\nend"));
    }
}
