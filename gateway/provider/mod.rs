//! A provider: where it is, what it is like, and the token that goes to it and nowhere else.
//!
//! Knows the way to one origin; knows nothing of routes or of what a client may do.

mod dns;
mod endpoint;
pub mod kind;
mod url;

pub use dns::{Addresses, Resolver};
pub use endpoint::{CaBundle, Endpoint, HttpVersion, Timeouts};
pub use kind::{Dialect, Kind};
pub use url::BaseUrl;

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::key::{ClientKey, without_scheme};
use crate::secret::{Secret, SecretError};

/// Where a provider's token comes from, as meant.
#[derive(Clone)]
pub enum TokenSource {
    /// One token for everybody, fetched already, or the reason why it could not be.
    Fixed(Result<Secret, SecretError>),
    /// `key:NAME`: the presented key's own metadata entry.
    Key(String),
    /// `passthrough`: the caller's own, from the provider's header.
    Passthrough,
    /// `none`: the provider wants no token.
    None,
}

/// A provider as meant.
#[derive(Clone)]
pub struct ProviderSpec {
    /// Its name in the configuration, a metric label.
    pub name: Arc<str>,
    /// Its kind.
    pub kind: &'static Kind,
    /// Where it is.
    pub base_url: BaseUrl,
    /// The name its certificate must have; also what is sent as SNI. Never empty.
    pub sni: String,
    /// The certificates to trust instead of the system's.
    pub ca: Option<CaBundle>,
    /// Where a bare prefix goes, before it is joined with the base path.
    pub default_endpoint: String,
    /// The header that the token goes in.
    pub auth_header: HeaderName,
    /// What stands before it.
    pub auth_prefix: String,
    /// Its token.
    pub token: TokenSource,
    /// Headers that every request to it gets.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The protocol to speak.
    pub http: HttpVersion,
    /// How long to wait for what.
    pub timeouts: Timeouts,
}

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
    base_url: BaseUrl,
    default_target: String,
    auth_prefix: String,
    token: Token,
}

enum Token {
    Fixed(HeaderValue),
    Key(String),
    Passthrough,
    None,
    Missing(String),
}

/// What goes into the provider's auth header for one request.
pub enum Credential {
    /// This.
    Header(HeaderValue),
    /// Nothing: the provider wants none.
    None,
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
        let token = match spec.token {
            TokenSource::Fixed(Ok(secret)) => Token::Fixed(secret.header(&spec.auth_prefix)?),
            TokenSource::Fixed(Err(why)) => Token::Missing(why.to_string()),
            TokenSource::Key(name) => Token::Key(name),
            TokenSource::Passthrough => Token::Passthrough,
            TokenSource::None => Token::None,
        };
        let host = HeaderValue::from_str(&spec.base_url.authority()).ok()?;
        let default_target = spec.base_url.join(&spec.default_endpoint);
        let endpoint = Endpoint::new(
            &spec.base_url,
            &spec.sni,
            spec.ca.as_ref(),
            spec.http,
            spec.timeouts,
            addresses,
        );
        Some(Self {
            name: spec.name,
            kind: spec.kind,
            endpoint,
            host,
            auth_header: spec.auth_header,
            headers: spec.headers,
            base_url: spec.base_url,
            default_target,
            auth_prefix: spec.auth_prefix,
            token,
        })
    }

    /// Where it is, for people.
    pub fn url(&self) -> String {
        self.base_url.display()
    }

    /// The path to ask it for: `rest` is what follows the route's prefix.
    pub fn target(&self, rest: &str) -> String {
        if rest.is_empty() || rest == "/" {
            self.default_target.clone()
        } else {
            self.base_url.join(rest)
        }
    }

    /// Whether the caller brings its own token in [`auth_header`](Self::auth_header), so that the
    /// gateway's key must stand elsewhere.
    pub fn is_passthrough(&self) -> bool {
        matches!(self.token, Token::Passthrough)
    }

    /// Why it can serve nobody, if it can't: its token is missing.
    pub fn rejected(&self) -> Option<&str> {
        match &self.token {
            Token::Missing(why) => Some(why),
            _ => None,
        }
    }

    /// What authorizes a request of `key` to it. `client` are the headers as the client sent them;
    /// `is_ours` tells a key of the gateway's own, which no provider gets.
    pub fn credential(
        &self,
        key: Option<&ClientKey>,
        client: &HeaderMap,
        is_ours: impl Fn(&[u8]) -> bool,
    ) -> Result<Credential, NoCredential> {
        let header = match &self.token {
            Token::None => return Ok(Credential::None),
            Token::Missing(_) => return Err(NoCredential::Unavailable),
            Token::Fixed(header) => header.clone(),
            Token::Key(name) => key
                .and_then(|key| key.metadata(name))
                .and_then(|secret| secret.header(&self.auth_prefix))
                .ok_or(NoCredential::Unavailable)?,
            Token::Passthrough => {
                let mut values = client.get_all(&self.auth_header).iter();
                let (Some(own), None) = (values.next(), values.next()) else {
                    return Err(NoCredential::NotPresented);
                };
                let bare = without_scheme(own.as_bytes());
                if bare.is_empty() || is_ours(bare) {
                    return Err(NoCredential::NotPresented);
                }
                let mut own = own.clone();
                own.set_sensitive(true);
                own
            }
        };
        Ok(Credential::Header(header))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Labels;

    fn provider(token: TokenSource) -> Provider {
        let base_url = BaseUrl::parse("https://api.example.com/v1").unwrap();
        let spec = ProviderSpec {
            name: "p".into(),
            kind: Kind::named("custom").unwrap(),
            sni: base_url.host.clone(),
            base_url,
            ca: None,
            default_endpoint: "/v1/chat/completions".to_owned(),
            auth_header: http::header::AUTHORIZATION,
            auth_prefix: "Bearer ".to_owned(),
            token,
            headers: Vec::new(),
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
            match provider.credential(key, &headers, |bare| bare == b"ours")? {
                Credential::Header(value) => Some(value.to_str().unwrap().to_owned()),
                Credential::None => None,
            },
        )
    }

    #[test]
    fn a_bare_prefix_goes_to_the_default_endpoint_and_the_rest_as_it_is() {
        let provider = provider(TokenSource::None);
        assert_eq!(provider.target(""), "/v1/chat/completions");
        assert_eq!(provider.target("/"), "/v1/chat/completions");
        assert_eq!(provider.target("/embeddings"), "/v1/embeddings");
        assert_eq!(provider.target("/v1/embeddings"), "/v1/embeddings");
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
