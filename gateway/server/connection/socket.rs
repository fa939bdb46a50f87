//! A client's socket as Pingora takes it. Its own has 64 KiB to read into, of which a gateway with ten thousand
//! streams would hold more than half a gigabyte for nothing.

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

/// What is written at once: the head of most responses and what comes with it, a few events.
const WRITE: usize = 2 << 10;
/// What is read at once under TLS, which would read in chunks of 4 KiB. Without, HTTP reads what there is.
const READ_TLS: usize = 16 << 10;

/// A connection of a client.
pub(crate) type Socket = Wire<TcpStream>;

/// Reads ahead and writes in chunks of some size. While there is nothing to be read or written, it holds no memory for
/// it.
#[derive(Debug)]
pub(crate) struct Wire<S: AsyncWrite + Unpin> {
    stream: Gather<S>,
    descriptor: RawFd,
    digest: Arc<SocketDigest>,
    /// Whether more is read than is asked for, so that it need not be asked so often.
    ahead: bool,
    /// What was read, and is to be read again.
    unread: Vec<u8>,
    /// How many of these bytes have been.
    given: usize,
}

impl Socket {
    /// The connection `stream` from `peer`.
    pub(crate) fn plain(stream: TcpStream, peer: SocketAddr) -> Self {
        let descriptor = stream.as_raw_fd();
        Self::new(stream, descriptor, peer, false)
    }

    /// Likewise; TLS follows on it.
    pub(crate) fn private(stream: TcpStream, peer: SocketAddr) -> Self {
        let descriptor = stream.as_raw_fd();
        Self::new(stream, descriptor, peer, true)
    }
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    /// The same, where `read` has been read already and is to be read again.
    pub(crate) fn after(mut self, read: Vec<u8>) -> Self {
        self.unread = read;
        self
    }

    fn new(stream: S, descriptor: RawFd, peer: SocketAddr, ahead: bool) -> Self {
        let digest = SocketDigest::from_raw_fd(descriptor);
        // It is new, and so there is nothing in it.
        let _ = digest.peer_addr.set(Some(socket::SocketAddr::Inet(peer)));
        Self {
            stream: Gather::new(stream),
            descriptor,
            digest: Arc::new(digest),
            ahead,
            unread: Vec::new(),
            given: 0,
        }
    }
}

thread_local! {
    /// Where it is read to: how much there is, is known when it is there.
    static SCRATCH: RefCell<[u8; READ_TLS]> = const { RefCell::new([0; READ_TLS]) };
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Whether the client begins with `expected`. Reads no further than the first byte that differs, so that a client
    /// which says less and waits is not waited for. What was read is read again.
    pub(crate) async fn begins_with(&mut self, expected: &[u8]) -> io::Result<bool> {
        let mut seen = Vec::new();
        let mut byte = [0];
        while expected.starts_with(&seen) && seen.len() < expected.len() {
            if self.read(&mut byte).await? == 0 {
                break;
            }
            seen.extend(byte);
        }
        let begins = seen == expected;
        let given = self.given;
        self.unread.splice(..given, seen);
        self.given = 0;
        Ok(begins)
    }

    fn poll_some(
        &mut self,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = into.remaining();
        let unread = self.unread.get(self.given..).unwrap_or_default();
        if !unread.is_empty() {
            let (fits, _) = unread.split_at(unread.len().min(room));
            into.put_slice(fits);
            self.given += fits.len();
            if self.given == self.unread.len() {
                self.unread = Vec::new();
                self.given = 0;
            }
            return Poll::Ready(Ok(()));
        }
        let stream = Pin::new(&mut self.stream.stream);
        if !self.ahead || room >= READ_TLS {
            return stream.poll_read(context, into);
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let mut read = ReadBuf::new(scratch);
            ready!(stream.poll_read(context, &mut read))?;
            let read = read.filled();
            let (fits, rest) = read.split_at(read.len().min(room));
            into.put_slice(fits);
            self.unread.extend_from_slice(rest);
            Poll::Ready(Ok(()))
        })
    }
}

impl<S: AsyncWrite + Unpin> Drop for Wire<S> {
    /// What was written and not sent yet goes out, if there is room for it.
    fn drop(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        let _ = Pin::new(&mut self.stream).poll_flush(&mut context);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = self.poll_some(context, into);
        if into.filled().len() > before {
            watchdog::with_current(Watchdog::on_read);
        }
        if read.is_pending() && !self.stream.chunks.is_empty() {
            // Pingora flushes a response with a Content-Length only at its end.
            let _ = sent(self.stream.poll_send(context))?;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
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

/// Reports to the watchdog whether the client has room for what is sent: Pingora has no time limit for heads and last
/// chunks.
fn sent<T>(progress: Poll<T>) -> Poll<T> {
    watchdog::with_current(|watchdog| watchdog.on_write(progress.is_ready()));
    progress
}

#[async_trait]
impl<S: AsyncWrite + Unpin + Send> Shutdown for Wire<S> {
    async fn shutdown(&mut self) {
        // Who is gone is not told.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Peek for Wire<S> {}

impl<S: AsyncWrite + Unpin> UniqueID for Wire<S> {
    fn id(&self) -> RawFd {
        self.descriptor
    }
}

impl<S: AsyncWrite + Unpin> Ssl for Wire<S> {}

impl<S: AsyncWrite + Unpin> GetTimingDigest for Wire<S> {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl<S: AsyncWrite + Unpin> GetProxyDigest for Wire<S> {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl<S: AsyncWrite + Unpin> GetSocketDigest for Wire<S> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(self.digest.clone())
    }
}

/// Gathers small chunks that are written, until there is much of them or they are to go. While there are none, which is
/// most of the time of a stream, it holds no memory for them.
#[derive(Debug)]
pub(crate) struct Gather<S> {
    stream: S,
    chunks: Vec<u8>,
    /// How many bytes of the chunks have gone.
    gone: usize,
}

impl<S: AsyncWrite + Unpin> Gather<S> {
    fn new(stream: S) -> Self {
        Self {
            stream,
            chunks: Vec::new(),
            gone: 0,
        }
    }

    /// Sends what was gathered.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(left) = self.chunks.get(self.gone..).filter(|left| !left.is_empty()) {
            match ready!(Pin::new(&mut self.stream).poll_write(context, left))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.gone += count,
            }
        }
        self.chunks = Vec::new();
        self.gone = 0;
        Poll::Ready(Ok(()))
    }

    /// Whether `length` more bytes are to be gathered, and not sent as they are; sends what they leave no room for.
    fn poll_gathers(&mut self, context: &mut Context<'_>, length: usize) -> Poll<io::Result<bool>> {
        if self.chunks.len() + length > WRITE {
            ready!(self.poll_send(context))?;
        }
        let gathers = length < WRITE;
        if gathers && self.chunks.capacity() == 0 {
            self.chunks.reserve_exact(WRITE);
        }
        Poll::Ready(Ok(gathers))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gather<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if ready!(self.poll_gathers(context, bytes.len()))? {
            self.chunks.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        chunks: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = chunks
            .iter()
            .fold(0, |sum: usize, chunk| sum.saturating_add(chunk.len()));
        if ready!(self.poll_gathers(context, length))? {
            for chunk in chunks {
                self.chunks.extend_from_slice(chunk);
            }
            return Poll::Ready(Ok(length));
        }
        Pin::new(&mut self.stream).poll_write_vectored(context, chunks)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// That it is what Pingora takes.
const _: fn(Socket) -> Box<dyn IO> = |socket| Box::new(socket);

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream as Std};

    use super::*;

    fn pair() -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = Std::connect(listener.local_addr().unwrap()).unwrap();
        let (server, peer) = listener.accept().unwrap();
        let tokio = |socket: Std| {
            socket.set_nonblocking(true).unwrap();
            TcpStream::from_std(socket).unwrap()
        };
        (Socket::plain(tokio(server), peer), tokio(client))
    }

    #[tokio::test]
    async fn what_is_looked_at_is_read_again_and_no_more_than_differs_is_waited_for() {
        for (said, begins) in [("012345", true), ("0123456789", true), ("0x", false)] {
            let (mut socket, mut client) = pair();
            client.write_all(said.as_bytes()).await.unwrap();
            for _ in 0..2 {
                assert_eq!(socket.begins_with(b"012345").await.unwrap(), begins);
            }
            let mut chunk = [0; 1];
            socket.read_exact(&mut chunk).await.unwrap();
            assert_eq!(&chunk, b"0");
            client.shutdown().await.unwrap();
            let mut rest = String::new();
            socket.read_to_string(&mut rest).await.unwrap();
            assert_eq!(rest, said[1..]);
        }
        let (mut socket, mut client) = pair();
        client.write_all(b"01").await.unwrap();
        client.shutdown().await.unwrap();
        assert!(!socket.begins_with(b"012345").await.unwrap());
    }

    #[tokio::test]
    async fn what_was_gathered_goes_before_the_client_is_waited_for() {
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
    async fn what_is_gathered_and_read_ahead_arrives_in_order_and_whole_whatever_the_pieces() {
        // There is never room for all of a chunk.
        let (near, far) = tokio::io::duplex(97);
        let peer = ([127, 0, 0, 1], 1).into();
        let (mut writer, mut reader) = (Gather::new(near), Wire::new(far, -1, peer, true));
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
                assert!(!reader.unread.is_empty() || reader.unread.capacity() == 0);
            }
        });
        for (number, chunk) in sent.iter().enumerate() {
            if number % 3 == 0 {
                let half = chunk.split_at(chunk.len() / 2);
                let mut left = [IoSlice::new(half.0), IoSlice::new(half.1)];
                let mut left = &mut left[..];
                while left.iter().any(|chunk| !chunk.is_empty()) {
                    let count = writer.write_vectored(left).await.unwrap();
                    IoSlice::advance_slices(&mut left, count);
                }
            } else {
                writer.write_all(chunk).await.unwrap();
            }
            if number % 7 == 0 {
                writer.flush().await.unwrap();
                assert_eq!(writer.chunks.capacity(), 0);
            }
        }
        writer.shutdown().await.unwrap();
        drop(writer);
        assert!(reading.await.unwrap() == all);
    }

    #[tokio::test]
    async fn large_pieces_go_at_once_and_what_is_left_goes_when_it_is_dropped() {
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
