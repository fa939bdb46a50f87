//! Coalesces small writes to a client into larger ones.
//!
//! A response's head, a chunk's size and a few events are separate writes of Pingora's; each would be a packet or a TLS
//! record of its own.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

/// How much is buffered before it is sent, in bytes: the head of most responses and its first bytes, or a few events.
pub(super) const WRITE: usize = 2 << 10;

/// A writer that buffers small writes until the buffer is full or a flush sends it. An empty buffer, which a stream has
/// most of the time, holds no memory.
#[derive(Debug)]
pub(crate) struct WriteCoalescer<S> {
    stream: S,
    buffer: Vec<u8>,
    /// How many bytes of the buffer were sent.
    sent: usize,
}

impl<S: AsyncWrite + Unpin> WriteCoalescer<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            sent: 0,
        }
    }

    /// The stream that is written to, for reading.
    pub(super) fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Whether nothing is buffered.
    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// Sends the buffer.
    pub(super) fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(left) = self.buffer.get(self.sent..).filter(|left| !left.is_empty()) {
            match ready!(Pin::new(&mut self.stream).poll_write(context, left))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.sent += count,
            }
        }
        self.buffer = Vec::new();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    /// Makes room for a write of `length` bytes. Ready with whether the write is to be buffered; a large one is sent as
    /// it is.
    fn poll_room(&mut self, context: &mut Context<'_>, length: usize) -> Poll<io::Result<bool>> {
        if self.buffer.len() + length > WRITE {
            ready!(self.poll_send(context))?;
        }
        let is_small = length < WRITE;
        if is_small && self.buffer.capacity() == 0 {
            self.buffer.reserve_exact(WRITE);
        }
        Poll::Ready(Ok(is_small))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteCoalescer<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if ready!(self.poll_room(context, bytes.len()))? {
            self.buffer.extend_from_slice(bytes);
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
        if ready!(self.poll_room(context, length))? {
            for chunk in chunks {
                self.buffer.extend_from_slice(chunk);
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
