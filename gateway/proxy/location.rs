//! Where a URL in a response's head leads the client that follows it: back through the gateway, to a host that the
//! provider's `redirect_hosts` name, or elsewhere, which the client's key and prompt must not follow.
//!
//! Plain functions on texts. What clients might read in more than one way leads elsewhere.

use http::header::{HOST, LINK};
use http::{HeaderName, HeaderValue};
use pingora::http::RequestHeader;

use crate::route::Route;

/// The request that a URL is resolved against.
pub(super) struct Asked<'a> {
    /// The route it took.
    pub(super) route: &'a Route,
    /// The client's head.
    pub(super) client: &'a RequestHeader,
    /// The provider's path and query.
    pub(super) target: &'a str,
    /// Whether the gateway itself ended its TLS.
    pub(super) tls: bool,
}

impl Asked<'_> {
    /// What the client gets of a header that holds a URL, or several if it is `Link`; `None` where one of them leads
    /// elsewhere.
    pub(super) fn lead(&self, name: &HeaderName, value: &str) -> Option<String> {
        if *name == LINK {
            self.links(value)
        } else {
            self.url(value)
        }
    }

    /// `Link` has its URLs in angle brackets.
    fn links(&self, value: &str) -> Option<String> {
        let (mut links, mut rest) = (String::new(), value);
        while let Some((before, after)) = rest.split_once('<') {
            let (url, behind) = after.split_once('>')?;
            links = links + before + "<" + &self.url(url)? + ">";
            rest = behind;
        }
        Some(links + rest)
    }

    /// A URL of the gateway's for one at the provider, which may be relative; one at a host that the provider's
    /// configuration names as it is.
    fn url(&self, url: &str) -> Option<String> {
        let provider = &self.route.targets.primary().provider;
        // Clients differ in what they make of others: some drop tabs, some take `\` for `/`.
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
        if !url.bytes().all(plain) {
            None
        } else if let Some(path) = provider.path_of(url) {
            Some(self.origin()? + &self.here(&rooted(path))?)
        } else if provider.may_redirect_to(url) {
            Some(url.to_owned())
        } else if is_absolute(url) {
            None
        } else {
            self.here(&resolve(self.target, url))
        }
    }

    /// What the client asks for `path` by, which is absolute. `None` where that has more than one reading.
    fn here(&self, path: &str) -> Option<String> {
        let path = without_dots(path);
        let strip_root = self
            .route
            .targets
            .primary()
            .provider
            .paths
            .strip_root(&path);
        let here = format!("{}{strip_root}", self.route.path.as_str());
        // Without anything in front of it, the second slash would begin the name of a host.
        (here.starts_with('/') && !here.starts_with("//")).then_some(here)
    }

    /// The gateway's scheme and authority, as the client has them.
    fn origin(&self) -> Option<String> {
        let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
        let host = self.client.headers.get(HOST).and_then(text);
        let authority = host.or_else(|| Some(self.client.uri.authority()?.to_string()))?;
        // Said by the client or by whatever ended its TLS: it only tells the client where it came from.
        let proto = self.client.headers.get("x-forwarded-proto");
        let is_https = |proto: &HeaderValue| proto.as_bytes().eq_ignore_ascii_case(b"https");
        let scheme = if self.tls || proto.is_some_and(is_https) {
            "https"
        } else {
            "http"
        };
        Some(format!("{scheme}://{authority}"))
    }
}

/// Whether a URL names a scheme or a host, or may be read as if it did.
fn is_absolute(url: &str) -> bool {
    let end = url.find(['/', '?', '#']).unwrap_or(url.len());
    let (first, rest) = url.split_at_checked(end).unwrap_or((url, ""));
    first.contains(':') || (first.is_empty() && rest.starts_with("//"))
}

/// What follows an authority, as a path.
fn rooted(path: &str) -> String {
    if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    }
}

/// The absolute path that a relative reference means beside `target`, as RFC 3986 has it (section 5.2.2). Dot segments
/// are still in it.
fn resolve(target: &str, reference: &str) -> String {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    match reference.bytes().next() {
        Some(b'/') => reference.to_owned(),
        Some(b'?') => format!("{path}{reference}"),
        // The same document.
        None | Some(b'#') => format!("{target}{reference}"),
        Some(_) => {
            let folder = path.rfind('/').and_then(|end| path.get(..=end));
            format!("{}{reference}", folder.unwrap_or("/"))
        }
    }
}

/// A path, perhaps with a query and a fragment, without its dot segments (RFC 3986, section 5.2.4), which may be
/// escaped: clients would take out those, too.
fn without_dots(path: &str) -> String {
    let end = path.find(['?', '#']).unwrap_or(path.len());
    let (path, rest) = path.split_at_checked(end).unwrap_or((path, ""));
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let dots = segment.to_ascii_lowercase().replace("%2e", ".");
        match dots.as_str() {
            "." => {}
            ".." => {
                kept.pop();
            }
            _ => {
                kept.push(segment);
                continue;
            }
        }
        if segments.peek().is_none() {
            kept.push("");
        }
    }
    format!("/{}{rest}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_resolved_as_clients_would() {
        // RFC 3986, section 5.4, where the base is http://a/b/c/d;p?q.
        for (reference, path) in [
            ("g", "/b/c/g"),
            ("./g", "/b/c/g"),
            ("g/", "/b/c/g/"),
            ("/g", "/g"),
            ("?y", "/b/c/d;p?y"),
            ("g?y", "/b/c/g?y"),
            ("#s", "/b/c/d;p?q#s"),
            ("g#s", "/b/c/g#s"),
            ("g;x=1/../y", "/b/c/y"),
            ("g?y/../x", "/b/c/g?y/../x"),
            ("", "/b/c/d;p?q"),
            (".", "/b/c/"),
            ("..", "/b/"),
            ("../g", "/b/g"),
            ("../..", "/"),
            ("../../../g", "/g"),
            ("/../g", "/g"),
            ("/%2E%2e/g", "/g"),
            ("g..", "/b/c/g.."),
        ] {
            let resolved = resolve("/b/c/d;p?q", reference);
            assert_eq!(without_dots(&resolved), path, "{reference}");
        }
    }

    #[test]
    fn what_may_name_a_host_is_not_relative() {
        for url in [
            "//h/x",
            "///h",
            "https:h",
            "https:/h",
            "javascript:x",
            "a:b/c",
            ":x",
        ] {
            assert!(is_absolute(url), "{url}");
        }
        for url in [
            "", "/x", "x", "?a=b:c", "#a:b", "/a:b", "x/a:b", "./a:b", "x//y",
        ] {
            assert!(!is_absolute(url), "{url}");
        }
    }
}
