//! A provider: where it is, what it is like, and the token that goes to it and nowhere else.
//!
//! Knows the way to one origin; knows nothing of routes or of what a client may do.

pub mod kind;
mod paths;
mod policy;
mod redirect;
mod spec;
mod spelling;

pub use kind::{Bearer, Dialect, KINDS, Kind};
pub use paths::{Paths, is_segment};
pub use policy::{ACCOUNT_CHOICES, ALWAYS_STRIPPED, Stripped, is_of_a_front_proxy};
pub use redirect::RedirectHost;
pub use spec::{ProviderSpec, TokenSource};
pub use spelling::{folded, is_plain, plain_form};

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use zeroize::Zeroizing;

use crate::grammar::authorization::without_bearer;
use crate::key::ClientKey;
use crate::origin::{Addresses, BaseUrl, EgressProxy, Endpoint};
use crate::secret::Secret;

/// A provider as used: everything a request needs, built once.
pub struct Provider {
    /// Its name, a metric label.
    pub name: Arc<str>,
    /// Its kind.
    pub kind: &'static Kind,
    /// The way to it.
    pub endpoint: Endpoint,
    /// Its own name, for `Host`.
    pub host: HeaderValue,
    /// The header that the token goes in.
    pub auth_header: HeaderName,
    /// Headers that every request to it gets.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Headers that a request gets where the client sent none.
    pub default_headers: Vec<(HeaderName, HeaderValue)>,
    /// Headers of its responses that tell about the account.
    pub account_headers: Vec<HeaderName>,
    /// Which paths there are.
    pub paths: Paths,
    redirect_hosts: Vec<RedirectHost>,
    base_url: BaseUrl,
    proxy: Option<EgressProxy>,
    auth_prefix: String,
    bearer: Option<Bearer>,
    token: Token,
}

enum Token {
    Fixed(Authorization),
    Key(String),
    Passthrough,
    None,
    Missing(String),
}

/// What authorizes one request.
pub enum Credential {
    /// This.
    Header(Authorization),
    /// Nothing: the provider wants none.
    None,
}

/// A token as it stands in a request.
#[derive(Clone)]
pub struct Authorization {
    /// The header that it goes in.
    pub name: HeaderName,
    /// What goes in, marked as sensitive.
    pub value: HeaderValue,
    /// What must be among the values of a header beside it.
    pub feature: Option<(HeaderName, &'static str)>,
}

/// Why there is nothing to authorize a request with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoCredential {
    /// The provider's own token, or the key's entry for it, is missing.
    Unavailable,
    /// The caller had to bring its own and did not.
    NotPresented,
}

impl Provider {
    /// Builds it; `None` when a part cannot stand in a header, which the configuration's check
    /// has ruled out.
    pub fn build(spec: ProviderSpec, addresses: Arc<Addresses>) -> Option<Self> {
        let how = TokenPlacement {
            kind: spec.kind,
            header: &spec.auth_header,
            prefix: &spec.auth_prefix,
            bearer: spec.bearer.as_ref(),
        };
        let token = match spec.token {
            TokenSource::Fixed(Ok(secret)) => Token::Fixed(how.authorize(&secret)?),
            TokenSource::Fixed(Err(why)) => Token::Missing(why.to_string()),
            TokenSource::Key(name) => Token::Key(name),
            TokenSource::Passthrough => Token::Passthrough,
            TokenSource::None => Token::None,
        };
        let host = HeaderValue::from_str(&spec.base_url.authority()).ok()?;
        let endpoint = Endpoint::new(
            &spec.base_url,
            &spec.sni,
            spec.ca.as_ref(),
            spec.http,
            spec.timeouts,
            spec.proxy.as_ref(),
            addresses,
        );
        let default_headers = spec.kind.default_headers.iter();
        let names = |names: &'static [&'static str]| -> Vec<HeaderName> {
            names
                .iter()
                .map(|name| HeaderName::from_static(name))
                .collect()
        };
        Some(Self {
            name: spec.name,
            kind: spec.kind,
            endpoint,
            host,
            auth_header: spec.auth_header,
            headers: spec.headers,
            default_headers: default_headers
                .map(|(name, value)| {
                    (
                        HeaderName::from_static(name),
                        HeaderValue::from_static(value),
                    )
                })
                .collect(),
            account_headers: names(spec.kind.account_headers),
            paths: spec.paths,
            redirect_hosts: spec.redirect_hosts,
            base_url: spec.base_url,
            proxy: spec.proxy,
            auth_prefix: spec.auth_prefix,
            bearer: spec.bearer,
            token,
        })
    }

    /// Where it is, for people.
    pub fn url(&self) -> String {
        self.base_url.display()
    }

    /// Host and port of the proxy that it is reached through, for people.
    pub fn proxy(&self) -> Option<String> {
        self.proxy.as_ref().map(EgressProxy::to_string)
    }

    /// Its scheme and authority.
    pub fn origin(&self) -> String {
        self.base_url.origin()
    }

    /// What follows the authority in a URL at this provider, if it is one.
    pub fn path_of<'u>(&self, url: &'u str) -> Option<&'u str> {
        let (tls, authority, path) = redirect::split_url(url)?;
        let usual = if tls { ":443" } else { ":80" };
        let authority = authority.strip_suffix(usual).unwrap_or(authority);
        let same =
            tls == self.base_url.tls && self.base_url.authority().eq_ignore_ascii_case(authority);
        same.then_some(path)
    }

    /// Whether `url` leads to another host that it may send clients to. One that is not encrypted is none where the
    /// provider's own is.
    pub fn may_redirect_to(&self, url: &str) -> bool {
        redirect::takes_url(&self.redirect_hosts, self.base_url.tls, url)
    }

    /// Whether the caller brings its own token.
    pub fn is_passthrough(&self) -> bool {
        matches!(self.token, Token::Passthrough)
    }

    /// Whether a caller that brings its own token may put it in the header `name`, so that the gateway's
    /// key must stand elsewhere.
    pub fn takes_token_in(&self, name: &HeaderName) -> bool {
        *name == self.auth_header || (self.bearer.is_some() && *name == AUTHORIZATION)
    }

    /// Why it can serve nobody, if it can't: its token is missing.
    pub fn rejected(&self) -> Option<&str> {
        match &self.token {
            Token::Missing(why) => Some(why),
            _ => None,
        }
    }

    /// What authorizes a request of `key` to it. `client` are the headers as the client sent them;
    /// `is_ours` tells the value of a header that holds a key of the gateway's own, which no provider gets.
    pub fn credential(
        &self,
        key: Option<&ClientKey>,
        client: &HeaderMap,
        is_ours: impl Fn(&[u8]) -> bool,
    ) -> Result<Credential, NoCredential> {
        let authorization = match &self.token {
            Token::None => return Ok(Credential::None),
            Token::Missing(_) => return Err(NoCredential::Unavailable),
            Token::Fixed(authorization) => authorization.clone(),
            Token::Key(name) => key
                .and_then(|key| key.metadata(name))
                .and_then(|secret| self.how().authorize(secret))
                .ok_or(NoCredential::Unavailable)?,
            Token::Passthrough => self
                .passed_through(client, is_ours)
                .ok_or(NoCredential::NotPresented)?,
        };
        Ok(Credential::Header(authorization))
    }

    /// The caller's own token. Two of them are none: which one counts would be a guess.
    fn passed_through(
        &self,
        client: &HeaderMap,
        is_ours: impl Fn(&[u8]) -> bool,
    ) -> Option<Authorization> {
        let mut names = vec![&self.auth_header];
        if self.bearer.is_some() && self.auth_header != AUTHORIZATION {
            names.push(&AUTHORIZATION);
        }
        let found = |name| client.get_all(name).iter().map(move |value| (name, value));
        let mut found = names.into_iter().flat_map(found);
        let (Some((name, value)), None) = (found.next(), found.next()) else {
            return None;
        };
        let bare = without_bearer(value.as_bytes());
        if bare.is_empty() || is_ours(value.as_bytes()) {
            return None;
        }
        if *name != self.auth_header || self.how().is_bearer(bare) {
            return self.how().authorize_bare(bare);
        }
        // As the caller wrote it, whatever its scheme.
        let mut value = value.clone();
        value.set_sensitive(true);
        Some(Authorization {
            name: name.clone(),
            value,
            feature: None,
        })
    }

    fn how(&self) -> TokenPlacement<'_> {
        TokenPlacement {
            kind: self.kind,
            header: &self.auth_header,
            prefix: &self.auth_prefix,
            bearer: self.bearer.as_ref(),
        }
    }
}

/// TokenPlacement a provider wants its token.
struct TokenPlacement<'p> {
    kind: &'static Kind,
    header: &'p HeaderName,
    prefix: &'p str,
    bearer: Option<&'p Bearer>,
}

impl TokenPlacement<'_> {
    /// A token that brings its scheme along ("Bearer sk-...") is not given it twice, nor taken with it
    /// where there is no scheme.
    fn authorize(&self, token: &Secret) -> Option<Authorization> {
        let bare = without_bearer(token.expose().as_bytes());
        if bare.is_empty() {
            return None;
        }
        let no_scheme = self.prefix.is_empty() && *self.header == self.kind.auth_header;
        if self.is_bearer(bare) || (no_scheme && *self.header != AUTHORIZATION) {
            return self.authorize_bare(bare);
        }
        Some(Authorization {
            name: self.header.clone(),
            value: token.header(self.prefix)?,
            feature: None,
        })
    }

    fn authorize_bare(&self, token: &[u8]) -> Option<Authorization> {
        let bearer = self.bearer.filter(|_| self.is_bearer(token));
        let (name, prefix) = match bearer {
            Some(_) => (&AUTHORIZATION, "Bearer "),
            None => (self.header, self.prefix),
        };
        let whole = Zeroizing::new([prefix.as_bytes(), token].concat());
        let mut value = HeaderValue::from_bytes(&whole).ok()?;
        value.set_sensitive(true);
        let feature = bearer.and_then(|bearer| bearer.feature);
        Some(Authorization {
            name: name.clone(),
            value,
            feature: feature.map(|(name, value)| (HeaderName::from_static(name), value)),
        })
    }

    fn is_bearer(&self, token: &[u8]) -> bool {
        self.bearer.is_some_and(|bearer| bearer.takes(token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Labels;
    use crate::origin::{HttpVersion, Resolver, Timeouts};
    use crate::secret::SecretError;

    fn provider(token: TokenSource) -> Provider {
        of_kind("custom", token)
    }

    fn of_kind(kind: &str, token: TokenSource) -> Provider {
        let kind = Kind::named(kind).unwrap();
        let base_url = BaseUrl::parse("https://api.example.com/v1").unwrap();
        let spec = ProviderSpec {
            name: "p".into(),
            kind,
            sni: base_url.host.clone(),
            paths: Paths::new(kind, &base_url, None, &|_| None),
            base_url,
            ca: None,
            auth_header: HeaderName::from_static(kind.auth_header),
            auth_prefix: kind.auth_prefix.to_owned(),
            bearer: kind.bearer,
            token,
            headers: Vec::new(),
            redirect_hosts: Vec::new(),
            proxy: None,
            http: HttpVersion::Http1,
            timeouts: Timeouts::default(),
        };
        Provider::build(spec, Resolver::default().addresses("api.example.com", 443)).unwrap()
    }

    fn key(token: Option<&str>) -> ClientKey {
        let metadata = token.map(|token| {
            (
                "t".to_owned(),
                Ok(Secret::new(token.to_owned()).ok().unwrap()),
            )
        });
        ClientKey {
            id: "k".into(),
            labels: Labels::default(),
            metadata: metadata.into_iter().collect(),
            not_before: None,
            expires: None,
            disabled: false,
            counted: true,
        }
    }

    fn credential(
        provider: &Provider,
        key: Option<&ClientKey>,
        client: &[(&'static str, &str)],
    ) -> Result<Option<String>, NoCredential> {
        let mut headers = HeaderMap::new();
        for (name, value) in client {
            headers.append(*name, value.parse().unwrap());
        }
        Ok(
            match provider.credential(key, &headers, |value| value.ends_with(b"ours"))? {
                Credential::Header(it) => {
                    let value = it.value.to_str().unwrap();
                    Some(if it.name == AUTHORIZATION {
                        value.to_owned()
                    } else {
                        format!("{}: {value}", it.name)
                    })
                }
                Credential::None => None,
            },
        )
    }

    fn fixed(token: &str) -> TokenSource {
        TokenSource::Fixed(Ok(Secret::new(token.to_owned()).ok().unwrap()))
    }

    #[test]
    fn a_token_goes_where_its_kind_and_its_form_want_it() {
        for (kind, token, wanted) in [
            ("openai", "sk-1", "Bearer sk-1"),
            ("openai", "Bearer sk-1", "Bearer sk-1"),
            ("anthropic", "sk-ant-api03-1", "x-api-key: sk-ant-api03-1"),
            (
                "anthropic",
                "Bearer sk-ant-api03-1",
                "x-api-key: sk-ant-api03-1",
            ),
            ("anthropic", "sk-ant-oat01-1", "Bearer sk-ant-oat01-1"),
            ("azure-openai", "0123abc", "api-key: 0123abc"),
            ("azure-openai", "eyJhbGciOi.J.S", "Bearer eyJhbGciOi.J.S"),
            ("gemini", "AIza1", "x-goog-api-key: AIza1"),
            ("gemini", "Bearer ya29.1", "Bearer ya29.1"),
        ] {
            let provider = of_kind(kind, fixed(token));
            assert_eq!(
                credential(&provider, None, &[]),
                Ok(Some(wanted.to_owned())),
                "{kind} {token}"
            );
        }
        let feature = |token| match of_kind("anthropic", fixed(token)).credential(
            None,
            &HeaderMap::new(),
            |_| false,
        ) {
            Ok(Credential::Header(it)) => {
                it.feature.map(|(name, value)| format!("{name}: {value}"))
            }
            _ => None,
        };
        assert_eq!(
            feature("sk-ant-oat01-1").as_deref(),
            Some("anthropic-beta: oauth-2025-04-20")
        );
        assert_eq!(feature("sk-ant-api03-1"), None);
    }

    #[test]
    fn passthrough_takes_the_callers_token_from_either_header_of_its_kind() {
        let anthropic = of_kind("anthropic", TokenSource::Passthrough);
        for (name, sent, wanted) in [
            ("x-api-key", "sk-ant-api03-1", "x-api-key: sk-ant-api03-1"),
            (
                "authorization",
                "Bearer sk-ant-api03-1",
                "x-api-key: sk-ant-api03-1",
            ),
            (
                "authorization",
                "Bearer sk-ant-oat01-1",
                "Bearer sk-ant-oat01-1",
            ),
            ("x-api-key", "sk-ant-oat01-1", "Bearer sk-ant-oat01-1"),
        ] {
            assert_eq!(
                credential(&anthropic, None, &[(name, sent)]),
                Ok(Some(wanted.to_owned())),
                "{name}: {sent}"
            );
        }
        let both = [
            ("authorization", "Bearer sk-ant-api03-1"),
            ("x-api-key", "sk-ant-api03-1"),
        ];
        assert_eq!(
            credential(&anthropic, None, &both),
            Err(NoCredential::NotPresented)
        );
    }

    #[test]
    fn a_url_of_the_providers_own_is_told_from_others() {
        let provider = provider(TokenSource::None);
        assert_eq!(
            provider.path_of("https://api.example.com/upload/x?id=1"),
            Some("/upload/x?id=1")
        );
        assert_eq!(
            provider.path_of("https://api.example.com?id=1"),
            Some("?id=1")
        );
        for other in [
            "http://api.example.com/x",
            "https://api.example.com:8443/x",
            "https://evil.test/x",
            "/x",
            "https://api.example.com@evil.test/x",
        ] {
            assert_eq!(provider.path_of(other), None, "{other}");
        }
    }

    #[test]
    fn the_keys_own_token_goes_up_and_nothing_stands_in_for_a_missing_one() {
        let provider = provider(TokenSource::Key("t".to_owned()));
        let sent = [
            ("authorization", "Bearer client"),
            ("x-api-key", "anything"),
        ];
        assert_eq!(
            credential(&provider, Some(&key(Some("hf_1"))), &sent),
            Ok(Some("Bearer hf_1".into()))
        );
        assert_eq!(
            credential(&provider, Some(&key(None)), &sent),
            Err(NoCredential::Unavailable)
        );
        assert_eq!(
            credential(&provider, None, &sent),
            Err(NoCredential::Unavailable)
        );
    }

    #[test]
    fn passthrough_takes_the_callers_token_once() {
        let provider = provider(TokenSource::Passthrough);
        let own = credential(&provider, None, &[("authorization", "Bearer own")]);
        assert_eq!(own, Ok(Some("Bearer own".into())));
        for none in ["", "Bearer ", "Bearer ours", "ours"] {
            let sent = credential(&provider, None, &[("authorization", none)]);
            assert_eq!(sent, Err(NoCredential::NotPresented), "{none}");
        }
        assert_eq!(
            credential(&provider, None, &[]),
            Err(NoCredential::NotPresented)
        );
        let two = [("authorization", "Bearer a"), ("authorization", "Bearer b")];
        assert_eq!(
            credential(&provider, None, &two),
            Err(NoCredential::NotPresented)
        );
    }

    #[test]
    fn a_missing_token_makes_the_provider_rejected() {
        let provider = provider(TokenSource::Fixed(Err(SecretError::Missing(
            "env X".to_owned(),
        ))));
        assert_eq!(provider.rejected(), Some("env X"));
        assert_eq!(
            credential(&provider, None, &[]),
            Err(NoCredential::Unavailable)
        );
    }
}
