//! Part of phase 1: what must hold for any request before anything else is decided about it. Plain functions of the
//! head; they know no route and no key.

pub(super) mod names;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderValue, Method};
use pingora::http::RequestHeader;

use crate::proxy::reject::Reason;
use crate::snapshot::Rules;

/// Checks that a request's head has one framing, a bounded size, and a method that can be forwarded.
///
/// `raw` is the head as it was read from the connection. It is empty for HTTP/2, whose framing has one reading.
pub fn check_head(rules: &Rules, request: &RequestHeader, raw: &[u8]) -> Result<(), Reason> {
    let found = Found::of(request);
    // Over HTTP/2, the request line is made of three fields like the others.
    let line = request.method.as_str().len() + request.raw_path().len() + 12;
    let bytes = if raw.is_empty() {
        found.bytes + line
    } else {
        raw.len()
    };
    let limits = &rules.server.limits;
    if bytes as u64 > limits.max_header_bytes || request.headers.len() > limits.max_header_count {
        return Err(Reason::HeadersTooLarge);
    }
    let has_one_framing = !found.is_padded
        && has_one_length(&found)
        && has_strict_lines(raw)
        && has_one_coding(&found, raw);
    if !has_one_framing || request.method == Method::TRACE {
        return Err(Reason::BadFraming);
    }
    Ok(())
}

/// The length that `Content-Length` declares, 0 without one. Pingora has refused values that are not a number.
pub(super) fn declared_length(request: &RequestHeader) -> u64 {
    let value = request.headers.get(CONTENT_LENGTH);
    let text = value.and_then(|value| value.to_str().ok());
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// What one pass over the headers finds.
#[derive(Default)]
struct Found<'r> {
    /// The bytes of all header lines.
    bytes: usize,
    /// Whether a value has a space around it, which HTTP/2 lets pass (RFC 9113, section 8.2.1).
    is_padded: bool,
    lengths: Occurrences<'r>,
    codings: Occurrences<'r>,
}

/// The values of one header.
#[derive(Default)]
struct Occurrences<'r> {
    first: Option<&'r HeaderValue>,
    are_more: bool,
}

impl<'r> Found<'r> {
    fn of(request: &'r RequestHeader) -> Self {
        let mut found = Self::default();
        let blank = |b: Option<&u8>| matches!(b, Some(b' ' | b'\t'));
        for (name, value) in &request.headers {
            let bytes = value.as_bytes();
            found.bytes += name.as_str().len() + bytes.len() + 4;
            found.is_padded |= blank(bytes.first()) || blank(bytes.last());
            match *name {
                CONTENT_LENGTH => found.lengths.note(value),
                TRANSFER_ENCODING => found.codings.note(value),
                _ => {}
            }
        }
        found
    }
}

impl<'r> Occurrences<'r> {
    fn note(&mut self, value: &'r HeaderValue) {
        self.are_more = self.first.is_some();
        self.first.get_or_insert(value);
    }
}

/// Whether there is at most one length. Pingora takes two equal ones, in two lines or in one, for one; a provider may
/// not.
fn has_one_length(found: &Found<'_>) -> bool {
    let length = found.lengths.first;
    !found.lengths.are_more && !length.is_some_and(|value| value.as_bytes().contains(&b','))
}

/// Whether a body is chunked at most, without another coding and without a length beside it.
///
/// Nothing here could decode a coding before `chunked`. Pingora lets `Transfer-Encoding` win over `Content-Length` and
/// removes the latter; a request with both is a smuggling attempt or a broken client, and is refused instead.
fn has_one_coding(found: &Found<'_>, raw: &[u8]) -> bool {
    let Some(coding) = found.codings.first else {
        return true;
    };
    let coding = coding.as_bytes().trim_ascii();
    coding.eq_ignore_ascii_case(b"chunked")
        && !found.codings.are_more
        && !has_header_line(raw, b"content-length:")
}

/// Whether every line ends with CR LF and the target has no fragment. Pingora accepts a bare LF as the end of a line,
/// which a server in front may not, and drops the fragment.
fn has_strict_lines(head: &[u8]) -> bool {
    // Compares all bytes without a branch for each, so that the compiler compares many at once.
    let following = head.get(1..).unwrap_or_default();
    let is_bare = |before: u8, byte: u8| u8::from(byte == b'\n') & u8::from(before != b'\r');
    let pairs = head.iter().zip(following);
    let bare = pairs.fold(0, |any, (before, byte)| any | is_bare(*before, *byte));
    let ends_well = bare == 0 && head.first() != Some(&b'\n');
    // Empty lines may precede the request line.
    let blank = head.iter().take_while(|byte| b"\r\n".contains(byte));
    let head = head.get(blank.count()..).unwrap_or_default();
    let line = memchr::memchr(b'\n', head).and_then(|end| head.get(..end));
    ends_well && line.is_none_or(|line| memchr::memchr(b'#', line).is_none())
}

fn has_header_line(head: &[u8], name: &[u8]) -> bool {
    head.split(|b| *b == b'\n').any(|line| {
        line.get(..name.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_line_feed_is_found_wherever_it_is() {
        for length in 0..70 {
            let value = "b".repeat(length);
            let head = format!("A / HTTP/1.1\r\na: {value}\r\n\r\n");
            assert!(has_strict_lines(head.as_bytes()));
            for at in 0..=head.len() {
                let mut bare = head.clone();
                bare.insert(at, '\n');
                assert!(!has_strict_lines(bare.as_bytes()), "{bare:?}");
            }
        }
    }
}
