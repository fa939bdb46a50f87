//! The admin listener: served by what serves clients, so that its connections and heads have the same bounds.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::connection::client::{Client, IdleShutdown};
use super::connection::connections::Connections;
use super::listen::accept::Worker;
use super::listen::listening::listen;
use crate::admin::Admin;
use crate::error::Error;

/// How many connections there may be: a scrape, a probe and a command at a time need few.
const MOST: usize = 64;
/// How long those without a request are kept when no new ones are accepted any more: what is on its way is answered.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Serves operators on a socket that is bound already: where that is, and what it ends by.
pub(super) fn serve_admin(
    control: &Runtime,
    app: Admin,
    socket: TcpListener,
) -> Result<(SocketAddr, watch::Sender<bool>), Error> {
    let failed = |error| Error::failed("name a socket", error);
    let address = socket.local_addr().map_err(failed)?;
    let (shutdown, over) = watch::channel(false);
    let client = Client {
        connections: Connections::of_admin(app.live.clone(), MOST),
        app: Arc::new(app),
        tls: None,
        h2c: false,
        quiet: quiet(control, over),
    };
    let lanes = Arc::new([Worker::new(control.handle().clone(), client)]);
    listen(control.handle(), lanes, vec![socket], &shutdown)?;
    Ok((address, shutdown))
}

/// What connections without a request end by: some time after `over`.
fn quiet(control: &Runtime, mut over: watch::Receiver<bool>) -> IdleShutdown {
    let (end, quiet) = watch::channel(false);
    control.spawn(async move {
        // A closed channel means that it is over, too.
        let _ = over.wait_for(|over| *over).await;
        tokio::time::sleep(LAST_WORD).await;
        let _ = end.send(true);
    });
    IdleShutdown {
        http1: quiet.clone(),
        http2: quiet,
    }
}
