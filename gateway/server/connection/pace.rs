//! How fast a client's HTTP/2 connection is read while none of its keys is verified.
//!
//! The HTTP/2 library reads all that has come, and holds each request in it until it is accepted: some 2 KiB for a
//! dozen bytes. So it is given a little at a time, and more only when it holds nothing that waits to be accepted.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much is read at a time, in bytes.
const READ: usize = 256;

/// A stream that is read as its [`Pace`] lets it.
#[derive(Debug)]
pub(crate) struct Paced<S> {
    stream: S,
    pace: Arc<Pace>,
}

/// How a stream may be read. It is changed and asked by the one task of its connection.
#[derive(Debug)]
pub(crate) struct Pace(AtomicU8);

/// Nothing is read. No waker is kept: whoever polls the connection next has granted a read before.
const HELD: u8 = 0;
/// Up to `READ` bytes are read, once.
const GRANTED: u8 = 1;
/// Up to `READ` bytes are read at a time.
const SLOW: u8 = 2;
/// As much as there is.
const FREE: u8 = 3;

impl Pace {
    /// Lets a stream be read slowly.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU8::new(SLOW)))
    }

    /// From now on, each read has to be granted.
    pub(crate) fn hold(&self) {
        if self.state() != FREE {
            self.0.store(HELD, Ordering::Relaxed);
        }
    }

    /// Grants a read; whether there was none granted.
    pub(crate) fn grant(&self) -> bool {
        let held = self.state() == HELD;
        if held {
            self.0.store(GRANTED, Ordering::Relaxed);
        }
        held
    }

    /// From now on, everything is read.
    pub(crate) fn free(&self) {
        self.0.store(FREE, Ordering::Relaxed);
    }

    fn state(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}

impl<S> Paced<S> {
    pub(crate) fn new(stream: S, pace: Arc<Pace>) -> Self {
        Self { stream, pace }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let state = self.pace.state();
        match state {
            FREE => return Pin::new(&mut self.stream).poll_read(context, into),
            HELD => return Poll::Pending,
            _ => {}
        }
        let mut little = [0; READ];
        let room = into.remaining().min(READ);
        let mut read = ReadBuf::new(little.get_mut(..room).unwrap_or_default());
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut read))?;
        into.put_slice(read.filled());
        if state == GRANTED {
            self.pace.hold();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        chunks: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, chunks)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

crate::server::connection::layer::delegate_io!(Paced);

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_stream_is_read_slowly_then_by_grants_then_freely() {
        let (mut client, server) = tokio::io::duplex(64 << 10);
        client.write_all(&[b'x'; 16 << 10]).await.unwrap();
        let pace = Pace::new();
        let mut stream = Paced::new(server, pace.clone());
        let mut into = [0; 8 << 10];
        for _ in 0..2 {
            assert_eq!(stream.read(&mut into).await.unwrap(), READ);
        }
        pace.hold();
        for _ in 0..2 {
            assert!(pace.grant() && !pace.grant());
            assert_eq!(stream.read(&mut into).await.unwrap(), READ);
            let mut held = Box::pin(stream.read(&mut into));
            let polled = std::future::poll_fn(|context| Poll::Ready(held.as_mut().poll(context)));
            assert!(polled.await.is_pending());
        }
        pace.free();
        pace.hold();
        assert!(!pace.grant());
        assert_eq!(stream.read(&mut into).await.unwrap(), into.len());
    }
}
