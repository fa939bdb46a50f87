//! Reads a proxy's response to CONNECT, up to the empty line: whether the tunnel is open, and if not, why.
//!
//! Pure: works on the bytes received so far.

use std::io;
use std::time::Duration;

/// The largest response to CONNECT, in bytes.
const MAX_RESPONSE: usize = 16 << 10;

/// The authentication schemes of proxies that keygate distinguishes. It can use only the first.
const CHALLENGES: [&str; 4] = ["Basic", "Digest", "NTLM", "Negotiate"];

/// Why there is no tunnel.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The proxy responded with another status than 2xx, and perhaps with one of [`CHALLENGES`].
    Refused {
        status: u16,
        challenge: Option<&'static str>,
    },
    /// The proxy closed the connection without a response.
    Closed,
    /// The response is no HTTP, too large, cut off, or followed by bytes that TLS does not allow.
    NoHttp,
    /// There was no response within this time.
    Late(Duration),
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Whether the tunnel is open, by the bytes received so far; `false` means to read more. `ended` is whether the proxy has
/// closed the connection.
pub(crate) fn is_open(received: &[u8], ended: bool) -> Result<bool, Failure> {
    let mut rest = received;
    loop {
        let compared = rest.len().min(HTTP1.len());
        if rest.get(..compared) != HTTP1.get(..compared) {
            return Err(Failure::NoHttp);
        }
        let Some((head, behind)) = split_head(rest) else {
            return match ended {
                true if received.is_empty() => Err(Failure::Closed),
                true => Err(Failure::NoHttp),
                false if received.len() > MAX_RESPONSE => Err(Failure::NoHttp),
                false => Ok(false),
            };
        };
        match status_of(head).ok_or(Failure::NoHttp)? {
            100..200 => rest = behind,
            // In TLS, the client sends first: further bytes are not the provider's.
            200..300 if behind.is_empty() => return Ok(true),
            200..300 => return Err(Failure::NoHttp),
            status => {
                let challenge = challenge_in(head);
                return Err(Failure::Refused { status, challenge });
            }
        }
    }
}

const HTTP1: &[u8] = b"HTTP/1.";

/// The head, up to its empty line, and the bytes behind it; `None` until the empty line has been received.
fn split_head(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = |mark: &[u8]| {
        let at = bytes
            .windows(mark.len())
            .position(|window| window == mark)?;
        Some(at + mark.len())
    };
    let end = [end(b"\r\n\r\n"), end(b"\n\n")]
        .into_iter()
        .flatten()
        .min()?;
    let (head, behind) = bytes.split_at_checked(end)?;
    // A head that is not UTF-8 becomes empty, and then has no status.
    Some((std::str::from_utf8(head).unwrap_or_default(), behind))
}

/// The status in `HTTP/1.1 200 ...`.
fn status_of(head: &str) -> Option<u16> {
    let line = head.lines().next()?;
    let status = line.split(' ').nth(1)?;
    let is_one = status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit());
    is_one
        .then(|| status.parse().ok())?
        .filter(|status| *status >= 100)
}

/// The first of [`CHALLENGES`] that a `Proxy-Authenticate` of the head names.
fn challenge_in(head: &str) -> Option<&'static str> {
    let is_named = |scheme: &&&str| {
        head.lines().any(|line| {
            let (name, value) = line.split_once(':').unwrap_or_default();
            let first = value.trim().split([' ', ',']).next().unwrap_or_default();
            name.eq_ignore_ascii_case("proxy-authenticate") && first.eq_ignore_ascii_case(scheme)
        })
    };
    CHALLENGES.iter().find(is_named).copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_response_is_read_up_to_its_limit() {
        let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "x".repeat(1 << 20));
        assert!(matches!(
            is_open(&endless.as_bytes()[..MAX_RESPONSE], false),
            Ok(false)
        ));
        assert!(matches!(
            is_open(endless.as_bytes(), false),
            Err(Failure::NoHttp)
        ));
    }

    proptest! {
        /// However a response is cut into chunks, the decision on a beginning is the decision on the whole.
        #[test]
        fn a_response_is_read_the_same_in_any_chunks(
            head in prop_oneof![
                Just("HTTP/1.1 200 OK\r\n\r\n"),
                Just("HTTP/1.1 100 C\r\n\r\nHTTP/1.0 200 OK\r\nvia: x\r\n\r\n"),
                Just("HTTP/1.1 503 No\r\n\r\n"),
            ],
            noise in proptest::collection::vec(any::<u8>(), 0..40),
            with_noise in any::<bool>(),
        ) {
            let mut bytes = head.as_bytes().to_vec();
            if with_noise {
                bytes = noise;
            }
            let whole = is_open(&bytes, true).is_ok_and(|open| open);
            let mut opened = false;
            for end in 0..=bytes.len() {
                match is_open(&bytes[..end], false) {
                    Ok(open) => opened |= open,
                    Err(_) => break,
                }
                prop_assert!(!opened || end == bytes.len());
            }
            prop_assert_eq!(opened, whole);
        }
    }
}
