//! `keygate keys ... --wait`: a command returns when the running gateway serves its change; and waiting for the lock.

use super::*;

#[test]
fn a_command_with_wait_returns_when_its_change_is_served() {
    let provider = Provider::start();
    let keys = Keys::before(&provider);
    let made = keys.run(&["create", "--id", "alice", "--wait"]);
    assert!(
        text(&made.stderr).contains("Served by every thread"),
        "{}",
        text(&made.stderr)
    );
    let old = text(&made.stdout).trim().to_owned();
    assert!(keys.accepts(&old));

    keys.run(&["disable", "alice", "--wait"]);
    assert!(!keys.accepts(&old));
    let shown = keys.run(&["show", "alice", "--json"]);
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["state"], "disabled");
    keys.run(&["enable", "alice", "--wait"]);
    assert!(keys.accepts(&old));

    let rotated = keys.run(&["rotate", "alice", "--overlap", "1h", "--wait"]);
    let new = text(&rotated.stdout).trim().to_owned();
    assert!(new != old && keys.accepts(&old) && keys.accepts(&new));
    let rotated = keys.run(&["rotate", "alice", "--overlap", "0s", "--wait"]);
    let newest = text(&rotated.stdout).trim().to_owned();
    assert!(!keys.accepts(&old) && !keys.accepts(&new) && keys.accepts(&newest));

    keys.run(&["delete", "alice", "--wait"]);
    assert!(!keys.accepts(&newest) && keys.accepts("first-key"));
    let gone = keygate(&["keys", "show", "alice", "--config", &keys.config]);
    assert_eq!(
        (gone.status.code(), text(&gone.stderr)),
        (Some(1), "keygate: there is no key `alice`\n")
    );
}

#[test]
fn wait_reports_why_the_gateway_refuses_the_change() {
    let provider = Provider::start();
    let keys = Keys::before(&provider);
    // The configuration became invalid after the last reload: the change is in the key file and is not served.
    let path = keys.gateway.scene.path("gateway.toml");
    let file = std::fs::read_to_string(&path).unwrap();
    keys.gateway
        .scene
        .write("gateway.toml", &format!("{file}\n[surprise]\n"));
    let output = keygate(&[
        "keys",
        "create",
        "--id",
        "alice",
        "--wait",
        "--config",
        &keys.config,
    ]);
    assert_ne!(output.status.code(), Some(0));
    assert!(
        text(&output.stderr).contains("unknown key"),
        "{}",
        text(&output.stderr)
    );
    assert!(keys.accepts("first-key"));
}

#[test]
fn wait_reports_a_revocation_as_done_and_a_new_key_as_pending_when_the_configuration_is_refused() {
    let provider = Provider::start();
    let keys = Keys::before(&provider);
    let run = |arguments: &[&str]| {
        let output =
            keygate(&[&["keys"], arguments, &["--wait", "--config", &keys.config]].concat());
        (output.status.code(), text(&output.stderr).to_owned())
    };
    for id in ["gone", "kept"] {
        keys.run(&["create", "--id", id, "--wait"]);
    }
    let path = keys.gateway.scene.path("gateway.toml");
    let good = std::fs::read_to_string(&path).unwrap();
    let bad = good.replace("provider = \"p\"", "provider = \"q\"");
    keys.gateway.scene.write("gateway.toml", &bad);
    let reason = "there is no provider `q`";
    // The new key is not valid as long as the configuration is refused.
    let (code, printed) = run(&["create", "--id", "new"]);
    assert_eq!(code, Some(1), "{printed}");
    assert!(
        printed.contains("is not served") && printed.contains(reason),
        "{printed}"
    );
    for (command, id) in [
        ("disable", "first"),
        ("disable", "first"),
        ("delete", "gone"),
    ] {
        let (code, printed) = run(&[command, id]);
        assert_eq!(code, Some(0), "{printed}");
        assert!(
            printed.contains("in force") && !printed.contains("is not served"),
            "{printed}"
        );
        // The output reports that the rest of the file is not served, and why.
        assert!(
            printed.contains("Other changes of") && printed.contains(reason),
            "{printed}"
        );
    }
    assert!(!keys.accepts("first-key"));
    // A change that grants more is not in force, although the revocations are.
    for arguments in [
        &["enable", "first"][..],
        &["rotate", "kept", "--overlap", "0s"],
    ] {
        let (code, printed) = run(arguments);
        assert_eq!(code, Some(1), "{printed}");
        assert!(
            printed.contains("is not served") && printed.contains(reason),
            "{printed}"
        );
    }
    let (_, printed) = run(&["rotate", "kept", "--overlap", "0s"]);
    assert!(
        printed.contains("what the file closes is closed"),
        "{printed}"
    );
    keys.gateway.scene.write("gateway.toml", &good);
    let (code, printed) = run(&["disable", "kept"]);
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains("Served by every thread"), "{printed}");
}

#[test]
fn an_edit_that_waits_for_the_lock_names_its_holder() {
    let scene = Scene::new("").key("alice", "secret", "");
    let lock = std::fs::File::create(scene.path("keys.toml.lock")).unwrap();
    lock.lock().unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_keygate"));
    command.args(["keys", "disable", "alice", "--file"]);
    command.arg(scene.path("keys.toml"));
    let printed = scene.path("stderr");
    command.stderr(std::fs::File::create(&printed).unwrap());
    let mut waiting = command.spawn().unwrap();
    let printed = || std::fs::read_to_string(&printed).unwrap();
    eventually("the message", || {
        printed().contains("waiting for the lock of ")
    });
    let holder = format!("process {}", std::process::id());
    assert!(printed().contains(&holder), "{}", printed());
    assert_eq!(waiting.try_wait().unwrap(), None);
    lock.unlock().unwrap();
    assert!(waiting.wait().unwrap().success());
    let file = std::fs::read_to_string(scene.path("keys.toml")).unwrap();
    assert!(file.contains("disabled = true"), "{file}");
}
