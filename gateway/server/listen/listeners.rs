//! Starts to accept clients on bound sockets, and stops again.
//!
//! A process starts once, and a second time only if the process that took over from it fails and leaves the sockets to it.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use pingora_core::apps::{HttpServerApp, HttpServerOptions};
use pingora_core::listeners::tls::Acceptor;
use pingora_core::server::configuration::ServerConf;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::ServerConfig;
use crate::error::Error;
use crate::proxy::{ATTEMPTS, Proxy, Shared};
use crate::runtime::log;
use crate::runtime::watchdog::ConnectionTimeouts;
use crate::runtime::watchdog::app::Bounded;
use crate::server::connection::client::{ClientHandler, IdleShutdown};
use crate::server::connection::count::OpenConnections;
use crate::server::connection::handler::ConnectionHandler;
use crate::server::listen::accept::{Worker, accept};
use crate::server::listen::proxy_app;
use crate::server::threads::Threads;

/// Everything that serving clients takes but sockets.
pub(crate) struct ClientService {
    pub(crate) server: ServerConfig,
    pub(crate) shared: Arc<Shared>,
    /// TLS acceptor; `None` without TLS.
    pub(crate) tls: Option<Arc<Acceptor>>,
    pub(crate) connections: Arc<OpenConnections>,
}

/// Running accept loops for clients.
pub(crate) struct Listeners {
    /// The addresses that clients connect to.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Send true to stop accepting.
    pub(crate) shutdown: watch::Sender<bool>,
    /// Send true to close HTTP/1.1 connections that wait for a request.
    pub(crate) close_idle_http1: watch::Sender<bool>,
    /// Send true to close HTTP/2 connections without a stream.
    pub(crate) close_idle_http2: watch::Sender<bool>,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

impl Listeners {
    /// Waits until nothing is accepted any more, and idle connections were signalled to close.
    pub(crate) async fn stopped(&self) {
        let accepting = self
            .accepting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(accepting) = accepting {
            let _ = accepting.await;
        }
    }
}

impl ClientService {
    /// Accepts clients on `sockets`, and serves them on `threads`.
    pub(crate) fn listen(
        &self,
        threads: &Threads,
        sockets: Vec<TcpListener>,
    ) -> Result<Listeners, Error> {
        let (shutdown, _) = watch::channel(false);
        let (close_idle_http1, http1) = watch::channel(false);
        let (close_idle_http2, http2) = watch::channel(false);
        let idle_shutdown = IdleShutdown { http1, http2 };
        let workers = threads
            .serve()
            .map(|thread| {
                let handler = self.handler(idle_shutdown.clone())?;
                Ok(Worker::new(thread.clone(), handler))
            })
            .collect::<Result<_, Error>>()?;
        let (addresses, accepting) = accept_all(threads.accept(), workers, sockets, &shutdown)?;
        Ok(Listeners {
            addresses,
            shutdown,
            close_idle_http1,
            close_idle_http2,
            accepting: Mutex::new(Some(accepting)),
        })
    }

    /// The handler of one thread. Each has a Pingora application, and with it connections to providers, of its own.
    fn handler(
        &self,
        idle_shutdown: IdleShutdown,
    ) -> Result<ClientHandler<impl HttpServerApp + Send + Sync + 'static + use<>>, Error> {
        Ok(ClientHandler {
            app: Arc::new(bounded_app(&self.server, self.shared.clone())?),
            tls: self.tls.clone(),
            h2c: self.server.listener.h2c,
            connections: self.connections.clone(),
            idle_shutdown,
        })
    }
}

/// Pingora's application for one serving thread, under the watchdog.
fn bounded_app(
    server: &ServerConfig,
    shared: Arc<Shared>,
) -> Result<impl HttpServerApp + Send + Sync + 'static + use<>, Error> {
    let conf = Arc::new(ServerConf {
        threads: server.listener.threads,
        // The pool is per thread.
        upstream_keepalive_pool_size: server
            .listener
            .idle_connections
            .div_ceil(server.listener.threads.max(1)),
        max_retries: ATTEMPTS,
        ..ServerConf::default()
    });
    let mut options = HttpServerOptions::default();
    options.h2c = server.listener.h2c;
    options.keepalive_request_limit = Some(server.listener.requests_per_connection);
    options.h2_idle_timeout = Some(server.limits.keepalive);
    let clock = shared.live.clone();
    let app = proxy_app::shared(&conf, Proxy(shared))?;
    Ok(Bounded::new(app, options, move || {
        ConnectionTimeouts::from(&clock.snapshot().rules.server)
    }))
}

/// Accepts connections on `sockets`, whose addresses it returns, and serves them by `workers`. The task that it spawns on
/// `thread` ends when `shutdown` has stopped the accept loops and idle connections were signalled to close.
pub(crate) fn accept_all<A: HttpServerApp + Send + Sync + 'static>(
    thread: &Handle,
    workers: Arc<[Worker<ClientHandler<A>>]>,
    sockets: Vec<TcpListener>,
    shutdown: &watch::Sender<bool>,
) -> Result<(Vec<SocketAddr>, JoinHandle<()>), Error> {
    let addresses = sockets
        .iter()
        .map(TcpListener::local_addr)
        .collect::<Result<_, _>>()
        .map_err(|error| Error::failed("name a socket", error))?;
    // Tokio registers a socket with the runtime that is entered.
    let _entered = thread.enter();
    let listeners = sockets
        .into_iter()
        .map(tokio::net::TcpListener::from_std)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Error::failed("wait for connections", error))?;
    let loops: Vec<_> = listeners
        .into_iter()
        .map(|listener| spawn_loop(thread, listener, workers.clone(), shutdown))
        .collect();
    let accepting = thread.spawn(async move {
        for accepting in loops {
            let _ = accepting.await;
        }
        for worker in workers.iter() {
            worker.handler.drain_idle().await;
        }
    });
    Ok((addresses, accepting))
}

/// Runs the accept loop of one socket. A panic in it ends the process: nobody would accept connections any more.
fn spawn_loop<H: ConnectionHandler>(
    thread: &Handle,
    listener: tokio::net::TcpListener,
    workers: Arc<[Worker<H>]>,
    shutdown: &watch::Sender<bool>,
) -> JoinHandle<()> {
    let accepting = thread.spawn(accept(listener, workers, shutdown.subscribe()));
    thread.spawn(async move {
        if accepting.await.is_err_and(|error| error.is_panic()) {
            log::abort("nobody accepts connections any more: this process ends");
        }
    })
}
