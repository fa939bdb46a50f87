//! Upgrades: one process takes over from another, and no client waits in between.

use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::Duration;

use crate::support::process::{Process, keygate, open_stream};
use crate::support::provider::{event_stream, gated, ok};
use crate::support::successor::{Successor, upgrade};
use crate::support::{Client, KEY, Provider, Scene, eventually, unused_port};

#[test]
fn an_open_stream_ends_in_the_old_process_while_the_new_one_serves() {
    let (provider, events) = event_stream();
    let process = Process::start(Scene::before(&provider, ""));
    let mut stream = open_stream(process.listen, &events);
    let mut kept = Client::connect(process.listen);
    assert_eq!(kept.request("GET", "/nothing", &[], b"").status, 404);
    let successor = upgrade(&process);
    // The open connection is still served, and closes after its last response.
    eventually("the last response", || {
        let response = kept.request("GET", "/nothing", &[], b"");
        assert_eq!(response.status, 404);
        response.header("connection") == Some("close")
    });
    let response = Client::connect(process.listen).request("GET", "/nothing", &[], b"");
    assert_eq!(response.status, 404);
    events.send("data: 2\n\n").unwrap();
    assert_eq!(stream.chunk(), "data: 2\n\n");
    events.send("end").unwrap();
    assert_eq!(stream.try_chunk(), Some(None));
    drop(stream);
    let (listen, (code, log)) = (process.listen, process.end());
    assert_eq!(code, Some(0), "{log}");
    assert!(
        log.contains("another process serves") && log.contains("drained"),
        "{log}"
    );
    let response = Client::connect(listen).request("GET", "/nothing", &[], b"");
    assert_eq!(response.status, 404);
    drop(successor);
}

#[test]
fn a_connection_that_was_idle_during_an_upgrade_gets_one_more_response() {
    let provider = Provider::start();
    let process = Process::start(Scene::before(&provider, ""));
    let mut kept = Client::connect(process.listen);
    assert_eq!(kept.request("POST", "/p", &KEY, b"{}").status, 200);
    let successor = upgrade(&process);
    // A process without a successor would close the connection in less time.
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
fn a_new_process_that_cannot_serve_leaves_the_old_one_serving_with_the_reason_in_the_status() {
    let provider = Provider::start();
    let process = Process::start(Scene::before(&provider, ""));
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
    // The successor is kept until the end: if it died first, another one would replace it.
    let _successor = upgrade(&process);
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn an_upgrade_follows_the_link_that_the_process_was_started_by() {
    let provider = Provider::start();
    let scene = Scene::before(&provider, "");
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
fn a_response_under_way_when_accepting_ends_closes_its_connection() {
    let (provider, release) = gated(|_, wire| ok(wire, b"{}"));
    let process = Process::start(Scene::before(&provider, ""));
    let mut client = Client::connect(process.listen);
    client.send(crate::support::client::raw_request(
        "POST", "/p", &KEY, b"{}",
    ));
    eventually("the request", || provider.received().len() == 1);
    process.signal("TERM");
    eventually("the end of accepting", || {
        std::net::TcpStream::connect(process.listen).is_err()
    });
    release.send(()).unwrap();
    let response = client.response(false);
    assert_eq!(
        (response.status, response.header("connection")),
        (200, Some("close"))
    );
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn sigterm_after_an_upgrade_starts_a_drain_with_its_own_timeout() {
    let (provider, events) = event_stream();
    let process = Process::start(Scene::before(
        &provider,
        "server.timeouts.drain = \"300ms\"",
    ));
    let mut stream = open_stream(process.listen, &events);
    let _successor = upgrade(&process);
    process.signal("TERM");
    let (code, log) = process.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("drain timed out"), "{log}");
    assert_eq!(stream.try_chunk(), None);
}

#[test]
fn the_commands_report_their_outcome() {
    let provider = Provider::start();
    let scene = Scene::before(&provider, "");
    let text = std::fs::read_to_string(scene.path("gateway.toml")).unwrap();
    let text = text.replace(
        "server.admin = \"127.0.0.1:0\"",
        &format!("server.admin = \"127.0.0.1:{}\"", unused_port()),
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
        let text_of = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (
            output.status.code(),
            text_of(&output.stdout),
            text_of(&output.stderr),
        )
    };
    let (code, stdout, stderr) = run("reload");
    assert_eq!((code, &*stderr), (Some(0), ""));
    assert!(
        stdout.starts_with("configuration ") && stdout.ends_with(" serves\n"),
        "{stdout}"
    );
    // An invalid configuration is refused by the command itself.
    process.scene.write(
        "gateway.toml",
        &text.replace("provider = \"p\"", "provider = \"q\""),
    );
    for command in ["reload", "upgrade"] {
        let (code, _, stderr) = run(command);
        assert_eq!(code, Some(78), "{stderr}");
        assert!(stderr.contains("there is no provider `q`"), "{stderr}");
    }
    process.scene.write("gateway.toml", &text);
    let (code, stdout, stderr) = run("upgrade");
    assert_eq!((code, &*stderr), (Some(0), ""));
    assert!(
        stdout.contains(&format!("; process {} of ", process.id())),
        "{stdout}"
    );
    let successor: u32 = stdout.split(' ').nth(1).unwrap().parse().unwrap();
    let successor = Successor(successor);
    assert_eq!(process.end().0, Some(0));
    drop(successor);
}
