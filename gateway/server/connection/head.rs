//! Reads the head of an HTTP/1.1 request before Pingora creates a session for it.
//!
//! Pingora would read up to a megabyte, parse it again from the start after each read, and repair a malformed request
//! line. So it gets only complete heads with a strict request line. Any other head is refused as soon as it is known to be
//! bad; Pingora gets a well-formed replacement request, so that the refusal is sent, counted and logged like any other.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use http::Method;
use memchr::memchr;
use memchr::memmem;
use tokio::io::{AsyncRead, ReadBuf};

use crate::proxy::reject::Reason;

/// How much is read at a time, in bytes.
const READ: usize = 4 << 10;

/// The `Content-Length` of a replacement request, in bytes. Whatever follows the refused head is then read and dropped
/// like the body of any refused request, within the same limits, and the connection closes.
const REPLACEMENT_BODY: usize = 1 << 40;

/// A head that Pingora refuses at once, with a bare 400.
const NOT_HTTP: &[u8] = b"\0\r\n\r\n";

/// The head of a request.
#[derive(Debug, PartialEq)]
pub(crate) enum Head {
    /// A complete head and the bytes read with it; or [`NOT_HTTP`], in the place of bytes that are not HTTP.
    Whole(BytesMut),
    /// The reason to refuse the request, and the replacement that Pingora gets.
    Refused(Reason, BytesMut),
}

/// Reads the head of a request, of at most `limit` bytes, which starts with the bytes in `begun`. `None` if the client
/// closes the connection before the end of the head.
pub(crate) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    mut begun: BytesMut,
    limit: u64,
) -> Option<Head> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut line = RequestLine::Unfinished;
    let mut before = 0;
    loop {
        if begun.len() == before {
            poll_fn(|context| poll_more(stream, &mut begun, context)).await?;
        }
        let blank = begun.iter().take_while(|byte| b"\r\n".contains(byte));
        let start = blank.count();
        let head = begun.get(start..).unwrap_or_default();
        if line == RequestLine::Unfinished {
            line = RequestLine::of(head);
        }
        let unsearched = before.saturating_sub(3).max(start);
        let whole = has_empty_line(begun.get(unsearched..).unwrap_or_default());
        match line {
            RequestLine::NotHttp => return Some(Head::Whole(NOT_HTTP.into())),
            RequestLine::Strict if whole => return Some(Head::Whole(begun)),
            RequestLine::Loose if whole => return Some(refuse(Reason::BadFraming, head)),
            _ if begun.len() > limit => return Some(refuse(Reason::HeadersTooLarge, head)),
            _ => before = begun.len(),
        }
    }
}

/// Replaces a request that starts with `head` and is refused for `reason`.
fn refuse(reason: Reason, head: &[u8]) -> Head {
    // The method is kept: it is in the access line, and decides whether the response has a body.
    let method = memchr(b' ', head)
        .and_then(|end| head.get(..end))
        .and_then(|method| Method::from_bytes(method).ok())
        .filter(|method| method.as_str().len() <= 7 && method != Method::CONNECT)
        .unwrap_or(Method::GET);
    let framing = if reason == Reason::BadFraming && has_no_body(head) {
        "connection: close".to_owned()
    } else {
        format!("content-length: {REPLACEMENT_BODY}")
    };
    let replacement = format!("{method} / HTTP/1.1\r\nhost: -\r\n{framing}\r\n\r\n");
    Head::Refused(reason, replacement.as_bytes().into())
}

/// Whether `request`, a complete head and the bytes read with it, has no body.
fn has_no_body(request: &[u8]) -> bool {
    let declares_body = |line: &[u8]| {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        name.eq_ignore_ascii_case(b"content-length")
            || name.eq_ignore_ascii_case(b"transfer-encoding")
    };
    request.ends_with(b"\n") && !request.split(|byte| *byte == b'\n').any(declares_body)
}

thread_local! {
    /// A buffer for reads whose length is not known before. Copied from, so that no waiting connection holds one.
    static SCRATCH: RefCell<[u8; READ]> = const { RefCell::new([0; READ]) };
}

/// Reads more bytes into `begun`. `None` at the end of the stream, or on an error.
fn poll_more(
    stream: &mut (impl AsyncRead + Unpin),
    begun: &mut BytesMut,
    context: &mut Context<'_>,
) -> Poll<Option<()>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let mut buffer = ReadBuf::new(scratch);
        let read = ready!(Pin::new(stream).poll_read(context, &mut buffer));
        let more = buffer.filled();
        begun.extend_from_slice(more);
        Poll::Ready((read.is_ok() && !more.is_empty()).then_some(()))
    })
}

/// Whether `text` has an empty line, with lines that end in CRLF or LF.
fn has_empty_line(text: &[u8]) -> bool {
    memmem::find(text, b"\n\r\n").is_some() || memmem::find(text, b"\n\n").is_some()
}

/// How the first line of a request reads.
#[derive(Debug, PartialEq, Eq)]
enum RequestLine {
    /// Its end has not arrived yet.
    Unfinished,
    /// A method, a target and a version of HTTP/1, with one space between each (RFC 9112, section 3).
    Strict,
    /// A line that ends in a version of HTTP/1, but has no single clean target. Servers read such lines differently.
    Loose,
    /// Another protocol. Its client is refused at once: it may wait for a reply, and never send a head.
    NotHttp,
}

impl RequestLine {
    fn of(head: &[u8]) -> Self {
        let Some(line) = memchr(b'\n', head).and_then(|end| head.get(..end)) else {
            let mut method = head.iter().take_while(|byte| **byte != b' ');
            let odd = method.any(|byte| byte.is_ascii_control() && *byte != b'\r');
            return if odd { Self::NotHttp } else { Self::Unfinished };
        };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let versions: [&[u8]; 2] = [b" HTTP/1.1", b" HTTP/1.0"];
        let request = versions
            .iter()
            .find_map(|version| line.strip_suffix(*version));
        let Some(request) = request else {
            return Self::NotHttp;
        };
        let space = memchr(b' ', request).filter(|length| *length > 0);
        let target = space.and_then(|space| request.get(space + 1..));
        // Pingora would escape spaces and control characters, and drop a fragment.
        let is_loose = |byte: &u8| *byte <= b' ' || *byte == 0x7f || *byte == b'#';
        match target {
            Some([]) | None => Self::Loose,
            Some(target) if target.iter().any(is_loose) => Self::Loose,
            Some(_) => Self::Strict,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::AsyncWriteExt;

    use super::*;

    const LIMIT: usize = 16 << 10;

    /// The head that is read from `chunks`, and the number of chunks that it took.
    async fn head(chunks: &[&[u8]]) -> (Option<Head>, usize) {
        let (mut client, mut stream) = tokio::io::duplex(4 * LIMIT);
        let mut reading = Box::pin(read(&mut stream, BytesMut::new(), LIMIT as u64));
        for (number, chunk) in chunks.iter().enumerate() {
            client.write_all(chunk).await.unwrap();
            if let Poll::Ready(head) = poll(&mut reading) {
                return (head, number + 1);
            }
        }
        drop(client);
        (reading.await, chunks.len() + 1)
    }

    fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
        Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn a_head_is_whole_with_its_empty_line_wherever_it_is_split() {
        for text in [
            "A / HTTP/1.1\r\nb: c\r\n\r\n",
            "\r\n\r\nA / HTTP/1.0\nb: c\n\n",
        ] {
            let text = text.as_bytes();
            for split in 1..text.len() {
                let (first, second) = text.split_at(split);
                let (head, after) = head(&[first, second, b"more"]).await;
                assert_eq!(
                    (head, after),
                    (Some(Head::Whole(text.into())), 2),
                    "{split}"
                );
            }
        }
    }

    #[tokio::test]
    async fn a_client_that_speaks_another_protocol_is_refused_at_once() {
        let others: [&[u8]; 5] = [
            &[0x16, 3, 1],
            b"GET /\r\n",
            b"SSH-2.0-x\r\n",
            b"EHLO x\n",
            b"PRI * HTTP/2.0\r\n",
        ];
        for other in others {
            let refused = Head::Whole(NOT_HTTP.into());
            assert_eq!(head(&[other, b"more"]).await, (Some(refused), 1));
        }
    }

    #[tokio::test]
    async fn a_head_is_refused_as_soon_as_it_is_longer_than_the_limit() {
        let begun = [b"A / HTTP/1.1\r\nb: ".as_slice(), &vec![b'c'; 2 * LIMIT]].concat();
        let line = [b"HEAD /".as_slice(), &vec![b'c'; 2 * LIMIT]].concat();
        let blank = vec![b'\n'; 2 * LIMIT];
        for (long, method) in [(begun, "A "), (line, "HEAD "), (blank, "GET ")] {
            let chunks: Vec<_> = long.chunks(READ).collect();
            let (head, after) = head(&chunks).await;
            let Some(Head::Refused(Reason::HeadersTooLarge, replacement)) = head else {
                panic!("{head:?}");
            };
            assert_eq!(after, LIMIT / READ + 1);
            assert!(
                replacement.starts_with(method.as_bytes()),
                "{replacement:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_request_line_with_two_readings_is_refused_once_its_head_is_there() {
        let loose: [&[u8]; 8] = [
            b"GET /a b HTTP/1.1\r\n",
            b"GET  / HTTP/1.1\r\n",
            b"GET /  HTTP/1.1\r\n",
            b"GET\t/ HTTP/1.1\r\n",
            b"GET /a\tb HTTP/1.1\r\n",
            b"GET /a\rb HTTP/1.0\r\n",
            b"\r\nGET /x#/../admin HTTP/1.1\r\n",
            b" / HTTP/1.1 HTTP/1.1\r\n",
        ];
        for line in loose {
            for (rest, framing) in [
                (&b"host: h\r\n\r\n"[..], "connection: close"),
                (b"Content-Length: 3\r\n\r\n", "content-length: 10"),
                (b"host: h\r\n\r\nmore", "content-length: 10"),
            ] {
                let (head, after) = head(&[line, rest, b"more"]).await;
                let Some(Head::Refused(Reason::BadFraming, replacement)) = head else {
                    panic!("{head:?}: {}", line.escape_ascii());
                };
                let replacement = std::str::from_utf8(&replacement).unwrap();
                assert!(replacement.contains(framing) && after == 2, "{replacement}");
            }
        }
    }

    #[tokio::test]
    async fn a_connection_that_closes_within_a_head_has_no_head() {
        for chunk in ["", "A / HTTP/1.1\r\n", "\r\n\r\n", "A /\x01"] {
            assert_eq!(head(&[chunk.as_bytes()]).await, (None, 2), "{chunk:?}");
        }
    }
}
