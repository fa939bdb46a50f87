//! Processes that took over and die: another one, or the old one, serves in their place.

use std::os::unix::fs::symlink;
use std::time::Duration;

use crate::support::process::{Process, open_stream, signal};
use crate::support::provider::event_stream;
use crate::support::successor::{Successor, serving_pid, started_by_a_link, upgrade};
use crate::support::{Client, Scene, eventually};

#[test]
fn a_successor_that_dies_is_replaced_while_the_first_process_drains() {
    let (provider, events) = event_stream();
    let process = Process::start(Scene::before(&provider, ""));
    let mut stream = open_stream(process.listen, &events);
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
    events.send("end").unwrap();
    assert_eq!(stream.try_chunk(), Some(None));
    drop(stream);
    let (code, log) = process.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(
        log.contains("the process that took over has failed"),
        "{log}"
    );
    drop(successor);
}

#[test]
fn a_successor_that_dies_after_its_own_upgrade_leaves_one_process_serving() {
    let (provider, events) = event_stream();
    let process = Process::start(Scene::before(&provider, ""));
    let stream = open_stream(process.listen, &events);
    let between = upgrade(&process);
    // The second process does not end as long as this connection is open.
    let mut kept = Client::connect(process.listen);
    assert_eq!(kept.request("GET", "/nothing", &[], b"").status, 404);
    signal(between.0, "USR2");
    // The second process has logged the upgrade earlier: if it were killed then, the third one would end as well.
    eventually("the handover to the third process", || {
        let handovers = "the process before this one has handed over";
        process.log().matches(handovers).count() == 2
    });
    signal(between.0, "KILL");
    let mut last = None;
    eventually("the third process alone", || {
        last = serving_pid(&process);
        last.is_some_and(|pid| pid != u64::from(between.0))
    });
    let last = Successor(u32::try_from(last.unwrap()).unwrap());
    // Long enough for the first process to poll the second several times.
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(serving_pid(&process), Some(last.0.into()));
    events.send("end").unwrap();
    drop((stream, kept));
    let (code, log) = process.end();
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(log.matches(" serving ").count(), 3, "{log}");
    assert!(!log.contains("has failed"), "{log}");
}

#[test]
fn a_draining_process_accepts_again_if_all_its_successors_are_gone() {
    let (provider, events) = event_stream();
    let process = Process::start(Scene::before(&provider, ""));
    let stream = open_stream(process.listen, &events);
    let between = upgrade(&process);
    let third = || {
        let pid = serving_pid(&process).filter(|pid| *pid != u64::from(between.0));
        pid.filter(|pid| *pid != u64::from(process.id()))
    };
    signal(between.0, "USR2");
    eventually("the second has ended", || process.log().contains("drained"));
    let last = Successor(u32::try_from(found("the third", third)).unwrap());
    signal(last.0, "KILL");
    let another = || third().filter(|pid| *pid != u64::from(last.0));
    let next = Successor(u32::try_from(found("another process", another)).unwrap());
    // A process that ends after a signal is not replaced.
    signal(next.0, "TERM");
    events.send("end").unwrap();
    drop(stream);
    let (code, log) = process.end();
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(log.matches("has failed").count(), 1, "{log}");
    assert_eq!(log.matches(" serving ").count(), 4, "{log}");
}

/// Waits until `find` has a result. A process that is about to end may not respond.
fn found<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let mut found = None;
    eventually(what, || {
        found = find();
        found.is_some()
    });
    found.unwrap()
}

#[test]
fn a_process_that_accepted_again_and_dies_is_replaced_by_its_predecessor() {
    let (provider, events) = event_stream();
    let (process, install) = started_by_a_link(Scene::before(&provider, ""));
    let stream = open_stream(process.listen, &events);
    let mut known = vec![process.id()];
    let another = |than: &mut Vec<u32>| {
        let mut found = 0;
        eventually("another process", || {
            found = serving_pid(&process).map_or(0, |pid| u32::try_from(pid).unwrap());
            found != 0 && !than.contains(&found)
        });
        than.push(found);
        found
    };
    let second = upgrade(&process);
    known.push(second.0);
    signal(second.0, "USR2");
    let third = Successor(another(&mut known));
    eventually("the second has ended", || process.log().contains("drained"));
    // The third process does not end as long as this connection is open.
    let mut kept = Client::connect(process.listen);
    assert_eq!(kept.request("GET", "/nothing", &[], b"").status, 404);
    signal(third.0, "USR2");
    let fourth = Successor(another(&mut known));
    eventually("the third process logs the upgrade", || {
        process.log().matches("another process serves").count() == 3
    });
    install("exit 1");
    for (dies, serves) in [(&fourth, third.0), (&third, process.id())] {
        signal(dies.0, "KILL");
        eventually("the predecessor serves", || {
            serving_pid(&process) == Some(serves.into())
        });
    }
    events.send("end").unwrap();
    drop(stream);
    process.signal("TERM");
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn a_successor_that_dies_with_no_replacement_leaves_the_old_process_serving() {
    let (provider, events) = event_stream();
    let (process, install) = started_by_a_link(Scene::before(&provider, ""));
    let mut stream = open_stream(process.listen, &events);
    let dies = upgrade(&process);
    install("exit 1");
    signal(dies.0, "KILL");
    eventually("the old process serves", || {
        serving_pid(&process) == Some(process.id().into())
    });
    eventually("the failure of the next", || {
        process.status()["failed_upgrades"] == 2
    });
    let status = process.status();
    assert_eq!(status["ready"], true);
    let why = status["last_failed_upgrade"].as_str().unwrap();
    assert!(why.contains("ended before it served"), "{why}");
    // The open stream goes on, new connections are served, and a connection is reused.
    events.send("data: 2\n\n").unwrap();
    assert_eq!(stream.chunk(), "data: 2\n\n");
    let mut client = Client::connect(process.listen);
    for _ in 0..2 {
        let response = client.request("GET", "/nothing", &[], b"");
        assert_eq!(response.status, 404);
        assert_ne!(response.header("connection"), Some("close"));
    }
    // It can be upgraded again.
    let next = process.scene.path("next");
    symlink(env!("CARGO_BIN_EXE_keygate"), &next).unwrap();
    std::fs::rename(next, process.scene.path("keygate")).unwrap();
    let successor = upgrade(&process);
    eventually("the last response", || {
        let response = client.request("GET", "/nothing", &[], b"");
        assert_eq!(response.status, 404);
        response.header("connection") == Some("close")
    });
    events.send("end").unwrap();
    assert_eq!(stream.try_chunk(), Some(None));
    drop((stream, client));
    let (code, log) = process.end();
    assert_eq!(code, Some(0), "{log}");
    drop(successor);
}

#[test]
fn an_old_process_that_accepts_again_handles_sigterm_and_sigint() {
    for (end, drains) in [("TERM", true), ("INT", false)] {
        let (provider, events) = event_stream();
        let (process, install) = started_by_a_link(Scene::before(&provider, ""));
        let mut stream = open_stream(process.listen, &events);
        let dies = upgrade(&process);
        install("exec sleep 1000");
        signal(dies.0, "KILL");
        eventually("the old process serves", || {
            serving_pid(&process) == Some(process.id().into())
        });
        let response = Client::connect(process.listen).request("GET", "/nothing", &[], b"");
        assert_eq!(response.status, 404);
        process.signal(end);
        if drains {
            eventually("the end of accepting", || {
                std::net::TcpStream::connect(process.listen).is_err()
            });
            events.send("end").unwrap();
            assert_eq!(stream.try_chunk(), Some(None));
        }
        drop(stream);
        let (code, log) = process.end();
        assert_eq!(code, Some(0), "{log}");
    }
}
