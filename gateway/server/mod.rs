//! The composition root: `Resolved` -> `Snapshot` -> `Proxy` -> Pingora's services on sockets that are bound before
//! anything else.
//!
//! [`Gateway::start_on`] builds the parts, listens, and announces that the gateway serves; `lifecycle` runs it until a
//! signal ends it. The accept loops, connections and threads are keygate's own: Pingora's `Server::run` sleeps for its
//! whole grace period, and can only be ended by ending the process. Requests run on one runtime per serving thread. The
//! admin listener, reloads and DNS run on another runtime, so that a scrape or a large key file delays no stream.

mod admin;
mod connection;
mod gateway;
mod lifecycle;
mod limit_metrics;
mod limits;
mod listen;
mod sandbox;
mod startup;
mod threads;

pub use self::gateway::Gateway;
pub(crate) use self::lifecycle::signals::Signals;
pub(crate) use self::listen::sockets::Inherited;
pub use self::sandbox::SandboxServer;
pub(crate) use self::startup::{check_startup, keep_memory_private};

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use pingora::time::fast_timeout::set_fast_timeout_to_tokio_threshold;
use pingora_core::listeners::tls::Acceptor;
use pingora_core::tls::RootCertStore;
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use self::admin::serve_admin;
use self::connection::count::OpenConnections;
use self::lifecycle::handover::{PREDECESSOR_LOST, Predecessors, SERVING};
use self::lifecycle::upgrade::Program;
use self::limits::open_ledger;
use self::listen::listeners::ClientService;
use self::listen::sockets::Sockets;
use self::listen::tls;
use self::startup::raise_descriptor_limit;
use self::threads::{Threads, runtime};
use crate::access_log::AccessLog;
use crate::admin::{Admin, Readiness};
use crate::config::{Resolved, ServerConfig};
use crate::error::Error;
use crate::limit::failed_keys::FailedKeyLimiter;
use crate::limit::held_bodies::HeldBodies;
use crate::metrics::Metrics;
use crate::proxy::Shared;
use crate::reload::Reloader;
use crate::runtime::in_flight::InFlight;
use crate::runtime::log;
use crate::runtime::systemd;
use crate::snapshot::Live;
use crate::telemetry::{Telemetry, TelemetrySpec};

/// How long a start waits for the names of providers to resolve. It goes on without those that are late.
const FIRST_RESOLUTION: Duration = Duration::from_secs(3);

/// Everything that a gateway consists of but its sockets.
struct Parts {
    readiness: Arc<Readiness>,
    reload: Arc<Notify>,
    clients: ClientService,
    exporting: Option<JoinHandle<()>>,
    serving: Threads,
    control: Runtime,
}

impl Gateway {
    /// Starts with `config`, which was loaded from `path`. Access lines go to `output`.
    ///
    /// When this returns, every socket is bound and connections are accepted.
    ///
    /// # Errors
    /// If a socket cannot be bound, the system gives no thread, or TLS cannot be trusted.
    pub fn start(
        config: Resolved,
        path: PathBuf,
        output: impl Write + Send + 'static,
    ) -> Result<Self, Error> {
        Self::start_on(Inherited::default(), config, path, output)
    }

    /// Starts like [`start`](Self::start), on `inherited` sockets where the configuration names them.
    ///
    /// # Errors
    /// As [`start`](Self::start), and if the process that was to hand over to this one has died.
    pub(crate) fn start_on(
        mut inherited: Inherited,
        config: Resolved,
        path: PathBuf,
        output: impl Write + Send + 'static,
    ) -> Result<Self, Error> {
        raise_descriptor_limit(&config.server);
        disable_fast_timers();
        let program = Program::current()
            .inspect_err(|error| tracing::warn!("no upgrade will be possible: {error}"))
            .ok();
        let sockets = inherited.sockets(&config.server)?;
        let kept = sockets
            .copy()
            .map_err(|error| Error::failed("keep the sockets", error))?;
        check_startup(&config)?;
        let parts = Parts::build(config, path, output)?;
        let predecessors = inherited.predecessors();
        parts
            .readiness
            .set_provisional(predecessors.will_hand_over());
        if predecessors.has_lost_last() {
            return Err(Error::Failed(PREDECESSOR_LOST.to_owned()));
        }
        let gateway = parts.listen(sockets, kept, program, predecessors)?;
        gateway.announce_start();
        Ok(gateway)
    }

    /// Reports that this process serves: to the log, and to the predecessor or the service manager.
    fn announce_start(&self) {
        let (listen, admin) = (&self.listen, self.admin);
        tracing::info!(?listen, %admin, threads = self.config.listener.threads, "serving");
        if !self.predecessors.tell_last(SERVING) {
            // After an upgrade, the old process sends READY for the new one.
            systemd::ready(&self.live.summary());
        }
        if let (Some(interval), Some(serving)) = (systemd::watchdog(), &self.serving) {
            // The first heartbeat comes after a pause: until the handover, the manager does not know a successor.
            serving.heartbeat(interval / 4, systemd::alive);
        }
    }
}

impl Parts {
    /// Builds everything up to the application that clients are served by, and starts its background tasks.
    fn build(
        config: Resolved,
        path: PathBuf,
        output: impl Write + Send + 'static,
    ) -> Result<Self, Error> {
        let server = config.server.clone();
        let metrics = Metrics::new()
            .map(Arc::new)
            .map_err(|error| Error::failed("declare the metrics", error))?;
        let access_log = access_log(&server, output, &metrics)?;
        let (files, unread) = (config.files.clone(), config.may_pass);
        let tracing = config.tracing.clone();
        let client_roots = config.client_roots.clone();
        let ledger = open_ledger(&config)?;
        let book = limits::book(&ledger)?;
        let live = Live::start_with(config, metrics.clone(), book)
            .map(Arc::new)
            .map_err(|error| Error::failed("use the configuration", error))?;

        let control = runtime("control", 1)?;
        let serving = Threads::start(server.listener.threads)?;
        let reload =
            reload_in_background(&control, Reloader::new(live.clone(), path, files, unread));
        control.spawn(log::report_suppressed_lines());
        let (telemetry, exporting) = telemetry(&control, tracing.as_deref(), &live)?;
        resolve_in_background(&control, &live, server.listener.dns_refresh);
        limits::keep_in_background(&control, &live, &ledger);

        let shared = Shared {
            live: live.clone(),
            access_log,
            in_flight: InFlight::new(metrics.inflight.clone()),
            closing: Arc::new(AtomicBool::new(false)),
            failed_keys: FailedKeyLimiter::default(),
            by_address: Arc::default(),
            held_bodies: HeldBodies::new(metrics.held_bytes.clone()),
            telemetry,
            ledger,
        };
        let clients = ClientService {
            tls: tls_acceptor(&server, &live, client_roots.as_ref())?,
            server,
            shared: Arc::new(shared),
            connections: OpenConnections::new(live),
        };
        Ok(Self {
            readiness: Arc::default(),
            reload,
            clients,
            exporting,
            serving,
            control,
        })
    }

    /// Accepts clients and operators on `sockets`. `kept` are copies of them for the next process.
    fn listen(
        self,
        sockets: Sockets,
        kept: Sockets,
        program: Option<Program>,
        predecessors: Predecessors,
    ) -> Result<Gateway, Error> {
        let listeners = self.clients.listen(&self.serving, sockets.listen)?;
        let started = Instant::now();
        self.readiness.set(true);
        let shared = self.clients.shared.clone();
        let app = Admin::new(
            &shared.live,
            &shared.in_flight,
            &self.readiness,
            &shared.ledger,
            started,
        );
        // The admin listener closes with the process and not before: operators watch a drain.
        let (admin, admin_shutdown) = serve_admin(&self.control, app, sockets.admin)?;
        Ok(Gateway {
            listen: listeners.addresses.clone(),
            admin,
            config: self.clients.server.clone(),
            live: shared.live.clone(),
            in_flight: shared.in_flight.clone(),
            closing: shared.closing.clone(),
            connections: self.clients.connections.clone(),
            readiness: self.readiness,
            reload: self.reload,
            started,
            listeners: vec![listeners],
            clients: Some(self.clients),
            admin_shutdown,
            sockets: Some(kept),
            program,
            predecessors,
            access_log: shared.access_log.clone(),
            ledger: shared.ledger.clone(),
            exporting: self.exporting,
            serving: Some(self.serving),
            control: Some(self.control),
        })
    }
}

/// The TLS acceptor for clients, if the configuration has a certificate.
fn tls_acceptor(
    server: &ServerConfig,
    live: &Arc<Live>,
    client_roots: Option<&Arc<RootCertStore>>,
) -> Result<Option<Arc<Acceptor>>, Error> {
    server
        .listener
        .tls
        .as_ref()
        .map(|_| tls::acceptor(live, client_roots).map(Arc::new))
        .transpose()
}

/// Makes time limits use Tokio's timers, which are freed when nobody waits for them. Pingora's own are kept until they are
/// due: ten minutes of them are 8 MB on each thread. Only the idle timeout of HTTP/2 connections still uses one.
fn disable_fast_timers() {
    set_fast_timeout_to_tokio_threshold(Some(Duration::ZERO));
}

fn access_log(
    server: &ServerConfig,
    output: impl Write + Send + 'static,
    metrics: &Metrics,
) -> Result<AccessLog, Error> {
    if !server.listener.access_log {
        return Ok(AccessLog::off());
    }
    AccessLog::start(output, metrics.access_log_dropped.clone())
        .map_err(|error| Error::failed("start the access log", error))
}

/// Starts to reload the configuration when it is requested, or has changed. Returns what requests it.
fn reload_in_background(control: &Runtime, reloader: Reloader) -> Arc<Notify> {
    let requested = reloader.handle();
    control.spawn(reloader.run());
    requested
}

/// Starts to send spans, if the configuration names a collector.
fn telemetry(
    control: &Runtime,
    spec: Option<&TelemetrySpec>,
    live: &Live,
) -> Result<(Option<Telemetry>, Option<JoinHandle<()>>), Error> {
    let Some(spec) = spec else {
        return Ok((None, None));
    };
    let (telemetry, exporter) = Telemetry::start(spec, &live.resolver, &live.metrics.spans)
        .map_err(|error| Error::failed("send spans", error))?;
    Ok((Some(telemetry), Some(control.spawn(exporter.run()))))
}

/// Resolves the names of providers, and again `every` so often from then on.
fn resolve_in_background(control: &Runtime, live: &Arc<Live>, every: Duration) {
    let resolver = live.resolver.clone();
    control.block_on(async {
        // Names that are late are resolved by the task below.
        let _ = tokio::time::timeout(FIRST_RESOLUTION, resolver.refresh(true)).await;
    });
    control.spawn(async move {
        loop {
            tokio::time::sleep(every).await;
            resolver.refresh(false).await;
        }
    });
}
