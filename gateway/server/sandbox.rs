//! The sandbox as a server of its own.

use std::net::SocketAddr;

use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::{bind, runtime, spawn};
use crate::error::Error;
use crate::sandbox::Sandbox;

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
