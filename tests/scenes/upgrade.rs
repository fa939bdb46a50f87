//! One process after another, and nobody waits in between; what the service manager is told.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};

use crate::support::process::{Process, keygate, open_stream, scene, signal, streaming};
use crate::support::{Client, PATIENCE, Provider, Scene, eventually};

const KEY: [(&str, &str); 1] = [("api-key", "secret")];

/// A process that is nobody's child here. Ends with the test.
pub struct Successor(pub u32);

impl Drop for Successor {
    fn drop(&mut self) {
        let mut kill = Command::new("kill");
        let _ = kill.args(["-KILL", &self.0.to_string()]).status();
    }
}

/// Upgrades, and gives the process that serves then.
pub fn upgrade(process: &Process) -> Successor {
    let upgrades = || process.said().matches("another process serves").count();
    let before = upgrades();
    process.signal("USR2");
    let mut successor = 0;
    eventually("another process", || {
        // Either may answer, and the old one closes meanwhile.
        let mut client = Client::connect(process.admin);
        client.send("GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let status = client.try_response(false);
        let pid = status.map_or(u64::from(process.id()), |status| {
            status.json()["pid"].as_u64().unwrap()
        });
        successor = u32::try_from(pid).unwrap();
        successor != process.id()
    });
    // Operators are answered a moment before the old process is told.
    eventually("the old process knows", || upgrades() > before);
    Successor(successor)
}

#[test]
fn an_open_stream_ends_in_the_old_process_while_the_new_one_serves() {
    let (provider, tell) = streaming();
    let process = Process::start(scene(&provider, ""));
    let mut stream = open_stream(process.listen, &tell);
    let mut kept = Client::connect(process.listen);
    assert_eq!(kept.request("GET", "/nothing", &[], b"").status, 404);
    let successor = upgrade(&process);
    // On a connection that was open, answers come, and the last one says that it is that.
    eventually("the last answer", || {
        let response = kept.request("GET", "/nothing", &[], b"");
        assert_eq!(response.status, 404);
        response.header("connection") == Some("close")
    });
    let response = Client::connect(process.listen).request("GET", "/nothing", &[], b"");
    assert_eq!(response.status, 404);
    tell.send("data: 2\n\n").unwrap();
    assert_eq!(stream.chunk(), "data: 2\n\n");
    tell.send("end").unwrap();
    assert_eq!(stream.try_chunk(), Some(None));
    drop(stream);
    let (listen, (code, said)) = (process.listen, process.end());
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("another process serves") && said.contains("drained"),
        "{said}"
    );
    let response = Client::connect(listen).request("GET", "/nothing", &[], b"");
    assert_eq!(response.status, 404);
    drop(successor);
}

#[test]
fn a_connection_that_was_idle_during_an_upgrade_is_answered_once_more_and_not_reset() {
    let provider = Provider::start();
    let process = Process::start(scene(&provider, ""));
    let mut kept = Client::connect(process.listen);
    assert_eq!(kept.request("POST", "/p", &KEY, b"{}").status, 200);
    let successor = upgrade(&process);
    // Longer than a process that ends for good would keep it.
    std::thread::sleep(Duration::from_millis(2500));
    let response = kept.request("POST", "/p", &KEY, b"{}");
    assert_eq!(
        (response.status, response.header("connection")),
        (200, Some("close"))
    );
    assert_eq!(process.end().0, Some(0));
    drop(successor);
}

#[test]
fn a_process_that_cannot_serve_leaves_the_old_one_serving_and_says_why() {
    let provider = Provider::start();
    let process = Process::start(scene(&provider, ""));
    let good = std::fs::read_to_string(process.scene.path("gateway.toml")).unwrap();
    process
        .scene
        .write("gateway.toml", "[server]\nlisten = \"nonsense\"\n");
    for round in 1..3 {
        process.signal("USR2");
        eventually("the failure", || {
            process.status()["failed_upgrades"] == round
        });
        let status = process.status();
        assert_eq!(
            (&status["pid"], &status["ready"]),
            (&process.id().into(), &true.into())
        );
        let why = status["last_failed_upgrade"].as_str().unwrap().to_owned();
        assert!(
            why.contains("ended before it served: exit status: 78"),
            "{why}"
        );
        let response = Client::connect(process.listen).request("POST", "/p", &KEY, b"{}");
        assert_eq!(response.status, 200);
    }
    process.scene.write("gateway.toml", &good);
    // Ended before the other, it would be followed by yet another.
    let _successor = upgrade(&process);
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn an_upgrade_goes_to_where_the_link_that_it_was_started_by_leads_by_then() {
    let provider = Provider::start();
    let scene = scene(&provider, "");
    let link = scene.path("keygate");
    symlink(env!("CARGO_BIN_EXE_keygate"), &link).unwrap();
    let process = Process::start_as(scene, &mut Command::new(&link));
    let next = process.scene.path("next");
    symlink("/bin/false", &next).unwrap();
    std::fs::rename(next, &link).unwrap();
    process.signal("USR2");
    eventually("the failure", || process.status()["failed_upgrades"] == 1);
    let status = process.status();
    let why = status["last_failed_upgrade"].as_str().unwrap();
    assert!(
        why.contains("ended before it served: exit status: 1"),
        "{why}"
    );
    process.signal("TERM");
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn a_response_that_was_awaited_when_accepting_ended_says_that_it_is_the_last() {
    let (tell, told) = std::sync::mpsc::channel::<()>();
    let told = std::sync::Mutex::new(told);
    let provider = Provider::answering(move |_, wire| {
        told.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        crate::support::provider::ok(wire, b"{}");
    });
    let process = Process::start(scene(&provider, ""));
    let mut client = Client::connect(process.listen);
    client.send(crate::support::client::raw_request(
        "POST", "/p", &KEY, b"{}",
    ));
    eventually("the request", || provider.received().len() == 1);
    process.signal("TERM");
    eventually("the end of accepting", || {
        std::net::TcpStream::connect(process.listen).is_err()
    });
    tell.send(()).unwrap();
    let response = client.response(false);
    assert_eq!(
        (response.status, response.header("connection")),
        (200, Some("close"))
    );
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn a_successor_that_dies_is_followed_by_another_while_the_first_drains() {
    let (provider, tell) = streaming();
    let process = Process::start(scene(&provider, ""));
    let mut stream = open_stream(process.listen, &tell);
    let dies = upgrade(&process);
    signal(dies.0, "KILL");
    let mut pid = dies.0;
    eventually("another process", || {
        let Ok(socket) = std::net::TcpStream::connect(process.admin) else {
            return false;
        };
        drop(socket);
        pid = u32::try_from(process.status()["pid"].as_u64().unwrap()).unwrap();
        pid != dies.0 && pid != process.id()
    });
    let successor = Successor(pid);
    let response = Client::connect(process.listen).request("GET", "/nothing", &[], b"");
    assert_eq!(response.status, 404);
    tell.send("end").unwrap();
    assert_eq!(stream.try_chunk(), Some(None));
    drop(stream);
    let (code, said) = process.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("the process that took over has failed"),
        "{said}"
    );
    drop(successor);
}

#[test]
fn a_successor_that_dies_after_it_was_succeeded_itself_leaves_one_process_serving() {
    let (provider, tell) = streaming();
    let process = Process::start(scene(&provider, ""));
    let stream = open_stream(process.listen, &tell);
    let between = upgrade(&process);
    signal(between.0, "USR2");
    eventually("the third process", || {
        process.said().matches("another process serves").count() == 2
    });
    // It keeps connections for a second at least, and so is there still.
    signal(between.0, "KILL");
    let mut last = None;
    eventually("the third process alone", || {
        last = who_serves(&process);
        last.is_some_and(|pid| pid != u64::from(between.0))
    });
    let last = Successor(u32::try_from(last.unwrap()).unwrap());
    // The first one has looked at the second several times by then.
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(who_serves(&process), Some(last.0.into()));
    tell.send("end").unwrap();
    drop(stream);
    let (code, said) = process.end();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.matches(" serving ").count(), 3, "{said}");
    assert!(!said.contains("has failed"), "{said}");
}

#[test]
fn a_process_that_drains_accepts_again_where_all_that_came_after_it_are_gone() {
    let (provider, tell) = streaming();
    let process = Process::start(scene(&provider, ""));
    let stream = open_stream(process.listen, &tell);
    let between = upgrade(&process);
    let third = || {
        let pid = who_serves(&process).filter(|pid| *pid != u64::from(between.0));
        pid.filter(|pid| *pid != u64::from(process.id()))
    };
    signal(between.0, "USR2");
    eventually("the second has ended", || {
        process.said().contains("drained")
    });
    let last = Successor(u32::try_from(found("the third", third)).unwrap());
    signal(last.0, "KILL");
    let another = || third().filter(|pid| *pid != u64::from(last.0));
    let next = Successor(u32::try_from(found("another process", another)).unwrap());
    // One that is told to end is nobody's business.
    signal(next.0, "TERM");
    tell.send("end").unwrap();
    drop(stream);
    let (code, said) = process.end();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.matches("has failed").count(), 1, "{said}");
    assert_eq!(said.matches(" serving ").count(), 4, "{said}");
}

/// A gateway that was started by a link, and what is to be started by it from now on.
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

/// What is there at last. One that is about to end may not answer.
fn found<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let mut found = None;
    eventually(what, || {
        found = look();
        found.is_some()
    });
    found.unwrap()
}

/// Which process answers operators, if one does.
fn who_serves(process: &Process) -> Option<u64> {
    pid_at(process.admin)
}

/// Which process answers at an admin listener, if one does.
pub fn pid_at(admin: SocketAddr) -> Option<u64> {
    let mut client = Client::try_connect(admin)?;
    let asked =
        client.try_send("GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    asked.ok()?;
    client.try_response(false)?.json()["pid"].as_u64()
}

#[test]
fn a_process_that_accepted_again_and_dies_is_followed_by_the_one_before_it() {
    let (provider, tell) = streaming();
    let (process, install) = started_by_a_link(scene(&provider, ""));
    let stream = open_stream(process.listen, &tell);
    let mut known = vec![process.id()];
    let another = |than: &mut Vec<u32>| {
        let mut found = 0;
        eventually("another process", || {
            found = who_serves(&process).map_or(0, |pid| u32::try_from(pid).unwrap());
            found != 0 && !than.contains(&found)
        });
        than.push(found);
        found
    };
    let second = upgrade(&process);
    known.push(second.0);
    signal(second.0, "USR2");
    let third = Successor(another(&mut known));
    eventually("the second has ended", || {
        process.said().contains("drained")
    });
    // As long as it is open, the third does not end.
    let mut kept = Client::connect(process.listen);
    assert_eq!(kept.request("GET", "/nothing", &[], b"").status, 404);
    signal(third.0, "USR2");
    let fourth = Successor(another(&mut known));
    eventually("the third knows", || {
        process.said().matches("another process serves").count() == 3
    });
    install("exit 1");
    for (dies, serves) in [(&fourth, third.0), (&third, process.id())] {
        signal(dies.0, "KILL");
        eventually("the one before it", || {
            who_serves(&process) == Some(serves.into())
        });
    }
    tell.send("end").unwrap();
    drop(stream);
    process.signal("TERM");
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn a_successor_that_dies_where_no_other_starts_leaves_the_old_process_serving() {
    let (provider, tell) = streaming();
    let (process, install) = started_by_a_link(scene(&provider, ""));
    let mut stream = open_stream(process.listen, &tell);
    let dies = upgrade(&process);
    install("exit 1");
    signal(dies.0, "KILL");
    eventually("the old process", || {
        who_serves(&process) == Some(process.id().into())
    });
    eventually("the failure of the next", || {
        process.status()["failed_upgrades"] == 2
    });
    let status = process.status();
    assert_eq!(status["ready"], true);
    let why = status["last_failed_upgrade"].as_str().unwrap();
    assert!(why.contains("ended before it served"), "{why}");
    // What was open goes on, what is new is answered, and a connection is used again.
    tell.send("data: 2\n\n").unwrap();
    assert_eq!(stream.chunk(), "data: 2\n\n");
    let mut client = Client::connect(process.listen);
    for _ in 0..2 {
        let response = client.request("GET", "/nothing", &[], b"");
        assert_eq!(response.status, 404);
        assert_ne!(response.header("connection"), Some("close"));
    }
    // And it can be upgraded.
    let next = process.scene.path("next");
    symlink(env!("CARGO_BIN_EXE_keygate"), &next).unwrap();
    std::fs::rename(next, process.scene.path("keygate")).unwrap();
    let successor = upgrade(&process);
    eventually("the last answer", || {
        let response = client.request("GET", "/nothing", &[], b"");
        assert_eq!(response.status, 404);
        response.header("connection") == Some("close")
    });
    tell.send("end").unwrap();
    assert_eq!(stream.try_chunk(), Some(None));
    drop((stream, client));
    let (code, said) = process.end();
    assert_eq!(code, Some(0), "{said}");
    drop(successor);
}

#[test]
fn while_another_successor_does_not_come_the_old_process_accepts_and_hears_sigterm_and_sigint() {
    for (end, drains) in [("TERM", true), ("INT", false)] {
        let (provider, tell) = streaming();
        let (process, install) = started_by_a_link(scene(&provider, ""));
        let mut stream = open_stream(process.listen, &tell);
        let dies = upgrade(&process);
        install("exec sleep 1000");
        signal(dies.0, "KILL");
        eventually("the old process", || {
            who_serves(&process) == Some(process.id().into())
        });
        let response = Client::connect(process.listen).request("GET", "/nothing", &[], b"");
        assert_eq!(response.status, 404);
        process.signal(end);
        if drains {
            eventually("the end of accepting", || {
                std::net::TcpStream::connect(process.listen).is_err()
            });
            tell.send("end").unwrap();
            assert_eq!(stream.try_chunk(), Some(None));
        }
        drop(stream);
        let (code, said) = process.end();
        assert_eq!(code, Some(0), "{said}");
    }
}

#[test]
fn sigterm_after_an_upgrade_is_a_drain_of_its_own() {
    let (provider, tell) = streaming();
    let process = Process::start(scene(&provider, "server.timeouts.drain = \"300ms\""));
    let mut stream = open_stream(process.listen, &tell);
    let _successor = upgrade(&process);
    process.signal("TERM");
    let (code, said) = process.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("drain timed out"), "{said}");
    assert_eq!(stream.try_chunk(), None);
}

/// A service manager that listens.
pub struct Manager {
    socket: UnixDatagram,
    folder: tempfile::TempDir,
}

impl Manager {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, folder }
    }

    pub fn start(&self, scene: Scene, more: &[(&str, &str)]) -> Process {
        let mut command = self.command();
        command.envs(more.iter().copied());
        Process::start_as(scene, &mut command)
    }

    /// What starts a process that it listens to.
    pub fn command(&self) -> Command {
        let mut command = keygate();
        command.stdout(std::process::Stdio::null());
        command.env("NOTIFY_SOCKET", self.folder.path().join("notify"));
        command
    }

    /// What has been said and was not heard yet, if anything.
    pub fn try_hear(&self) -> Option<String> {
        self.socket.set_nonblocking(true).unwrap();
        let mut text = [0; 4096];
        let length = self.socket.recv(&mut text).ok();
        self.socket.set_nonblocking(false).unwrap();
        length.map(|length| String::from_utf8(text[..length].to_vec()).unwrap())
    }

    /// From now on, nothing is heard, and whoever says more waits.
    fn stop(&self) {
        let stranger = UnixDatagram::unbound().unwrap();
        stranger.set_nonblocking(true).unwrap();
        let to = self.folder.path().join("notify");
        while stranger.send_to(b"WATCHDOG=1", &to).is_ok() {}
    }

    /// The next thing that is said, but for signs of life.
    fn hears(&self) -> String {
        let mut text = [0; 4096];
        loop {
            let length = self.socket.recv(&mut text).unwrap();
            let said = String::from_utf8(text[..length].to_vec()).unwrap();
            if said.trim() != "WATCHDOG=1" {
                return said;
            }
        }
    }
}

#[test]
fn the_service_manager_is_told_what_goes_on() {
    let provider = Provider::start();
    let manager = Manager::new();
    let process = manager.start(scene(&provider, ""), &[]);
    let said = manager.hears();
    assert!(
        said.contains("READY=1\n")
            && said.contains("STATUS=Serving 1 routes and 1 keys, configuration 1"),
        "{said}"
    );
    process.signal("HUP");
    let said = manager.hears();
    assert!(
        said.contains("RELOADING=1\n") && said.contains("MONOTONIC_USEC="),
        "{said}"
    );
    assert!(
        manager
            .hears()
            .contains("READY=1\nSTATUS=Serving 1 routes and 1 keys, configuration 2")
    );
    process
        .scene
        .write("gateway.toml", "[server]\nlistne = \"x\"\n");
    process.signal("HUP");
    assert!(manager.hears().contains("RELOADING=1"));
    let said = manager.hears();
    assert!(
        said.contains("READY=1\nSTATUS=")
            && said.contains("configuration 2; a newer one was REFUSED"),
        "{said}"
    );
    process.signal("TERM");
    // Files are looked at as well.
    let mut said = manager.hears();
    while !said.contains("STOPPING=1") {
        said = manager.hears();
    }
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn a_service_manager_that_does_not_listen_holds_nobody_up() {
    let provider = Provider::start();
    let manager = Manager::new();
    let watched = [("WATCHDOG_USEC", "200000")];
    let process = manager.start(scene(&provider, ""), &watched);
    assert!(manager.hears().contains("READY=1"));
    manager.stop();
    // Signs of life are due, which the thread that accepts gives.
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
    // What it was to hear waits for it.
    while !manager
        .hears()
        .contains("READY=1\nSTATUS=Serving 1 routes and 1 keys, configuration 3")
    {}
    manager.stop();
    process.signal("TERM");
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn the_service_manager_hears_of_the_process_that_takes_over_and_that_it_lives() {
    let provider = Provider::start();
    let manager = Manager::new();
    let id = std::process::id().to_string();
    let watched = [("WATCHDOG_USEC", "300000")];
    let process = manager.start(scene(&provider, ""), &watched);
    assert!(manager.hears().contains("READY=1"));
    let successor = upgrade(&process);
    let mut said = manager.hears();
    while !said.contains("MAINPID=") {
        said = manager.hears();
    }
    assert!(
        said.contains(&format!("MAINPID={}\n", successor.0)),
        "{said}"
    );
    assert_eq!(process.end().0, Some(0));
    // From here on, the signs of life are the new one's.
    let mut text = [0; 64];
    for _ in 0..3 {
        let length = manager.socket.recv(&mut text).unwrap();
        assert_eq!(&text[..length], b"WATCHDOG=1\n");
    }
    drop(successor);
    // Of what is meant for another process, nothing is taken.
    let manager = Manager::new();
    let other = manager.start(scene(&provider, ""), &[watched[0], ("WATCHDOG_PID", &id)]);
    assert!(manager.hears().contains("READY=1"));
    manager
        .socket
        .set_read_timeout(Some(Duration::from_millis(400)))
        .unwrap();
    assert!(manager.socket.recv(&mut text).is_err());
    other.signal("INT");
    assert_eq!(other.end().0, Some(0));
}

/// A scene whose sockets come from systemd.
fn listening_by_systemd(provider: &Provider) -> Scene {
    let scene = scene(provider, "");
    let text = std::fs::read_to_string(scene.path("gateway.toml")).unwrap();
    let (ours, theirs) = (
        "server.listen = \"127.0.0.1:0\"",
        "server.listen = \"systemd\"",
    );
    scene.write("gateway.toml", &text.replacen(ours, theirs, 1));
    scene
}

#[test]
fn sockets_come_from_systemd_where_the_configuration_says_so() {
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
    // Who comes before it runs waits, and is not refused.
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
    // And the next process gets them from this one.
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
fn without_a_socket_from_systemd_it_does_not_start_and_says_so() {
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

/// A port that was free a moment ago: the commands need one that is in the file.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

#[test]
fn the_commands_say_what_came_of_it() {
    let provider = Provider::start();
    let scene = scene(&provider, "");
    let text = std::fs::read_to_string(scene.path("gateway.toml")).unwrap();
    let text = text.replace(
        "server.admin = \"127.0.0.1:0\"",
        &format!("server.admin = \"127.0.0.1:{}\"", free_port()),
    );
    scene.write("gateway.toml", &text);
    let process = Process::start(scene);
    let config = process.scene.path("gateway.toml");
    let run = |command: &str| {
        let output = keygate()
            .args([command, "--config"])
            .arg(&config)
            .output()
            .unwrap();
        let said = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (
            output.status.code(),
            said(&output.stdout),
            said(&output.stderr),
        )
    };
    let (code, said, complained) = run("reload");
    assert_eq!((code, &*complained), (Some(0), ""));
    assert!(
        said.starts_with("configuration ") && said.ends_with(" serves\n"),
        "{said}"
    );
    // What is wrong is not even tried.
    process.scene.write(
        "gateway.toml",
        &text.replace("provider = \"p\"", "provider = \"q\""),
    );
    for command in ["reload", "upgrade"] {
        let (code, _, complained) = run(command);
        assert_eq!(code, Some(78), "{complained}");
        assert!(
            complained.contains("there is no provider `q`"),
            "{complained}"
        );
    }
    process.scene.write("gateway.toml", &text);
    let (code, said, complained) = run("upgrade");
    assert_eq!((code, &*complained), (Some(0), ""));
    assert!(
        said.contains(&format!("; process {} of ", process.id())),
        "{said}"
    );
    let successor: u32 = said.split(' ').nth(1).unwrap().parse().unwrap();
    let successor = Successor(successor);
    assert_eq!(process.end().0, Some(0));
    drop(successor);
}
