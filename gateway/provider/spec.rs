//! A provider as configured: checked, with its token fetched, and not yet in use.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::kind::{Bearer, Kind};
use super::paths::Paths;
use super::redirect::RedirectHost;
use crate::origin::{
    Addresses, BaseUrl, CaBundle, EgressProxy, EndpointSpec, HttpVersion, Resolver, Timeouts,
};
use crate::secret::{Secret, SecretError};

/// Where a provider's token comes from, as configured.
#[derive(Clone)]
pub(crate) enum TokenSource {
    /// One token for everybody, fetched already, or the reason why it could not be.
    Fixed(Result<Secret, SecretError>),
    /// `key:NAME`: the entry of this name in the metadata of the presented key.
    Key(String),
    /// `passthrough`: the client's own, from the provider's header.
    Passthrough,
    /// `none`: the provider needs no token.
    None,
}

/// A provider as configured.
#[derive(Clone)]
pub struct ProviderSpec {
    /// The name in the configuration, and the metric label.
    pub name: Arc<str>,
    /// The kind.
    pub(crate) kind: &'static Kind,
    /// The base URL.
    pub base_url: BaseUrl,
    /// The name that its certificate must have; also sent as SNI. Never empty.
    pub(crate) sni: String,
    /// The certificates to trust instead of the system's.
    pub(crate) ca: Option<CaBundle>,
    /// Which path at the provider a request's path becomes.
    pub paths: Paths,
    /// The header that the token is sent in.
    pub auth_header: HeaderName,
    /// The text in front of the token, such as `Bearer `.
    pub auth_prefix: String,
    /// The tokens that are sent as `Authorization: Bearer` instead.
    pub(crate) bearer: Option<Bearer>,
    /// The token.
    pub(crate) token: TokenSource,
    /// Headers that are set in every request.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// The hosts, beside its own, that it may send clients to.
    pub(crate) redirect_hosts: Vec<RedirectHost>,
    /// The proxy that it is reached through, if any.
    pub proxy: Option<EgressProxy>,
    /// The protocol to speak.
    pub http: HttpVersion,
    /// How long to wait in each part of an exchange.
    pub timeouts: Timeouts,
}

impl ProviderSpec {
    /// The addresses that connections for it are made to: those of its proxy, which resolves the provider's name itself,
    /// or its own.
    pub fn addresses(&self, resolver: &Resolver) -> Arc<Addresses> {
        match &self.proxy {
            Some(proxy) => resolver.addresses(proxy.host(), proxy.port()),
            None => resolver.addresses_of(&self.base_url),
        }
    }

    /// How to connect to it.
    pub(super) fn endpoint(&self) -> EndpointSpec<'_> {
        EndpointSpec {
            url: &self.base_url,
            sni: &self.sni,
            ca: self.ca.as_ref(),
            http: self.http,
            timeouts: self.timeouts,
            proxy: self.proxy.as_ref(),
        }
    }
}
