//! The admin listener. It serves operators by the same code as clients, so that its connections and heads have the same
//! limits.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::connection::client::{ClientHandler, IdleShutdown};
use super::connection::count::OpenConnections;
use super::listen::accept::Worker;
use super::listen::listeners::accept_all;
use crate::admin::Admin;
use crate::error::Error;

/// How many connections may be open: scrapes, probes and commands need few.
const MAX_CONNECTIONS: usize = 64;
/// How long idle connections stay open after the listener has closed: a request that is on its way is served.
const IDLE_GRACE: Duration = Duration::from_secs(1);

/// Serves `app` on a bound socket. Returns its address, and the sender that ends it by true.
pub(super) fn serve_admin(
    control: &Runtime,
    app: Admin,
    socket: TcpListener,
) -> Result<(SocketAddr, watch::Sender<bool>), Error> {
    let failed = |error| Error::failed("name a socket", error);
    let address = socket.local_addr().map_err(failed)?;
    let (shutdown, until) = watch::channel(false);
    let handler = ClientHandler {
        connections: OpenConnections::for_admin(app.live.clone(), MAX_CONNECTIONS),
        app: Arc::new(app),
        tls: None,
        h2c: false,
        idle_shutdown: idle_shutdown(control, until),
    };
    let workers = Arc::new([Worker::new(control.handle().clone(), handler)]);
    accept_all(control.handle(), workers, vec![socket], &shutdown)?;
    Ok((address, shutdown))
}

/// Closes idle connections [`IDLE_GRACE`] after `shutdown` has turned true.
fn idle_shutdown(control: &Runtime, mut shutdown: watch::Receiver<bool>) -> IdleShutdown {
    let (close, closing) = watch::channel(false);
    control.spawn(async move {
        // A closed channel means shutdown, too.
        let _ = shutdown.wait_for(|begun| *begun).await;
        tokio::time::sleep(IDLE_GRACE).await;
        let _ = close.send(true);
    });
    IdleShutdown {
        http1: closing.clone(),
        http2: closing,
    }
}
