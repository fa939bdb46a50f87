//! A gateway under systemd: notifications, the watchdog, and sockets.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};

use crate::support::manager::Manager;
use crate::support::process::{Process, keygate, signal};
use crate::support::successor::upgrade;
use crate::support::{Client, KEY, Provider, Scene, eventually};

#[test]
fn the_service_manager_is_notified_of_each_state() {
    let provider = Provider::start();
    let manager = Manager::new();
    let process = manager.start(Scene::before(&provider, ""), &[]);
    let notification = manager.next_notification();
    assert!(
        notification.contains("READY=1\n")
            && notification.contains("STATUS=Serving 1 routes and 1 keys, configuration 1"),
        "{notification}"
    );
    process.signal("HUP");
    let notification = manager.next_notification();
    assert!(
        notification.contains("RELOADING=1\n") && notification.contains("MONOTONIC_USEC="),
        "{notification}"
    );
    assert!(
        manager
            .next_notification()
            .contains("READY=1\nSTATUS=Serving 1 routes and 1 keys, configuration 2")
    );
    process
        .scene
        .write("gateway.toml", "[server]\nlistne = \"x\"\n");
    process.signal("HUP");
    assert!(manager.next_notification().contains("RELOADING=1"));
    let notification = manager.next_notification();
    assert!(
        notification.contains("READY=1\nSTATUS=")
            && notification.contains("configuration 2; a newer one was REFUSED"),
        "{notification}"
    );
    process.signal("TERM");
    // The change of the file may cause other notifications first.
    let mut notification = manager.next_notification();
    while !notification.contains("STOPPING=1") {
        notification = manager.next_notification();
    }
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn a_service_manager_that_does_not_receive_blocks_no_request() {
    let provider = Provider::start();
    let manager = Manager::new();
    let watched = [("WATCHDOG_USEC", "200000")];
    let process = manager.start(Scene::before(&provider, ""), &watched);
    assert!(manager.next_notification().contains("READY=1"));
    manager.stop_receiving();
    // Heartbeats are due, which the accept thread sends.
    std::thread::sleep(Duration::from_millis(300));
    for _ in 0..3 {
        let response = Client::connect(process.listen).request("POST", "/p", &KEY, b"{}");
        assert_eq!(response.status, 200);
    }
    for generation in 2..4 {
        process.signal("HUP");
        eventually("the reload", || {
            process.status()["generation"] == generation
        });
    }
    // The queued messages arrive now.
    while !manager
        .next_notification()
        .contains("READY=1\nSTATUS=Serving 1 routes and 1 keys, configuration 3")
    {}
    manager.stop_receiving();
    process.signal("TERM");
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn the_service_manager_is_notified_of_the_new_process_and_its_heartbeat() {
    let provider = Provider::start();
    let manager = Manager::new();
    let id = std::process::id().to_string();
    let watched = [("WATCHDOG_USEC", "300000")];
    let process = manager.start(Scene::before(&provider, ""), &watched);
    assert!(manager.next_notification().contains("READY=1"));
    let successor = upgrade(&process);
    let mut notification = manager.next_notification();
    while !notification.contains("MAINPID=") {
        notification = manager.next_notification();
    }
    assert!(
        notification.contains(&format!("MAINPID={}\n", successor.0)),
        "{notification}"
    );
    assert_eq!(process.end().0, Some(0));
    // From here on, the heartbeats are the new process's.
    let mut text = [0; 64];
    for _ in 0..3 {
        let length = manager.socket.recv(&mut text).unwrap();
        assert_eq!(&text[..length], b"WATCHDOG=1\n");
    }
    drop(successor);
    // A watchdog that is meant for another process is ignored.
    let manager = Manager::new();
    let other = manager.start(
        Scene::before(&provider, ""),
        &[watched[0], ("WATCHDOG_PID", &id)],
    );
    assert!(manager.next_notification().contains("READY=1"));
    manager
        .socket
        .set_read_timeout(Some(Duration::from_millis(400)))
        .unwrap();
    assert!(manager.socket.recv(&mut text).is_err());
    other.signal("INT");
    assert_eq!(other.end().0, Some(0));
}

/// A scene whose configuration takes its sockets from systemd.
fn listening_by_systemd(provider: &Provider) -> Scene {
    let scene = Scene::before(provider, "");
    let text = std::fs::read_to_string(scene.path("gateway.toml")).unwrap();
    let (ours, theirs) = (
        "server.listen = \"127.0.0.1:0\"",
        "server.listen = \"systemd\"",
    );
    scene.write("gateway.toml", &text.replacen(ours, theirs, 1));
    scene
}

#[test]
fn sockets_are_taken_from_systemd_if_configured() {
    let provider = Provider::start();
    let socket = |name| (name, TcpListener::bind("127.0.0.1:0").unwrap());
    let sockets = [socket("keygate.socket"), socket("admin"), socket("other")];
    let addresses: Vec<SocketAddr> = sockets
        .iter()
        .map(|(_, socket)| socket.local_addr().unwrap())
        .collect();
    let scene = listening_by_systemd(&provider);
    let mut command = keygate();
    command.stdout(std::process::Stdio::null());
    command
        .env("LISTEN_FDS", "3")
        .env("LISTEN_FDNAMES", "keygate.socket:admin:other");
    let mappings = sockets
        .into_iter()
        .zip(3..)
        .map(|((_, socket), child_fd)| FdMapping {
            parent_fd: socket.into(),
            child_fd,
        });
    command.fd_mappings(mappings.collect()).unwrap();
    // A client that connects before the start waits, and is not refused.
    let mut early = Client::connect(addresses[0]);
    let process = Process::start_as(scene, &mut command);
    drop(command);
    assert_eq!(
        (process.admin, process.listen),
        (addresses[1], addresses[0])
    );
    assert_eq!(early.request("POST", "/p", &KEY, b"{}").status, 200);
    assert_eq!(
        Client::connect(addresses[2])
            .request("POST", "/p", &KEY, b"{}")
            .status,
        200
    );
    // The next process inherits them from this one.
    let successor = upgrade(&process);
    assert_eq!(
        Client::connect(addresses[2])
            .request("POST", "/p", &KEY, b"{}")
            .status,
        200
    );
    drop(early);
    assert_eq!(process.end().0, Some(0));
    signal(successor.0, "TERM");
    eventually("the end of listening", || {
        std::net::TcpStream::connect(addresses[0]).is_err()
    });
    std::mem::forget(successor);
}

#[test]
fn a_start_without_a_socket_from_systemd_fails_with_the_reason() {
    let provider = Provider::start();
    let scene = listening_by_systemd(&provider);
    let mut command = keygate();
    let output = command
        .args(["run", "--allow-root", "--config"])
        .arg(scene.path("gateway.toml"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("systemd has handed no socket over"));
}
