//! A panic logs its place, and not its message, also if it ends the process.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use crate::support::eventually;
use crate::support::process::LogReader;

const CANARY: &str = "canary-é-0123456789";

/// Run by the test below in a process of its own, as the panic hook belongs to the process.
#[test]
#[ignore = "a part of another test"]
fn panics_over_a_secret() {
    keygate::testing::runtime::log::install_panic_hook();
    let secret = std::env::var("CANARY").unwrap_or_default();
    // This index is inside a character.
    let _ = secret.split_at(8);
}

#[test]
fn a_panic_logs_its_place_and_not_its_message() {
    for backtrace in ["0", "1"] {
        let test = std::env::current_exe().unwrap();
        let ran = Command::new(test)
            .args([
                "--exact",
                "panics::panics_over_a_secret",
                "--ignored",
                "--nocapture",
            ])
            .envs([("CANARY", CANARY), ("RUST_BACKTRACE", backtrace)])
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
        assert!(!ran.status.success());
        assert!(printed.contains("` panicked at "), "{printed}");
        assert!(!printed.contains("canary-"), "{printed}");
        assert_eq!(
            printed.contains("panics_over_a_secret\n             at"),
            backtrace == "1",
            "{printed}"
        );
    }
}

/// Starts the thread that writes events, and installs the panic hook.
fn with_events() {
    keygate::testing::runtime::log::start().unwrap();
    keygate::testing::runtime::log::log_from(keygate::testing::config::LogLevel::Info.into());
    keygate::testing::runtime::log::install_panic_hook();
}

#[test]
#[ignore = "a part of another test"]
fn panics_while_it_panics() {
    struct Worse;
    impl Drop for Worse {
        fn drop(&mut self) {
            panic!("again");
        }
    }
    with_events();
    let _worse = Worse;
    panic!("once");
}

#[test]
#[ignore = "a part of another test"]
fn cannot_go_on() {
    with_events();
    keygate::testing::runtime::log::abort("it cannot go on");
}

fn part(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let name = format!("panics::{name}");
    command.args(["--exact", &name, "--ignored", "--nocapture"]);
    command
}

const ABORTED: Option<i32> = Some(6);

#[test]
fn a_process_that_aborts_has_logged_why() {
    for round in 0..20 {
        let ran = part("panics_while_it_panics").output().unwrap();
        let printed = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.signal(), ABORTED, "{printed}");
        let panics = printed
            .matches("panicked at tests/scenes/panics.rs")
            .count();
        assert_eq!(panics, 2, "{round}: {printed}");
        let ran = part("cannot_go_on").output().unwrap();
        let printed = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.signal(), ABORTED, "{printed}");
        assert!(printed.contains("it cannot go on"), "{round}: {printed}");
    }
}

#[test]
fn a_process_that_aborts_does_not_wait_for_its_log_to_be_read() {
    let mut reader = LogReader::new();
    reader.stop();
    let mut command = part("cannot_go_on");
    command.stderr(reader.end()).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut status = None;
    eventually("the end of the process", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.unwrap().signal(), ABORTED);
}
