//! A base URL from the configuration, parsed once: scheme, host, port, base path.

use std::net::{IpAddr, Ipv6Addr};

use http::Uri;
use http::uri::{Authority, InvalidUri};

use crate::grammar::address::{self, is_metadata_host};

/// Whether others can read what is sent to a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exposure {
    /// They cannot: it is encrypted, or stays on this machine or at a private address.
    None,
    /// They may: it is sent unencrypted to a name, or to an address of 100.64.0.0/10, whose network may be private.
    Unclear,
    /// They can: it is sent unencrypted to a public address, through the Internet.
    Public,
}

/// A base URL, such as a provider's. It comes from the configuration only: nothing that a client sends changes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    /// Whether the scheme is https.
    pub(crate) tls: bool,
    /// A name in lower case without a final dot, or an address in its canonical form without brackets.
    pub(crate) host: String,
    /// The port; the scheme's default where the URL leaves it out.
    pub(crate) port: u16,
    /// The path in front of every endpoint, such as `/v1`; empty if there is none. Never ends in a slash.
    pub path: String,
}

/// Why a text is no base URL. The message is a predicate: it follows the name of the setting.
#[derive(Debug, thiserror::Error)]
pub enum BaseUrlError {
    /// The text is no URI.
    #[error("not a URL such as https://api.example.com/v1")]
    Syntax(#[from] InvalidUri),
    /// The scheme is neither https nor http, or is missing.
    #[error("must begin with https:// (or http:// for this machine)")]
    Scheme,
    /// There is no host.
    #[error("has no host")]
    NoHost,
    /// There is a user or a password in it.
    #[error("has credentials in it: they belong in `token`")]
    Credentials,
    /// There is a query or a fragment.
    #[error("has a query or a fragment: only scheme, host, port and path go here")]
    QueryOrFragment,
    /// The host is link-local, or a cloud's metadata service.
    #[error(
        "leads to {0}, which is link-local or a cloud's metadata service: no provider is there, and tokens of the \
         machine's own are"
    )]
    Metadata(String),
    /// The host stands in brackets and is no `IPv6` address.
    #[error("has [{0}] for its host, which is no IPv6 address")]
    NotIpv6(String),
    /// The host is an address that only some programs read as one.
    #[error("has {host} for its host, which not everybody reads as the address {ip}: write `{ip}`")]
    UnusualAddress {
        /// The host as it is written.
        host: String,
        /// The address that some programs read.
        ip: IpAddr,
    },
    /// The port is no number from 1 to 65535.
    #[error("has a port that is none")]
    Port,
    /// The path has escapes, empty segments, or `.` or `..`.
    #[error("has a path that is not in its plain form")]
    Path,
    /// It is plain http to this host, which may not be private.
    #[error(
        "would send requests unencrypted to {0}: plain http is for loopback and private addresses only, use https://"
    )]
    Unencrypted(String),
}

impl BaseUrl {
    /// Reads `https://host[:port][/path]`, or plain `http` to a loopback or private address.
    pub fn parse(text: &str) -> Result<Self, BaseUrlError> {
        let url = Self::parse_exposed(text)?;
        match url.exposure() {
            Exposure::None => Ok(url),
            Exposure::Unclear | Exposure::Public => Err(BaseUrlError::Unencrypted(url.host)),
        }
    }

    /// Reads a URL as [`parse`](Self::parse) does, and plain `http` to anywhere: the caller must check its
    /// [`exposure`](Self::exposure).
    pub fn parse_exposed(text: &str) -> Result<Self, BaseUrlError> {
        let uri: Uri = text.parse()?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(BaseUrlError::Scheme),
        };
        let authority = uri.authority().ok_or(BaseUrlError::NoHost)?;
        if authority.as_str().contains('@') {
            return Err(BaseUrlError::Credentials);
        }
        if uri.query().is_some() || text.contains('#') {
            return Err(BaseUrlError::QueryOrFragment);
        }
        let host = plain_host(authority.host())?;
        if is_metadata_host(&host) {
            return Err(BaseUrlError::Metadata(host));
        }
        let path = uri.path().trim_end_matches('/').to_owned();
        if path.contains("//")
            || path.contains('%')
            || path.split('/').any(|s| s == "." || s == "..")
        {
            return Err(BaseUrlError::Path);
        }
        let port = port(authority, tls)?;
        Ok(Self {
            tls,
            host,
            port,
            path,
        })
    }

    /// Whether others can read what is sent to it.
    pub(crate) fn exposure(&self) -> Exposure {
        match address::read(&self.host) {
            _ if self.tls => Exposure::None,
            Some(ip) if address::is_loopback_or_private(ip) => Exposure::None,
            Some(ip) if !address::is_private(ip) => Exposure::Public,
            None if self.host == "localhost" => Exposure::None,
            _ => Exposure::Unclear,
        }
    }

    /// The value of `Host`: with the port only if that is not the scheme's default.
    pub(crate) fn authority(&self) -> String {
        let host = match self.host.parse::<Ipv6Addr>() {
            Ok(_) => format!("[{}]", self.host),
            Err(_) => self.host.clone(),
        };
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }

    /// The whole URL, for people.
    pub(crate) fn display(&self) -> String {
        format!("{}{}", self.origin(), self.path)
    }

    /// The URL without its path.
    pub fn origin(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.authority())
    }
}

/// The port of `authority`, or the scheme's default.
fn port(authority: &Authority, tls: bool) -> Result<u16, BaseUrlError> {
    match authority.as_str().strip_prefix(authority.host()) {
        None | Some("") => Ok(if tls { 443 } else { 80 }),
        Some(written) => match written.trim_start_matches(':').parse() {
            Ok(port @ 1..) => Ok(port),
            _ => Err(BaseUrlError::Port),
        },
    }
}

/// A host in its canonical form. Refuses an address that only some programs read as one, such as `127.1`.
fn plain_host(written: &str) -> Result<String, BaseUrlError> {
    let host = written.trim_start_matches('[').trim_end_matches(']');
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if host.is_empty() {
        return Err(BaseUrlError::NoHost);
    }
    if written.starts_with('[') && host.parse::<Ipv6Addr>().is_err() {
        return Err(BaseUrlError::NotIpv6(host));
    }
    match (host.parse::<IpAddr>(), address::read(&host)) {
        (Ok(ip), _) => Ok(ip.to_string()),
        (Err(_), None) => Ok(host),
        (Err(_), Some(ip)) if address::is_metadata(ip) => Ok(ip.to_string()),
        (Err(_), Some(ip)) => Err(BaseUrlError::UnusualAddress { host, ip }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_parsed_into_scheme_host_port_and_path() {
        let url = BaseUrl::parse("https://api.groq.com/openai/v1/").unwrap();
        assert_eq!(
            (url.tls, url.host.as_str(), url.port),
            (true, "api.groq.com", 443)
        );
        assert_eq!(
            (url.path.as_str(), url.authority().as_str()),
            ("/openai/v1", "api.groq.com")
        );
        let url = BaseUrl::parse("http://[::1]:9000").unwrap();
        assert_eq!(
            (url.host.as_str(), url.port, url.authority().as_str()),
            ("::1", 9000, "[::1]:9000")
        );
        assert_eq!(url.display(), "http://[::1]:9000");
    }

    #[test]
    fn plain_http_is_for_loopback_and_private_addresses() {
        for near in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.1",
            "172.16.0.9",
            "localhost",
            "LocalHost.",
            "[fd00::1]",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(
                BaseUrl::parse(&format!("http://{near}:80")).is_ok(),
                "{near}"
            );
        }
        for far in [
            "8.8.8.8",
            "api.openai.com",
            "172.32.0.1",
            "[2001:db8::1]",
            "localhost.evil.com",
        ] {
            assert!(
                BaseUrl::parse(&format!("http://{far}"))
                    .unwrap_err()
                    .to_string()
                    .contains("unencrypted"),
                "{far}"
            );
        }
    }

    #[test]
    fn a_url_tells_whether_others_can_read_what_is_sent_to_it() {
        let exposure = |url: &str| BaseUrl::parse_exposed(url).unwrap().exposure();
        for (url, wanted) in [
            ("https://api.openai.com", Exposure::None),
            ("https://8.8.8.8", Exposure::None),
            ("http://localhost", Exposure::None),
            ("http://10.0.0.1", Exposure::None),
            ("http://[fd00::1]", Exposure::None),
            ("http://gpu-box:8000", Exposure::Unclear),
            ("http://api.openai.com", Exposure::Unclear),
            ("http://100.64.0.1", Exposure::Unclear),
            ("http://[::ffff:100.127.1.1]", Exposure::Unclear),
            ("http://100.128.0.1", Exposure::Public),
            ("http://100.63.255.255", Exposure::Public),
            ("http://[2001:db8::1]", Exposure::Public),
        ] {
            assert_eq!(exposure(url), wanted, "{url}");
        }
    }

    #[test]
    fn a_host_has_one_canonical_form() {
        for (written, host, authority) in [
            (
                "https://API.Example.com./v1",
                "api.example.com",
                "api.example.com",
            ),
            ("https://[0:0::1]:8443", "::1", "[::1]:8443"),
            ("https://10.0.0.1.", "10.0.0.1", "10.0.0.1"),
        ] {
            let url = BaseUrl::parse(written).unwrap();
            let found = (url.host.as_str(), url.authority());
            assert_eq!(found, (host, authority.to_owned()), "{written}");
        }
        for odd in ["127.1", "2130706433", "0x7f000001", "010.0.0.1"] {
            let error = BaseUrl::parse(&format!("https://{odd}")).unwrap_err();
            let why = error.to_string();
            assert!(why.contains("write `"), "{odd}: {why}");
        }
    }

    #[test]
    fn a_metadata_service_is_no_provider_whatever_the_scheme_and_the_spelling() {
        for host in [
            "169.254.169.254",
            "169.254.169.254.",
            "2852039166",
            "0xa9fea9fe",
            "[::ffff:169.254.169.254]",
            "[::ffff:a9fe:a9fe]",
            "[64:ff9b::a9fe:a9fe]",
            "[fd00:ec2::254]",
            "[fe80::1]",
            "100.100.100.200",
            "168.63.129.16",
            "metadata.google.internal",
            "METADATA.google.internal.",
        ] {
            for scheme in ["http", "https"] {
                let error = BaseUrl::parse(&format!("{scheme}://{host}/v1")).unwrap_err();
                let why = error.to_string();
                assert!(why.contains("metadata service"), "{scheme} {host}: {why}");
            }
        }
    }

    #[test]
    fn a_url_with_anything_else_in_it_is_refused() {
        for bad in [
            "",
            "api.openai.com",
            "ftp://x",
            "https://",
            "https://u:p@h",
            "https://h?k=1",
            "https://h/#f",
            "https://h/a/../b",
            "https://h/a//b",
            "https://h/%61",
            "https://h:99999",
            "https://h:0",
            "https://169.254.169.254",
            "https://[fe80::1]",
            "https://[fe80::1%25lo]",
            "https://[1.2.3.4]",
            "http://a.localhost",
            "https:// h",
        ] {
            assert!(BaseUrl::parse(bad).is_err(), "{bad}");
        }
    }
}
