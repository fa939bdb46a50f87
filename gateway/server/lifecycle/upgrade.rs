//! Handing over to a process of a newer binary: it gets the sockets, says when it serves, and only then this one
//! stops accepting and lets its exchanges end. What fails leaves this one serving.
//!
//! Nobody waits in between: at each moment one of the two accepts, and for some both.
//!
//! Where the old process dies before it has told the service manager and the processes before it who serves from then on,
//! the new one ends as well: whoever starts the service again, or accepts again, is the only one then.

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

use crate::server::listen::sockets::{
    ADMIN, ENDING, HANDED_OVER, PREDECESSOR, Predecessors, STARTING, SUCCEEDED, Sockets, is_gone,
};

/// How long the next process may take until it serves: a file of a million keys takes some seconds.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The first descriptor that is handed over, by the protocol.
const FIRST: i32 = 3;

/// The binary and its arguments, as this process was started. Taken at the start: a binary that was replaced since
/// has another name in /proc.
pub(crate) struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    /// This one.
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

    /// Starts it with these sockets; gives its process once it serves. Dropped before, it tells it to end.
    pub(crate) async fn start(
        &self,
        sockets: &Sockets,
        before: &Predecessors,
    ) -> Result<Successor, String> {
        let (ours, theirs) = UnixDatagram::pair().map_err(say("make a pair of sockets"))?;
        ours.set_nonblocking(true).map_err(say("use a socket"))?;
        ours.send(STARTING).map_err(say("use a socket"))?;
        let mut handed = Vec::new();
        for socket in &sockets.listen {
            handed.push(("listen", descriptor(socket)?));
        }
        handed.push((ADMIN, descriptor(&sockets.admin)?));
        let before = before.copy().map_err(say("hand a socket over"))?;
        let predecessors = before.into_iter().chain([theirs]);
        handed.extend(predecessors.map(|socket| (PREDECESSOR, socket.into())));
        let names: Vec<&str> = handed.iter().map(|(name, _)| *name).collect();
        let mut command = Command::new(&self.path);
        command
            .args(&self.arguments)
            .env("LISTEN_FDS", handed.len().to_string())
            .env("LISTEN_FDNAMES", names.join(":"))
            // These are about this process.
            .env_remove("LISTEN_PID")
            .env_remove("WATCHDOG_PID")
            .stdin(Stdio::null());
        let mappings = handed.into_iter().zip(FIRST..);
        let mappings = mappings
            .map(|((_, parent_fd), child_fd)| FdMapping {
                parent_fd,
                child_fd,
            })
            .collect();
        command
            .fd_mappings(mappings)
            .map_err(|error| format!("cannot hand the sockets over: {error}"))?;
        let mut starting =
            StartingProcess(Some(command.spawn().map_err(say("start the new binary"))?));
        // It holds the other end of the pair.
        drop(command);
        starting.serves(&ours).await?;
        let child = starting.0.take().ok_or_else(String::new)?;
        Ok(Successor {
            child,
            told: ours,
            succeeded: false,
            ending: false,
        })
    }
}

/// The path that `binary` was started by: where that leads over a link, the next one may be behind it by then.
fn as_called(name: &Path, binary: &Path) -> Option<PathBuf> {
    let path = absolute(name).ok()?;
    (path.canonicalize().ok()? == binary).then_some(path)
}

/// A process that does not serve yet: it ends if nobody waits for it any more, in order, for it may serve already.
struct StartingProcess(Option<Child>);

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
    /// What it says, and those after it.
    told: UnixDatagram,
    /// Whether another process has succeeded it.
    succeeded: bool,
    /// Whether the one that serves was told to end.
    ending: bool,
}

impl Successor {
    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Tells it that everybody knows of it: from now on it serves, whatever becomes of this process.
    pub(crate) fn hand_over(&self) {
        if let Err(error) = self.told.send(HANDED_OVER) {
            tracing::debug!("the process that takes over does not hear: {error}");
        }
    }

    /// Waits until nobody serves, though nobody has told it to end; how that came. Where yet another process has
    /// succeeded this one, it is that one which serves, whatever becomes of this one.
    pub(crate) async fn failed(&mut self) -> String {
        loop {
            // Also lest it stays a zombie.
            let ended = self.child.try_wait().ok().flatten();
            self.listen();
            let gone = is_gone(&self.told);
            match ended {
                _ if self.ending => {}
                _ if self.succeeded && gone => return "so has the one after it".to_owned(),
                Some(status) if !self.succeeded && !status.success() => return status.to_string(),
                _ => {}
            }
            sleep(LOOK_EVERY * 5).await;
        }
    }

    /// Takes note of what was said.
    fn listen(&mut self) {
        let mut word = [0; 16];
        while let Ok(length) = self.told.recv(&mut word) {
            let Some(word @ [_, ..]) = word.get(..length) else {
                continue;
            };
            self.ending = word == ENDING;
            self.succeeded = word == SUCCEEDED;
        }
    }
}

impl StartingProcess {
    /// Waits until it says so.
    async fn serves(&mut self, told: &UnixDatagram) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            // Nothing yet is an error as well, and looks of its own whether this process is there are empty.
            while let Ok(length) = told.recv(&mut [0; 16]) {
                if length > 0 {
                    return Ok(());
                }
            }
            let ended = self.0.as_mut().map(Child::try_wait).transpose();
            if let Some(status) = ended.map_err(say("look at the new process"))?.flatten() {
                return Err(format!("the new process ended before it served: {status}"));
            }
            sleep(LOOK_EVERY).await;
        }
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        Err(format!("the new process did not serve within {PATIENCE:?}"))
    }
}

fn descriptor(socket: &TcpListener) -> Result<OwnedFd, String> {
    let copy = socket.try_clone().map_err(say("hand a socket over"))?;
    Ok(copy.into())
}

fn say(what: &str) -> impl Fn(std::io::Error) -> String {
    move |error| format!("cannot {what}: {error}")
}
