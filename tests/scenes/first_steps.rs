//! The first commands of a new user: without a configuration, with one in a usual place, with an example.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::command::text;
use crate::support::gateway::simple;
use crate::support::{Scene, process};

/// A command in `folder`, without variables of keygate or a provider in its environment.
fn keygate_in(folder: &Path) -> Command {
    let mut command = process::keygate();
    command.current_dir(folder).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

fn printed(output: &Output) -> String {
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_configuration_is_found_in_its_usual_places() {
    let rest = simple("http://127.0.0.1:9", "", "");
    let here = Scene::new(&rest).key("alice", "secret", "");
    let named = Scene::new(&rest)
        .key("bob", "secret", "")
        .key("carol", "other", "");
    let folder = here.folder.path();
    let check = |command: &mut Command| printed(&command.arg("check").output().unwrap());
    let found = check(&mut keygate_in(folder));
    assert!(
        found.contains("gateway.toml: ok: 1 route, 1 provider, 1 key"),
        "{found}"
    );
    let path = named.path("gateway.toml");
    let found = check(keygate_in(folder).env("KEYGATE_CONFIG", &path));
    assert!(
        found.contains("2 keys") && found.contains(path.to_str().unwrap()),
        "{found}"
    );
    // Every command looks there, and an option takes precedence.
    let listed = keygate_in(folder).args(["keys", "list"]).output().unwrap();
    assert!(
        text(&listed.stdout).contains("alice"),
        "{}",
        printed(&listed)
    );
    let mut given = keygate_in(folder);
    let given = given.args(["keys", "list", "--config"]).arg(&path);
    let listed = given.env("KEYGATE_CONFIG", "/nowhere").output().unwrap();
    assert!(
        text(&listed.stdout).contains("carol"),
        "{}",
        printed(&listed)
    );
    // A named file that does not exist is not replaced by another one.
    let absent = keygate_in(folder)
        .arg("check")
        .env("KEYGATE_CONFIG", "/nowhere/g.toml")
        .output()
        .unwrap();
    assert_eq!(absent.status.code(), Some(78));
    let why = text(&absent.stderr);
    assert!(
        why.contains("/nowhere/g.toml") && why.contains("keygate init"),
        "{why}"
    );
}

#[test]
fn without_a_configuration_the_error_lists_the_places_and_how_to_create_one() {
    if Path::new("/etc/keygate/gateway.toml").exists() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for command in [
        &["run", "--allow-root"][..],
        &["check"],
        &["keys", "list"],
        &["status"],
    ] {
        let output = keygate_in(folder.path()).args(command).output().unwrap();
        assert_eq!(output.status.code(), Some(78), "{command:?}");
        let why = text(&output.stderr);
        for part in [
            "KEYGATE_CONFIG",
            "./gateway.toml",
            "/etc/keygate/gateway.toml",
            "keygate init",
        ] {
            assert!(why.contains(part), "{command:?}: {why}");
        }
    }
}

#[test]
fn every_example_passes_check() {
    let folder = tempfile::tempdir().unwrap();
    let conf = concat!(env!("CARGO_MANIFEST_DIR"), "/conf");
    let mut examples = Vec::new();
    for entry in std::fs::read_dir(conf).unwrap() {
        let path = entry.unwrap().path();
        let to = folder.path().join(path.file_name().unwrap());
        std::fs::copy(&path, &to).unwrap();
        // The mode that git gives every file with the usual umask.
        std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o644)).unwrap();
        if std::fs::read_to_string(&to).unwrap().contains("[[routes]]") {
            examples.push(to);
        }
    }
    assert!(examples.len() >= 4, "{examples:?}");
    for example in examples {
        let check = keygate_in(folder.path())
            .args(["check", "--config"])
            .arg(&example)
            .output()
            .unwrap();
        assert!(
            check.status.success(),
            "{}: {}",
            example.display(),
            printed(&check)
        );
    }
    // The key of the lab is public: it is disabled until the user enables it, and by then the file is private.
    let mut enable = keygate_in(folder.path());
    let enable = enable.args([
        "keys",
        "enable",
        "--config",
        "lab.toml",
        "api-huggingface-key",
    ]);
    let enabled = enable.output().unwrap();
    assert!(enabled.status.success(), "{}", printed(&enabled));
    let mode = std::fs::metadata(folder.path().join("lab-keys.toml"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let check = keygate_in(folder.path())
        .args(["check", "--config", "lab.toml"])
        .output()
        .unwrap();
    assert!(check.status.success(), "{}", printed(&check));
}

#[test]
fn a_key_file_that_others_can_read_is_refused_if_it_has_valid_keys_or_secrets() {
    let rest = simple("http://127.0.0.1:9", "", "");
    for (more, code) in [
        ("disabled = true", 0),
        ("", 78),
        ("disabled = true\nmetadata = { t = \"inline:token\" }", 78),
    ] {
        let scene = Scene::new(&rest).key("alice", "secret", more);
        let mode = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(scene.path("keys.toml"), mode).unwrap();
        let check = keygate_in(scene.folder.path())
            .arg("check")
            .output()
            .unwrap();
        let printed = printed(&check);
        assert_eq!(check.status.code(), Some(code), "{more}: {printed}");
        assert!(printed.contains("can be read by others"), "{printed}");
    }
}

#[test]
fn show_lists_the_routes_of_a_key() {
    let route = |name: &str, team: &str| {
        format!(
            "[[routes]]\nname = \"{name}\"\npath = \"/{name}\"\nprovider = \"p\"\nkeys = {{ team = \"{team}\" }}\n"
        )
    };
    let rest = simple("http://127.0.0.1:9", "", "") + &route("red", "red") + &route("blue", "blue");
    let scene = Scene::new(&rest).key("alice", "secret", "labels = { team = \"red\" }");
    let shown = keygate_in(scene.folder.path())
        .args(["keys", "show", "alice"])
        .output()
        .unwrap();
    let shown = printed(&shown);
    assert!(
        shown.lines().any(|line| line == "routes       r, red"),
        "{shown}"
    );
}
