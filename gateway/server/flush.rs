//! A client's TLS stream that sends what was written to it before it waits for the client.
//!
//! Pingora flushes a response with a Content-Length only at its end, and a TLS library keeps what the socket had no
//! room for until it is written to or flushed again. Without this, a client that has read all there is would wait for
//! the rest of a chunk, and would be taken for one that does not read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, IO, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID,
};
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

#[async_trait]
impl<S: IO> Shutdown for FlushBeforeWait<S> {
    async fn shutdown(&mut self) {
        self.stream.shutdown().await;
    }
}

impl<S> Peek for FlushBeforeWait<S> {}

impl<S: IO> UniqueID for FlushBeforeWait<S> {
    fn id(&self) -> i32 {
        self.stream.id()
    }
}

impl<S: IO> Ssl for FlushBeforeWait<S> {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.selected_alpn_proto()
    }
}

impl<S: IO> GetTimingDigest for FlushBeforeWait<S> {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_timing_digest()
    }
}

impl<S: IO> GetProxyDigest for FlushBeforeWait<S> {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream.get_proxy_digest()
    }
}

impl<S: IO> GetSocketDigest for FlushBeforeWait<S> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }
}
