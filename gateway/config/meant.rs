//! The configuration as meant: checked, with its defaults filled in, and nothing fetched yet.
//!
//! It holds references to secrets and paths of files, each with the line that names it, and no secret but those that
//! are written inline. A part with a fatal problem is missing here, so that what the rest refers to is still fetched,
//! and all problems come at once.

use std::path::PathBuf;
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};

use super::server::ServerConfig;
use crate::document::{Located, Location};
use crate::origin::{BaseUrl, EgressProxy, HttpVersion, Timeouts};
use crate::provider::{Bearer, Kind, Paths, RedirectHost};
use crate::route::{Access, Cors, HostPattern, PathPrefix};
use crate::secret::SecretRef;
use crate::template::HeaderTemplate;
use crate::usage::Metering;

/// A gateway's configuration, as meant.
pub struct Config {
    /// Where and how to listen, and the limits; `None` after a fatal problem in it.
    pub server: Option<ServerConfig>,
    /// The files of TLS for clients.
    pub tls: Option<TlsConfig>,
    /// How providers are reached that do not say themselves.
    pub egress: Egress,
    /// The headers in which a client key may stand, the first being the usual one.
    pub key_headers: Vec<HeaderName>,
    /// Where the keys come from.
    pub keys: KeysConfig,
    /// Whether an exchange that goes on is aborted when its key is revoked.
    pub cut_revoked: bool,
    /// The price file.
    pub prices: Option<Located<PathBuf>>,
    /// Where spans go.
    pub tracing: Option<TracingConfig>,
    /// The providers, in the file's order.
    pub providers: Vec<ProviderConfig>,
    /// The routes, in the file's order.
    pub routes: Vec<RouteConfig>,
}

/// `[server.tls]`: where the certificates and the private key are.
pub struct TlsConfig {
    /// The certificate chain, in PEM.
    pub certificate: Located<PathBuf>,
    /// The private key; `None` if it is no reference to a secret.
    pub key: Option<SecretRef>,
    /// The authority whose certificates clients have to show, in PEM.
    pub client_ca: Option<Located<PathBuf>>,
}

/// `[keys]`: where the client keys come from.
pub struct KeysConfig {
    /// The key file, at the line that names it, or as a whole if it has its usual name.
    pub file: Located<PathBuf>,
    /// Whether a route asks for a key: without one, the key file may be absent.
    pub are_needed: bool,
    /// How many keys, the first ones, have metrics of their own.
    pub metric_keys: usize,
}

/// How providers are reached.
pub struct Egress {
    /// The section that says so, such as `server` or `providers.openai`.
    pub section: String,
    /// The way.
    pub way: Way,
    /// The proxy's credentials.
    pub token: Option<Located<SecretRef>>,
}

/// The way to a provider.
pub enum Way {
    /// `none`: a direct connection.
    Direct,
    /// This proxy, named at this line.
    Proxy(EgressProxy, Location),
    /// `env`: the proxy that the environment names, if it names one.
    Environment(Location),
}

/// `[tracing]`: where spans go, and which.
pub struct TracingConfig {
    /// The collector; spans go to its `/v1/traces`. `None` if no spans are sent.
    pub collector: Option<BaseUrl>,
    /// Headers for the collector.
    pub headers: Vec<(HeaderName, Located<SecretRef>)>,
    /// Of how many requests in a million, of those that come without a trace of their own.
    pub sample: u32,
    /// The name of this gateway in its spans.
    pub service: String,
}

/// A provider. Routes may lead to it even if something is wrong with it, so that they are not blamed as well.
pub struct ProviderConfig {
    /// Its name, a metric label.
    pub name: Arc<str>,
    /// Where it stands.
    pub at: Location,
    /// Where its token comes from; `None` after a fatal problem.
    pub token: Option<TokenConfig>,
    /// The certificates to trust instead of the system's, in PEM.
    pub ca: Option<Located<PathBuf>>,
    /// How it is reached, if it has a way of its own.
    pub egress: Option<Egress>,
    /// Whether it is reached as `[server]` says.
    pub inherits_egress: bool,
    /// The rest; `None` after a fatal problem.
    pub parts: Option<ProviderParts>,
}

/// Where a provider's token comes from.
pub enum TokenConfig {
    /// One secret for everybody.
    Secret(Located<SecretRef>),
    /// `key:NAME`: the presented key's own metadata entry.
    Key(String),
    /// `passthrough`: the caller's own, from the provider's header.
    Passthrough,
    /// `none`: the provider wants no token.
    None,
}

/// What is known of a provider without fetching anything.
#[derive(Clone)]
pub struct ProviderParts {
    /// Its kind.
    pub kind: &'static Kind,
    /// Its origin and base path.
    pub base_url: BaseUrl,
    /// The name that its certificate must have; also what is sent as SNI. Never empty.
    pub sni: String,
    /// Its paths.
    pub paths: Paths,
    /// The header that the token goes in.
    pub auth_header: HeaderName,
    /// The text before the token.
    pub auth_prefix: String,
    /// Tokens that go as `Authorization: Bearer` instead.
    pub bearer: Option<Bearer>,
    /// Headers that every request to it gets.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The hosts, beside its own, that it may redirect clients to.
    pub redirect_hosts: Vec<RedirectHost>,
    /// The HTTP version to speak.
    pub http: HttpVersion,
    /// How long to wait for it.
    pub timeouts: Timeouts,
}

impl ProviderParts {
    /// Whether the token may go in the header `name`.
    pub fn takes_token_in(&self, name: &HeaderName) -> bool {
        *name == self.auth_header || (self.bearer.is_some() && *name == AUTHORIZATION)
    }
}

/// A route, with what other rules need to know of it even if something is wrong with the rest.
pub struct RouteConfig {
    /// Where it stands.
    pub at: Location,
    /// Its name, a metric label.
    pub name: Arc<str>,
    /// The name of its provider, which is in the configuration.
    pub provider: Arc<str>,
    /// Who may use it.
    pub access: Access,
    /// The route; `None` after a fatal problem.
    pub spec: Option<RouteSpec>,
}

/// A route as meant.
pub struct RouteSpec {
    /// Its name, a metric label.
    pub name: Arc<str>,
    /// The hosts whose requests it takes.
    pub hosts: Vec<HostPattern>,
    /// The prefix of the paths that it takes.
    pub path: PathPrefix,
    /// The name of its provider, which is in the configuration.
    pub provider: Arc<str>,
    /// Who may use it.
    pub access: Access,
    /// Whether `WebSocket` upgrades pass.
    pub websocket: bool,
    /// The client's account-choosing headers that pass.
    pub allowed_headers: Vec<HeaderName>,
    /// Headers made for the provider.
    pub templates: Vec<HeaderTemplate>,
    /// Which pages in browsers may read its responses.
    pub cors: Option<Cors>,
    /// How the usage of its streams is metered.
    pub metering: Metering,
    /// The models that the metrics tell apart.
    pub metric_models: Vec<String>,
}
