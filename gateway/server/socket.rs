//! A client's socket as Pingora takes it. Its own has 64 KiB to read into, of which a gateway with ten thousand
//! streams would hold more than half a gigabyte for nothing.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use pingora_core::protocols::l4::socket;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora_core::protocols::{GetSocketDigest, SocketDigest};
use tokio::io::{AsyncRead, AsyncWrite, BufStream, BufWriter, ReadBuf};
use tokio::net::TcpStream;

use crate::proxy::deadline;

/// What is written at once: the head of most answers and what comes with it, a few events.
const WRITE: usize = 2 << 10;
/// What is read at once under TLS, which would read in pieces of 4 KiB. Without, HTTP reads what there is.
const READ_TLS: usize = 16 << 10;

/// A stream with buffers of its own.
#[derive(Debug)]
struct Buffered<S>(S);

/// The connection `socket` from `peer`, on which TLS follows or not.
pub(super) fn stream(socket: TcpStream, peer: SocketAddr, tls: bool) -> Stream {
    let digest = SocketDigest::from_raw_fd(socket.as_raw_fd());
    // It is new, and so there is nothing in it.
    let _ = digest.peer_addr.set(Some(socket::SocketAddr::Inet(peer)));
    let socket: Box<dyn VirtualSocket> = if tls {
        Box::new(Buffered(BufStream::with_capacity(READ_TLS, WRITE, socket)))
    } else {
        Box::new(Buffered(BufWriter::with_capacity(WRITE, socket)))
    };
    let mut stream = Stream::from(VirtualSocketStream::new(socket));
    stream.set_socket_digest(digest);
    stream
}

impl<S: AsyncRead + Unpin> AsyncRead for Buffered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.0).poll_read(context, into);
        if into.filled().len() > before {
            deadline::heard();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Buffered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

impl<S> VirtualSocket for Buffered<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + Sync + std::fmt::Debug,
{
    /// They were set when it was accepted.
    fn set_socket_option(&self, _option: VirtualSockOpt) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
