//! The hosts, beside its own, that a provider may redirect clients to.

use crate::grammar::url::split_scheme;

/// A host that `redirect_hosts` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RedirectHost {
    /// In lower case; `.example.com` for `*.example.com`.
    name: String,
    /// Whether `name` stands for its subdomains.
    wildcard: bool,
    /// The port; `None` is the default of the URL's scheme.
    port: Option<u16>,
}

impl RedirectHost {
    /// Reads `storage.example.com` or `*.example.com`, with or without a port. The error follows the name of the setting.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let why = "is a host, such as `storage.example.com`, `*.example.com` or `10.0.0.5:9000`, without scheme or path";
        let lower = text.to_ascii_lowercase();
        let (host, port) = split_port(&lower).ok_or(why)?;
        // In DNS, `example.com.` is the same name; URLs rarely write it so.
        let host = host.strip_suffix('.').unwrap_or(host);
        let (wildcard, name) = match host.strip_prefix('*') {
            Some(rest) if rest.starts_with('.') && rest.len() > 1 => (true, rest),
            Some(_) => return Err(why),
            None => (false, host),
        };
        if !is_host(name) {
            return Err(why);
        }
        Ok(Self {
            name: name.to_owned(),
            wildcard,
            port,
        })
    }

    /// Whether a URL with this scheme and `authority` is at this host.
    fn takes(&self, tls: bool, authority: &str) -> bool {
        let authority = authority.to_ascii_lowercase();
        let Some((host, port)) = split_port(&authority) else {
            return false;
        };
        let default = if tls { 443 } else { 80 };
        let same_port = port.unwrap_or(default) == self.port.unwrap_or(default);
        let same_host = if self.wildcard {
            !host.starts_with('.') && host.ends_with(&self.name)
        } else {
            host == self.name
        };
        same_port && same_host && is_host(host)
    }
}

/// Whether `url` is at one of `hosts`. A plain http URL is refused unless the provider itself is reached by plain http.
pub(super) fn takes_url(hosts: &[RedirectHost], provider_tls: bool, url: &str) -> bool {
    let Some((tls, authority, _)) = split_url(url) else {
        return false;
    };
    (tls || !provider_tls) && hosts.iter().any(|host| host.takes(tls, authority))
}

/// An `http` or `https` URL in parts: whether it is https, its authority, and what follows.
pub(super) fn split_url(url: &str) -> Option<(bool, &str, &str)> {
    let (scheme, rest) = split_scheme(url)?;
    let tls = scheme.eq_ignore_ascii_case("https");
    if !tls && !scheme.eq_ignore_ascii_case("http") {
        return None;
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    Some((tls, authority, path))
}

/// A host and its port, if it has one. `None` if the text behind the colon is no port.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    match authority.rsplit_once(':') {
        // A colon within brackets is part of an IPv6 address.
        Some((host, port)) if !port.ends_with(']') => {
            let digits = port.bytes().all(|byte| byte.is_ascii_digit());
            Some((host, Some(port.parse().ok().filter(|_| digits)?)))
        }
        _ => Some((authority, None)),
    }
}

/// Whether `host` is a name or an address: no user information, and nothing that clients read in different ways.
fn is_host(host: &str) -> bool {
    let in_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let inner = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match inner {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(in_name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(hosts: &[&str], tls: bool, url: &str) -> bool {
        let hosts = hosts.iter().map(|host| RedirectHost::parse(host).unwrap());
        takes_url(&hosts.collect::<Vec<_>>(), tls, url)
    }

    #[test]
    fn only_urls_at_configured_hosts_are_redirected_to() {
        let hosts = ["Storage.example.com", "*.cdn.test", "10.0.0.5:9000"];
        for url in [
            "https://storage.example.com/x",
            "HTTPS://STORAGE.example.com:443",
            "https://storage.example.com?x=1",
            "https://a.cdn.test/",
            "https://a.b.cdn.test/",
            "https://10.0.0.5:9000/x",
        ] {
            assert!(takes(&hosts, true, url), "{url}");
        }
        for url in [
            "http://storage.example.com/x",
            "https://storage.example.com:8443/x",
            "https://storage.example.com@evil.test/x",
            "https://evil.test@storage.example.com/x",
            "https://storage.example.com.evil.test/x",
            "https://xstorage.example.com/x",
            "https://cdn.test/",
            "https://.cdn.test/",
            "https://evil.test#.cdn.test/",
            "https://evil.test:x.cdn.test/",
            "https://10.0.0.5/x",
            "ftp://storage.example.com/",
            "https:/storage.example.com/",
            "//storage.example.com/x",
            "storage.example.com",
            "",
        ] {
            assert!(!takes(&hosts, true, url), "{url}");
        }
        assert!(takes(&hosts, false, "http://10.0.0.5:9000/x"));
        assert!(takes(&["127.0.0.1"], false, "http://127.0.0.1/x"));
        assert!(takes(&["[::1]:1"], false, "http://[::1]:1/x"));
        assert!(takes(&["A.test."], true, "https://a.test/x"));
        assert!(takes(&["*.a.test.:1"], true, "https://b.a.test:1/x"));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            "*",
            "*.",
            "*..",
            ".",
            "a*",
            "*a.test",
            "https://a.test",
            "a.test/x",
            "a.test:",
            "a.test:x",
            "a@b.test",
            "a b",
            "a.test:99999",
            "[::1",
            "[x]",
        ] {
            assert!(RedirectHost::parse(text).is_err(), "{text}");
        }
    }
}
