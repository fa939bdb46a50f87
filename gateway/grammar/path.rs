//! The normal form of a request's path. Routing, authorization, logs, metrics and the provider all use this string; a path
//! with two readings is refused instead of guessed at.
//!
//! Knows no route and no key.

use std::borrow::Cow;

use super::escaped_separators;
use super::url::split_scheme;

/// A request's target in its normal form.
#[derive(Debug, PartialEq, Eq)]
pub struct NormalPath<'r> {
    /// Begins with `/`; unreserved characters unescaped, other escapes in upper case, no doubled
    /// slashes, no dot segments.
    pub path: Cow<'r, str>,
    /// The query behind `?`, byte for byte; `None` for a target without `?`.
    pub(crate) query: Option<&'r str>,
    /// Whether the path has escaped separators.
    has_escaped_separators: bool,
}

/// Why a target was refused. The client sees `bad_path` alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPath {
    /// Neither `/path` nor `http://host/path`.
    NotAPath,
    /// A byte that a path or query cannot hold: a control character, a space, `\`, `#`, `;`, or any that is not ASCII.
    Character,
    /// An escape that is broken, or that hides `\`, `#`, a control character, another escape or a credential's parameter.
    /// Where separators may not be escaped, also one that hides `/`, `;` or `?`.
    Escape,
    /// A segment `.` or `..`, escaped or not.
    DotSegment,
}

impl<'r> NormalPath<'r> {
    /// Reads a path of a configuration, or a target, in origin form or absolute form. Escaped separators are refused.
    pub fn parse(target: &'r [u8]) -> Result<Self, BadPath> {
        let path = Self::with_escaped_separators(target, |_| true)?;
        if path.has_escaped_separators {
            return Err(BadPath::Escape);
        }
        Ok(path)
    }

    /// Reads a raw request target, in origin form or absolute form. `%2F`, `%3B` and `%3F` in its path stay as they are:
    /// the router takes them for no separators, but a provider may, and [`other_readings`](Self::other_readings) gives
    /// the paths that such a provider reads.
    ///
    /// `holds_credential` returns whether a query holds a credential. It is called with the text behind an escaped `;`
    /// or `?`: a client that escapes a whole query hides its key there, where nothing looks for it or removes it, so
    /// that target is refused.
    pub(crate) fn with_escaped_separators(
        target: &'r [u8],
        holds_credential: impl Fn(&str) -> bool,
    ) -> Result<Self, BadPath> {
        let target = std::str::from_utf8(target).map_err(|_| BadPath::Character)?;
        let target = origin_form(target)?;
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        if query.is_some_and(|query| !query.bytes().all(|b| b.is_ascii_graphic() && b != b'#')) {
            return Err(BadPath::Character);
        }
        let path = normalize(path)?;
        let has_escaped_separators = path.contains('%') && escaped_separators::are_in(&path);
        if has_escaped_separators {
            if escaped_separators::has_dot_segment(&path) {
                return Err(BadPath::DotSegment);
            }
            if escaped_separators::hidden_query(&path).is_some_and(holds_credential) {
                return Err(BadPath::Escape);
            }
        }
        Ok(Self {
            path,
            query,
            has_escaped_separators,
        })
    }

    /// The paths that servers may read if they decode escaped separators first; empty if the path has none.
    // Inlined, as `readings_of`: hardly a request has such a path, and the others then pay for one comparison.
    #[inline]
    pub fn other_readings(&self) -> Vec<String> {
        self.readings_of(&self.path)
    }

    /// The same for `target`, a path at the provider, with or without a query, that ends with this path or with what
    /// follows a prefix of it.
    #[inline]
    pub(crate) fn readings_of(&self, target: &str) -> Vec<String> {
        if self.has_escaped_separators {
            escaped_separators::readings(target)
        } else {
            Vec::new()
        }
    }
}

fn origin_form(target: &str) -> Result<&str, BadPath> {
    if target.starts_with('/') {
        return Ok(target);
    }
    // Pingora refuses a request whose Host names another authority.
    let (scheme, rest) = split_scheme(target).ok_or(BadPath::NotAPath)?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(BadPath::NotAPath);
    }
    match rest.find(['/', '?']) {
        Some(at) if rest.as_bytes().get(at) == Some(&b'/') => {
            rest.get(at..).ok_or(BadPath::NotAPath)
        }
        Some(_) => Err(BadPath::NotAPath),
        None => Ok("/"),
    }
}

/// The normal form of a path without its query.
fn normalize(path: &str) -> Result<Cow<'_, str>, BadPath> {
    let bytes = path.as_bytes();
    // Almost every path is in its normal form already.
    let plain = |b: &u8| is_path_byte(*b) && *b != b'%';
    if bytes.iter().all(plain) && !path.contains("//") && !path.contains("/.") {
        return Ok(Cow::Borrowed(path));
    }
    let mut normal = String::with_capacity(path.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            let (code, behind) = escape(after).ok_or(BadPath::Escape)?;
            rest = behind;
            push_escape(&mut normal, code)?;
        } else if !is_path_byte(byte) {
            return Err(BadPath::Character);
        } else if byte != b'/' || !normal.ends_with('/') {
            normal.push(char::from(byte));
        }
    }
    // An escaped `%` must not begin an escape, not even with digits that were escaped themselves (`%25%41%41`).
    if normal
        .match_indices("%25")
        .any(|(at, _)| escape(bytes_from(&normal, at + 3)).is_some())
    {
        return Err(BadPath::Escape);
    }
    if normal
        .split('/')
        .any(|segment| segment == "." || segment == "..")
    {
        return Err(BadPath::DotSegment);
    }
    Ok(Cow::Owned(normal))
}

fn bytes_from(text: &str, at: usize) -> &[u8] {
    text.as_bytes().get(at..).unwrap_or_default()
}

/// The byte that the two hexadecimal digits at the beginning of `text` stand for, and what follows them.
fn escape(text: &[u8]) -> Option<(u8, &[u8])> {
    let (pair, behind) = text.split_at_checked(2)?;
    let digit = |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16));
    let code = digit(pair.first())? * 16 + digit(pair.get(1))?;
    Some((u8::try_from(code).ok()?, behind))
}

/// Appends the normal form of an escape that stands for `code`.
fn push_escape(normal: &mut String, code: u8) -> Result<(), BadPath> {
    match code {
        b if is_unreserved(b) => normal.push(char::from(b)),
        // A provider may decode these and treat them as separators, which the router did not.
        b'\\' | b'#' | 0..=0x1f | 0x7f => return Err(BadPath::Escape),
        b => {
            use std::fmt::Write;
            // Writing to a String cannot fail.
            let _ = write!(normal, "%{b:02X}");
        }
    }
    Ok(())
}

/// The unreserved characters of RFC 3986, section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// The characters of a path in RFC 3986, section 3.3, without `;`: some servers cut a segment there.
fn is_path_byte(byte: u8) -> bool {
    is_unreserved(byte) || b"/%:@!$&'()*+,=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(target: &str) -> Result<String, BadPath> {
        NormalPath::parse(target.as_bytes()).map(|normal| normal.path.into_owned())
    }

    #[test]
    fn plain_paths_stay_as_they_are() {
        for plain in [
            "/",
            "/openai",
            "/v1beta/models/gemini-2.5:generateContent",
            "/a/b/",
            "/.well-known/x",
            "/a/..b",
        ] {
            assert_eq!(path(plain).as_deref(), Ok(plain));
        }
    }

    #[test]
    fn spellings_of_one_path_become_one_path() {
        for spelling in [
            "/openai/v1",
            "//openai///v1",
            "/%6fpenai/v%31",
            "/open%61i//v1",
            "http://h/openai/v1",
        ] {
            assert_eq!(path(spelling).as_deref(), Ok("/openai/v1"), "{spelling}");
        }
        assert_eq!(path("/a%3ab%c3%a9").as_deref(), Ok("/a%3Ab%C3%A9"));
        assert_eq!(path("http://h").as_deref(), Ok("/"));
        assert_eq!(path("/50%25").as_deref(), Ok("/50%25"));
    }

    #[test]
    fn a_path_with_two_readings_is_refused() {
        use BadPath::{Character, DotSegment, Escape, NotAPath};
        for (target, why) in [
            ("/a/../b", DotSegment),
            ("/a/.", DotSegment),
            ("/%2e%2e/b", DotSegment),
            ("/.%2E/b", DotSegment),
            ("/a%2fb", Escape),
            ("/a%5Cb", Escape),
            ("/a%00", Escape),
            ("/a%0d%0a", Escape),
            ("/a%7f", Escape),
            ("/a%252fb", Escape),
            ("/%25%41%41", Escape),
            ("/a%", Escape),
            ("/a%2", Escape),
            ("/a%zz", Escape),
            ("/a%+1", Escape),
            ("/a%3bb", Escape),
            ("/a%3fb", Escape),
            ("/a;b", Character),
            ("/a\\b", Character),
            ("/a#b", Character),
            ("/a b", Character),
            ("/\u{e9}", Character),
            ("/a?b c", Character),
            ("/a?b#c", Character),
            ("/a\"", Character),
            ("", NotAPath),
            ("*", NotAPath),
            ("a/b", NotAPath),
            ("ftp://h/a", NotAPath),
            ("http://h?a", NotAPath),
        ] {
            assert_eq!(path(target), Err(why), "{target}");
        }
        assert_eq!(NormalPath::parse(b"/\xff").unwrap_err(), Character);
    }

    #[test]
    fn the_query_is_untouched() {
        let normal = NormalPath::parse(b"/a?alt=sse&x=%2F//..").unwrap();
        assert_eq!(normal.query, Some("alt=sse&x=%2F//.."));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

        /// Any target is refused, or normalizes to a path that is its own normal form and hides nothing.
        #[test]
        fn a_normal_path_is_a_fixed_point_without_disguises(
            target in "/([a-z/.%;\\\\?]|%2[eEfF5]|%5[cC]|%00|%41|\\.\\./|//){0,12}"
        ) {
            if let Ok(normal) = path(&target) {
                prop_assert_eq!(path(&normal), Ok(normal.clone()));
                prop_assert!(normal.starts_with('/'));
                prop_assert!(!normal.contains("//"));
                prop_assert!(!normal.to_ascii_lowercase().contains("%2f"));
                prop_assert!(!normal.split('/').any(|s| s == "." || s == ".."));
            }
        }
    }
}
