//! The head of a request that waits for the first bytes of its body, so that one send carries both.

/// Whether the body of the request follows at once, by the headers in `head`. It does not behind `Expect`, where the client
/// waits for the origin's consent, and there may be none behind `Upgrade`.
pub(super) fn announces_body(head: &[u8]) -> bool {
    let mut has_body = false;
    for end in memchr::memchr_iter(b'\n', head) {
        let line = head.get(end + 1..).unwrap_or_default();
        // Few names begin like those that are looked for: the others need not be read to their end.
        if !matches!(
            line.first(),
            Some(b'c' | b'C' | b't' | b'T' | b'e' | b'E' | b'u' | b'U')
        ) {
            continue;
        }
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let Some((name, value)) = split(line) else {
            continue;
        };
        if name.eq_ignore_ascii_case(b"content-length") {
            has_body |= value.iter().any(|byte| matches!(byte, b'1'..=b'9'));
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            has_body = true;
        } else if name.eq_ignore_ascii_case(b"expect") || name.eq_ignore_ascii_case(b"upgrade") {
            return false;
        }
    }
    has_body
}

/// Name and value of a header line.
fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', line)?;
    Some((line.get(..colon)?, line.get(colon + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_announces_a_body_by_its_length_or_its_coding() {
        let cases: &[(&str, bool)] = &[
            ("Content-Length: 300", true),
            ("content-length:0012", true),
            ("Transfer-Encoding: chunked", true),
            ("Host: a\r\nCONTENT-LENGTH: 7\r\nAccept: */*", true),
            ("Content-Length: 0", false),
            ("Host: a", false),
            ("X-Content-Length: 7", false),
            ("X-Note: content-length: 7", false),
            ("Content-Length: 7\r\nExpect: 100-continue", false),
            ("Upgrade: websocket\r\nContent-Length: 7", false),
        ];
        for (headers, expected) in cases {
            let head = format!("POST /v1/chat/completions HTTP/1.1\r\n{headers}\r\n\r\n");
            assert_eq!(announces_body(head.as_bytes()), *expected, "{headers}");
        }
    }
}
