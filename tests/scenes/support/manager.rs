//! A service manager, as the receiver of `sd_notify(3)` messages.

use std::os::unix::net::UnixDatagram;
use std::process::Command;

use super::process::{Process, keygate};
use super::{PATIENCE, Scene};

/// A service manager that receives notifications.
pub struct Manager {
    pub socket: UnixDatagram,
    folder: tempfile::TempDir,
}

impl Manager {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, folder }
    }

    /// Starts a gateway that notifies this manager, with more variables in its environment.
    pub fn start(&self, scene: Scene, more: &[(&str, &str)]) -> Process {
        let mut command = self.command();
        command.envs(more.iter().copied());
        Process::start_as(scene, &mut command)
    }

    /// A command that starts a gateway that notifies this manager.
    pub fn command(&self) -> Command {
        let mut command = keygate();
        command.stdout(std::process::Stdio::null());
        command.env("NOTIFY_SOCKET", self.folder.path().join("notify"));
        command
    }

    /// The next notification, if one has arrived.
    pub fn try_notification(&self) -> Option<String> {
        self.socket.set_nonblocking(true).unwrap();
        let mut text = [0; 4096];
        let length = self.socket.recv(&mut text).ok();
        self.socket.set_nonblocking(false).unwrap();
        length.map(|length| String::from_utf8(text[..length].to_vec()).unwrap())
    }

    /// Stops receiving: fills the socket, so that a sender blocks.
    pub fn stop_receiving(&self) {
        let socket = UnixDatagram::unbound().unwrap();
        socket.set_nonblocking(true).unwrap();
        let to = self.folder.path().join("notify");
        while socket.send_to(b"WATCHDOG=1", &to).is_ok() {}
    }

    /// Waits for the next notification that is no heartbeat.
    pub fn next_notification(&self) -> String {
        let mut text = [0; 4096];
        loop {
            let length = self.socket.recv(&mut text).unwrap();
            let notification = String::from_utf8(text[..length].to_vec()).unwrap();
            if notification.trim() != "WATCHDOG=1" {
                return notification;
            }
        }
    }
}
