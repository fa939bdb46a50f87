//! Where a request on a client's HTTP/1.1 connection ends.
//!
//! Clients may send requests before they have the responses to those before (pipelining, RFC 9112, section 9.3.2). Pingora
//! gives up an exchange when something comes behind its request. So what comes there is kept for the next exchange, and
//! Pingora finds nothing to read. A request whose end only Pingora can tell (chunked), or about which two servers might
//! disagree, is passed to Pingora as it comes, and the connection ends with it if more came.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use memchr::{memchr, memchr_iter};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The end is not known: everything that comes may be read.
const UNKNOWN: u64 = u64::MAX;
/// How much is read ahead of the next request while another goes on, in bytes. So it is noticed that the client leaves.
const MOST: usize = 4 << 10;
/// How much of that is read at a time, in bytes.
const READ: usize = 1 << 10;

/// A stream that is read up to its [`Boundary`].
#[derive(Debug)]
pub(super) struct Bounded<S> {
    stream: S,
    boundary: Arc<Boundary>,
}

/// How much of the request is still to come, and what came of the next one. One task changes and asks it.
#[derive(Debug)]
pub(super) struct Boundary {
    left: AtomicU64,
    next: Mutex<BytesMut>,
}

impl Boundary {
    /// The stream with a boundary, which is not known yet.
    pub(super) fn on<S>(stream: S) -> (Bounded<S>, Arc<Self>) {
        let boundary = Arc::new(Self {
            left: AtomicU64::new(UNKNOWN),
            next: Mutex::default(),
        });
        let bounded = Bounded {
            stream,
            boundary: boundary.clone(),
        };
        (bounded, boundary)
    }

    /// From now on, everything that comes is read. What came of the next request already.
    pub(super) fn open(&self) -> BytesMut {
        self.left.store(UNKNOWN, Ordering::Relaxed);
        std::mem::take(&mut *self.next.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A request begins with `begun`, which has its whole head. What came behind its end is kept for the next.
    pub(super) fn begin(&self, begun: &mut BytesMut) {
        let Some(end) = end_of(begun) else { return };
        let came = begun.len() as u64;
        self.left.store(end.saturating_sub(came), Ordering::Relaxed);
        if let Some(end) = usize::try_from(end).ok().filter(|end| *end < begun.len()) {
            *self.next.lock().unwrap_or_else(PoisonError::into_inner) = begun.split_off(end);
        }
    }

    /// Whether another request may follow: this one was read to its end.
    pub(super) fn is_passed(&self) -> bool {
        matches!(self.left.load(Ordering::Relaxed), 0 | UNKNOWN)
    }
}

/// Where the request ends that `begun` begins with, in bytes from there; nothing if that cannot be told for sure.
fn end_of(begun: &[u8]) -> Option<u64> {
    let blank = begun.iter().take_while(|byte| b"\r\n".contains(byte));
    let start = blank.count();
    let head = begun.get(start..)?;
    let mut length = None;
    for line_end in memchr_iter(b'\n', head) {
        let (line, next) = head.split_at_checked(line_end + 1)?;
        if !line.ends_with(b"\r\n") {
            return None;
        }
        match next.first()? {
            b'\r' if next.starts_with(b"\r\n") => {
                let whole = (start + line_end + 3) as u64;
                return whole.checked_add(length.unwrap_or(0));
            }
            // A line that is folded, or one that ends otherwise.
            b'\r' | b'\n' | b' ' | b'\t' => return None,
            b'c' | b'C' if begins_with(next, b"content-length") => {
                let value = next.get(b"content-length".len()..)?;
                let twice = length.replace(content_length(value)?).is_some();
                if twice {
                    return None;
                }
            }
            b'c' | b'C' if begins_with(next, b"content_length") => return None,
            b't' | b'T' if begins_with(next, b"transfer") => return None,
            b'u' | b'U' if begins_with(next, b"upgrade") => return None,
            _ => {}
        }
    }
    None
}

fn begins_with(line: &[u8], name: &[u8]) -> bool {
    let start = line.get(..name.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(name))
}

/// The length that stands behind the name of `Content-Length`.
fn content_length(rest: &[u8]) -> Option<u64> {
    let value = rest.strip_prefix(b":")?;
    let value = value.get(..memchr(b'\r', value)?)?.trim_ascii();
    let digits = value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| digits)?;
    text.parse().ok().filter(|length| *length < UNKNOWN >> 1)
}

impl<S: AsyncRead + AsyncWrite + Unpin> Bounded<S> {
    /// Reads as much of what follows the request as is kept. Ready at the end of the stream alone.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut next = self
            .boundary
            .next
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        while next.len() < MOST {
            let mut scratch = [0; READ];
            let mut read = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            next.extend_from_slice(read.filled());
        }
        drop(next);
        // No waker is kept for reading: the rest is read when this exchange is over. But what was written goes out, as
        // it does wherever a read has to wait.
        match Pin::new(&mut self.stream).poll_flush(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = self.boundary.left.load(Ordering::Relaxed);
        if left == 0 {
            return self.poll_next(context);
        }
        let room = usize::try_from(left).unwrap_or(usize::MAX);
        if room >= into.remaining() {
            let before = into.filled().len();
            ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
            if left != UNKNOWN {
                self.read((into.filled().len() - before) as u64);
            }
            return Poll::Ready(Ok(()));
        }
        let mut part = ReadBuf::new(into.initialize_unfilled_to(room));
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut part))?;
        let read = part.filled().len();
        into.advance(read);
        self.read(read as u64);
        Poll::Ready(Ok(()))
    }
}

impl<S> Bounded<S> {
    /// So many bytes of the request were read.
    fn read(&self, bytes: u64) {
        self.boundary.left.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

super::layer::delegate_io!(Bounded);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_behind_its_length() {
        for (lines, length) in [
            ("", 0),
            ("Host: h\r\n", 0),
            ("Content-Length: 5\r\n", 5),
            ("a: b\r\ncontent-LENGTH:\t 0005 \r\nc: d\r\n", 5),
            ("Content-Lengthy: 5\r\n", 0),
            ("te: trailers\r\ncontent-type: x\r\n", 0),
        ] {
            for blank in ["", "\r\n", "\r\n\n"] {
                let head = format!("{blank}POST / HTTP/1.1\r\n{lines}\r\n");
                let expected = Some((head.len() + length) as u64);
                if lines.starts_with("Content-Lengthy") {
                    // As good as unknown.
                    assert_eq!(end_of(head.as_bytes()), None);
                    continue;
                }
                assert_eq!(end_of(head.as_bytes()), expected, "{head}");
                let more = format!("{head}GET / HTTP/1.1\r\ncontent-length: 9\r\n\r\n");
                assert_eq!(end_of(more.as_bytes()), expected, "{more}");
            }
        }
    }

    #[test]
    fn an_end_that_two_servers_might_see_elsewhere_is_not_known() {
        for lines in [
            "Transfer-Encoding: chunked\r\n",
            "transfer-encoding : chunked\r\n",
            "Transfer_Encoding: chunked\r\n",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length : 5\r\n",
            "Content_Length: 5\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: \r\n",
            "Content-Length: 18446744073709551616\r\n",
            "Content-Length: 18446744073709551615\r\n",
            "Content-Length: 5\r\n x\r\n",
            "x: y\nContent-Length: 5\r\n",
            "x: y\r\n\n",
            "x: y\rz\r\n\rq\r\n",
            "Upgrade: websocket\r\n",
        ] {
            let head = format!("POST / HTTP/1.1\r\n{lines}\r\n");
            assert_eq!(end_of(head.as_bytes()), None, "{head}");
        }
        for begun in [
            "",
            "\r\n",
            "GET / HTTP/1.1\r\n",
            "GET / HTTP/1.1\r\nx: y\r\n",
        ] {
            assert_eq!(end_of(begun.as_bytes()), None, "{begun}");
        }
    }
}
