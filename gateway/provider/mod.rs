//! A provider: where it is, what it is like, and the token that is sent to it and nowhere else.
//!
//! Knows one origin and how to connect to it; knows nothing of routes or of what a client may do.

mod auth;
mod header_policy;
mod kind;
mod kinds;
mod paths;
mod placeholder;
mod redirect;
mod spec;

pub(crate) use auth::{Authorization, Credential, NoCredential};
pub use header_policy::folded;
pub(crate) use header_policy::{
    ACCOUNT_CHOICES, ALWAYS_STRIPPED, Stripped, is_of_a_front_proxy, is_plain, plain_form,
};
pub use kind::Kind;
pub(crate) use kind::{Bearer, ErrorFormat};
pub use kinds::KINDS;
pub(crate) use paths::{Paths, is_segment};
pub(crate) use redirect::RedirectHost;
pub(crate) use spec::{ProviderSpec, TokenSource};

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use self::auth::Auth;
use self::auth::placement::TokenPlacement;
use crate::key::ClientKey;
use crate::origin::{Addresses, BaseUrl, EgressProxy, Endpoint};

/// A provider in use: everything that requests need of it, built once.
pub struct Provider {
    /// The name in the configuration, and the metric label.
    pub(crate) name: Arc<str>,
    /// The kind.
    pub(crate) kind: &'static Kind,
    /// How to connect to it.
    pub endpoint: Endpoint,
    /// The value of `Host`.
    pub(crate) host: HeaderValue,
    /// Headers that are set in every request.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// Headers that are set in requests whose client left them out.
    pub(crate) default_headers: Vec<(HeaderName, HeaderValue)>,
    /// Headers of its responses that describe the account, and are removed.
    pub(crate) account_headers: Vec<HeaderName>,
    /// Which path at the provider a request's path becomes.
    pub(crate) paths: Paths,
    redirect_hosts: Vec<RedirectHost>,
    base_url: BaseUrl,
    proxy: Option<EgressProxy>,
    placement: TokenPlacement,
    auth: Auth,
}

impl Provider {
    /// Builds the provider. `None` if its token or host cannot stand in a header, which the check of the configuration
    /// has ruled out.
    pub fn build(spec: ProviderSpec, addresses: Arc<Addresses>) -> Option<Self> {
        let host = HeaderValue::from_str(&spec.base_url.authority()).ok()?;
        let endpoint = Endpoint::new(&spec.endpoint(), addresses);
        let placement =
            TokenPlacement::new(spec.kind, spec.auth_header, spec.auth_prefix, spec.bearer);
        let auth = auth(spec.token, &placement)?;
        Some(Self {
            name: spec.name,
            kind: spec.kind,
            endpoint,
            host,
            headers: spec.headers,
            default_headers: default_headers(spec.kind),
            account_headers: account_headers(spec.kind),
            paths: spec.paths,
            redirect_hosts: spec.redirect_hosts,
            base_url: spec.base_url,
            proxy: spec.proxy,
            placement,
            auth,
        })
    }

    /// The base URL, for people.
    pub(crate) fn url(&self) -> String {
        self.base_url.display()
    }

    /// Host and port of the proxy that it is reached through, for people.
    pub(crate) fn proxy(&self) -> Option<String> {
        self.proxy.as_ref().map(EgressProxy::to_string)
    }

    /// Scheme and authority of the base URL.
    pub fn origin(&self) -> String {
        self.base_url.origin()
    }

    /// The header that its token is sent in.
    pub(crate) fn auth_header(&self) -> &HeaderName {
        self.placement.header()
    }

    /// What follows the authority in `url`, if that is a URL at this provider.
    pub(crate) fn path_of<'u>(&self, url: &'u str) -> Option<&'u str> {
        let (tls, authority, path) = redirect::split_url(url)?;
        let default_port = if tls { ":443" } else { ":80" };
        let authority = authority.strip_suffix(default_port).unwrap_or(authority);
        let same =
            tls == self.base_url.tls && self.base_url.authority().eq_ignore_ascii_case(authority);
        same.then_some(path)
    }

    /// Whether the provider may send clients to `url`, which is at another host. A plain http URL is allowed only if the
    /// provider itself is reached by plain http.
    pub(crate) fn may_redirect_to(&self, url: &str) -> bool {
        redirect::takes_url(&self.redirect_hosts, self.base_url.tls, url)
    }

    /// Whether clients present their own tokens.
    pub(crate) fn is_passthrough(&self) -> bool {
        matches!(self.auth, Auth::Passthrough)
    }

    /// Whether a client that presents its own token may do so in the header `name`, so that the gateway's key must stand
    /// in another.
    pub(crate) fn takes_token_in(&self, name: &HeaderName) -> bool {
        self.placement.takes_token_in(name)
    }

    /// Why the provider cannot serve anybody, if so: its token is missing.
    pub(crate) fn rejected(&self) -> Option<&str> {
        match &self.auth {
            Auth::Missing(why) => Some(why),
            _ => None,
        }
    }

    /// What authorizes a request of `key` to this provider. `client` are the headers as the client sent them; `is_ours`
    /// returns whether the value of a header is a key of the gateway's own, which no provider receives.
    pub(crate) fn credential(
        &self,
        key: Option<&ClientKey>,
        client: &HeaderMap,
        is_ours: impl Fn(&[u8]) -> bool,
    ) -> Result<Credential, NoCredential> {
        self.auth.authorize(&self.placement, key, client, is_ours)
    }
}

fn auth(token: TokenSource, placement: &TokenPlacement) -> Option<Auth> {
    Some(match token {
        TokenSource::Fixed(Ok(secret)) => Auth::Fixed(placement.header_for(&secret)?),
        TokenSource::Fixed(Err(why)) => Auth::Missing(why.to_string()),
        TokenSource::Key(name) => Auth::Key(name),
        TokenSource::Passthrough => Auth::Passthrough,
        TokenSource::None => Auth::None,
    })
}

fn default_headers(kind: &Kind) -> Vec<(HeaderName, HeaderValue)> {
    let headers = kind.default_headers.iter();
    headers
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect()
}

fn account_headers(kind: &Kind) -> Vec<HeaderName> {
    let names = kind.account_headers.iter();
    names.map(|name| HeaderName::from_static(name)).collect()
}

#[cfg(test)]
mod tests;
