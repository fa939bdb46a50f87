//! The HTTP proxy that outgoing connections are tunnelled through: its address and its credentials.
//!
//! Knows how a configuration and the environment name a proxy; `tunnel` knows the protocol.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

use super::no_proxy::{is_exempt, is_this_machine};
use super::url::{BaseUrl, BaseUrlError};
use crate::grammar::{authorization, url};
use crate::secret::Secret;

/// The variables that name a proxy for https, in curl's order: the first that is set and not empty is used.
const VARIABLES: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
/// The variables that list the hosts to reach without the proxy.
const EXEMPTING: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// A proxy that opens tunnels by CONNECT (RFC 9110, section 9.3.6).
#[derive(Clone)]
pub struct EgressProxy {
    url: BaseUrl,
    authorization: Option<HeaderValue>,
}

/// Why a text is no proxy. The message is a predicate: it follows the name of the setting.
#[derive(Debug, thiserror::Error)]
pub enum EgressProxyError {
    /// There is a user or a password in it.
    #[error("has credentials in it: they belong in `proxy_token`")]
    Credentials,
    /// TLS to the proxy itself is wanted.
    #[error(
        "begins with https://, and keygate speaks no TLS to the proxy itself: say http://. What goes through it is \
         encrypted as far as the provider all the same"
    )]
    Tls,
    /// It is a SOCKS proxy.
    #[error("is a SOCKS proxy: keygate uses HTTP proxies alone, http://HOST:PORT")]
    Socks,
    /// The scheme is another one, or is missing.
    #[error("is no proxy such as http://proxy.example.com:3128")]
    Scheme,
    /// It is no URL of an origin.
    #[error(transparent)]
    Url(#[from] BaseUrlError),
    /// There is a path.
    #[error("has a path: only host and port go here")]
    Path,
    /// There is no port.
    #[error("has no port: say it, http://HOST:3128 for instance")]
    NoPort,
}

/// A variable of the environment names a proxy that cannot be used. Holds nothing of its value but a host.
#[derive(Debug, thiserror::Error)]
#[error("the variable {variable} {source}")]
pub(crate) struct EnvironmentError {
    variable: &'static str,
    source: EgressProxyError,
}

impl EgressProxy {
    /// Reads `http://host:port`, as a configuration has it.
    pub fn parse(text: &str) -> Result<Self, EgressProxyError> {
        if text.contains('@') {
            return Err(EgressProxyError::Credentials);
        }
        let scheme = url::split_scheme(text).map(|(scheme, _)| scheme);
        match scheme.map(str::to_ascii_lowercase).as_deref() {
            Some("http") => {}
            Some("https") => return Err(EgressProxyError::Tls),
            Some(other) if other.starts_with("socks") => return Err(EgressProxyError::Socks),
            _ => return Err(EgressProxyError::Scheme),
        }
        let url = BaseUrl::parse_exposed(text)?;
        if !url.path.is_empty() {
            return Err(EgressProxyError::Path);
        }
        let written = text.trim_end_matches('/');
        if !written.ends_with(&format!(":{}", url.port)) {
            return Err(EgressProxyError::NoPort);
        }
        Ok(Self {
            url,
            authorization: None,
        })
    }

    /// The proxy that the environment names for `url`, if any. `variable` returns the value of an environment variable.
    pub(crate) fn of_environment(
        url: &BaseUrl,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, EnvironmentError> {
        let variable = |name: &&str| variable(name).filter(|value| !value.trim().is_empty());
        let Some((name, value)) = VARIABLES
            .iter()
            .find_map(|name| Some((*name, Zeroizing::new(variable(name)?))))
        else {
            return Ok(None);
        };
        let exempt = EXEMPTING.iter().find_map(variable).unwrap_or_default();
        if is_this_machine(&url.host) || is_exempt(url, &exempt) {
            return Ok(None);
        }
        let value = value.trim();
        let (scheme, rest) = url::split_scheme(value).unwrap_or(("http", value));
        let (credentials, place) = match rest.rsplit_once('@') {
            Some((credentials, place)) => (Some(credentials), place),
            None => (None, rest),
        };
        let named = |source| EnvironmentError {
            variable: name,
            source,
        };
        let mut proxy = Self::parse(&format!("{scheme}://{place}")).map_err(named)?;
        proxy.authorization = credentials.map(|written| basic(&user_and_password(written)));
        Ok(Some(proxy))
    }

    /// The same proxy, used with `token`: `user:password`, or a value with its scheme (`Basic ...`, `Bearer ...`). The
    /// error is a predicate, and holds no part of the token.
    pub(crate) fn with_token(mut self, token: &Secret) -> Result<Self, &'static str> {
        let written = token.expose();
        let scheme = authorization::split_scheme(written).map_or(written, |(scheme, _)| scheme);
        let is_scheme = |known: &str| scheme.eq_ignore_ascii_case(known);
        let value = if ["Basic", "Bearer"].into_iter().any(is_scheme) {
            token.header("")
        } else if written.contains(':') {
            Some(basic(written.as_bytes()))
        } else {
            None
        };
        let wrong = "is neither `user:password` nor a value with its scheme, such as `Basic ...`";
        self.authorization = Some(value.ok_or(wrong)?);
        Ok(self)
    }

    /// The host: a name or an address, without brackets.
    pub(crate) fn host(&self) -> &str {
        &self.url.host
    }

    /// The port.
    pub(crate) fn port(&self) -> u16 {
        self.url.port
    }

    /// The value of `Proxy-Authorization`, marked as sensitive.
    pub(crate) fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }
}

/// Host and port, without credentials.
impl fmt::Display for EgressProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", bracketed(self.host()), self.port())
    }
}

/// A host as it is written in front of a port.
pub(crate) fn bracketed(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

/// The value of `Proxy-Authorization` for `user:password` (RFC 7617).
fn basic(credentials: &[u8]) -> HeaderValue {
    let encoded = Zeroizing::new(format!("Basic {}", STANDARD.encode(credentials)));
    // Every character of Base64 is allowed in a header.
    let mut value = HeaderValue::from_str(&encoded).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

/// `user:password` from the credentials of a URL, which may lack the password.
fn user_and_password(written: &str) -> Zeroizing<Vec<u8>> {
    // One byte more than there may be, so that no copy of the password is left behind by a reallocation.
    let mut credentials = Zeroizing::new(Vec::with_capacity(written.len() + 1));
    credentials.extend(percent_decode_str(written));
    if !written.contains(':') {
        credentials.push(b':');
    }
    credentials
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> BaseUrl {
        BaseUrl::parse_exposed(text).unwrap()
    }

    #[test]
    fn a_proxy_is_a_host_and_a_port() {
        let shown = |text: &str| match EgressProxy::parse(text) {
            Ok(proxy) => Ok(proxy.to_string()),
            Err(error) => Err(error.to_string()),
        };
        assert_eq!(shown("http://Proxy.Corp:3128/").unwrap(), "proxy.corp:3128");
        assert_eq!(shown("http://[::1]:80").unwrap(), "[::1]:80");
        for (bad, why) in [
            ("http://proxy.corp", "has no port"),
            ("proxy.corp:3128", "is no proxy such as"),
            (
                "https://proxy.corp:3128",
                "speaks no TLS to the proxy itself",
            ),
            ("socks5://proxy.corp:1080", "is a SOCKS proxy"),
            ("http://u:secret@proxy.corp:3128", "belong in `proxy_token`"),
            ("http://proxy.corp:3128/pac", "has a path"),
            ("http://169.254.169.254:80", "metadata service"),
            ("http://2852039166:80", "metadata service"),
        ] {
            let error = shown(bad).unwrap_err();
            assert!(
                error.contains(why) && !error.contains("secret"),
                "{bad}: {error}"
            );
        }
    }

    #[test]
    fn the_environment_is_read_as_curl_reads_it() {
        let found = |variables: &[(&str, &str)], at: &str| {
            EgressProxy::of_environment(&url(at), |name| {
                let mut variables = variables.iter();
                let (_, value) = variables.find(|(known, _)| *known == name)?;
                Some((*value).to_owned())
            })
            .map(|proxy| proxy.map(|proxy| proxy.to_string()))
            .map_err(|error| error.to_string())
        };
        let there = Ok(Some("proxy.corp:3128".to_owned()));
        let api = "https://api.openai.com";
        for set in [
            ("https_proxy", "http://proxy.corp:3128"),
            ("HTTPS_PROXY", "proxy.corp:3128"),
            ("ALL_PROXY", "http://u:p@proxy.corp:3128/"),
        ] {
            assert_eq!(found(&[set], api), there, "{set:?}");
        }
        assert_eq!(found(&[], api), Ok(None));
        assert_eq!(
            found(&[("http_proxy", "http://proxy.corp:3128")], api),
            Ok(None)
        );
        assert_eq!(
            found(
                &[("https_proxy", " "), ("ALL_PROXY", "proxy.corp:3128")],
                api
            ),
            there
        );
        for loopback in ["https://localhost", "https://127.0.0.1", "https://[::1]"] {
            assert_eq!(
                found(&[("https_proxy", "http://proxy.corp:3128")], loopback),
                Ok(None)
            );
        }
        let error = found(
            &[("https_proxy", "socks5h://u:secret@proxy.corp:1080")],
            api,
        )
        .unwrap_err();
        assert!(
            error.starts_with("the variable https_proxy is a SOCKS proxy"),
            "{error}"
        );
    }

    #[test]
    fn credentials_are_sent_by_the_scheme_that_they_name() {
        let of = |token: &str| {
            let token = Secret::new(token.to_owned()).ok().unwrap();
            let proxy = EgressProxy::parse("http://p:1").unwrap().with_token(&token);
            proxy.map(|proxy| proxy.authorization.unwrap())
        };
        assert_eq!(of("user:pass").unwrap(), "Basic dXNlcjpwYXNz");
        assert_eq!(of("Basic dXNlcjpwYXNz").unwrap(), "Basic dXNlcjpwYXNz");
        assert_eq!(of("Bearer t").unwrap(), "Bearer t");
        assert!(of("user:pass").unwrap().is_sensitive() && of("Bearer t").unwrap().is_sensitive());
        assert!(of("password").unwrap_err().contains("user:password"));
        let named = EgressProxy::of_environment(&url("https://api.openai.com"), |name| {
            (name == "https_proxy").then(|| "http://us%40er:p%3Ass%zz@p:1".to_owned())
        });
        let wanted = format!("Basic {}", STANDARD.encode("us@er:p:ss%zz"));
        assert_eq!(
            named.unwrap().unwrap().authorization.unwrap(),
            wanted.as_str()
        );
        // RFC 7617, section 2: the colon is there without a password, too.
        let named = EgressProxy::of_environment(&url("https://api.openai.com"), |name| {
            (name == "https_proxy").then(|| "http://user@p:1".to_owned())
        });
        let wanted = format!("Basic {}", STANDARD.encode("user:"));
        assert_eq!(
            named.unwrap().unwrap().authorization.unwrap(),
            wanted.as_str()
        );
    }
}
