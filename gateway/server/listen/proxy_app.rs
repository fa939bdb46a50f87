//! Pingora's application, with keygate's own connections to origins.
//!
//! Pingora 0.9.1 builds an application with a connector of its user's own inside a service only, and shares it only
//! with the function that serves custom sessions. So [`shared`] starts such a service on a socket of its own, connects
//! to it once, and stops it. This happens before clients are accepted.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::IntoRawFd;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use pingora_core::apps::HttpServerOptions;
use pingora_core::server::configuration::ServerConf;
use pingora_core::server::{Fds, ListenFds};
use pingora_core::services::Service as _;
use pingora_core::services::listening::Service;
use pingora_proxy::{HttpProxy, ProcessCustomSession, ProxyServiceBuilder};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::watch;

use crate::error::Error;
use crate::origin::OriginConnector;
use crate::proxy::Proxy;

/// The proxy as Pingora runs it, with keygate's connections to origins.
pub(super) type ProxyApp = HttpProxy<Proxy, OriginConnector>;

/// How long Pingora may take to hand the application out. It takes a millisecond.
const PATIENCE: Duration = Duration::from_secs(10);

/// Builds the application of one serving thread.
pub(super) fn shared(conf: &Arc<ServerConf>, proxy: Proxy) -> Result<Arc<ProxyApp>, Error> {
    let failed = |error| {
        let what = "set up connections to providers (by a connection to itself, over 127.0.0.1)";
        Error::failed(what, error)
    };
    let (sender, receiver) = channel();
    let app = sender.clone();
    let hand_out: ProcessCustomSession<Proxy, OriginConnector> = Arc::new(move |shared, _, _| {
        let _ = app.send(Ok(shared));
        Box::pin(async { None })
    });
    let mut options = HttpServerOptions::default();
    options.force_custom = true;
    let service = ProxyServiceBuilder::new(conf, proxy)
        .custom(OriginConnector::new(conf), hand_out)
        .server_options(options)
        .build();
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    // A thread of its own: the caller may be a task, which must not run a runtime.
    thread::Builder::new()
        .name("set up".to_owned())
        .spawn(move || {
            if let Err(error) = runtime.block_on(connect_once(service, socket)) {
                let _ = sender.send(Err(error));
            }
        })
        .map_err(failed)?;
    let result = receiver.recv_timeout(PATIENCE);
    result
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(failed)
}

/// Runs `service` on `socket` until it has served one connection. The service is dropped before it ends by itself, which
/// would tell the application that the process ends.
async fn connect_once(mut service: Service<ProxyApp>, socket: TcpListener) -> io::Result<()> {
    let address = socket.local_addr()?;
    socket.set_nonblocking(true)?;
    service.add_tcp(&address.to_string());
    let mut sockets = Fds::new();
    // Pingora closes it.
    sockets.add(address.to_string(), socket.into_raw_fd());
    let sockets: ListenFds = Arc::new(sockets.into());
    let (_running, shutdown) = watch::channel(false);
    let one_connection = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.read(&mut [0]).await
    };
    tokio::select! {
        () = service.start_service(Some(sockets), shutdown, 1) => Ok(()),
        served = one_connection => served.map(drop),
    }
}
