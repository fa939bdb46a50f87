//! The addresses in `X-Forwarded-For` and in `Forwarded` (RFC 7239), the last one first.
//!
//! Both are read from the end. A trusted proxy appends its element there, and nothing that a client writes in front can
//! change how that element is read.

use std::net::{IpAddr, SocketAddr};

use crate::grammar::list;

/// The addresses in one line of a list such as `X-Forwarded-For`, the last first; `None` for an element that is no address.
pub(super) fn list_elements(line: &[u8]) -> Box<dyn Iterator<Item = Option<SocketAddr>> + '_> {
    let elements = list::byte_elements(line).rev();
    Box::new(elements.map(|element| address(std::str::from_utf8(element).ok()?)))
}

/// The addresses in the `for` parameters of one line of `Forwarded`, the last first; `None` for an element without one.
pub(super) fn forwarded_elements(line: &[u8]) -> Box<dyn Iterator<Item = Option<SocketAddr>> + '_> {
    let elements = list::rsplit_unquoted(line, b',').filter(|element| !element.is_empty());
    Box::new(elements.map(for_parameter))
}

/// The address in the `for` parameter of an element; `None` if it stands there twice, or hides the address (`unknown`,
/// `_name`).
fn for_parameter(element: &[u8]) -> Option<SocketAddr> {
    let mut found = list::rsplit_unquoted(element, b';').filter_map(|pair| {
        let (name, value) = std::str::from_utf8(pair).ok()?.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then_some(value)
    });
    let (value, None) = (found.next()?.trim(), found.next()) else {
        return None;
    };
    let unquoted = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'));
    address(unquoted.unwrap_or(value))
}

/// Reads `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`. The port is 0 if there is none.
fn address(text: &str) -> Option<SocketAddr> {
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let alone = text.parse::<IpAddr>().ok().or_else(bracketed);
    let address = match alone {
        Some(address) => SocketAddr::new(address, 0),
        None => text.parse().ok()?,
    };
    Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_and_without_a_port() {
        for (text, expected) in [
            ("192.0.2.1", Some("192.0.2.1:0")),
            ("192.0.2.1:80", Some("192.0.2.1:80")),
            ("2001:db8::1", Some("[2001:db8::1]:0")),
            ("[2001:db8::1]", Some("[2001:db8::1]:0")),
            ("[2001:db8::1]:80", Some("[2001:db8::1]:80")),
            ("::ffff:192.0.2.1", Some("192.0.2.1:0")),
            ("[192.0.2.1]", Some("192.0.2.1:0")),
            ("192.0.2.1:", None),
            ("192.0.2.01", None),
            ("192.0.2.1:99999", None),
            ("unknown", None),
            ("", None),
        ] {
            let found = address(text).map(|address| address.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn elements_of_forwarded_come_from_the_end_and_commas_in_quotes_separate_nothing() {
        let read = |line: &str| -> Vec<Option<String>> {
            let found = forwarded_elements(line.as_bytes());
            found
                .map(|address| address.map(|address| address.ip().to_string()))
                .collect()
        };
        let is = |address: &str| Some(address.to_owned());
        for (line, expected) in [
            (
                "for=1.1.1.1,for=2.2.2.2",
                vec![is("2.2.2.2"), is("1.1.1.1")],
            ),
            // The client chooses the host, which a proxy repeats in quotes.
            ("for=1.1.1.1;host=\"a,for=6.6.6.6\"", vec![is("1.1.1.1")]),
            (
                "for=1.1.1.1;host=\"a\\\",for=6.6.6.6\"",
                vec![is("1.1.1.1")],
            ),
            ("for=1.1.1.1;host=\"a\\\\\"", vec![is("1.1.1.1")]),
            ("for=1.1.1.1;host=\"a;for=6.6.6.6\"", vec![is("1.1.1.1")]),
            ("for=1.1.1.1;for=2.2.2.2", vec![None]),
            ("for=\"unknown\"", vec![None]),
            ("proto=https", vec![None]),
            (", ,", vec![]),
        ] {
            assert_eq!(read(line), expected, "{line}");
        }
        // A quote that a client leaves open changes nothing behind its own element.
        assert_eq!(
            read("for=\"6.6.6.6, for=1.1.1.1").first(),
            Some(&is("1.1.1.1"))
        );
    }
}
