//! Runs the sandbox provider as a server of its own.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::sync::Arc;

use pingora_core::server::{Fds, ListenFds};
use pingora_core::services::Service as _;
use pingora_core::services::listening::Service;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::error::Error;
use crate::sandbox::Sandbox;
use crate::server::listen::sockets::bind;
use crate::server::threads::runtime;

/// A running [`Sandbox`]. It ends when this is dropped.
pub struct SandboxServer {
    address: SocketAddr,
    _shutdown: watch::Sender<bool>,
    runtime: Option<Runtime>,
}

impl SandboxServer {
    /// Starts `sandbox` on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// If the port cannot be bound, or the system gives no thread.
    pub fn start(sandbox: Sandbox) -> Result<Self, Error> {
        let socket = bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = socket
            .local_addr()
            .map_err(|error| Error::failed("name a socket", error))?;
        let runtime = runtime("sandbox", 1)?;
        let (shutdown, until) = watch::channel(false);
        serve(&runtime, sandbox, address, socket, until);
        Ok(Self {
            address,
            _shutdown: shutdown,
            runtime: Some(runtime),
        })
    }

    /// The address that it serves on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Serves `sandbox` on a bound socket, by Pingora's own accept loop.
fn serve(
    runtime: &Runtime,
    sandbox: Sandbox,
    address: SocketAddr,
    socket: TcpListener,
    shutdown: watch::Receiver<bool>,
) {
    let mut service = Service::new("sandbox".to_owned(), sandbox);
    let mut fds = Fds::new();
    // Before it binds an address, Pingora looks in this table for a socket by the address's name.
    let name = address.to_string();
    service.add_tcp(&name);
    fds.add(name, socket.into_raw_fd());
    let table: ListenFds = Arc::new(fds.into());
    runtime.spawn(async move { service.start_service(Some(table), shutdown, 1).await });
}

impl Drop for SandboxServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
