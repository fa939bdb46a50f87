//! Accepting clients on sockets that are bound already, from its beginning to its end.
//!
//! A process does this once. It does it again only where a process that had taken over has failed, and has left the
//! sockets to this one.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use pingora_core::apps::{HttpServerApp, HttpServerOptions};
use pingora_core::listeners::tls::Acceptor;
use pingora_core::server::configuration::ServerConf;
use pingora_proxy::http_proxy;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::ServerConfig;
use crate::error::Error;
use crate::proxy::{ATTEMPTS, Proxy, Shared};
use crate::runtime::log;
use crate::runtime::watchdog::{Bounded, ConnectionTimeouts};
use crate::server::connection::client::{Client, IdleShutdown};
use crate::server::connection::connections::Connections;
use crate::server::listen::accept::{Worker, accept};
use crate::server::threads::Threads;

/// Accepts clients for the proxy on the sockets that it is given; [`listen_on`] makes it.
pub(crate) type ListenOn =
    Box<dyn Fn(&Threads, Vec<TcpListener>) -> Result<Listening, Error> + Send + Sync>;

/// What accepts connections, and what they end by.
pub(crate) struct Listening {
    /// Where clients come.
    pub(crate) addresses: Vec<SocketAddr>,
    /// What accepting ends by.
    pub(crate) shutdown: watch::Sender<bool>,
    /// What connections of HTTP/1.1 without a request end by.
    pub(crate) quiet_http1: watch::Sender<bool>,
    /// What connections of HTTP/2 without a request end by.
    pub(crate) quiet_http2: watch::Sender<bool>,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

impl Listening {
    /// Waits until nothing is accepted any more, and what waits for requests has been told.
    pub(crate) async fn over(&self) {
        let accepting = self.accepting.lock();
        let accepting = accepting.unwrap_or_else(PoisonError::into_inner).take();
        if let Some(accepting) = accepting {
            let _ = accepting.await;
        }
    }
}

/// What accepts clients for the proxy, on whichever sockets.
pub(crate) fn listen_on(
    server: &ServerConfig,
    shared: Arc<Shared>,
    tls: Option<Arc<Acceptor>>,
    connections: Arc<Connections>,
) -> ListenOn {
    let server = server.clone();
    Box::new(move |serving, sockets| {
        let ((http1, until_http1), (http2, until_http2)) =
            (watch::channel(false), watch::channel(false));
        let quiet = IdleShutdown {
            http1: until_http1,
            http2: until_http2,
        };
        let client = || Client {
            app: Arc::new(proxy_app(&server, shared.clone())),
            tls: tls.clone(),
            h2c: server.listener.h2c,
            connections: connections.clone(),
            quiet: quiet.clone(),
        };
        let threads = serving.serve();
        let lanes = threads.map(|thread| Worker::new(thread.clone(), client()));
        let (shutdown, _) = watch::channel(false);
        let (addresses, accepting) = listen(serving.accept(), lanes.collect(), sockets, &shutdown)?;
        Ok(Listening {
            addresses,
            shutdown,
            quiet_http1: http1,
            quiet_http2: http2,
            accepting: Mutex::new(Some(accepting)),
        })
    })
}

fn proxy_app(
    server: &ServerConfig,
    shared: Arc<Shared>,
) -> impl HttpServerApp + Send + Sync + 'static {
    let conf = Arc::new(ServerConf {
        threads: server.listener.threads,
        // Of each thread.
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
    let mut app = http_proxy(&conf, Proxy::new(shared));
    app.server_options = Some(options);
    Bounded::new(app, move || {
        ConnectionTimeouts::from(&clock.snapshot().rules.server)
    })
}

/// Serves clients on sockets that are bound already, and says where they are. What it spawns on `thread` ends when
/// nothing is accepted any more, and has told what waits for requests.
pub(crate) fn listen<A: HttpServerApp + Send + Sync + 'static>(
    thread: &Handle,
    lanes: Arc<[Worker<Client<A>>]>,
    sockets: Vec<TcpListener>,
    shutdown: &watch::Sender<bool>,
) -> Result<(Vec<SocketAddr>, JoinHandle<()>), Error> {
    let addresses = sockets.iter().map(TcpListener::local_addr);
    let addresses: Result<_, _> = addresses.collect();
    let addresses = addresses.map_err(|error| Error::failed("name a socket", error))?;
    let _here = thread.enter();
    let listeners = sockets.into_iter().map(tokio::net::TcpListener::from_std);
    let listeners: Result<Vec<_>, _> = listeners.collect();
    let listeners = listeners.map_err(|error| Error::failed("wait for connections", error))?;
    let each = listeners.into_iter().map(|listener| {
        let accepting = accept(listener, lanes.clone(), shutdown.subscribe());
        let accepting = thread.spawn(accepting);
        thread.spawn(async move {
            if accepting.await.is_err_and(|error| error.is_panic()) {
                log::abort("nobody accepts connections any more: this process ends");
            }
        })
    });
    let each: Vec<_> = each.collect();
    let accepting = thread.spawn(async move {
        for listener in each {
            let _ = listener.await;
        }
        for lane in lanes.iter() {
            lane.app.drain_idle().await;
        }
    });
    Ok((addresses, accepting))
}
