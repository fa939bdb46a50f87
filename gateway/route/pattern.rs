//! The hosts and the path prefix that a route takes, parsed once.

use std::fmt;

use crate::grammar::host::normal_host;
use crate::grammar::path::NormalPath;

/// The hosts that a route takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum HostPattern {
    /// One host, in its normal form.
    Exact(String),
    /// `*.example.com`: every host that ends in `.example.com`, which is kept here with its first dot.
    Suffix(String),
    /// Every host.
    Any,
}

impl HostPattern {
    /// Reads `api.example.com` or `*.example.com`, without a port.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let (wild, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        let name = normal_host(name).filter(|name| !name.is_empty());
        match name {
            Some(name) if !wild => Ok(Self::Exact(name.into_owned())),
            // An IPv6 address has no names below it.
            Some(name) if !name.starts_with('[') => Ok(Self::Suffix(format!(".{name}"))),
            _ => Err(
                "a host is a name without port, such as `api.example.com`, `*.example.com` or `[::1]`",
            ),
        }
    }

    /// Whether the pattern takes `host`, which must be in its normal form: see [`normal_host`].
    pub(crate) fn takes(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => host == name,
            Self::Suffix(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
            Self::Any => true,
        }
    }

    /// Whether there is a host that both patterns take.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::Exact(host), pattern) | (pattern, Self::Exact(host)) => pattern.takes(host),
            (Self::Suffix(one), Self::Suffix(other)) => {
                one.ends_with(other.as_str()) || other.ends_with(one.as_str())
            }
        }
    }

    /// How specific the pattern is: a higher rank goes first.
    pub(crate) fn rank(&self) -> usize {
        match self {
            Self::Exact(_) => usize::MAX,
            Self::Suffix(suffix) => suffix.len(),
            Self::Any => 0,
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Suffix(suffix) => write!(f, "*{suffix}"),
            Self::Any => f.write_str("*"),
        }
    }
}

/// A path prefix of whole segments. It never ends in a slash; the empty prefix takes every path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PathPrefix(String);

impl PathPrefix {
    /// Reads a prefix such as `/openai`, which must be in its normal form; `/` takes every path.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let wanted = "a path begins with `/` and is in its plain form, such as `/openai`";
        match NormalPath::parse(text.as_bytes()) {
            Ok(normal) if normal.path == text && normal.query.is_none() => {
                Ok(Self(text.trim_end_matches('/').to_owned()))
            }
            _ => Err(wanted),
        }
    }

    /// The rest of `path` behind the prefix, if `path` is below it.
    pub(crate) fn strip<'p>(&self, path: &'p str) -> Option<&'p str> {
        path.strip_prefix(self.0.as_str())
            .filter(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The prefix as text; empty for `/`.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "/" } else { &self.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_match_whole_names() {
        let suffix = HostPattern::parse("*.Example.com").unwrap();
        assert!(suffix.takes("a.example.com") && suffix.takes("a.b.example.com"));
        assert!(
            !suffix.takes("example.com")
                && !suffix.takes("aexample.com")
                && !suffix.takes(".example.com")
        );
        assert!(
            HostPattern::parse("api.example.com")
                .unwrap()
                .takes("api.example.com")
        );
        for (spelling, normal) in [
            ("API.example.com.", "api.example.com"),
            ("*.Example.com.", "*.example.com"),
            ("[0:0::1]", "[::1]"),
        ] {
            let pattern = HostPattern::parse(spelling).unwrap();
            assert_eq!(pattern.to_string(), normal);
        }
        for bad in [
            "", "*", "*.", "a:80", "a b", "http://a", "a*", ".", "a..", "[]", "[x]", "*.[::1]",
            "::1",
        ] {
            assert!(HostPattern::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn patterns_meet_where_a_host_is_taken_by_both() {
        for (one, other, meet) in [
            ("a.example.com", "a.example.com", true),
            ("a.example.com", "b.example.com", false),
            ("a.example.com", "*.example.com", true),
            ("example.com", "*.example.com", false),
            ("*.example.com", "*.a.example.com", true),
            ("*.a.example.com", "*.b.example.com", false),
        ] {
            let [one, other] = [one, other].map(|text| HostPattern::parse(text).unwrap());
            assert!(one.meets(&other) == meet && other.meets(&one) == meet);
            assert!(one.meets(&HostPattern::Any) && HostPattern::Any.meets(&one));
        }
    }

    #[test]
    fn prefixes_match_whole_segments() {
        let prefix = PathPrefix::parse("/openai").unwrap();
        assert_eq!(prefix.strip("/openai"), Some(""));
        assert_eq!(prefix.strip("/openai/v1"), Some("/v1"));
        assert_eq!(prefix.strip("/openai2"), None);
        assert_eq!(PathPrefix::parse("/").unwrap().strip("/a"), Some("/a"));
        assert_eq!(
            PathPrefix::parse("/a/").unwrap(),
            PathPrefix::parse("/a").unwrap()
        );
        for bad in [
            "", "openai", "/a//b", "/a/../b", "/a?b", "/%61", "/a b", "/a;b",
        ] {
            assert!(PathPrefix::parse(bad).is_err(), "{bad}");
        }
    }
}
