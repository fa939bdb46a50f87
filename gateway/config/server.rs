//! `[server]` as meant: where and how to listen, and how much to take.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use tracing::level_filters::LevelFilter;

use crate::runtime::descriptors;
use crate::trusted_proxies::TrustedProxies;

/// `[server]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// What only a restart changes.
    pub(crate) listener: Listener,
    /// What a reload changes.
    pub limits: Limits,
}

/// Settings that change only with a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    /// Where clients connect.
    pub(crate) listen: Listen,
    /// The listener of `/metrics`, `/healthz`, `/readyz` and `/status`.
    pub(crate) admin: SocketAddr,
    /// TLS for clients.
    pub(crate) tls: Option<TlsSpec>,
    /// Whether clients' keys may arrive unencrypted at public addresses.
    pub(crate) plain_http: bool,
    /// Serving threads; 0 leaves their number to the machine, until the configuration is resolved.
    pub(crate) threads: usize,
    /// Whether HTTP/2 is spoken without TLS, by prior knowledge.
    pub(crate) h2c: bool,
    /// Whether access lines are written.
    pub(crate) access_log: bool,
    /// The least severe events that are logged.
    pub(crate) log_level: LogLevel,
    /// How often the names of providers are resolved again.
    pub(crate) dns_refresh: Duration,
    /// A client's connection is closed after this many requests.
    pub(crate) requests_per_connection: u32,
    /// The most unused connections to providers that are kept: each thread keeps its share.
    pub(crate) idle_connections: usize,
    /// After SIGTERM, how long `/readyz` responds 503 before the listeners close.
    pub(crate) shutdown_delay: Duration,
    /// After SIGTERM, how long requests in flight may take.
    pub(crate) drain: Duration,
    /// After another process has taken over, how long requests in flight may take.
    pub(crate) upgrade_drain: Duration,
}

/// Settings that a reload changes: limits and timeouts of the clients' side, the names of the admin listener, the
/// trusted proxies and the headers that no provider gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest request body, in bytes.
    pub(crate) max_request_body: u64,
    /// The largest request body that is held until the provider responds, in bytes; 0 holds none.
    pub(crate) held_body: u64,
    /// The most bytes of request bodies that are held at once.
    pub(crate) held_bodies: u64,
    /// The largest request head, in bytes.
    pub(crate) max_header_bytes: u64,
    /// The most headers of a request.
    pub(crate) max_header_count: usize,
    /// The fewest bytes per second of a request body, on average.
    pub(crate) min_body_rate: u64,
    /// The most connections of clients.
    pub(crate) max_connections: usize,
    /// The most connections as the configuration gives them; `None` leaves the number to keygate.
    pub configured_connections: Option<usize>,
    /// The most connections of one address that is neither loopback nor private.
    pub(crate) max_connections_per_address: usize,
    /// How many requests with a wrong key one address may send per minute; 0 means any number.
    pub(crate) failed_keys_per_address: u32,
    /// Names that requests to the admin listener may use beside its address and `localhost`, in lower case.
    pub(crate) admin_hosts: Vec<String>,
    /// The proxies in front that name the client's address, if there are any.
    pub(crate) trusted_proxies: Option<Arc<TrustedProxies>>,
    /// Request headers that no provider gets, beside those that [`Stripped`] always takes out.
    ///
    /// [`Stripped`]: crate::provider::Stripped
    pub(crate) stripped_headers: Vec<HeaderName>,
    /// Beginnings of names of such headers, in lower case.
    pub(crate) stripped_prefixes: Vec<String>,
    /// How long an unused connection of a client is kept.
    pub(crate) keepalive: Duration,
    /// How long a request's head may take, from its first byte to its last.
    pub(crate) client_head: Duration,
    /// How long a client may pause within a request's body.
    pub(crate) client_read: Duration,
    /// How long a client may leave a response unread.
    pub(crate) client_write: Duration,
}

/// The files of TLS for clients. The certificate is read again when its file changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsSpec {
    /// The certificate chain, in PEM.
    pub(crate) certificate: PathBuf,
    /// The authority whose certificates clients have to show, in PEM.
    pub(crate) client_ca: Option<PathBuf>,
}

/// Where clients connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    /// At these addresses.
    Addresses(Vec<SocketAddr>),
    /// At the sockets that systemd hands over.
    Systemd,
}

impl ServerConfig {
    /// How many connections of clients are accepted: fewer than `max_connections` where there are too few file
    /// descriptors.
    pub(crate) fn connections_at_most(&self) -> usize {
        let possible = descriptors::connections(descriptors::most(), self.listener.threads);
        self.limits.max_connections.min(possible)
    }

    /// The warning where fewer connections are accepted than the configuration permits.
    pub(crate) fn lack_of_descriptors(&self) -> Option<String> {
        let (taken, wanted) = (self.connections_at_most(), self.limits.max_connections);
        (taken < wanted).then(|| {
            format!(
                "at most {taken} connections of clients are taken, not the {wanted} of server.limits.connections: the \
                 system allows {} open files, and a connection takes two. LimitNOFILE= in the unit, or `ulimit -n`, is \
                 to be {} at least, or server.limits.connections lower",
                descriptors::most(),
                descriptors::needed(wanted, self.listener.threads),
            )
        })
    }

    /// Whether `next` changes something that only a new start can change.
    pub fn needs_restart(&self, next: &Self) -> bool {
        self.listener != next.listener
    }
}

/// The least severe events that are logged. There is no `debug`: Pingora's debug events hold headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Failures.
    Error,
    /// Failures, and what may lead to them.
    Warn,
    /// Everything that happens.
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
