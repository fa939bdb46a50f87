//! A running gateway: what it holds until its end. `mod.rs` starts it, and `lifecycle` runs and ends it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use tokio::runtime::Runtime;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::access_log::AccessLog;
use crate::admin::{Admin, Readiness};
use crate::config::ServerConfig;
use crate::ledger::Ledger;
use crate::runtime::in_flight::InFlight;
use crate::server::connection::count::OpenConnections;
use crate::server::lifecycle::handover::Predecessors;
use crate::server::lifecycle::upgrade::Program;
use crate::server::listen::listeners::{ClientService, Listeners};
use crate::server::listen::sockets::Sockets;
use crate::server::threads::Threads;
use crate::snapshot::Live;

/// A running gateway. Dropping it ends it at once; [`run_until_signal`] ends it in order.
///
/// [`run_until_signal`]: Gateway::run_until_signal
pub struct Gateway {
    pub(super) listen: Vec<SocketAddr>,
    pub(super) admin: SocketAddr,
    pub(super) config: ServerConfig,
    pub(super) live: Arc<Live>,
    pub(super) in_flight: Arc<InFlight>,
    /// Set while draining: each connection closes after its next response.
    pub(super) closing: Arc<AtomicBool>,
    pub(super) connections: Arc<OpenConnections>,
    pub(super) readiness: Arc<Readiness>,
    pub(super) reload: Arc<Notify>,
    pub(super) started: Instant,
    /// The accept loops that run, after those that were stopped for a process that took over and failed.
    pub(super) listeners: Vec<Listeners>,
    /// Starts accept loops; `None` once this process accepts for the last time.
    pub(super) clients: Option<ClientService>,
    pub(super) admin_shutdown: watch::Sender<bool>,
    /// Copies of the sockets for the next process; `None` once this process accepts for the last time.
    pub(super) sockets: Option<Sockets>,
    /// The binary to upgrade to; `None` if it is not known.
    pub(super) program: Option<Program>,
    pub(super) predecessors: Predecessors,
    pub(super) access_log: AccessLog,
    pub(super) ledger: Arc<Ledger>,
    /// The task that sends spans; `None` without tracing.
    pub(super) exporting: Option<JoinHandle<()>>,
    pub(super) serving: Option<Threads>,
    pub(super) control: Option<Runtime>,
}

impl Gateway {
    /// The addresses that clients connect to, with the actual ports where the configuration has port 0.
    pub fn listen(&self) -> &[SocketAddr] {
        &self.listen
    }

    /// The address of the admin listener.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The configuration that serves, and its metrics.
    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// Reloads the configuration, as SIGHUP does.
    pub fn reload(&self) {
        self.reload.notify_one();
    }

    /// The application behind the admin listener.
    pub(super) fn admin_app(&self) -> Admin {
        Admin::new(
            &self.live,
            &self.in_flight,
            &self.readiness,
            &self.ledger,
            self.started,
        )
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
