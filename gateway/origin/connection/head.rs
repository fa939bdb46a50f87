//! The head of a request that waits for the first bytes of its body, so that one send carries both.

/// What the written bytes say about the head that they begin with.
///
/// Whether a body follows at once. A head with `Expect` has none: the client waits for the origin's consent. One with
/// `Upgrade` may have none.
pub(super) fn announces_body(head: &[u8]) -> bool {
    let mut has_body = false;
    for line in head.split(|byte| *byte == b'\n') {
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
