//! Starts the next process of an upgrade and hands the sockets to it.
//!
//! The new process inherits the sockets and reports when it serves; only then does this one stop accepting and let its
//! exchanges end. At each moment at least one of the two accepts. If anything fails, this process goes on serving.
//!
//! If the old process dies before it has notified the service manager, and the processes before it, that the new one
//! serves, the new one ends as well. Whoever restarts the service, or accepts again, is then the only one that serves.

use std::ffi::OsString;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf, absolute};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use crate::error::Error;
use crate::server::lifecycle::handover::{
    ENDING, HANDED_OVER, LONGEST, Predecessors, STARTING, SUCCEEDED, is_gone,
};
use crate::server::listen::sockets::{ADMIN, PREDECESSOR, Sockets};

/// How long the next process may take until it serves. It reads a file of a million keys in some seconds.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// How often a process is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// The first descriptor of an inherited socket, by the protocol of `sd_listen_fds(3)`.
const FIRST_DESCRIPTOR: i32 = 3;

/// The binary and the arguments that this process was started with. Taken at the start: once the binary is replaced,
/// /proc has another name for it.
pub(crate) struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    /// The program of this process.
    pub(crate) fn current() -> std::io::Result<Self> {
        let binary = std::env::current_exe()?;
        let mut arguments = std::env::args_os();
        let called = arguments.next().map(PathBuf::from);
        Ok(Self {
            path: called
                .and_then(|name| as_called(&name, &binary))
                .unwrap_or(binary),
            arguments: arguments.collect(),
        })
    }

    /// Starts the program with `sockets`, and returns its process once it serves. If the future is dropped earlier, the
    /// new process is requested to end.
    pub(crate) async fn start(
        &self,
        sockets: &Sockets,
        predecessors: &Predecessors,
    ) -> Result<Successor, Error> {
        let (ours, theirs) = UnixDatagram::pair().map_err(cannot("make a pair of sockets"))?;
        ours.set_nonblocking(true).map_err(cannot("use a socket"))?;
        ours.send(STARTING).map_err(cannot("use a socket"))?;
        let mut starting = self.spawn(inheritance(sockets, predecessors, theirs)?)?;
        starting.wait_until_serving(&ours).await?;
        let gone = || Error::Failed("the new process is gone".to_owned());
        let child = starting.0.take().ok_or_else(gone)?;
        Ok(Successor {
            child,
            socket: ours,
            succeeded: false,
            ending: false,
        })
    }

    /// Spawns the process, which inherits `sockets`.
    fn spawn(&self, sockets: Vec<(&str, OwnedFd)>) -> Result<StartingProcess, Error> {
        let names: Vec<&str> = sockets.iter().map(|(name, _)| *name).collect();
        let mut command = Command::new(&self.path);
        command
            .args(&self.arguments)
            .env("LISTEN_FDS", sockets.len().to_string())
            .env("LISTEN_FDNAMES", names.join(":"))
            // These name this process.
            .env_remove("LISTEN_PID")
            .env_remove("WATCHDOG_PID")
            .stdin(Stdio::null());
        let mappings = sockets
            .into_iter()
            .zip(FIRST_DESCRIPTOR..)
            .map(|((_, parent_fd), child_fd)| FdMapping {
                parent_fd,
                child_fd,
            })
            .collect();
        command
            .fd_mappings(mappings)
            .map_err(|error| Error::failed("hand the sockets over", error))?;
        // Dropping the command closes this process's copy of the child's end of the socket pair.
        let child = command.spawn().map_err(cannot("start the new binary"))?;
        Ok(StartingProcess(Some(child)))
    }
}

/// The sockets that the next process inherits, with their names: those that it listens on, and those to the processes
/// before it, of which this one is the last.
fn inheritance(
    sockets: &Sockets,
    predecessors: &Predecessors,
    theirs: UnixDatagram,
) -> Result<Vec<(&'static str, OwnedFd)>, Error> {
    let mut inherited = Vec::new();
    for socket in &sockets.listen {
        inherited.push(("listen", descriptor(socket)?));
    }
    inherited.push((ADMIN, descriptor(&sockets.admin)?));
    let older = predecessors.copy().map_err(cannot("hand a socket over"))?;
    let all = older.into_iter().chain([theirs]);
    inherited.extend(all.map(|socket| (PREDECESSOR, socket.into())));
    Ok(inherited)
}

/// The path by which `binary` was started. If it leads over a symbolic link, the next binary may be behind that link.
fn as_called(name: &Path, binary: &Path) -> Option<PathBuf> {
    let path = absolute(name).ok()?;
    (path.canonicalize().ok()? == binary).then_some(path)
}

/// A process that does not serve yet. Dropping it sends SIGTERM, and not SIGKILL: it may serve already.
struct StartingProcess(Option<Child>);

impl StartingProcess {
    /// Waits until the process reports that it serves. Kills it after [`START_TIMEOUT`].
    async fn wait_until_serving(&mut self, socket: &UnixDatagram) -> Result<(), Error> {
        let end = Instant::now() + START_TIMEOUT;
        while Instant::now() < end {
            // An error means that no message waits. The probes of `is_gone` are empty messages.
            while let Ok(length) = socket.recv(&mut [0; LONGEST]) {
                if length > 0 {
                    return Ok(());
                }
            }
            let exited = self.0.as_mut().map(Child::try_wait).transpose();
            if let Some(status) = exited.map_err(cannot("look at the new process"))?.flatten() {
                let why = format!("the new process ended before it served: {status}");
                return Err(Error::Failed(why));
            }
            sleep(POLL_INTERVAL).await;
        }
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let why = format!("the new process did not serve within {START_TIMEOUT:?}");
        Err(Error::Failed(why))
    }
}

impl Drop for StartingProcess {
    fn drop(&mut self) {
        if let Some(child) = &self.0
            && let Some(process) = i32::try_from(child.id()).ok().and_then(Pid::from_raw)
        {
            let _ = kill_process(process, Signal::TERM);
        }
    }
}

/// A process that has taken over.
pub(crate) struct Successor {
    child: Child,
    /// Receives messages of the process, and of those after it.
    socket: UnixDatagram,
    /// Yet another process serves in its place.
    succeeded: bool,
    /// The process that serves has been requested to end.
    ending: bool,
}

impl Successor {
    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Tells the process that the handover is complete: from now on it serves, whatever happens to this process.
    pub(crate) fn hand_over(&self) {
        if let Err(error) = self.socket.send(HANDED_OVER) {
            tracing::debug!("the process that takes over cannot be reached: {error}");
        }
    }

    /// Waits until no successor serves although none was requested to end, and returns the reason. If yet another process has
    /// succeeded this one, that one counts, whatever happens to this one.
    pub(crate) async fn failed(&mut self) -> String {
        loop {
            // This also reaps the process: it would stay a zombie.
            let exited = self.child.try_wait().ok().flatten();
            self.receive();
            let gone = is_gone(&self.socket);
            match exited {
                _ if self.ending => {}
                _ if self.succeeded && gone => return "so has the one after it".to_owned(),
                Some(status) if !self.succeeded && !status.success() => return status.to_string(),
                _ => {}
            }
            sleep(POLL_INTERVAL * 5).await;
        }
    }

    /// Reads the messages that have arrived.
    fn receive(&mut self) {
        let mut buffer = [0; LONGEST];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            let Some(message @ [_, ..]) = buffer.get(..length) else {
                continue;
            };
            self.ending = message == ENDING;
            self.succeeded = message == SUCCEEDED;
        }
    }
}

fn descriptor(socket: &TcpListener) -> Result<OwnedFd, Error> {
    let copy = socket.try_clone().map_err(cannot("hand a socket over"))?;
    Ok(copy.into())
}

fn cannot(step: &str) -> impl Fn(std::io::Error) -> Error {
    move |error| Error::failed(step, error)
}
