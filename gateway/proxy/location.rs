//! Rewrites a URL in a response's head so that a client which follows it comes back to the gateway. A URL at a host of
//! the provider's `redirect_hosts` stays as it is. Any other is refused, because the client would send its key and prompt
//! there.
//!
//! Plain functions of texts. A URL that clients might read in more than one way is refused.

use http::header::{HOST, LINK};
use http::{HeaderName, HeaderValue};
use pingora::http::RequestHeader;

use crate::provider::Provider;
use crate::route::PathPrefix;

/// The request whose response holds the URL.
pub(super) struct Request<'a> {
    /// The prefix of its route.
    pub(super) prefix: &'a PathPrefix,
    /// The provider that responded.
    pub(super) provider: &'a Provider,
    /// The client's head.
    pub(super) client: &'a RequestHeader,
    /// The path and query at the provider, which relative URLs are resolved against.
    pub(super) target: &'a str,
    /// Whether the client speaks TLS to the gateway itself.
    pub(super) tls: bool,
}

impl Request<'_> {
    /// The value for the client of the header `name`, which holds a URL, or several if it is `Link`. `None` where one of
    /// them is refused.
    pub(super) fn rewrite(&self, name: &HeaderName, value: &str) -> Option<String> {
        if *name == LINK {
            self.links(value)
        } else {
            self.url(value)
        }
    }

    /// Rewrites the URLs of a `Link`, which stand in angle brackets.
    fn links(&self, value: &str) -> Option<String> {
        let (mut links, mut rest) = (String::new(), value);
        while let Some((before, after)) = rest.split_once('<') {
            let (url, behind) = after.split_once('>')?;
            links = links + before + "<" + &self.url(url)? + ">";
            rest = behind;
        }
        Some(links + rest)
    }

    /// Rewrites one URL, which may be relative.
    fn url(&self, url: &str) -> Option<String> {
        let provider = self.provider;
        // Clients differ in how they read other bytes: some drop tabs, some take `\` for `/`.
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
        if !url.bytes().all(plain) {
            None
        } else if let Some(path) = provider.path_of(url) {
            Some(self.origin()? + &self.gateway_path(&rooted(path))?)
        } else if provider.may_redirect_to(url) {
            Some(url.to_owned())
        } else if is_absolute(url) {
            None
        } else {
            self.gateway_path(&resolve(self.target, url))
        }
    }

    /// The path at the gateway that leads to the absolute `path` at the provider. `None` where it has more than one
    /// reading.
    fn gateway_path(&self, path: &str) -> Option<String> {
        let path = without_dots(path);
        let rest = self.provider.paths.strip_root(&path);
        let path = format!("{}{rest}", self.prefix.as_str());
        // A path that begins with two slashes would be read as the name of a host.
        (path.starts_with('/') && !path.starts_with("//")).then_some(path)
    }

    /// The gateway's scheme and authority, as the client uses them.
    fn origin(&self) -> Option<String> {
        let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
        let host = self.client.headers.get(HOST).and_then(text);
        let authority = host.or_else(|| Some(self.client.uri.authority()?.to_string()))?;
        // The client may forge this header, which then changes nothing but the client's own next URL.
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

/// Whether a URL names a scheme or a host, or could be read as if it did.
fn is_absolute(url: &str) -> bool {
    let end = url.find(['/', '?', '#']).unwrap_or(url.len());
    let (first, rest) = url.split_at_checked(end).unwrap_or((url, ""));
    first.contains(':') || (first.is_empty() && rest.starts_with("//"))
}

/// The text behind an authority, as a path.
fn rooted(path: &str) -> String {
    if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    }
}

/// The absolute path of a reference that is relative to `target` (RFC 3986, section 5.2.2), with its dot segments.
fn resolve(target: &str, reference: &str) -> String {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    match reference.bytes().next() {
        Some(b'/') => reference.to_owned(),
        Some(b'?') => format!("{path}{reference}"),
        // A reference to the same document.
        None | Some(b'#') => format!("{target}{reference}"),
        Some(_) => {
            let folder = path.rfind('/').and_then(|end| path.get(..=end));
            format!("{}{reference}", folder.unwrap_or("/"))
        }
    }
}

/// Removes the dot segments from a path, which may have a query and a fragment (RFC 3986, section 5.2.4). Escaped ones
/// go as well, since clients remove those, too.
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
