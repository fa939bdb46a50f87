//! The header of the PROXY protocol, versions 1 and 2, which a load balancer sends before the first byte of the client
//! (<https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt>).
//!
//! Strict: a header that two readers might read in two ways is refused. Additional values of version 2 (TLV) are skipped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest header of version 1, its CR LF included, in bytes.
const LONGEST_V1: usize = 107;
/// The longest header of version 2 that is read, in bytes: nginx has the same bound.
pub const LONGEST: usize = 4096;

const MALFORMED: &str = "its PROXY header of version 1 is malformed";

const V1: &[u8] = b"PROXY ";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The bytes of a header of version 2 before its addresses.
const FIXED_V2: usize = 16;

/// A complete header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    /// The length of the header in bytes.
    pub length: usize,
    /// The client's address. `None` if the connection is the balancer's own (`LOCAL`, as for health checks), or if the
    /// header has no TCP address (`UNKNOWN`, UDP, Unix sockets).
    pub(crate) client: Option<SocketAddr>,
}

/// The reading of a connection's first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// They begin a header: more bytes are needed.
    More,
    /// They hold a complete header.
    Whole(ProxyHeader),
    /// They are no header, for this reason.
    Refused(&'static str),
}

/// Reads the header at the beginning of `begun`, the bytes of a connection so far.
pub fn read(begun: &[u8]) -> Progress {
    if begun.starts_with(V2) {
        read_v2(begun)
    } else if begun.starts_with(V1) {
        read_v1(begun)
    } else if V2.starts_with(begun) || V1.starts_with(begun) {
        Progress::More
    } else {
        Progress::Refused("it begins with no PROXY header")
    }
}

fn read_v1(begun: &[u8]) -> Progress {
    let line = begun.get(..LONGEST_V1).unwrap_or(begun);
    let Some(end) = line.iter().position(|byte| *byte == b'\n') else {
        return if line.len() == LONGEST_V1 {
            Progress::Refused("a PROXY header of version 1 has at most 107 bytes")
        } else {
            Progress::More
        };
    };
    let text = line
        .get(V1.len()..end)
        .and_then(|bytes| bytes.strip_suffix(b"\r"))
        .and_then(|bytes| std::str::from_utf8(bytes).ok());
    match text.filter(|text| text.is_ascii() && !text.contains('\r')) {
        // The specification lets anything follow `UNKNOWN`.
        Some(text) if text.split(' ').next() == Some("UNKNOWN") => whole(end + 1, None),
        Some(text) => client_or_refused(end + 1, client_v1(text), MALFORMED),
        None => Progress::Refused(MALFORMED),
    }
}

fn client_or_refused(length: usize, client: Option<SocketAddr>, why: &'static str) -> Progress {
    match client {
        Some(client) => whole(length, Some(client)),
        None => Progress::Refused(why),
    }
}

/// The client in `TCP4 192.0.2.1 192.0.2.2 1234 443`.
fn client_v1(text: &str) -> Option<SocketAddr> {
    let words: Vec<&str> = text.split(' ').collect();
    let [protocol, client, here, client_port, here_port] = *words.as_slice() else {
        return None;
    };
    let read: fn(&str) -> Option<IpAddr> = match protocol {
        "TCP4" => |text| text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "TCP6" => |text| text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => return None,
    };
    let client = SocketAddr::new(read(client)?, port_v1(client_port)?);
    let is_whole = read(here).is_some() && port_v1(here_port).is_some();
    is_whole.then_some(client)
}

/// Reads a port without leading zeros.
fn port_v1(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let plain = digits && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

fn read_v2(begun: &[u8]) -> Progress {
    let Some(&[.., command, family, high, low]) = begun.first_chunk::<FIXED_V2>() else {
        return Progress::More;
    };
    let length = FIXED_V2 + usize::from(u16::from_be_bytes([high, low]));
    if length > LONGEST {
        return Progress::Refused("a PROXY header has at most 4096 bytes here");
    }
    let is_known = matches!(command, 0x20 | 0x21) && family >> 4 <= 3 && family & 0xf <= 2;
    if !is_known {
        return Progress::Refused("its PROXY header has an unknown version, command or family");
    }
    let Some(addresses) = begun.get(FIXED_V2..length) else {
        return Progress::More;
    };
    let client = match (command, family) {
        (0x21, 0x11) => client_v4(addresses),
        (0x21, 0x21) => client_v6(addresses),
        _ => return whole(length, None),
    };
    client_or_refused(
        length,
        client,
        "its PROXY header is too short for its addresses",
    )
}

/// Two addresses of 4 bytes and two ports, the client's first.
fn client_v4(addresses: &[u8]) -> Option<SocketAddr> {
    let [a, b, c, d, _, _, _, _, high, low, _, _] = *addresses.first_chunk::<12>()?;
    let port = u16::from_be_bytes([high, low]);
    Some(SocketAddr::from(([a, b, c, d], port)))
}

/// Two addresses of 16 bytes and two ports, the client's first.
fn client_v6(addresses: &[u8]) -> Option<SocketAddr> {
    let addresses = addresses.first_chunk::<36>()?;
    let [high, low, _, _] = *addresses.last_chunk::<4>()?;
    let address = Ipv6Addr::from(*addresses.first_chunk::<16>()?);
    let port = u16::from_be_bytes([high, low]);
    Some(SocketAddr::new(address.into(), port))
}

fn whole(length: usize, client: Option<SocketAddr>) -> Progress {
    // An address of IPv4 has one spelling from here on.
    let client = client.map(|at| SocketAddr::new(at.ip().to_canonical(), at.port()));
    Progress::Whole(ProxyHeader { length, client })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of version 2 whose length is right.
    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [V2, &[command, family], &length, rest].concat()
    }

    fn tcp4() -> Vec<u8> {
        v2(
            0x21,
            0x11,
            &[192, 0, 2, 1, 10, 0, 0, 1, 0x30, 0x39, 1, 0xbb],
        )
    }

    fn tcp6(tail: &[u8]) -> Vec<u8> {
        let client: Ipv6Addr = "2001:db8::1".parse().unwrap();
        let ports = [0x30, 0x39, 1, 0xbb];
        let rest = [&client.octets()[..], &[0; 16], &ports, tail].concat();
        v2(0x21, 0x21, &rest)
    }

    /// Good headers, with the client that they name.
    fn good() -> Vec<(Vec<u8>, Option<&'static str>)> {
        let unix = v2(0x21, 0x31, &[0; 216]);
        vec![
            (
                b"PROXY TCP4 192.0.2.1 10.0.0.1 12345 443\r\n".to_vec(),
                Some("192.0.2.1:12345"),
            ),
            (
                b"PROXY TCP6 2001:db8::1 ::1 0 65535\r\n".to_vec(),
                Some("[2001:db8::1]:0"),
            ),
            (
                b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n".to_vec(),
                Some("192.0.2.1:1"),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (
                b"PROXY UNKNOWN ffff::1 ffff::1 65535 65535\r\n".to_vec(),
                None,
            ),
            (tcp4(), Some("192.0.2.1:12345")),
            (tcp6(&[]), Some("[2001:db8::1]:12345")),
            (
                tcp6(&[0xea, 0, 3, b'v', b'p', b'c']),
                Some("[2001:db8::1]:12345"),
            ),
            (v2(0x20, 0x00, &[]), None),
            (v2(0x20, 0x11, &[1; 12]), None),
            (v2(0x21, 0x00, &[7; 40]), None),
            (v2(0x21, 0x12, &[7; 12]), None),
            (unix, None),
        ]
    }

    #[test]
    fn a_header_is_read_in_both_versions_and_what_follows_is_left() {
        for (header, client) in good() {
            let expected = Progress::Whole(ProxyHeader {
                length: header.len(),
                client: client.map(|client| client.parse().unwrap()),
            });
            assert_eq!(read(&header), expected, "{}", header.escape_ascii());
            let followed = [&header[..], b"\x16\x03\x01GET / HTTP/1.1\r\n"].concat();
            assert_eq!(read(&followed), expected, "{}", header.escape_ascii());
        }
    }

    #[test]
    fn a_header_that_is_cut_anywhere_needs_more() {
        for (header, _) in good() {
            for end in 0..header.len() {
                let begun = &header[..end];
                assert_eq!(read(begun), Progress::More, "{}", begun.escape_ascii());
            }
        }
    }

    #[test]
    fn what_is_no_header_is_refused_as_soon_as_that_is_known() {
        let long = [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 93]].concat();
        assert_eq!(long.len(), LONGEST_V1);
        for bad in [
            b"G".to_vec(),
            b"\x16\x03\x01".to_vec(),
            b"proxy TCP4".to_vec(),
            b"\r\n\r\n\0\r\nQUIT\r".to_vec(),
            b"PROXY TCP4 192.0.2.1 10.0.0.1 1 2\n".to_vec(),
            b"PROXY TCP4  192.0.2.1 10.0.0.1 1 2\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 10.0.0.1 1 2 \r\n".to_vec(),
            b"PROXY TCP4 192.0.2.01 10.0.0.1 1 2\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 10.0.0.1 1 65536\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 10.0.0.1 01 2\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 10.0.0.1 +1 2\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 10.0.0.1 1\r\n".to_vec(),
            b"PROXY TCP4 ::1 ::1 1 2\r\n".to_vec(),
            b"PROXY TCP6 192.0.2.1 10.0.0.1 1 2\r\n".to_vec(),
            b"PROXY UDP4 192.0.2.1 10.0.0.1 1 2\r\n".to_vec(),
            b"PROXY UNKNOWN\r\r\n".to_vec(),
            b"PROXY UNKNOWNX\r\n".to_vec(),
            b"PROXY \r\n".to_vec(),
            b"PROXY UNKNOWN \xff\r\n".to_vec(),
            long,
            v2(0x11, 0x11, &[0; 12]),
            v2(0x22, 0x11, &[0; 12]),
            v2(0x21, 0x41, &[0; 12]),
            v2(0x21, 0x13, &[0; 12]),
            v2(0x21, 0x11, &[0; 11]),
            v2(0x21, 0x21, &[0; 35]),
            v2(0x21, 0x11, &vec![0; LONGEST]),
        ] {
            let found = read(&bad);
            assert!(
                matches!(found, Progress::Refused(_)),
                "{}: {found:?}",
                bad.escape_ascii()
            );
        }
    }

    proptest::proptest! {
        /// However the bytes are cut, the response is the same; nothing is read beyond the bound.
        #[test]
        fn any_bytes_read_the_same_however_they_are_cut(
            start in proptest::sample::select(vec![V1, V2, b"PROXY TCP4 ", b"PROXY TCP6 ", b""]),
            rest in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
        ) {
            let bytes = [start, &rest].concat();
            let at_once = read(&bytes);
            let mut ends = (0..=bytes.len()).map(|end| read(&bytes[..end]));
            let first = ends.find(|progress| *progress != Progress::More);
            proptest::prop_assert_eq!(first.unwrap_or(Progress::More), at_once);
            if let Progress::Whole(header) = at_once {
                proptest::prop_assert!(header.length <= LONGEST && header.length <= bytes.len());
            }
        }
    }
}
