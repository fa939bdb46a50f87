//! The configuration as meant: checked, with its defaults filled in, and nothing fetched yet.
//!
//! It holds references to secrets and paths of files, each with the line that names it, and no secret but those that
//! are written inline. A part with a fatal problem is missing here, so that what the rest refers to is still fetched,
//! and all problems come at once.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use jiff::civil::Weekday;

use super::server::ServerConfig;
use crate::document::{Located, Location};
use crate::limit::notice::{BudgetStatus, LimitHeaders};
use crate::limit::terms::Limit;
use crate::origin::{BaseUrl, EgressProxy, HttpVersion, Timeouts};
use crate::provider::{Bearer, Kind, Paths, RedirectHost};
use crate::route::{Access, Cors, HostPattern, PathPrefix};
use crate::secret::SecretRef;
use crate::template::HeaderTemplate;
use crate::usage::Metering;

/// A gateway's configuration, as meant.
pub(crate) struct Config {
    /// Where and how to listen, and the limits; `None` after a fatal problem in it.
    pub(crate) server: Option<ServerConfig>,
    /// The files of TLS for clients.
    pub(crate) tls: Option<TlsConfig>,
    /// How providers are reached that do not say themselves.
    pub(crate) egress: Egress,
    /// The headers in which a client key may stand, the first being the usual one.
    pub(crate) key_headers: Vec<HeaderName>,
    /// Where the keys come from.
    pub(crate) keys: KeysConfig,
    /// Whether an exchange that goes on is aborted when its key is revoked.
    pub(crate) cut_revoked: bool,
    /// The price file.
    pub(crate) prices: Option<Located<PathBuf>>,
    /// The limits of use.
    pub(crate) limits: LimitsConfig,
    /// Where spans go.
    pub(crate) tracing: Option<TracingConfig>,
    /// The providers, in the file's order.
    pub(crate) providers: Vec<ProviderConfig>,
    /// The routes, in the file's order.
    pub(crate) routes: Vec<RouteConfig>,
}

/// `[server.tls]`: where the certificates and the private key are.
pub(crate) struct TlsConfig {
    /// The certificate chain, in PEM.
    pub(crate) certificate: Located<PathBuf>,
    /// The private key; `None` if it is no reference to a secret.
    pub(crate) key: Option<SecretRef>,
    /// The authority whose certificates clients have to show, in PEM.
    pub(crate) client_ca: Option<Located<PathBuf>>,
}

/// `[keys]`: where the client keys come from.
pub(crate) struct KeysConfig {
    /// The key file, at the line that names it, or as a whole if it has its usual name.
    pub(crate) file: Located<PathBuf>,
    /// Whether a route needs a key: without one, the key file may be absent.
    pub(crate) are_needed: bool,
    /// How many keys, the first ones, have metrics of their own.
    pub(crate) metric_keys: usize,
}

/// `[[limits]]`, and what all limits have in common, in `[usage]` and `[ledger]`.
pub(crate) struct LimitsConfig {
    /// The tables of `[[limits]]`, in the file's order.
    pub(crate) rows: Vec<LimitConfig>,
    /// The name of the time zone in which the periods of budgets begin; `None`: UTC.
    pub(crate) timezone: Option<Located<String>>,
    /// The first day of a week.
    pub(crate) week_starts: Weekday,
    /// The status of a response that says that a budget is spent.
    pub(crate) budget_status: BudgetStatus,
    /// Which limits responses report.
    pub(crate) headers: LimitHeaders,
    /// How long the ledger keeps its history.
    pub(crate) retention: Duration,
    /// The file of the ledger.
    pub(crate) ledger: Option<PathBuf>,
}

/// A table of `[[limits]]` without a fatal problem.
pub(crate) struct LimitConfig {
    /// Where it stands.
    pub(crate) at: Location,
    /// A limit of each amount in it, at least one. All have the same name and the same [`Of`].
    ///
    /// [`Of`]: crate::limit::terms::Of
    pub(crate) limits: Vec<Arc<Limit>>,
}

/// How providers are reached.
pub(crate) struct Egress {
    /// The section that sets it, such as `server` or `providers.openai`.
    pub(crate) section: String,
    /// The way.
    pub(crate) way: Way,
    /// The proxy's credentials.
    pub(crate) token: Option<Located<SecretRef>>,
}

/// The way to a provider.
pub(crate) enum Way {
    /// `none`: a direct connection.
    Direct,
    /// This proxy, named at this line.
    Proxy(EgressProxy, Location),
    /// `env`: the proxy that the environment names, if it names one.
    Environment(Location),
}

/// `[tracing]`: where spans go, and which.
pub(crate) struct TracingConfig {
    /// The collector; spans go to its `/v1/traces`. `None` if no spans are sent.
    pub(crate) collector: Option<BaseUrl>,
    /// Headers for the collector.
    pub(crate) headers: Vec<(HeaderName, Located<SecretRef>)>,
    /// Of how many requests in a million, of those that come without a trace of their own.
    pub(crate) sample: u32,
    /// The name of this gateway in its spans.
    pub(crate) service: String,
}

/// A provider. Routes may lead to it even if something is wrong with it, so that they are not blamed as well.
pub(crate) struct ProviderConfig {
    /// Its name, a metric label.
    pub(crate) name: Arc<str>,
    /// Where it stands.
    pub(crate) at: Location,
    /// Where its token comes from; `None` after a fatal problem.
    pub(crate) token: Option<TokenConfig>,
    /// The certificates to trust instead of the system's, in PEM.
    pub(crate) ca: Option<Located<PathBuf>>,
    /// How it is reached, if it has a way of its own.
    pub(crate) egress: Option<Egress>,
    /// Whether it is reached as set in `[server]`.
    pub(crate) inherits_egress: bool,
    /// The rest; `None` after a fatal problem.
    pub(crate) parts: Option<ProviderParts>,
}

/// Where a provider's token comes from.
pub(crate) enum TokenConfig {
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
pub(crate) struct ProviderParts {
    /// Its kind.
    pub(crate) kind: &'static Kind,
    /// Its origin and base path.
    pub(crate) base_url: BaseUrl,
    /// The name that its certificate must have; also what is sent as SNI. Never empty.
    pub(crate) sni: String,
    /// Its paths.
    pub(crate) paths: Paths,
    /// The header that the token goes in.
    pub(crate) auth_header: HeaderName,
    /// The text before the token.
    pub(crate) auth_prefix: String,
    /// Tokens that go as `Authorization: Bearer` instead.
    pub(crate) bearer: Option<Bearer>,
    /// Headers that every request to it gets.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// The hosts, beside its own, that it may redirect clients to.
    pub(crate) redirect_hosts: Vec<RedirectHost>,
    /// The HTTP version to speak.
    pub(crate) http: HttpVersion,
    /// How long to wait for it.
    pub(crate) timeouts: Timeouts,
}

impl ProviderConfig {
    /// Whether its responses hold their own cost; `None`: unknown. Nothing is demanded of one with a fatal problem.
    pub(crate) fn reports_cost(&self) -> Option<bool> {
        let parts = self.parts.as_ref();
        parts.map_or(Some(true), |parts| parts.kind.reports_cost)
    }
}

impl ProviderParts {
    /// Whether the token may go in the header `name`.
    pub(crate) fn takes_token_in(&self, name: &HeaderName) -> bool {
        *name == self.auth_header || (self.bearer.is_some() && *name == AUTHORIZATION)
    }
}

/// A route, with what other rules need to know of it even if something is wrong with the rest.
pub(crate) struct RouteConfig {
    /// Where it stands.
    pub(crate) at: Location,
    /// Its name, a metric label.
    pub(crate) name: Arc<str>,
    /// The name of its provider, which is in the configuration.
    pub(crate) provider: Arc<str>,
    /// Who may use it.
    pub(crate) access: Access,
    /// The route; `None` after a fatal problem.
    pub(crate) spec: Option<RouteSpec>,
}

/// A route as meant.
pub struct RouteSpec {
    /// Its name, a metric label.
    pub(crate) name: Arc<str>,
    /// The hosts whose requests it takes.
    pub(crate) hosts: Vec<HostPattern>,
    /// The prefix of the paths that it takes.
    pub(crate) path: PathPrefix,
    /// The name of its provider, which is in the configuration.
    pub(crate) provider: Arc<str>,
    /// Who may use it.
    pub(crate) access: Access,
    /// Whether `WebSocket` upgrades pass.
    pub(crate) websocket: bool,
    /// The client's account-choosing headers that pass.
    pub(crate) allowed_headers: Vec<HeaderName>,
    /// Headers made for the provider.
    pub(crate) templates: Vec<HeaderTemplate>,
    /// Which pages in browsers may read its responses.
    pub(crate) cors: Option<Cors>,
    /// How the usage of its streams is metered.
    pub(crate) metering: Metering,
    /// The models that the metrics tell apart.
    pub(crate) metric_models: Vec<String>,
}
