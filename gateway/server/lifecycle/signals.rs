//! The signals that a gateway handles.

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::Error;

/// Handlers for the signals that a gateway handles. Catch them before the gateway starts: a SIGHUP or SIGTERM between
/// the first connection and the handler would kill the process.
pub(crate) struct Signals {
    pub(crate) runtime: Runtime,
    pub(crate) caught: Caught,
}

/// One stream of each signal.
pub(crate) struct Caught {
    pub(crate) terminate: Signal,
    pub(crate) interrupt: Signal,
    pub(crate) hangup: Signal,
    /// SIGUSR2.
    pub(crate) upgrade: Signal,
}

impl Signals {
    /// Catches the signals: from now on, none of them kills the process.
    ///
    /// # Errors
    /// If the system gives no thread, or no handler.
    pub(crate) fn catch() -> Result<Self, Error> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::failed("start the signal thread", error))?;
        let guard = runtime.enter();
        let listen_for =
            |kind| signal(kind).map_err(|error| Error::failed("listen for signals", error));
        let caught = Caught {
            terminate: listen_for(SignalKind::terminate())?,
            interrupt: listen_for(SignalKind::interrupt())?,
            hangup: listen_for(SignalKind::hangup())?,
            upgrade: listen_for(SignalKind::user_defined2())?,
        };
        drop(guard);
        Ok(Self { runtime, caught })
    }
}
