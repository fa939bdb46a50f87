//! The normal form of a host. Both a request's `Host` and the hosts of routes are compared in it, so that no spelling of a
//! host chooses another route.
//!
//! Knows the syntax alone, and resolves no name.

use std::borrow::Cow;
use std::net::Ipv6Addr;

/// The normal form of `host`, which has no port: lower case, no final dot (DNS takes `example.com.` for the same name), an
/// `IPv6` address between brackets as RFC 5952 writes it. The empty host, which HTTP/1.1 allows (RFC 9110, section 7.2),
/// is its own normal form. `None` for what is no host by RFC 3986, section 3.2.2, or has escapes or sub-delimiters, which
/// that section allows and no name has in practice.
pub(crate) fn normal_host(host: &str) -> Option<Cow<'_, str>> {
    if let Some(literal) = host.strip_prefix('[') {
        let address: Ipv6Addr = literal.strip_suffix(']')?.parse().ok()?;
        return Some(Cow::Owned(format!("[{address}]")));
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if !host.bytes().all(is_name) {
        return None;
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.ends_with('.') || name.is_empty() != host.is_empty() {
        return None;
    }
    Some(if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    })
}

/// The normal form of the host in `authority`, which may have a port. `None` if either part is malformed.
pub(crate) fn host_of_authority(authority: &str) -> Option<Cow<'_, str>> {
    let (host, port) = match authority.rfind(':') {
        Some(colon) if !authority.ends_with(']') => authority.split_at_checked(colon)?,
        _ => (authority, ":"),
    };
    let port = port.get(1..)?;
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit());
    normal_host(host).filter(|_| is_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_told_from_its_port() {
        for (authority, host) in [
            ("A.test:80", Some("a.test")),
            ("a.test:", Some("a.test")),
            ("a.test", Some("a.test")),
            ("[::1]:8080", Some("[::1]")),
            ("[::1]", Some("[::1]")),
            (":80", Some("")),
            ("a.test:x", None),
            ("a.test:80:80", None),
            ("u@a.test:80", None),
            ("[::1]x:80", None),
        ] {
            assert_eq!(host_of_authority(authority).as_deref(), host, "{authority}");
        }
    }

    #[test]
    fn spellings_of_one_host_become_one_host() {
        for (spelling, normal) in [
            ("llm.example.com", "llm.example.com"),
            ("LLM.Example.com.", "llm.example.com"),
            ("a_b.example", "a_b.example"),
            ("10.0.0.1.", "10.0.0.1"),
            ("[::1]", "[::1]"),
            ("[0:0:0:0:0:0:0:1]", "[::1]"),
            ("[2001:DB8::000A]", "[2001:db8::a]"),
            ("[::ffff:7f00:1]", "[::ffff:127.0.0.1]"),
            ("", ""),
        ] {
            assert_eq!(normal_host(spelling).as_deref(), Some(normal), "{spelling}");
            // A normal form is its own normal form.
            assert_eq!(normal_host(normal).as_deref(), Some(normal));
        }
    }

    #[test]
    fn what_is_no_host_has_no_form() {
        for bad in [
            ".",
            "a..",
            "a%2e",
            "a:80",
            "a b",
            "a/b",
            "[::1",
            "[::1%25lo]",
            "[::1].",
            "[1.2.3.4]",
            "[]",
            "::1",
            "\u{e9}",
        ] {
            assert_eq!(normal_host(bad), None, "{bad}");
        }
    }
}
