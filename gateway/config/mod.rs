//! The configuration: as written ([`file`]), checked into as meant ([`Config`]).
//!
//! All problems come at once, each with file, line and cure. Nothing above this layer sees a file;
//! nothing in it knows of requests.

mod check;
mod file;

pub use self::check::certificate_end;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use pingora_core::tls::RootCertStore;
use pingora_core::tls::sign::CertifiedKey;
use tracing::level_filters::LevelFilter;

use crate::document::{FileStamp, PrefixHash, Problem, Problems, Severity};
use crate::key::KeyEntry;
use crate::provider::ProviderSpec;
use crate::route::{Access, Cors, HostPattern, PathPrefix};
use crate::runtime::descriptors;
use crate::telemetry::TelemetrySpec;
use crate::template::HeaderTemplate;
use crate::trusted_proxies::TrustedProxies;
use crate::usage::{Metering, PriceList, Prices};

/// A gateway's configuration, as meant: checked, defaults filled in, secrets fetched.
pub struct Config {
    /// Where and how to listen.
    pub server: ServerConfig,
    /// The certificate that clients see, with its key; missing without TLS, or where it could not be read.
    pub certificate: Option<Arc<CertifiedKey>>,
    /// Whose certificates clients have to show.
    pub client_roots: Option<Arc<RootCertStore>>,
    /// The headers in which a client key may stand, the first being the usual one.
    pub key_headers: Vec<HeaderName>,
    /// The key file, as it was when it was read.
    pub key_file: FileStamp,
    /// What tells whether a later version of it is only its beginning.
    pub key_outline: PrefixHash,
    /// Its keys.
    pub keys: Vec<KeyEntry>,
    /// Whether an exchange that goes on ends when its key is revoked.
    pub cut_revoked: bool,
    /// What tokens cost.
    pub prices: Prices,
    /// Where spans go, if anywhere. Changes with the next start.
    pub tracing: Option<Arc<TelemetrySpec>>,
    /// The providers.
    pub providers: Vec<ProviderSpec>,
    /// The routes.
    pub routes: Vec<RouteSpec>,
    /// Every file it was made from: a change of one is a reason to load again.
    pub files: Vec<FileStamp>,
    /// What is worth saying and stops nothing.
    pub warnings: Vec<Problem>,
    /// Whether one of its files could not be read, and may be a moment later: it is worth another try.
    pub may_pass: bool,
}

/// A key file that was read on its own.
pub struct KeysAlone {
    /// The file, as it was when it was read.
    pub file: FileStamp,
    /// What tells whether a later version of it is only its beginning.
    pub outline: PrefixHash,
    /// Its keys.
    pub entries: Vec<KeyEntry>,
}

/// Where and how to listen. Limits and the clients' timeouts change with a reload, the rest at the
/// next start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Where clients come.
    pub listen: Listen,
    /// Where `/metrics`, `/healthz`, `/readyz` and `/status` are.
    pub admin: SocketAddr,
    /// What it may be called beside its address and `localhost`, in lower case.
    pub admin_hosts: Vec<String>,
    /// TLS for clients.
    pub tls: Option<TlsSpec>,
    /// Whether keys of clients may go unencrypted to public addresses.
    pub plain_http: bool,
    /// Serving threads.
    pub threads: usize,
    /// HTTP/2 without TLS, by prior knowledge.
    pub h2c: bool,
    /// Whether access lines are written.
    pub access_log: bool,
    /// The least severe events that are logged.
    pub log_level: LogLevel,
    /// How often names are resolved again.
    pub dns_refresh: Duration,
    /// The largest request body, in bytes.
    pub max_request_body: u64,
    /// The largest request head, in bytes.
    pub max_header_bytes: u64,
    /// The most headers of a request.
    pub max_header_count: usize,
    /// After so many requests a client's connection is closed.
    pub requests_per_connection: u32,
    /// The most unused connections to providers that are kept: each thread keeps its share.
    pub idle_connections: usize,
    /// The fewest bytes a second of a request's body, on its average.
    pub min_body_rate: u64,
    /// The most connections of clients.
    pub max_connections: usize,
    /// The same as the configuration says it; none leaves it to keygate.
    pub connections_asked_for: Option<usize>,
    /// Of one address, unless it is near.
    pub max_connections_per_address: usize,
    /// How often it may come with a key that opens nothing, a minute; 0: as often as it likes.
    pub failed_keys_per_address: u32,
    /// The proxies in front that say who the client is, if there are any.
    pub trusted_proxies: Option<Arc<TrustedProxies>>,
    /// Headers of clients that no provider gets, beside those of [`Stripped`]'s own.
    ///
    /// [`Stripped`]: crate::provider::Stripped
    pub stripped_headers: Vec<HeaderName>,
    /// How the names of others begin, in lower case.
    pub stripped_prefixes: Vec<String>,
    /// How long an unused connection of a client is kept.
    pub keepalive: Duration,
    /// How long a request's head may take, from its first byte to its last.
    pub client_head: Duration,
    /// How long a client may pause within a request's body.
    pub client_read: Duration,
    /// How long a client may leave a response unread.
    pub client_write: Duration,
    /// After SIGTERM, how long `/readyz` says no before the listeners close.
    pub shutdown_delay: Duration,
    /// After SIGTERM, how long requests in flight may take.
    pub drain: Duration,
    /// After another process has taken over, likewise.
    pub upgrade_drain: Duration,
}

/// TLS for clients: the files, of which the certificate is read again when it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSpec {
    /// The chain, in PEM.
    pub certificate: PathBuf,
    /// Whose certificates clients have to show.
    pub client_ca: Option<PathBuf>,
}

/// Where clients come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// To these addresses.
    Addresses(Vec<SocketAddr>),
    /// To the sockets that systemd hands over.
    Systemd,
}

impl ServerConfig {
    /// How many connections of clients are taken: fewer than `max_connections` where there are too few file descriptors.
    pub fn connections_at_most(&self) -> usize {
        let possible = descriptors::connections(descriptors::most(), self.threads);
        self.max_connections.min(possible)
    }

    /// What to say where fewer connections are taken than the configuration says.
    pub fn lack_of_descriptors(&self) -> Option<String> {
        let (taken, wanted) = (self.connections_at_most(), self.max_connections);
        (taken < wanted).then(|| {
            format!(
                "at most {taken} connections of clients are taken, not the {wanted} of server.limits.connections: the \
                 system allows {} open files, and a connection takes two. LimitNOFILE= in the unit, or `ulimit -n`, is \
                 to be {} at least, or server.limits.connections lower",
                descriptors::most(),
                descriptors::needed(wanted, self.threads),
            )
        })
    }

    /// Whether `next` changes what only a new start can change.
    pub fn needs_restart(&self, next: &Self) -> bool {
        let mut hot = next.clone();
        hot.max_request_body = self.max_request_body;
        hot.max_header_bytes = self.max_header_bytes;
        hot.max_header_count = self.max_header_count;
        hot.min_body_rate = self.min_body_rate;
        hot.max_connections = self.max_connections;
        hot.connections_asked_for = self.connections_asked_for;
        hot.max_connections_per_address = self.max_connections_per_address;
        hot.failed_keys_per_address = self.failed_keys_per_address;
        hot.admin_hosts.clone_from(&self.admin_hosts);
        hot.trusted_proxies.clone_from(&self.trusted_proxies);
        hot.stripped_headers.clone_from(&self.stripped_headers);
        hot.stripped_prefixes.clone_from(&self.stripped_prefixes);
        hot.keepalive = self.keepalive;
        hot.client_head = self.client_head;
        hot.client_read = self.client_read;
        hot.client_write = self.client_write;
        hot != *self
    }
}

/// The least severe events that are logged. There is no `debug`: Pingora's would hold headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Failures.
    Error,
    /// And what may lead to them.
    Warn,
    /// And what happens.
    Info,
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
        }
    }
}

/// Whether a header says how a message is framed or where it goes: nobody sets it but the gateway.
pub fn is_framing(name: &HeaderName) -> bool {
    check::FRAMING.contains(&name.as_str())
}

/// Whether a client's key may stand in a header of this name.
pub fn may_hold_key(name: &HeaderName) -> bool {
    !is_framing(name) && !check::NO_KEY.contains(&name.as_str())
}

/// What commands need to know of a configuration.
pub struct Locations {
    /// The key file.
    pub key_file: PathBuf,
    /// The admin listener.
    pub admin: SocketAddr,
}

/// A route as meant.
pub struct RouteSpec {
    /// Its name.
    pub name: Arc<str>,
    /// Its hosts.
    pub hosts: Vec<HostPattern>,
    /// Its path.
    pub path: PathPrefix,
    /// The name of its provider, which is there.
    pub provider: Arc<str>,
    /// Who may come in.
    pub access: Access,
    /// Whether `WebSocket` upgrades pass.
    pub websocket: bool,
    /// The client's account-choosing headers that pass.
    pub allowed_headers: Vec<HeaderName>,
    /// Headers made for the provider.
    pub templates: Vec<HeaderTemplate>,
    /// Which pages in browsers may read its responses.
    pub cors: Option<Cors>,
    /// What is done about the usage of its streams.
    pub metering: Metering,
    /// The models that the metrics tell apart.
    pub metric_models: Vec<String>,
}

/// What a configuration is loaded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To start with it, or to check it: whatever is wrong is refused.
    Start,
    /// To replace the one that serves. What would only leave a route without keys is taken over
    /// with a warning: refusing it would keep a revoked key open. A read that fails for a reason that may pass is
    /// refused: what serves has what it would have read, a provider's token for instance.
    Reload,
}

/// What is wrong with a configuration: everything, at once, for the operator.
#[derive(Debug)]
pub struct ConfigErrors {
    /// The problems, by file and line.
    pub problems: Vec<Problem>,
    /// Every file that was looked at: a change of one may be the cure.
    pub files: Vec<FileStamp>,
}

impl ConfigErrors {
    /// Whether a file could not be read, and may be a moment later, though nobody changes it.
    pub fn may_pass(&self) -> bool {
        self.problems.iter().any(|problem| problem.may_pass)
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if i == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Reads the price file at `path`.
pub fn load_prices(path: &Path) -> Result<PriceList, ConfigErrors> {
    let problems = Problems::default();
    let list = check::read_prices(path, &check::whole(path), &problems);
    let problems = problems.into_sorted();
    let list = list.filter(|_| problems.is_empty());
    list.ok_or_else(|| ConfigErrors {
        problems,
        files: Vec::new(),
    })
}

impl Config {
    /// Reads and checks `path` and every file it names.
    pub fn load(path: &Path, purpose: Purpose) -> Result<Self, ConfigErrors> {
        let (config, problems, files) = check::load(path);
        let refused = |problem: &Problem| match problem.severity {
            Severity::Fatal => true,
            Severity::Strict => purpose == Purpose::Start || problem.may_pass,
            Severity::Warning => purpose == Purpose::Reload && problem.may_pass,
        };
        let may_pass = problems.iter().any(|problem| problem.may_pass);
        match config {
            Some(config) if !problems.iter().any(refused) => {
                let warnings = problems
                    .into_iter()
                    .map(|problem| Problem {
                        severity: Severity::Warning,
                        ..problem
                    })
                    .collect();
                Ok(Self {
                    files,
                    warnings,
                    may_pass,
                    ..config
                })
            }
            _ => Err(ConfigErrors { problems, files }),
        }
    }

    /// Reads the key file at `path`, whatever the rest of the configuration is like.
    pub fn keys_alone(path: &Path) -> Result<KeysAlone, ConfigErrors> {
        check::keys_alone(path)
    }

    /// The places that the configuration at `path` names, whatever else may be wrong with it, so that
    /// the first key can be made, and a gateway asked that goes on serving an older one.
    pub fn places(path: &Path) -> Result<Locations, ConfigErrors> {
        check::places(path)
    }
}
