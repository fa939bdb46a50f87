//! The elements of `X-Forwarded-For` and of `Forwarded` (RFC 7239), the last one first.
//!
//! Read from the end: what a trusted proxy has added stands there, and what the client made up in front of it cannot
//! change how that is read.

use std::net::{IpAddr, SocketAddr};

use crate::grammar::list;

/// The addresses of one line of a list such as `X-Forwarded-For`, the last first; `None` for what is no address.
pub(super) fn list_elements(line: &[u8]) -> Box<dyn Iterator<Item = Option<SocketAddr>> + '_> {
    let elements = list::byte_elements(line).rev();
    Box::new(elements.map(|element| address(std::str::from_utf8(element).ok()?)))
}

/// The addresses of the `for` parameters of one line of `Forwarded`, the last first; `None` for an element that names
/// none.
pub(super) fn forwarded_elements(line: &[u8]) -> Box<dyn Iterator<Item = Option<SocketAddr>> + '_> {
    let elements = list::rsplit_unquoted(line, b',').filter(|element| !element.is_empty());
    Box::new(elements.map(for_parameter))
}

/// The address that `for` names, where it stands once. Identifiers that hide it (`unknown`, `_name`) are none.
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

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`. Without a port, it is 0.
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
    fn elements_of_forwarded_come_from_the_end_and_commas_in_quotes_part_nothing() {
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
            // The host is the client's own, which a proxy repeats in quotes.
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
        // A client's open quote reaches no further than its own part.
        assert_eq!(
            read("for=\"6.6.6.6, for=1.1.1.1").first(),
            Some(&is("1.1.1.1"))
        );
    }
}
