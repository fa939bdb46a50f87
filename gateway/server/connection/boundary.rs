//! Where a request on a client's HTTP/1.1 connection ends.
//!
//! Clients may send requests before they have the responses to those before (pipelining, RFC 9112, section 9.3.2). Pingora
//! gives up an exchange when something comes behind its request. So what comes there is kept for the next exchange, and
//! Pingora finds nothing to read. A request about whose end two servers might disagree is passed to Pingora as it comes,
//! and the connection ends with its response, which says so; likewise behind trailers.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use memchr::{memchr, memchr_iter};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::proxy::connection::Requests;
use crate::server::connection::chunks::{Chunks, Progress};

/// The end is not known: everything that comes may be read.
const UNKNOWN: u64 = u64::MAX;
/// The end is that of the last chunk.
const CHUNKED: u64 = UNKNOWN - 1;
/// The end cannot be told: everything that comes may be read, and no other request follows.
const LAST: u64 = UNKNOWN - 2;
/// The request was read to its end, and no other request follows.
const OVER: u64 = UNKNOWN - 3;
/// The connection changes to another protocol: what was kept is read first, and then everything that comes.
const SWITCHED: u64 = UNKNOWN - 4;
/// The connection has changed to another protocol, and what was kept was read.
const OTHER: u64 = UNKNOWN - 5;
/// How much is read ahead of the next request while another goes on, in bytes. So it is noticed that the client leaves.
const MOST: usize = 4 << 10;
/// How much of that is read at a time, in bytes.
const READ: usize = 1 << 10;
/// How much a client may still send to a connection that ends, in bytes, and for how long.
const MOST_AT_END: usize = 2 << 20;
const TIME_AT_END: Duration = Duration::from_secs(2);

/// A stream that is read up to its [`Boundary`].
#[derive(Debug)]
pub(crate) struct Bounded<S> {
    stream: S,
    boundary: Arc<Boundary>,
    end: Option<Box<Ending>>,
}

/// How much longer the client of a connection that has ended is read, so that it can read what was sent.
#[derive(Debug)]
struct Ending {
    time: Pin<Box<Sleep>>,
    left: usize,
}

/// How much of the request is still to come, and what came of the next one. One task changes and asks it.
#[derive(Debug)]
pub(crate) struct Boundary {
    left: AtomicU64,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    next: BytesMut,
    chunks: Chunks,
}

/// How the end of a request is found, in bytes from its beginning.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// There.
    At(u64),
    /// Behind the chunks that begin there.
    BehindChunks(usize),
}

impl Boundary {
    /// The stream with a boundary, which is not known yet.
    pub(crate) fn on<S>(stream: S) -> (Bounded<S>, Arc<Self>) {
        let boundary = Arc::new(Self {
            left: AtomicU64::new(UNKNOWN),
            kept: Mutex::new(Kept {
                next: BytesMut::new(),
                chunks: Chunks::new(),
            }),
        });
        let bounded = Bounded {
            stream,
            boundary: boundary.clone(),
            end: None,
        };
        (bounded, boundary)
    }

    /// From now on, everything that comes is read. What came of the next request already.
    pub(crate) fn open(&self) -> BytesMut {
        self.left.store(UNKNOWN, Ordering::Relaxed);
        std::mem::take(&mut self.kept().next)
    }

    /// A request begins with `begun`, which has its whole head. What came behind its end is kept for the next.
    pub(crate) fn begin(&self, begun: &mut BytesMut) {
        match end_of(begun) {
            None => self.left.store(LAST, Ordering::Relaxed),
            Some(End::At(end)) => {
                let left = end.saturating_sub(begun.len() as u64);
                self.left.store(left, Ordering::Relaxed);
                if let Some(end) = usize::try_from(end).ok().filter(|end| *end < begun.len()) {
                    self.kept().next = begun.split_off(end);
                }
            }
            Some(End::BehindChunks(body)) => {
                self.left.store(CHUNKED, Ordering::Relaxed);
                self.kept().chunks = Chunks::new();
                let end = self.end_of_chunks(begun.get(body..).unwrap_or_default());
                if let Some(end) = end {
                    self.kept().next = begun.split_off(body + end);
                }
            }
        }
    }

    /// Reads what `came` of a chunked body. Where it ends in that.
    fn end_of_chunks(&self, came: &[u8]) -> Option<usize> {
        let progress = self.kept().chunks.read(came);
        match progress {
            Progress::More => None,
            Progress::Unclear => {
                self.left.store(LAST, Ordering::Relaxed);
                None
            }
            Progress::Ends(at) => {
                self.left.store(0, Ordering::Relaxed);
                Some(at)
            }
            Progress::EndsInTrailers(at) => {
                self.left.store(OVER, Ordering::Relaxed);
                Some(at)
            }
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether another request may follow: this one was read to its end, about which there are no two opinions.
    pub(crate) fn is_passed(&self) -> bool {
        matches!(self.left.load(Ordering::Relaxed), 0 | UNKNOWN)
    }

    /// Whether the client may have sent what nobody reads, behind a request that was read to its end.
    fn may_have_more(&self) -> bool {
        match self.left.load(Ordering::Relaxed) {
            LAST | OVER | SWITCHED | OTHER => true,
            0 => !self.kept().next.is_empty(),
            _ => false,
        }
    }

    /// Moves what was kept to where a reader wants it, as far as there is room; whether there was any.
    fn give_back(&self, into: &mut ReadBuf<'_>) -> bool {
        let next = &mut self.kept().next;
        let any = !next.is_empty();
        let kept = next.split_to(next.len().min(into.remaining()));
        into.put_slice(&kept);
        any
    }
}

impl Requests for Boundary {
    fn nothing_follows(&self) -> bool {
        matches!(self.left.load(Ordering::Relaxed), LAST | OVER)
    }

    fn switch(&self) {
        self.left.store(SWITCHED, Ordering::Relaxed);
    }
}

/// Where the request ends that `begun` begins with; nothing if that cannot be told for sure.
fn end_of(begun: &[u8]) -> Option<End> {
    let blank = begun.iter().take_while(|byte| b"\r\n".contains(byte));
    let start = blank.count();
    let head = begun.get(start..)?;
    let (mut length, mut chunked) = (None, false);
    for line_end in memchr_iter(b'\n', head) {
        let (line, next) = head.split_at_checked(line_end + 1)?;
        if !line.ends_with(b"\r\n") {
            return None;
        }
        match next.first()? {
            b'\r' if next.starts_with(b"\r\n") => {
                let body = start + line_end + 3;
                return match (length, chunked) {
                    (None, true) => Some(End::BehindChunks(body)),
                    (Some(_), true) => None,
                    (length, false) => (body as u64).checked_add(length.unwrap_or(0)).map(End::At),
                };
            }
            // A line that is folded, or one that ends otherwise.
            b'\r' | b'\n' | b' ' | b'\t' => return None,
            b'c' | b'C' if is_named(next, b"content-length") => {
                let value = next.get(b"content-length".len()..)?;
                let twice = length.replace(content_length(value)?).is_some();
                if twice {
                    return None;
                }
            }
            b'c' | b'C' if is_named(next, b"content_length") => return None,
            b't' | b'T' if is_named(next, b"transfer_encoding") => return None,
            b't' | b'T' if is_named(next, b"transfer-encoding") => {
                if chunked || !is_chunked(next) {
                    return None;
                }
                chunked = true;
            }
            _ => {}
        }
    }
    None
}

fn begins_with(line: &[u8], name: &[u8]) -> bool {
    let start = line.get(..name.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(name))
}

/// Whether `line` begins with the header `name`, or with what may be taken for it: there is something else behind it than
/// more of a name.
fn is_named(line: &[u8], name: &[u8]) -> bool {
    let behind = line.get(name.len());
    let more = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    begins_with(line, name) && !behind.is_some_and(more)
}

/// Whether a line that begins with `line` is that of a chunked body.
fn is_chunked(line: &[u8]) -> bool {
    let end = memchr(b'\r', line);
    let line = end.and_then(|end| line.get(..end)).unwrap_or_default();
    let name = b"transfer-encoding:";
    let value = line.get(name.len()..).unwrap_or_default();
    begins_with(line, name) && value.trim_ascii().eq_ignore_ascii_case(b"chunked")
}

/// The length that stands behind the name of `Content-Length`.
fn content_length(rest: &[u8]) -> Option<u64> {
    let value = rest.strip_prefix(b":")?;
    let value = value.get(..memchr(b'\r', value)?)?.trim_ascii();
    let digits = value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| digits)?;
    text.parse().ok().filter(|length| *length < CHUNKED >> 1)
}

impl<S: AsyncRead + AsyncWrite + Unpin> Bounded<S> {
    /// Reads as much of what follows the request as is kept. Ready at the end of the stream alone.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut kept = self.boundary.kept();
        while kept.next.len() < MOST {
            let mut scratch = [0; READ];
            let mut read = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            kept.next.extend_from_slice(read.filled());
        }
        drop(kept);
        // No waker is kept for reading: the rest is read when this exchange is over. But what was written goes out, as
        // it does wherever a read has to wait.
        match Pin::new(&mut self.stream).poll_flush(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> Bounded<S> {
    /// Reads what a client still sends to a connection that has ended, and throws it away: to close with unread bytes
    /// resets the connection, and the reset can overtake the end of what was sent.
    fn poll_discard(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(end) = &mut self.end else {
            return Poll::Ready(Ok(()));
        };
        while end.left > 0 && end.time.as_mut().poll(context).is_pending() {
            let mut scratch = [0; READ];
            let mut read = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut read))?;
            let read = read.filled().len();
            end.left = if read == 0 {
                0
            } else {
                end.left.saturating_sub(read)
            };
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = self.boundary.left.load(Ordering::Relaxed);
        if left == 0 || left == OVER {
            return self.poll_next(context);
        }
        if left == SWITCHED {
            if self.boundary.give_back(into) {
                return Poll::Ready(Ok(()));
            }
            self.boundary.left.store(OTHER, Ordering::Relaxed);
        }
        let room = usize::try_from(left).unwrap_or(usize::MAX);
        if room >= into.remaining() {
            let before = into.filled().len();
            ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
            match left {
                UNKNOWN | LAST | SWITCHED | OTHER => {}
                CHUNKED => self.read_chunks(into, before),
                _ => self.count((into.filled().len() - before) as u64),
            }
            return Poll::Ready(Ok(()));
        }
        let mut part = ReadBuf::new(into.initialize_unfilled_to(room));
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut part))?;
        let read = part.filled().len();
        into.advance(read);
        self.count(read as u64);
        Poll::Ready(Ok(()))
    }
}

impl<S> Bounded<S> {
    /// So many bytes of the request were read.
    fn count(&self, bytes: u64) {
        self.boundary.left.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// What stands in `read` behind its first `before` bytes was read of a chunked body, or comes behind it.
    fn read_chunks(&self, read: &mut ReadBuf<'_>, before: usize) {
        let came = read.filled().get(before..).unwrap_or_default();
        let Some(end) = self.boundary.end_of_chunks(came) else {
            return;
        };
        let next = came.get(end..).unwrap_or_default();
        self.boundary.kept().next.extend_from_slice(next);
        read.set_filled(before + end);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    // A chunk, its size and its end go out at once.
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
        if self.end.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            if !self.boundary.may_have_more() {
                return Poll::Ready(Ok(()));
            }
            self.end = Some(Box::new(Ending {
                time: Box::pin(tokio::time::sleep(TIME_AT_END)),
                left: MOST_AT_END,
            }));
        }
        self.poll_discard(context)
    }
}

crate::server::connection::layer::delegate_io!(Bounded);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::server::connection::head::{self, Head};

    #[tokio::test]
    async fn what_is_written_at_once_goes_out_at_once() {
        let (stream, _other) = tokio::net::UnixStream::pair().unwrap();
        let (mut bounded, _) = Boundary::on(stream);
        assert!(bounded.is_write_vectored());
        let parts = ["5\r\n", "hello", "\r\n"].map(|part| io::IoSlice::new(part.as_bytes()));
        assert_eq!(bounded.write_vectored(&parts).await.unwrap(), 10);
    }

    /// Reads requests from `stream` until it ends, each with a buffer of `size` bytes, as a server does that reads on
    /// behind them: it finds that there is nothing.
    async fn requests(stream: impl AsyncRead + AsyncWrite + Unpin, size: usize) -> Vec<Vec<u8>> {
        let (mut stream, boundary) = Boundary::on(stream);
        let mut requests = Vec::new();
        while let Some(Head::Whole(mut request)) =
            head::read(&mut stream, boundary.open(), 1 << 20).await
        {
            boundary.begin(&mut request);
            while boundary.left.load(Ordering::Relaxed) != 0 {
                let mut buffer = vec![0; size];
                let read = stream.read(&mut buffer).await.unwrap();
                assert!(read > 0);
                request.extend_from_slice(&buffer[..read]);
            }
            let mut behind = [0; 8];
            let reading = tokio::time::timeout(std::time::Duration::ZERO, stream.read(&mut behind));
            assert!(!matches!(reading.await, Ok(Ok(1..))));
            assert!(boundary.is_passed());
            requests.push(request.to_vec());
        }
        requests
    }

    /// A stream whose first request is whole, and which has more.
    async fn begun(sent: &str) -> (Bounded<tokio::io::DuplexStream>, Arc<Boundary>) {
        let (mut client, stream) = tokio::io::duplex(1 << 10);
        client.write_all(sent.as_bytes()).await.unwrap();
        drop(client);
        let (mut stream, boundary) = Boundary::on(stream);
        let head = head::read(&mut stream, BytesMut::new(), 1 << 20).await;
        let Some(Head::Whole(mut begun)) = head else {
            panic!("{head:?}");
        };
        boundary.begin(&mut begun);
        (stream, boundary)
    }

    #[tokio::test]
    async fn nothing_follows_a_request_with_trailers() {
        let sent = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\na: b\r\n\r\nGET / HTTP/1.1\r\n\r\n";
        let (mut stream, boundary) = begun(sent).await;
        let mut buffer = [0; 100];
        while boundary.left.load(Ordering::Relaxed) != OVER {
            assert!(stream.read(&mut buffer).await.unwrap() > 0);
        }
        assert!(boundary.nothing_follows() && !boundary.is_passed());
        // It is noticed that the client leaves.
        assert_eq!(stream.read(&mut buffer).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_on_behind_the_last_request_is_read_for_a_while() {
        let (mut client, stream) = tokio::io::duplex(1 << 10);
        let (mut stream, boundary) = Boundary::on(stream);
        let start = tokio::time::Instant::now();
        let mut sent = BytesMut::from("GET / HTTP/1.1\r\n\r\n");
        boundary.begin(&mut sent);
        stream.shutdown().await.unwrap();
        assert!(start.elapsed().is_zero());
        sent.extend_from_slice(b"GET /more HTTP/1.1\r\n");
        boundary.begin(&mut sent);
        let (ended, ()) = tokio::join!(stream.shutdown(), async {
            client.write_all(&[b'a'; 4 << 10]).await.unwrap();
        });
        ended.unwrap();
        assert_eq!(start.elapsed(), TIME_AT_END);
    }

    #[tokio::test]
    async fn what_came_before_a_switch_is_read_behind_it() {
        let (mut stream, boundary) =
            begun("GET / HTTP/1.1\r\nUpgrade: x\r\n\r\nnew protocol").await;
        let mut probe = [0];
        let reading =
            tokio::time::timeout(std::time::Duration::from_millis(1), stream.read(&mut probe));
        assert!(!matches!(reading.await, Ok(Ok(1..))));
        boundary.switch();
        let mut read = String::new();
        assert_eq!(stream.read(&mut probe).await.unwrap(), 1);
        stream.read_to_string(&mut read).await.unwrap();
        assert_eq!((probe, read.as_str()), (*b"n", "ew protocol"));
    }

    fn request() -> impl Strategy<Value = String> {
        let head = "POST /p HTTP/1.1\r\nHost: h\r\n";
        let body = prop::collection::vec("[a\r\n0;]{1,40}", 0..4);
        (0..3, body).prop_map(move |(kind, parts)| match kind {
            0 => format!("{head}\r\n"),
            1 => {
                let body = parts.concat();
                format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
            }
            _ => {
                let chunks = parts
                    .iter()
                    .map(|part| format!("{:x};x\r\n{part}\r\n", part.len()));
                let chunks: String = chunks.collect();
                format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n")
            }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        /// However they are cut on their way, and however they are read.
        #[test]
        fn requests_that_come_together_are_told_apart(
            sent in prop::collection::vec(request(), 1..6),
            cut in 1_usize..200,
            size in 1_usize..100,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let read = runtime.block_on(async {
                let (mut client, stream) = tokio::io::duplex(64);
                let all = sent.concat();
                let writing = async move {
                    for chunk in all.as_bytes().chunks(cut) {
                        client.write_all(chunk).await.unwrap();
                    }
                };
                tokio::join!(requests(stream, size), writing).0
            });
            let read: Vec<String> = read.into_iter().map(|it| String::from_utf8(it).unwrap()).collect();
            prop_assert_eq!(read, sent);
        }
    }

    #[test]
    fn a_request_ends_behind_its_length() {
        for (lines, length) in [
            ("", 0),
            ("Host: h\r\n", 0),
            ("Content-Length: 5\r\n", 5),
            ("a: b\r\ncontent-LENGTH:\t 0005 \r\nc: d\r\n", 5),
            ("Content-Lengthy: 5\r\nContent-Length-Hint: 6\r\n", 0),
            ("te: trailers\r\ncontent-type: x\r\n", 0),
            ("transfer-x: y\r\nupgrade-insecure-requests: 1\r\n", 0),
            ("Upgrade: websocket\r\nContent-Length: 3\r\n", 3),
        ] {
            for blank in ["", "\r\n", "\r\n\n"] {
                let head = format!("{blank}POST / HTTP/1.1\r\n{lines}\r\n");
                let expected = Some(End::At((head.len() + length) as u64));
                assert_eq!(end_of(head.as_bytes()), expected, "{head}");
                let more = format!("{head}GET / HTTP/1.1\r\ncontent-length: 9\r\n\r\n");
                assert_eq!(end_of(more.as_bytes()), expected, "{more}");
            }
        }
    }

    #[test]
    fn an_end_that_two_servers_might_see_elsewhere_is_not_known() {
        for lines in [
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked\r\ntransfer-encoding: chunked\r\n",
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
