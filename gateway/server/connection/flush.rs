//! A layer around a client's TLS stream that flushes written bytes before a read waits for the client.
//!
//! Pingora flushes a response with a Content-Length only at its end, and a TLS library buffers what the socket has no
//! room for until the next write or flush. Without this layer, a client that has read everything would wait for the rest
//! of a chunk, and be treated as one that does not read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::server::connection::layer::delegate_io;

/// A stream that flushes written bytes whenever a read has to wait.
#[derive(Debug)]
pub(crate) struct FlushBeforeWait<S> {
    stream: S,
    /// Bytes were written since the last complete flush.
    written: bool,
}

impl<S> FlushBeforeWait<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            written: false,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for FlushBeforeWait<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, into);
        if read.is_pending()
            && self.written
            && let Poll::Ready(Err(error)) = self.as_mut().poll_flush(context)
        {
            return Poll::Ready(Err(error));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FlushBeforeWait<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.written = true;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    // One call for all parts, so that a chunk's size, data and end become one TLS record.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        chunks: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.written = true;
        Pin::new(&mut self.stream).poll_write_vectored(context, chunks)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.written &= flushed.is_pending();
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

delegate_io!(FlushBeforeWait);

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, BufStream};

    use super::*;

    /// Writes a chunk of three parts to `stream` in one call, then reads, which has to wait.
    async fn write_chunk(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> usize {
        let parts = ["5\r\n", "hello", "\r\n"].map(|part| io::IoSlice::new(part.as_bytes()));
        let written = stream.write_vectored(&parts).await.unwrap();
        let mut buffer = [0];
        let mut into = ReadBuf::new(&mut buffer);
        let mut context = Context::from_waker(Waker::noop());
        assert!(
            Pin::new(stream)
                .poll_read(&mut context, &mut into)
                .is_pending()
        );
        written
    }

    #[tokio::test]
    async fn a_vectored_write_is_passed_on_as_one_and_flushed_before_a_read_waits() {
        let (stream, mut other) = tokio::net::UnixStream::pair().unwrap();
        // `BufStream` buffers until it is flushed, like TLS where the socket has no room.
        let mut flushing = FlushBeforeWait::new(BufStream::new(stream));
        assert!(flushing.is_write_vectored());
        assert_eq!(write_chunk(&mut flushing).await, 10);
        let mut read = [0; 10];
        other.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"5\r\nhello\r\n");
    }
}
