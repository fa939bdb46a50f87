//! `keygate init`: from no configuration to a first request.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::LocalModes;

use crate::support::command::text;
use crate::support::{PATIENCE, Provider, Scene, process};

fn init(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = process::keygate();
    command.arg("init").args(arguments).current_dir(folder);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs `keygate init` with this standard input.
fn with(input: &str, folder: &Path, arguments: &[&str]) -> Output {
    let mut child = init(folder, arguments)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that is refused early does not read its input.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn the_new_configuration_serves_a_request_with_the_printed_key() {
    let provider = Provider::start();
    let scene = Scene::new("");
    let folder = scene.folder.path();
    for name in names(folder) {
        std::fs::remove_file(folder.join(name)).unwrap();
    }
    let url = format!("{}/v1", provider.url());
    let anywhere = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let arguments = [
        "--provider",
        "custom",
        "--base-url",
        &url,
        "--key-id",
        "first",
    ];
    let made = with("sk-typed\n", folder, &[&arguments[..], &anywhere].concat());
    let printed = text(&made.stderr);
    assert!(made.status.success(), "{printed}");
    assert_eq!(names(folder), ["gateway.toml", "keys.toml", "secrets"]);
    for (name, mode) in [
        ("gateway.toml", 0o600),
        ("keys.toml", 0o600),
        ("secrets", 0o700),
        ("secrets/custom", 0o600),
    ] {
        let found = std::fs::metadata(folder.join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(found & 0o777, mode, "{name}");
    }
    let key = text(&made.stdout).trim().to_owned();
    assert!(
        key.starts_with("kg_first_") && !printed.contains(&key),
        "{printed}"
    );
    assert!(!printed.contains("sk-typed"), "{printed}");
    assert!(
        printed.contains("keygate run") && printed.contains("/custom -H \"api-key: $KEY\""),
        "{printed}"
    );
    let configuration = std::fs::read_to_string(folder.join("gateway.toml")).unwrap();
    assert!(!configuration.contains("sk-typed"), "{configuration}");

    let gateway = scene.start();
    assert_eq!(
        gateway.get("/custom/models", &[("api-key", &key)]).status,
        200
    );
    assert_eq!(
        provider.only().header("authorization"),
        Some("Bearer sk-typed")
    );
    assert_eq!(gateway.get("/custom/models", &[]).status, 401);
}

#[test]
fn every_kind_of_provider_has_a_configuration_that_passes_check() {
    for kind in keygate::testing::provider::KINDS {
        let folder = tempfile::tempdir().unwrap();
        let mut arguments = vec!["--provider", kind.name, "--token", "env:KEYGATE_NOWHERE"];
        if kind.endpoint {
            arguments.extend([
                "--endpoint",
                "https://a.openai.azure.com",
                "--deployment",
                "d\"quoted",
            ]);
        } else if kind.origin.is_none() {
            arguments.extend(["--base-url", "https://llm.test/v1"]);
        }
        let made = with("", folder.path(), &arguments);
        let printed = text(&made.stderr);
        if kind.endpoint {
            // An invalid name is refused by the check, and no file is left.
            assert!(!made.status.success(), "{printed}");
            assert_eq!(names(folder.path()), Vec::<String>::new());
            *arguments.last_mut().unwrap() = "d";
            let made = with("", folder.path(), &arguments);
            assert!(made.status.success(), "{}", text(&made.stderr));
        } else {
            assert!(made.status.success(), "{}: {printed}", kind.name);
            assert!(printed.contains("KEYGATE_NOWHERE is not set"), "{printed}");
            assert!(!printed.contains(".init-"), "{printed}");
        }
        let mut check = process::keygate();
        let check = check
            .arg("check")
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(
            check.status.success(),
            "{}: {}",
            kind.name,
            text(&check.stderr)
        );
        assert_eq!(
            names(folder.path()),
            ["gateway.toml", "keys.toml"],
            "{}",
            kind.name
        );
    }
}

#[test]
fn no_file_is_overwritten_and_a_refusal_leaves_no_file() {
    for there in ["gateway.toml", "keys.toml", "secrets/openai"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(there);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "mine").unwrap();
        let before = names(folder.path());
        let refused = with("sk-1\n", folder.path(), &["--provider", "openai"]);
        assert_eq!(refused.status.code(), Some(1), "{there}");
        let printed = text(&refused.stderr);
        assert!(
            printed.contains(there) && refused.stdout.is_empty(),
            "{printed}"
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
        assert_eq!(names(folder.path()), before, "{there}");
    }
    let folder = tempfile::tempdir().unwrap();
    for (arguments, input, why) in [
        (&["--provider", "opnai"][..], "t\n", "did you mean `openai`"),
        (&["--provider", "OpenAI"], "t\n", "did you mean `openai`"),
        (&["--provider", "custom"], "t\n", "--base-url is missing"),
        (
            &["--provider", "azure-openai"],
            "t\n",
            "--endpoint is missing",
        ),
        (&["--provider", "openai"], "\n", "there is no token"),
        (
            &["--provider", "openai", "--key-id", "sp ace"],
            "t\n",
            "--key-id must have",
        ),
        (&[], "t\n", "--provider is missing"),
    ] {
        let refused = with(input, folder.path(), arguments);
        assert_eq!(refused.status.code(), Some(64), "{arguments:?}");
        let printed = text(&refused.stderr);
        assert!(printed.contains(why), "{printed}");
    }
    let pasted = with(
        "",
        folder.path(),
        &["--provider", "openai", "--token", "sk-pasted"],
    );
    assert!(!pasted.status.success() && !text(&pasted.stderr).contains("sk-pasted"));
    assert_eq!(names(folder.path()), Vec::<String>::new());
}

/// A pseudoterminal: the side of the person, and the side of the program.
fn terminal() -> (File, OwnedFd) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let theirs = ptsname(&ours, Vec::new()).unwrap();
    let theirs = rustix::fs::open(&theirs, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    (File::from(ours), theirs)
}

/// Reads until the command asks for the token.
fn read_question(child: &mut Child) -> ChildStderr {
    let mut requested = Vec::new();
    let mut stderr = child.stderr.take().unwrap();
    while !text(&requested).contains("not shown): ") {
        let mut byte = [0];
        stderr.read_exact(&mut byte).unwrap();
        requested.extend(byte);
    }
    stderr
}

#[test]
fn the_terminal_echoes_again_after_ctrl_c() {
    let (_ours, theirs) = terminal();
    let folder = tempfile::tempdir().unwrap();
    let mut child = init(folder.path(), &["--provider", "openai"])
        .stdin(theirs.try_clone().unwrap())
        .spawn()
        .unwrap();
    let _stderr = read_question(&mut child);
    let shows = || {
        let modes = rustix::termios::tcgetattr(&theirs).unwrap().local_modes;
        modes.contains(LocalModes::ECHO)
    };
    assert!(!shows());
    rustix::process::kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(shows());
    assert_eq!(names(folder.path()), Vec::<String>::new());
}

#[test]
fn a_typed_token_is_not_echoed_and_earlier_input_is_ignored() {
    let (mut ours, theirs) = terminal();
    // Input before the question, such as the next line of a pasted script.
    ours.write_all(b"keygate run\n").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut child = init(folder.path(), &["--provider", "openai"])
        .stdin(theirs.try_clone().unwrap())
        .spawn()
        .unwrap();
    let _stderr = read_question(&mut child);
    ours.write_all(b"sk-typed\n").unwrap();
    let started = std::time::Instant::now();
    let status = child.wait().unwrap();
    assert!(status.success() && started.elapsed() < PATIENCE);
    let token = std::fs::read_to_string(folder.path().join("secrets/openai")).unwrap();
    assert_eq!(token, "sk-typed");
    // The terminal has echoed the line before, and nothing of the token.
    drop(theirs);
    let mut shown = Vec::new();
    let _ = ours.read_to_end(&mut shown);
    let shown = String::from_utf8_lossy(&shown);
    assert!(
        shown.contains("keygate run") && !shown.contains("sk-typed"),
        "{shown}"
    );
}

#[test]
fn the_path_of_a_token_file_is_relative_to_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "sk-1\n").unwrap();
    let arguments = ["--provider", "openai", "--token", "file:token"];
    let mode = |mode| std::fs::set_permissions(&token, PermissionsExt::from_mode(mode)).unwrap();
    mode(0o644);
    let refused = with("", folder.path(), &arguments);
    let printed = text(&refused.stderr);
    assert!(
        printed.contains("chmod 600 token (nothing was written)"),
        "{printed}"
    );
    assert_eq!(names(folder.path()), ["token"]);
    mode(0o600);
    let made = with("", folder.path(), &arguments);
    let printed = text(&made.stderr);
    assert!(
        made.status.success() && !printed.contains("is not there"),
        "{printed}"
    );
}

#[test]
fn a_server_in_a_private_network_needs_one_option() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("a b");
    let out = out.to_str().unwrap();
    let url = "http://gpu-box:8000/v1";
    let arguments = [
        "--provider",
        "custom",
        "--token",
        "none",
        "--base-url",
        url,
        "--out",
        out,
    ];
    let refused = with("", folder.path(), &arguments);
    assert!(text(&refused.stderr).contains("plain_http = true"));
    let made = with(
        "",
        folder.path(),
        &[&arguments[..], &["--plain-http"]].concat(),
    );
    let printed = text(&made.stderr);
    assert!(made.status.success(), "{printed}");
    assert!(
        printed.contains(&format!("--config '{out}/gateway.toml'")),
        "{printed}"
    );
}
