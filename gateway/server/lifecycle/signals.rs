//! The signals that a gateway answers to.

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::Error;

/// The signals that a gateway answers to. Caught before it starts: a SIGHUP or SIGTERM that comes
/// between the first connection and the handler would kill the process.
pub struct Signals {
    pub(crate) runtime: Runtime,
    pub(crate) caught: Caught,
}

pub(crate) struct Caught {
    pub(crate) terminate: Signal,
    pub(crate) interrupt: Signal,
    pub(crate) hangup: Signal,
    /// SIGUSR2.
    pub(crate) upgrade: Signal,
}

impl Signals {
    /// From now on, none of these signals kills the process.
    pub fn catch() -> Result<Self, Error> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Error::failed("start the signal thread", error))?;
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
