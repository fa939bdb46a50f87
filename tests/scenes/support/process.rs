//! A gateway as a process of its own.

use std::fs::File;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Sender;

use rustix::process::{Resource, Rlimit};

use super::client::raw_request;
use super::{Client, KEY, Scene, eventually};

/// A gateway in a process of its own.
pub struct Process {
    child: Child,
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    pub scene: Scene,
}

/// A command of the binary under test.
pub fn keygate() -> Command {
    Command::new(env!("CARGO_BIN_EXE_keygate"))
}

impl Process {
    pub fn start(scene: Scene) -> Self {
        Self::start_with(scene, Stdio::null())
    }

    pub fn start_with(scene: Scene, stdout: Stdio) -> Self {
        Self::start_as(scene, keygate().stdout(stdout))
    }

    /// Starts the gateway by a prepared command.
    pub fn start_as(scene: Scene, command: &mut Command) -> Self {
        let events = scene.path("events");
        command.stderr(File::create(&events).unwrap());
        Self::start_with_log(scene, command, || std::fs::read_to_string(&events).unwrap())
    }

    /// Starts the gateway by a command with its own standard error, whose text `log` returns.
    pub fn start_with_log(
        scene: Scene,
        command: &mut Command,
        mut log: impl FnMut() -> String,
    ) -> Self {
        let mut child = command
            .args(["run", "--allow-root", "--config"])
            .arg(scene.path("gateway.toml"))
            .spawn()
            .unwrap();
        let mut line = String::new();
        eventually("the gateway serves", || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", log());
            let text = log();
            let found = text.lines().find(|line| line.contains(" serving "));
            line.push_str(found.unwrap_or_default());
            found.is_some()
        });
        // serving listen=[127.0.0.1:1234] admin=127.0.0.1:1235 threads=2
        let field = |name: &str| {
            let (_, rest) = line.split_once(name).unwrap();
            let end = rest.find([']', ' ', ',']).unwrap();
            rest[..end].trim_start_matches('[').parse().unwrap()
        };
        let (listen, admin) = (field("listen="), field("admin="));
        Self {
            child,
            listen,
            admin,
            scene,
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    /// The text on its standard error so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.scene.path("events")).unwrap()
    }

    /// Sets the limit of its open files to `most`. Returns the limit before.
    pub fn open_files(&self, most: u64) -> u64 {
        let process = rustix::process::Pid::from_raw(self.id().try_into().unwrap());
        let limit = Rlimit {
            current: Some(most),
            maximum: rustix::process::getrlimit(Resource::Nofile).maximum,
        };
        let before = rustix::process::prlimit(process, Resource::Nofile, limit);
        before.unwrap().current.unwrap()
    }

    /// The `/status` of the process that serves the admin listener.
    pub fn status(&self) -> serde_json::Value {
        super::admin_request(self.admin, "GET", "/status").json()
    }

    /// Kills it, and returns its files.
    pub fn kill(mut self) -> Scene {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let empty = Scene::with_server("", "");
        std::mem::replace(&mut self.scene, empty)
    }

    /// Waits for its end, and returns the exit code and the text on standard error.
    pub fn end(mut self) -> (Option<i32>, String) {
        let mut code = None;
        eventually("the end of the process", || {
            code = self.child.try_wait().unwrap().map(|status| status.code());
            code.is_some()
        });
        // A file and no pipe: a successor writes to it, too.
        let log = std::fs::read_to_string(self.scene.path("events")).unwrap_or_default();
        (code.flatten(), log)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The process has ended, or its test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads the output of a process, and can stop: the socket between them then fills up, and a writer blocks.
pub struct LogReader {
    ours: UnixStream,
    theirs: UnixStream,
    text: Vec<u8>,
}

impl LogReader {
    pub fn new() -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        Self {
            ours,
            theirs,
            text: Vec::new(),
        }
    }

    /// The end that a process writes to.
    pub fn end(&self) -> Stdio {
        OwnedFd::from(self.theirs.try_clone().unwrap()).into()
    }

    /// Reads what has arrived. Returns all that was read so far.
    pub fn read(&mut self) -> String {
        // The socket does not block: the read ends when nothing more has arrived.
        let _ = self.ours.read_to_end(&mut self.text);
        String::from_utf8_lossy(&self.text).into_owned()
    }

    /// Stops reading, and fills the socket, so that a writer blocks.
    pub fn stop(&mut self) {
        self.theirs.set_nonblocking(true).unwrap();
        for size in [4096, 1] {
            while self.theirs.write(&vec![b'\n'; size]).is_ok() {}
        }
        // The setting is shared with the process.
        self.theirs.set_nonblocking(false).unwrap();
    }
}

/// A client that has read the first event of a stream of [`event_stream`](super::provider::event_stream).
pub fn open_stream(to: SocketAddr, events: &Sender<&'static str>) -> Client {
    let mut client = Client::open_response(to, raw_request("POST", "/p", &KEY, b"{}"));
    events.send("data: 1\n\n").unwrap();
    assert_eq!(client.chunk(), "data: 1\n\n");
    client
}

/// Sends a signal to a process.
pub fn signal(id: u32, name: &str) {
    let mut kill = Command::new("kill");
    let kill = kill.args([&format!("-{name}"), &id.to_string()]);
    assert!(kill.status().unwrap().success());
}
