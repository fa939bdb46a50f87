//! Where an HTTP/1.1 request ends, by its head (RFC 9112, section 6).
//!
//! Stricter than any server: a head that two servers could frame differently has no end here, and no request follows it
//! on its connection (request smuggling). Pure functions over bytes.

use memchr::{memchr, memchr_iter, memmem};

/// The longest `Content-Length` that is understood, in bytes.
const LONGEST_BODY: u64 = u64::MAX >> 1;

/// Where a request ends, in bytes from its beginning.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RequestEnd {
    /// At this position.
    At(u64),
    /// After the chunked body that starts at this position.
    AfterChunks(usize),
}

/// Where the request ends that `request` starts with. `request` has its whole head. `None` where the end is ambiguous.
pub(super) fn end_of(request: &[u8]) -> Option<RequestEnd> {
    let blank = request.iter().take_while(|byte| b"\r\n".contains(byte));
    let start = blank.count();
    let head = request.get(start..)?;
    let (mut length, mut chunked) = (None, false);
    for line_end in memchr_iter(b'\n', head) {
        let (line, next) = head.split_at_checked(line_end + 1)?;
        if !line.ends_with(b"\r\n") {
            return None;
        }
        match next.first()? {
            b'\r' if next.starts_with(b"\r\n") => {
                return end_behind_head(start + line_end + 3, length, chunked);
            }
            // A folded line, or an empty line that ends in a lone CR or LF.
            b'\r' | b'\n' | b' ' | b'\t' => return None,
            b'c' | b'C' if is_named(next, b"content-length") => {
                let value = next.get(b"content-length".len()..)?;
                if length.replace(content_length(value)?).is_some() {
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

/// Where the body starts in `request`, whose end [`end_of`] has found.
pub(super) fn head_length(request: &[u8]) -> usize {
    let blank = request.iter().take_while(|byte| b"\r\n".contains(byte));
    let start = blank.count();
    let head = request.get(start..).unwrap_or_default();
    let end = memmem::find(head, b"\r\n\r\n");
    end.map_or(request.len(), |end| start + end + 4)
}

/// The end of a request whose body starts at `body`.
fn end_behind_head(body: usize, length: Option<u64>, chunked: bool) -> Option<RequestEnd> {
    match (length, chunked) {
        (None, true) => Some(RequestEnd::AfterChunks(body)),
        (Some(_), true) => None,
        (length, false) => (body as u64)
            .checked_add(length.unwrap_or(0))
            .map(RequestEnd::At),
    }
}

fn starts_with_name(line: &[u8], name: &[u8]) -> bool {
    let start = line.get(..name.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(name))
}

/// Whether `line` starts with the header `name`, or with what a server may read as it: anything but more characters of
/// a name may follow.
fn is_named(line: &[u8], name: &[u8]) -> bool {
    let is_name_byte = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    starts_with_name(line, name) && !line.get(name.len()).is_some_and(is_name_byte)
}

/// Whether the line that `lines` starts with is exactly `Transfer-Encoding: chunked`.
fn is_chunked(lines: &[u8]) -> bool {
    let name = b"transfer-encoding:";
    let line = memchr(b'\r', lines)
        .and_then(|end| lines.get(..end))
        .unwrap_or_default();
    let value = line.get(name.len()..).unwrap_or_default();
    starts_with_name(line, name) && value.trim_ascii().eq_ignore_ascii_case(b"chunked")
}

/// Reads the value of `Content-Length` from `rest`, which starts right after the header's name.
fn content_length(rest: &[u8]) -> Option<u64> {
    let value = rest.strip_prefix(b":")?;
    let digits = value.get(..memchr(b'\r', value)?)?.trim_ascii();
    // `parse` would accept a sign.
    let is_number = digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(digits).ok().filter(|_| is_number)?;
    text.parse().ok().filter(|length| *length < LONGEST_BODY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_after_its_content_length() {
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
                let expected = Some(RequestEnd::At((head.len() + length) as u64));
                assert_eq!(end_of(head.as_bytes()), expected, "{head}");
                let more = format!("{head}GET / HTTP/1.1\r\ncontent-length: 9\r\n\r\n");
                assert_eq!(end_of(more.as_bytes()), expected, "{more}");
            }
        }
    }

    #[test]
    fn an_ambiguous_head_has_no_end() {
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
        for start in [
            "",
            "\r\n",
            "GET / HTTP/1.1\r\n",
            "GET / HTTP/1.1\r\nx: y\r\n",
        ] {
            assert_eq!(end_of(start.as_bytes()), None, "{start}");
        }
    }
}
