//! Upgrades of a gateway process, and the processes that take over.

use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use super::process::Process;
use super::{Client, Scene, eventually};

/// A process that is no child of the test. It is killed when this is dropped.
pub struct Successor(pub u32);

impl Drop for Successor {
    fn drop(&mut self) {
        let mut kill = Command::new("kill");
        let _ = kill.args(["-KILL", &self.0.to_string()]).status();
    }
}

/// Upgrades `process`, and returns the process that serves afterwards.
pub fn upgrade(process: &Process) -> Successor {
    let upgrades = || process.log().matches("another process serves").count();
    let before = upgrades();
    process.signal("USR2");
    let mut successor = 0;
    eventually("another process", || {
        // Either process may respond, and the old one closes its listener meanwhile.
        let mut client = Client::connect(process.admin);
        client.send("GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let status = client.try_response(false);
        let pid = status.map_or(u64::from(process.id()), |status| {
            status.json()["pid"].as_u64().unwrap()
        });
        successor = u32::try_from(pid).unwrap();
        successor != process.id()
    });
    // The new process serves the admin listener a moment before the old one notices.
    eventually("the old process logs the upgrade", || upgrades() > before);
    Successor(successor)
}

/// A gateway that was started by a symbolic link, and a function that puts a script behind that link.
pub fn started_by_a_link(scene: Scene) -> (Process, impl Fn(&str)) {
    let link = scene.path("keygate");
    symlink(env!("CARGO_BIN_EXE_keygate"), &link).unwrap();
    let process = Process::start_as(scene, &mut Command::new(&link));
    let next = process.scene.path("next");
    let install = move |script: &str| {
        std::fs::write(&next, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&next, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(&next, &link).unwrap();
    };
    (process, install)
}

/// The process that serves the admin listener, if one does.
pub fn serving_pid(process: &Process) -> Option<u64> {
    pid_at(process.admin)
}

/// The process that serves an admin listener, if one does.
pub fn pid_at(admin: SocketAddr) -> Option<u64> {
    let mut client = Client::try_connect(admin)?;
    let requested =
        client.try_send("GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    requested.ok()?;
    client.try_response(false)?.json()["pid"].as_u64()
}
