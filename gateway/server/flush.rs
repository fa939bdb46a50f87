//! A client's TLS stream that sends what was written to it before it waits for the client.
//!
//! Pingora flushes a response with a Content-Length only at its end, and a TLS library keeps what the socket had no
//! room for until it is written to or flushed again. Without this, a client that has read all there is would wait for
//! the rest of a chunk, and would be taken for one that does not read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream whose written bytes are flushed whenever a read has to wait.
#[derive(Debug)]
pub(super) struct FlushBeforeWait<S> {
    stream: S,
    /// Whether bytes were written since the last complete flush.
    written: bool,
}

impl<S> FlushBeforeWait<S> {
    pub(super) fn new(stream: S) -> Self {
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

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.written &= flushed.is_pending();
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

super::layer::delegate_io!(FlushBeforeWait);
