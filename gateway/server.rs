//! The composition root: `Config` -> `Snapshot` -> `Proxy` -> Pingora's services on sockets that
//! are bound before anything else, and the end of it all by signal.
//!
//! Pingora's own `Server::run` sleeps out its whole grace period and can only be ended by leaving
//! the process, so the services are run on runtimes of our own: the requests on one, the admin
//! listener, reloads and DNS on another, so that a scrape or a large key file delays no stream.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora_core::apps::{HttpServerApp, HttpServerOptions, ServerApp};
use pingora_core::protocols::Stream;
use pingora_core::server::configuration::ServerConf;
use pingora_core::server::{Fds, ListenFds, ShutdownWatch};
use pingora_core::services::Service as _;
use pingora_core::services::listening::Service;
use pingora_core::tls::{RootCertStore, load_native_certs};
use pingora_proxy::http_proxy;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::access_log::{AccessLog, AccessLogWriter};
use crate::admin::{Admin, Readiness};
use crate::config::{Config, LogLevel, ServerConfig};
use crate::error::Error;
use crate::metrics::Metrics;
use crate::proxy::deadline::Bounded;
use crate::proxy::in_flight::InFlight;
use crate::proxy::{ATTEMPTS, Proxy, Shared};
use crate::reload::Reloader;
use crate::sandbox::Sandbox;
use crate::snapshot::Live;
use crate::telemetry::{Exporter, Telemetry, TelemetrySpec};

/// How long a start waits for the providers' names; it goes on without those that are late.
const RESOLVE_FIRST: Duration = Duration::from_secs(3);

/// How long the end of the process waits for the last spans to be sent.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// A running gateway. Ends at once when it is dropped, and in order by [`run_until_signal`].
///
/// [`run_until_signal`]: Gateway::run_until_signal
pub struct Gateway {
    listen: Vec<SocketAddr>,
    admin: SocketAddr,
    config: ServerConfig,
    live: Arc<Live>,
    in_flight: Arc<InFlight>,
    readiness: Arc<Readiness>,
    reload: Arc<Notify>,
    shutdown: watch::Sender<bool>,
    _admin_shutdown: watch::Sender<bool>,
    accepting: Option<JoinHandle<()>>,
    writer: Option<AccessLogWriter>,
    exporting: Option<JoinHandle<()>>,
    serving: Option<Runtime>,
    control: Option<Runtime>,
}

impl Gateway {
    /// Starts with `config`, which was loaded from `path`; access lines go to `output`.
    ///
    /// When this returns, every socket is bound and connections are accepted.
    pub fn start(
        mut config: Config,
        path: PathBuf,
        output: impl Write + Send + 'static,
    ) -> Result<Self, Error> {
        let server = config.server.clone();
        raise_open_files();
        let sockets = server
            .listen
            .iter()
            .map(|address| bind(*address))
            .collect::<Result<Vec<_>, _>>()?;
        let admin_socket = bind(server.admin)?;
        check_trust(&config)?;
        getrandom::u64()
            .map_err(|error| Error::failed("read random numbers from the system", error))?;

        let metrics =
            Metrics::new().map_err(|error| Error::failed("declare the metrics", error))?;
        let metrics = Arc::new(metrics);
        let (access_log, writer) = if server.access_log {
            let (log, writer) = AccessLog::start(output, metrics.access_log_dropped.clone())
                .map_err(|error| Error::failed("start the access log", error))?;
            (log, Some(writer))
        } else {
            (AccessLog::off(metrics.access_log_dropped.clone()), None)
        };
        let files = config.files.clone();
        let tracing = config.tracing.take();
        let live = Live::start(config, metrics.clone())
            .map_err(|error| Error::failed("use the configuration", error))?;
        let live = Arc::new(live);
        let in_flight = InFlight::new(metrics.inflight.clone());
        let readiness = Arc::new(Readiness::default());
        let (shutdown, _) = watch::channel(false);

        let control = runtime("control", 1)?;
        let serving = runtime("serve", server.threads)?;
        let reloader = Reloader::new(live.clone(), path, files);
        let reload = reloader.handle();
        control.spawn(reloader.run());

        let (telemetry, exporting) = match tracing {
            Some(spec) => {
                let (telemetry, exporter) = telemetry(spec, &live)?;
                (Some(telemetry), Some(control.spawn(exporter.run())))
            }
            None => (None, None),
        };
        resolve_in_background(&control, &live, server.dns_refresh);
        let shared = Arc::new(Shared {
            live: live.clone(),
            access_log,
            in_flight: in_flight.clone(),
            telemetry,
        });
        let clock = live.clone();
        let app = Bounded::new(proxy_app(&server, shared), move || {
            let server = &clock.snapshot().rules.server;
            server.keepalive + server.client_head
        });
        let app = Greeted {
            app: Arc::new(app),
            within: server.h2c.then_some(server.client_head),
        };
        let (listen, accepting) = spawn(&serving, "proxy", app, sockets, &shutdown)?;
        let app = Admin {
            live: live.clone(),
            in_flight: in_flight.clone(),
            readiness: readiness.clone(),
            started: Instant::now(),
            probing: tokio::sync::Mutex::default(),
        };
        // Shut down with the process and not before it: a drain wants to be watched.
        let (admin_shutdown, _) = watch::channel(false);
        let (admin, _) = spawn(&control, "admin", app, vec![admin_socket], &admin_shutdown)?;
        let admin = admin.first().copied().unwrap_or(server.admin);
        readiness.set(true);
        tracing::info!(?listen, %admin, threads = server.threads, "serving");
        Ok(Self {
            listen,
            admin,
            config: server,
            live,
            in_flight,
            readiness,
            reload,
            shutdown,
            _admin_shutdown: admin_shutdown,
            accepting: Some(accepting),
            writer,
            exporting,
            serving: Some(serving),
            control: Some(control),
        })
    }

    /// Where clients come, with the ports that were asked for as 0.
    pub fn listen(&self) -> &[SocketAddr] {
        &self.listen
    }

    /// Where the admin listener is.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// What serves now.
    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// Loads the configuration again now, as SIGHUP does.
    pub fn reload(&self) {
        self.reload.notify_one();
    }

    /// Serves until SIGTERM (drains), SIGINT or a second SIGTERM (ends). SIGHUP reloads.
    pub fn run_until_signal(mut self, signals: Signals) {
        let Signals {
            runtime,
            mut terminate,
            mut interrupt,
            mut hangup,
        } = signals;
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = hangup.recv() => self.reload.notify_one(),
                    _ = interrupt.recv() => return tracing::info!("SIGINT: ending now"),
                    _ = terminate.recv() => break,
                }
            }
            tokio::select! {
                () = self.drain() => {}
                _ = interrupt.recv() => tracing::info!("SIGINT while draining: ending now"),
                _ = terminate.recv() => tracing::info!("SIGTERM while draining: ending now"),
            }
        });
        self.end();
    }

    /// Takes no new requests and waits for those in flight, for as long as the configuration says.
    pub async fn drain(&mut self) {
        self.readiness.set(false);
        let waiting = self.in_flight.count();
        tracing::info!(waiting, at_most = ?self.config.drain, "draining");
        tokio::time::sleep(self.config.shutdown_delay).await;
        // The listeners close, and so do connections without a request.
        let _ = self.shutdown.send(true);
        if let Some(accepting) = self.accepting.take() {
            // Only then is the count of requests in flight not about to grow.
            let _ = tokio::time::timeout(self.config.drain, accepting).await;
        }
        if let Ok(()) = tokio::time::timeout(self.config.drain, self.in_flight.drained()).await {
            tracing::info!("drained");
        } else {
            tracing::warn!(cut = self.in_flight.count(), "drain timed out");
        }
    }

    fn end(&mut self) {
        // Requests end first, each with its access line; then the lines are written.
        if let Some(serving) = self.serving.take() {
            serving.shutdown_timeout(Duration::from_secs(1));
        }
        if let Some(control) = self.control.take() {
            if let Some(exporting) = self.exporting.take() {
                let last =
                    control.block_on(async { tokio::time::timeout(LAST_SPANS, exporting).await });
                if last.is_err() {
                    tracing::warn!("the collector did not take the last spans in time");
                }
            }
            control.shutdown_background();
        }
        if let Some(writer) = self.writer.take() {
            writer.finish();
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        for runtime in [self.serving.take(), self.control.take()]
            .into_iter()
            .flatten()
        {
            runtime.shutdown_background();
        }
    }
}

/// The signals that a gateway answers to. Caught before it starts: a SIGHUP or SIGTERM that comes
/// between the first connection and the handler would kill the process.
pub struct Signals {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// From now on, no signal of these three kills the process.
    pub fn catch() -> Result<Self, Error> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Error::failed("start the signal thread", error))?;
        let guard = runtime.enter();
        let listen_for =
            |kind| signal(kind).map_err(|error| Error::failed("listen for signals", error));
        let terminate = listen_for(SignalKind::terminate())?;
        let interrupt = listen_for(SignalKind::interrupt())?;
        let hangup = listen_for(SignalKind::hangup())?;
        drop(guard);
        Ok(Self {
            runtime,
            terminate,
            interrupt,
            hangup,
        })
    }
}

/// A running [`Sandbox`]. Ends when it is dropped.
pub struct SandboxServer {
    address: SocketAddr,
    _shutdown: watch::Sender<bool>,
    runtime: Option<Runtime>,
}

impl SandboxServer {
    /// Starts `sandbox` on a free port of loopback.
    pub fn start(sandbox: Sandbox) -> Result<Self, Error> {
        let socket = bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let runtime = runtime("sandbox", 1)?;
        let (shutdown, _) = watch::channel(false);
        let (bound, _) = spawn(&runtime, "sandbox", sandbox, vec![socket], &shutdown)?;
        let address = bound
            .first()
            .copied()
            .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        Ok(Self {
            address,
            _shutdown: shutdown,
            runtime: Some(runtime),
        })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for SandboxServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Sends events to standard error, one line each, from `level` on.
pub fn log_to_stderr(level: LogLevel) {
    use tracing_subscriber::filter::{LevelFilter, Targets};
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;

    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
    };
    let quiet = level.min(LevelFilter::WARN);
    let targets = Targets::new()
        .with_default(level)
        // Says per broken connection what the access log says better.
        .with_target("pingora_proxy", LevelFilter::OFF)
        .with_target("pingora_core", quiet)
        .with_target("pingora_pool", quiet);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false);
    // A second call, as in tests, leaves the first in place.
    let _ = tracing_subscriber::registry()
        .with(targets)
        .with(lines)
        .try_init();
}

/// Every connection is a file. The soft limit of most systems, 1024, is there for programs that count
/// in a way that breaks above it; this one does not.
fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!("the limit of open files stays as it is: {error}");
    }
}

fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    let bound = TcpListener::bind(address).and_then(|socket| {
        socket.set_nonblocking(true)?;
        Ok(socket)
    });
    bound.map_err(|error| Error::failed(format_args!("listen on {address}"), error))
}

/// Refuses to start where every TLS handshake would fail, or Pingora would panic over a root
/// certificate that it cannot read.
fn check_trust(config: &Config) -> Result<(), Error> {
    let what = "trust the system's root certificates";
    let found = load_native_certs().map_err(|error| Error::failed(what, error))?;
    let mut roots = RootCertStore::empty();
    for certificate in found {
        roots
            .add(certificate)
            .map_err(|error| Error::failed(what, error))?;
    }
    let needy = config
        .providers
        .iter()
        .find(|spec| spec.base_url.tls && spec.ca.is_none());
    match needy {
        Some(spec) if roots.is_empty() => Err(Error::Failed(format!(
            "there are no root certificates, so provider `{}` could not be trusted: install the \
             package ca-certificates, or name a `ca`",
            spec.name
        ))),
        _ => Ok(()),
    }
}

fn runtime(name: &str, threads: usize) -> Result<Runtime, Error> {
    Builder::new_multi_thread()
        .worker_threads(threads.max(1))
        .thread_name(name)
        .enable_all()
        .build()
        .map_err(|error| Error::failed(format_args!("start the {name} threads"), error))
}

fn telemetry(spec: TelemetrySpec, live: &Live) -> Result<(Telemetry, Exporter), Error> {
    Telemetry::start(spec, &live.resolver, &live.metrics.spans)
        .map_err(|error| Error::failed("send spans", error))
}

fn resolve_in_background(control: &Runtime, live: &Arc<Live>, every: Duration) {
    let resolver = live.resolver.clone();
    control.block_on(async {
        // Late names are looked for again by the task below.
        let _ = tokio::time::timeout(RESOLVE_FIRST, resolver.refresh(true)).await;
    });
    let resolver = live.resolver.clone();
    control.spawn(async move {
        loop {
            tokio::time::sleep(every).await;
            resolver.refresh(false).await;
        }
    });
}

fn proxy_app(
    server: &ServerConfig,
    shared: Arc<Shared>,
) -> impl HttpServerApp + Send + Sync + 'static {
    let conf = Arc::new(ServerConf {
        threads: server.threads,
        upstream_keepalive_pool_size: server.idle_connections,
        max_retries: ATTEMPTS,
        ..ServerConf::default()
    });
    let mut options = HttpServerOptions::default();
    options.h2c = server.h2c;
    options.keepalive_request_limit = Some(server.requests_per_connection);
    options.h2_idle_timeout = Some(server.keepalive);
    let mut app = http_proxy(&conf, Proxy::new(shared));
    app.server_options = Some(options);
    app
}

/// An application whose connections must say something soon.
///
/// Pingora looks at the first 24 bytes of a connection to tell HTTP/2 from HTTP/1.1, and would wait
/// for them for ever.
struct Greeted<A> {
    app: Arc<A>,
    /// How long; `None` where nothing is looked at.
    within: Option<Duration>,
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> ServerApp for Greeted<A> {
    async fn process_new(
        self: &Arc<Self>,
        mut stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        if let Some(within) = self.within {
            // What is looked at is put back.
            let mut seen = [0; 24];
            let greeting = stream.try_peek(&mut seen);
            tokio::time::timeout(within, greeting).await.ok()?.ok()?;
        }
        self.app.process_new(stream, shutdown).await
    }

    async fn cleanup(&self) {
        self.app.cleanup().await;
    }
}

/// Serves `app` on sockets that are bound already, and says where they are.
fn spawn<A>(
    runtime: &Runtime,
    name: &str,
    app: A,
    sockets: Vec<TcpListener>,
    shutdown: &watch::Sender<bool>,
) -> Result<(Vec<SocketAddr>, JoinHandle<()>), Error>
where
    A: ServerApp + Send + Sync + 'static,
{
    let mut service = Service::new(name.to_owned(), app);
    let mut fds = Fds::new();
    let mut addresses = Vec::with_capacity(sockets.len());
    for socket in sockets {
        let address = socket
            .local_addr()
            .map_err(|error| Error::failed("name a socket", error))?;
        // Pingora looks a listener up in the table by the name it was added with, before it binds.
        let key = address.to_string();
        service.add_tcp(&key);
        fds.add(key, socket.into_raw_fd());
        addresses.push(address);
    }
    let table: ListenFds = Arc::new(fds.into());
    let shutdown = shutdown.subscribe();
    let accepting =
        runtime.spawn(async move { service.start_service(Some(table), shutdown, 1).await });
    Ok((addresses, accepting))
}
