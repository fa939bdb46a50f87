//! A provider as a configuration means it: checked, with its token fetched, and not yet in use.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};

use super::{Bearer, Kind, Paths, RedirectHost};
use crate::origin::{Addresses, BaseUrl, CaBundle, EgressProxy, HttpVersion, Resolver, Timeouts};
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
    /// Which paths there are.
    pub paths: Paths,
    /// The header that the token goes in.
    pub auth_header: HeaderName,
    /// What stands before it.
    pub auth_prefix: String,
    /// Tokens that go elsewhere.
    pub bearer: Option<Bearer>,
    /// Its token.
    pub token: TokenSource,
    /// Headers that every request to it gets.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The hosts, beside its own, that it may send clients to.
    pub redirect_hosts: Vec<RedirectHost>,
    /// The proxy that it is reached through, if any.
    pub proxy: Option<EgressProxy>,
    /// The protocol to speak.
    pub http: HttpVersion,
    /// TokenPlacement long to wait for what.
    pub timeouts: Timeouts,
}

impl ProviderSpec {
    /// Whether its token may go in the header `name`.
    pub fn takes_token_in(&self, name: &HeaderName) -> bool {
        *name == self.auth_header || (self.bearer.is_some() && *name == AUTHORIZATION)
    }

    /// The addresses that connections for it are made to: its proxy's, which looks up the provider's name itself, or its
    /// own.
    pub fn addresses(&self, resolver: &Resolver) -> Arc<Addresses> {
        match &self.proxy {
            Some(proxy) => resolver.addresses(proxy.host(), proxy.port()),
            None => resolver.addresses_of(&self.base_url),
        }
    }
}
