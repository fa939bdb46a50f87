//! Throttles how fast a client's HTTP/2 connection is read until one of its keys is verified.
//!
//! The HTTP/2 library reads everything that has arrived, and holds each request until it is accepted: about 2 KiB of memory
//! for a dozen bytes. So the library gets a little at a time, and more only when it holds no request that waits to be
//! accepted.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::server::connection::layer::{delegate_io, delegate_writes};

/// How much is read at a time while the stream is throttled, in bytes.
const READ: usize = 256;

/// A stream that is read as fast as its [`Throttle`] allows.
#[derive(Debug)]
pub(crate) struct ThrottledStream<S> {
    stream: S,
    throttle: Arc<Throttle>,
}

/// How fast a stream may be read. Only the task of the connection changes and reads it.
#[derive(Debug)]
pub(crate) struct Throttle(AtomicU8);

/// Nothing is read. No waker is registered: the connection is polled again only after a read was granted.
const HELD: u8 = 0;
/// One read of up to [`READ`] bytes is granted.
const GRANTED: u8 = 1;
/// Each read takes up to [`READ`] bytes.
const SLOW: u8 = 2;
/// Reads are not limited.
const UNLIMITED: u8 = 3;

impl Throttle {
    /// A throttle that lets a stream be read slowly.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU8::new(SLOW)))
    }

    /// Requires a grant for each read from now on, unless the throttle was lifted.
    pub(crate) fn hold(&self) {
        if self.state() != UNLIMITED {
            self.0.store(HELD, Ordering::Relaxed);
        }
    }

    /// Grants one read. Returns false if a read was possible already.
    pub(crate) fn grant(&self) -> bool {
        let held = self.state() == HELD;
        if held {
            self.0.store(GRANTED, Ordering::Relaxed);
        }
        held
    }

    /// Lifts the throttle for good.
    pub(crate) fn lift(&self) {
        self.0.store(UNLIMITED, Ordering::Relaxed);
    }

    fn state(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}

impl<S> ThrottledStream<S> {
    pub(crate) fn new(stream: S, throttle: Arc<Throttle>) -> Self {
        Self { stream, throttle }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ThrottledStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let state = self.throttle.state();
        match state {
            UNLIMITED => return Pin::new(&mut self.stream).poll_read(context, into),
            HELD => return Poll::Pending,
            _ => {}
        }
        let mut scratch = [0; READ];
        let room = into.remaining().min(READ);
        let mut read = ReadBuf::new(scratch.get_mut(..room).unwrap_or_default());
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut read))?;
        into.put_slice(read.filled());
        if state == GRANTED {
            self.throttle.hold();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ThrottledStream<S> {
    delegate_writes!();

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

delegate_io!(ThrottledStream);

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_stream_is_read_slowly_then_by_grants_then_without_limit() {
        let (mut client, server) = tokio::io::duplex(64 << 10);
        client.write_all(&[b'x'; 16 << 10]).await.unwrap();
        let throttle = Throttle::new();
        let mut stream = ThrottledStream::new(server, throttle.clone());
        let mut into = [0; 8 << 10];
        for _ in 0..2 {
            assert_eq!(stream.read(&mut into).await.unwrap(), READ);
        }
        throttle.hold();
        for _ in 0..2 {
            assert!(throttle.grant() && !throttle.grant());
            assert_eq!(stream.read(&mut into).await.unwrap(), READ);
            let mut held = Box::pin(stream.read(&mut into));
            let polled = std::future::poll_fn(|context| Poll::Ready(held.as_mut().poll(context)));
            assert!(polled.await.is_pending());
        }
        throttle.lift();
        throttle.hold();
        assert!(!throttle.grant());
        assert_eq!(stream.read(&mut into).await.unwrap(), into.len());
    }
}
