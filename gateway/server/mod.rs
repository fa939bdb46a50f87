//! The composition root: `Resolved` -> `Snapshot` -> `Proxy` -> Pingora's services on sockets that
//! are bound before anything else, and the end of it all by signal.
//!
//! Pingora's own `Server::run` sleeps out its whole grace period and can only be ended by leaving
//! the process, so the services are run on runtimes of our own: the requests on one for each thread, the
//! admin listener, reloads and DNS on another, so that a scrape or a large key file delays no stream.

mod admin;
mod connection;
mod lifecycle;
mod listen;
mod sandbox;
mod threads;

pub use self::lifecycle::signals::Signals;
pub use self::listen::sockets::Inherited;
pub use self::sandbox::SandboxServer;

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use pingora::time::fast_timeout::set_fast_timeout_to_tokio_threshold;
use pingora_core::apps::ServerApp;
use pingora_core::server::{Fds, ListenFds};
use pingora_core::services::Service as _;
use pingora_core::services::listening::Service;
use pingora_core::tls::{RootCertStore, load_native_certs};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use self::admin::serve_admin;
use self::connection::connections::Connections;
use self::lifecycle::lifetime;
use self::lifecycle::upgrade::Program;
use self::listen::listening::{ListenOn, Listening, listen_on};
use self::listen::sockets::{Predecessors, SERVING, Sockets, bind};
use self::listen::tls;
use self::threads::Threads;
use crate::access_log::AccessLog;
use crate::admin::{Admin, Readiness};
use crate::config::{Resolved, ServerConfig};
use crate::error::Error;
use crate::limit::failed_keys::FailedKeyLimiter;
use crate::metrics::Metrics;
use crate::proxy::Shared;
use crate::reload::Reloader;
use crate::runtime::descriptors;
use crate::runtime::in_flight::InFlight;
use crate::runtime::log;
use crate::runtime::systemd;
use crate::snapshot::Live;
use crate::telemetry::{Exporter, Telemetry, TelemetrySpec};

/// How long a start waits for the providers' names; it goes on without those that are late.
const RESOLVE_FIRST: Duration = Duration::from_secs(3);

/// A running gateway. Ends at once when it is dropped, and in order by [`run_until_signal`].
///
/// [`run_until_signal`]: Gateway::run_until_signal
pub struct Gateway {
    listen: Vec<SocketAddr>,
    admin: SocketAddr,
    config: ServerConfig,
    live: Arc<Live>,
    in_flight: Arc<InFlight>,
    /// Whether connections end with their next response.
    closing: Arc<AtomicBool>,
    connections: Arc<Connections>,
    readiness: Arc<Readiness>,
    reload: Arc<Notify>,
    started: Instant,
    /// What accepts, and what did before another process had taken over and failed.
    listening: Vec<Listening>,
    /// Accepts on sockets, again if need be; nothing once this process accepts no more.
    listen_on: Option<ListenOn>,
    admin_shutdown: watch::Sender<bool>,
    /// For the next process, until this one accepts no more.
    sockets: Option<Sockets>,
    program: Option<Program>,
    predecessors: Predecessors,
    access_log: AccessLog,
    exporting: Option<JoinHandle<()>>,
    serving: Option<Threads>,
    control: Option<Runtime>,
}

impl Gateway {
    /// Starts with `config`, which was loaded from `path`; access lines go to `output`.
    ///
    /// When this returns, every socket is bound and connections are accepted.
    pub fn start(
        config: Resolved,
        path: PathBuf,
        output: impl Write + Send + 'static,
    ) -> Result<Self, Error> {
        Self::start_on(Inherited::default(), config, path, output)
    }

    /// Likewise, on the sockets that were there before, as far as the configuration names them.
    pub fn start_on(
        mut inherited: Inherited,
        config: Resolved,
        path: PathBuf,
        output: impl Write + Send + 'static,
    ) -> Result<Self, Error> {
        let server = config.server.clone();
        if let Err(error) = descriptors::raise() {
            tracing::warn!("the limit of open files stays as it is: {error}");
        }
        match server.lack_of_descriptors() {
            // Nobody has asked for more.
            Some(lack) if server.limits.connections_asked_for.is_none() => tracing::info!("{lack}"),
            Some(lack) => tracing::warn!("{lack}"),
            None => {}
        }
        // Pingora's own timers are kept until they are due, even if nobody waits for them any more: ten minutes of
        // them are 8 MB on each thread. Time limits of a second and more have one of Tokio's instead, which forgets
        // it. What is left is that of idle HTTP/2 connections.
        set_fast_timeout_to_tokio_threshold(Some(Duration::ZERO));
        let program = Program::current()
            .inspect_err(|error| tracing::warn!("no upgrade will be possible: {error}"))
            .ok();
        let sockets = inherited.sockets(&server)?;
        let kept = sockets
            .copy()
            .map_err(|error| Error::failed("keep the sockets", error))?;
        check_startup(&config)?;

        let metrics =
            Metrics::new().map_err(|error| Error::failed("declare the metrics", error))?;
        let metrics = Arc::new(metrics);
        let access_log = access_log(&server, output, &metrics)?;
        let (files, unread) = (config.files.clone(), config.may_pass);
        let tracing = config.tracing.clone();
        let client_roots = config.client_roots.clone();
        let live = Live::start(config, metrics.clone())
            .map_err(|error| Error::failed("use the configuration", error))?;
        let live = Arc::new(live);
        let readiness = Arc::new(Readiness::default());

        let control = runtime("control", 1)?;
        let serving = Threads::start(server.listener.threads)?;
        let reloader = Reloader::new(live.clone(), path, files, unread);
        let reload = reloader.handle();
        control.spawn(reloader.run());
        control.spawn(log::tell_what_was_left_out());

        let (telemetry, exporter) = telemetry(tracing.as_deref(), &live)?.unzip();
        let exporting = exporter.map(|exporter| control.spawn(exporter.run()));
        resolve_in_background(&control, &live, server.listener.dns_refresh);
        let in_flight = InFlight::new(metrics.inflight.clone());
        let closing = Arc::new(AtomicBool::new(false));
        let shared = Arc::new(Shared {
            live: live.clone(),
            access_log: access_log.clone(),
            in_flight: in_flight.clone(),
            closing: closing.clone(),
            failed_keys: FailedKeyLimiter::default(),
            by_address: Arc::default(),
            telemetry,
        });
        let connections = Connections::new(live.clone());
        let tls = server.listener.tls.as_ref();
        let tls = tls.map(|_| tls::acceptor(&live, client_roots.as_ref()));
        let tls = tls.transpose()?.map(Arc::new);
        let listen_on = listen_on(&server, shared, tls, connections.clone());
        let predecessors = inherited.predecessors();
        readiness.set_provisional(predecessors.will_hand_over());
        if predecessors.has_lost_last() {
            return Err(Error::Failed(lifetime::DESERTED.to_owned()));
        }
        let listening = listen_on(&serving, sockets.listen)?;
        let listen = listening.addresses.clone();
        let started = Instant::now();
        readiness.set(true);
        // Shut down with the process and not before it: a drain wants to be watched.
        let app = Admin::new(&live, &in_flight, &readiness, started);
        let (admin, admin_shutdown) = serve_admin(&control, app, sockets.admin)?;
        tracing::info!(?listen, %admin, threads = server.listener.threads, "serving");
        say_ready(&predecessors, &live, &serving);
        Ok(Self {
            listen,
            admin,
            config: server,
            live,
            in_flight,
            closing,
            connections,
            readiness,
            reload,
            started,
            listening: vec![listening],
            listen_on: Some(listen_on),
            admin_shutdown,
            sockets: Some(kept),
            program,
            predecessors,
            access_log,
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

    /// What operators ask.
    fn app(&self) -> Admin {
        Admin::new(&self.live, &self.in_flight, &self.readiness, self.started)
    }

    /// Loads the configuration again now, as SIGHUP does.
    pub fn reload(&self) {
        self.reload.notify_one();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.serving.take());
        if let Some(control) = self.control.take() {
            control.shutdown_background();
        }
    }
}

/// No other process of this user reads its memory or what it was started with, and no crash leaves them in a file.
pub fn keep_memory_private() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let done = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    if let Err(error) = done.and_then(|()| setrlimit(Resource::Core, none)) {
        tracing::warn!("memory may be left in a core file: {error}");
    }
}

/// Refuses to start where every TLS handshake would fail, or Pingora would panic over a root
/// certificate that it cannot read, or the system has no random numbers.
pub fn check_startup(config: &Resolved) -> Result<(), Error> {
    let what = "trust the system's root certificates";
    let found = load_native_certs().map_err(|error| Error::failed(what, error))?;
    let mut roots = RootCertStore::empty();
    for certificate in found {
        roots
            .add(certificate)
            .map_err(|error| Error::failed(what, error))?;
    }
    let providers = config.providers.iter();
    let mut needy = providers.filter(|spec| spec.base_url.tls && spec.ca.is_none());
    let provider = needy.next().map(|spec| format!("provider `{}`", spec.name));
    let collector = config.tracing.as_ref().filter(|spec| spec.collector.tls);
    getrandom::u64()
        .map_err(|error| Error::failed("read random numbers from the system", error))?;
    match provider.or(collector.map(|_| "the collector of [tracing]".to_owned())) {
        Some(who) if roots.is_empty() => Err(Error::Failed(format!(
            "there are no root certificates, so {who} could not be trusted: install the \
             package ca-certificates, or name a `ca`",
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

/// Tells whoever waits for it that this process serves.
fn say_ready(predecessors: &Predecessors, live: &Live, serving: &Threads) {
    if !predecessors.tell_last(SERVING) {
        // Of one that takes over, its predecessor says so.
        systemd::ready(&live.summary());
    }
    if let Some(wanted) = systemd::watchdog() {
        // Not at once: of a process that takes over, nobody has heard yet.
        serving.heartbeat(wanted / 4, systemd::alive);
    }
}

fn telemetry(
    spec: Option<&TelemetrySpec>,
    live: &Live,
) -> Result<Option<(Telemetry, Exporter)>, Error> {
    let started = spec.map(|spec| Telemetry::start(spec, &live.resolver, &live.metrics.spans));
    started
        .transpose()
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
