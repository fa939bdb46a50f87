//! What a proxy answers to CONNECT, read as far as its empty line: whether the tunnel is open, and if not, why.

use std::io;
use std::time::Duration;

/// The most bytes of a response to CONNECT that are read.
const MOST: usize = 16 << 10;

/// The challenges that a proxy may ask with, the one that can be answered first.
const CHALLENGES: [&str; 4] = ["Basic", "Digest", "NTLM", "Negotiate"];

/// What came instead of a tunnel.
#[derive(Debug)]
pub(crate) enum Failure {
    Refused {
        status: u16,
        challenge: Option<&'static str>,
    },
    Closed,
    NoHttp,
    Late(Duration),
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Whether the tunnel is open, after these bytes of the response, the last ones if `ended`; if not, there is more to read.
pub(crate) fn is_open(received: &[u8], ended: bool) -> Result<bool, Failure> {
    let mut rest = received;
    loop {
        let begun = rest.len().min(BEGINNING.len());
        if rest.get(..begun) != BEGINNING.get(..begun) {
            return Err(Failure::NoHttp);
        }
        let Some((head, behind)) = split_head(rest) else {
            return match ended {
                true if received.is_empty() => Err(Failure::Closed),
                true => Err(Failure::NoHttp),
                false if received.len() > MOST => Err(Failure::NoHttp),
                false => Ok(false),
            };
        };
        match status_of(head).ok_or(Failure::NoHttp)? {
            100..200 => rest = behind,
            // Nobody speaks first in TLS but the client: what is there is not the provider's.
            200..300 if behind.is_empty() => return Ok(true),
            200..300 => return Err(Failure::NoHttp),
            status => {
                let challenge = challenge_in(head);
                return Err(Failure::Refused { status, challenge });
            }
        }
    }
}

const BEGINNING: &[u8] = b"HTTP/1.";

/// A head, and what is behind its empty line; `None` while that has not come.
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
    // One with other bytes than text has no status that could be read.
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

/// What the proxy wants in `Proxy-Authorization`, of what is known.
fn challenge_in(head: &str) -> Option<&'static str> {
    let asked = |scheme: &&&str| {
        head.lines().any(|line| {
            let (name, value) = line.split_once(':').unwrap_or_default();
            let first = value.trim().split([' ', ',']).next().unwrap_or_default();
            name.eq_ignore_ascii_case("proxy-authenticate") && first.eq_ignore_ascii_case(scheme)
        })
    };
    CHALLENGES.iter().find(asked).copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_response_without_end_is_not_read_without_end() {
        let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "x".repeat(1 << 20));
        assert!(matches!(
            is_open(&endless.as_bytes()[..MOST], false),
            Ok(false)
        ));
        assert!(matches!(
            is_open(endless.as_bytes(), false),
            Err(Failure::NoHttp)
        ));
    }

    proptest! {
        /// Whatever comes, in whatever chunks: what is decided on a beginning stays decided, and nothing panics.
        #[test]
        fn a_response_is_read_the_same_in_any_pieces(
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
