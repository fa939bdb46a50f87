//! The reports of `keygate doctor` and `keygate check` about the machine.

use std::net::SocketAddr;

use crate::support::command::{keygate_for, text};
use crate::support::gateway::simple;
use crate::support::process::{self, Process};
use crate::support::{Provider, Scene, eventually, unused_port};

#[test]
fn the_doctor_warns_of_too_few_open_files_for_the_connections() {
    let scene = Scene::with_server("server.limits.connections = 1000", "");
    let doctor = |most: &str| {
        let script = format!("ulimit -n {most}; exec \"$0\" doctor --config \"$1\"");
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_keygate")]);
        let output = command.arg(scene.path("gateway.toml")).output().unwrap();
        text(&output.stdout).to_owned()
    };
    let few = doctor("1024");
    let expected = "at most 478 connections of clients are taken, not the 1000 of server.limits.connections: the \
                    system allows 1024 open files";
    assert!(few.contains(expected), "{few}");
    let enough = doctor("4096");
    assert!(enough.contains("enough for 1000 connections"), "{enough}");
}

#[test]
fn the_doctor_checks_the_machine_and_reports_what_to_fix() {
    let provider = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = SocketAddr::from(([127, 0, 0, 1], unused_port()));
    let scene = Scene::new("").key("alice", "secret", "");
    let configure = |listen: &str, to: SocketAddr, token: &str| {
        scene.write(
            "gateway.toml",
            &format!(
                "server.listen = \"{listen}\"\nserver.admin = \"127.0.0.1:0\"\n\
             [providers.p]\nkind = \"custom\"\nbase_url = \"http://{to}\"\ntoken = \"{token}\"\n\
             [[routes]]\nname = \"r\"\npath = \"/p\"\nprovider = \"p\"\n"
            ),
        );
    };
    configure("127.0.0.1:0", provider.local_addr().unwrap(), "inline:t");
    let good = keygate_for(&scene, &["doctor"]);
    let printed = text(&good.stdout);
    assert!(good.status.success(), "{printed}");
    assert!(printed.contains("127.0.0.1 is reached at"), "{printed}");
    configure(
        &taken.local_addr().unwrap().to_string(),
        closed,
        "env:KEYGATE_NOWHERE",
    );
    let bad = keygate_for(&scene, &["doctor", "--json"]);
    assert_eq!(bad.status.code(), Some(1));
    let found: serde_json::Value = serde_json::from_slice(&bad.stdout).unwrap();
    let bad: Vec<String> = found
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["verdict"] == "fail")
        .map(|finding| {
            format!(
                "{}: {} -> {}",
                finding["what"], finding["found"], finding["cure"]
            )
        })
        .collect();
    let all = bad.join("\n");
    for expected in [
        "something else listens there",
        "KEYGATE_NOWHERE is not set",
        "is not reached: Connection refused",
    ] {
        assert!(all.contains(expected), "{expected}\nnot in\n{all}");
    }
    assert_eq!(bad.len(), 3, "{all}");
}

#[test]
fn the_doctor_asks_a_running_gateway_about_a_token_that_it_cannot_read() {
    let provider = Provider::start();
    let rest = simple(&provider.url(), "", "").replace("inline:provider-token", "env:OF_SERVICE");
    let scene = Scene::new(&rest).key("alice", "secret", "");
    let mut command = process::keygate();
    let process = Process::start_as(scene, command.env("OF_SERVICE", "t"));
    let text_here = format!("server.admin = \"{}\"\n{rest}", process.admin);
    process.scene.write("gateway.toml", &text_here);
    let found = keygate_for(&process.scene, &["doctor"]);
    let printed = text(&found.stdout);
    assert!(found.status.success(), "{printed}");
    assert!(
        printed.contains("the gateway that serves has its token"),
        "{printed}"
    );
    process.signal("INT");
    process.end();
}

#[test]
fn check_warns_if_this_machine_trusts_no_certificate() {
    let scene = Scene::new(&simple("https://provider.test", "", "")).key("alice", "secret", "");
    let empty = scene.path("roots.pem");
    std::fs::write(&empty, "").unwrap();
    let run = |arguments: &[&str]| {
        let mut command = process::keygate();
        command
            .args(arguments)
            .arg(scene.path("gateway.toml"))
            .env("SSL_CERT_FILE", &empty)
            .env("SSL_CERT_DIR", scene.folder.path());
        command.output().unwrap()
    };
    let refused = run(&["run", "--allow-root", "--config"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("provider `p` could not be trusted"));
    let check = run(&["check", "--config"]);
    let check = text(&check.stdout);
    assert!(
        check.contains("warning: on this machine it would not start: there are no root")
            && check.contains("ok:"),
        "{check}"
    );
}

#[test]
fn a_gateway_of_another_configuration_on_the_same_admin_address_is_recognized() {
    let provider = Provider::start();
    let running = Process::start(Scene::before(&provider, ""));
    let admin = running.admin;
    let scene = Scene::new("").key("bob", "other", "");
    let own = simple(&provider.url(), "", "");
    let file = format!("server.listen = \"127.0.0.1:0\"\nserver.admin = \"{admin}\"\n{own}");
    scene.write("gateway.toml", &file);
    let theirs = running.scene.path("keys.toml").display().to_string();

    let listed = keygate_for(&scene, &["keys", "list"]);
    let printed = text(&listed.stderr);
    let expected = format!("Not served by the gateway at {admin}: that one reads {theirs}");
    assert!(
        listed.status.success() && printed.contains(&expected),
        "{printed}"
    );
    let json = keygate_for(&scene, &["keys", "list", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        (&json["served"]["current"], &json["served"]["reads"]),
        (&false.into(), &theirs.as_str().into())
    );

    let doctor = keygate_for(&scene, &["doctor"]);
    let printed = text(&doctor.stdout);
    let line = printed.lines().find(|line| line.contains("server.admin"));
    let line = line.unwrap_or_else(|| panic!("{printed}"));
    assert!(
        line.starts_with("FAIL  server.admin") && line.contains(&theirs),
        "{printed}"
    );
    assert_eq!(doctor.status.code(), Some(1));
    for command in ["reload", "upgrade"] {
        let output = keygate_for(&scene, &[command]);
        let printed = text(&output.stderr);
        assert!(
            printed.contains("has another configuration") && printed.contains(&theirs),
            "{printed}"
        );
    }
    running.signal("INT");
    running.end();
}

#[test]
fn the_doctor_prints_columns_of_ok_warn_and_fail() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let scene = Scene::new("").key("alice", "secret", "");
    let rest = simple(&format!("http://{taken}"), "", "");
    let file = format!("server.listen = \"{taken}\"\nserver.admin = \"127.0.0.1:0\"\n{rest}");
    scene.write("gateway.toml", &file);
    let doctor = keygate_for(&scene, &["doctor"]);
    let printed = text(&doctor.stdout);
    let starts = |word: &str| printed.lines().any(|line| line.starts_with(word));
    assert!(
        starts("ok    key file") && starts("FAIL  server.listen"),
        "{printed}"
    );
    for line in printed.lines() {
        let words = ["ok    ", "warn  ", "FAIL  ", "      "];
        assert!(words.iter().any(|word| line.starts_with(word)), "{printed}");
    }
    // Findings and the remedies below them are in one column.
    let column = |part: &str| printed.lines().find_map(|line| line.find(part));
    assert_eq!(
        column("-> something else listens"),
        column(&taken.to_string()),
        "{printed}"
    );
    assert!(text(&doctor.stderr).contains("see FAIL above"));
}

#[test]
fn the_doctor_names_a_ledger_that_cannot_be_written_before_the_start() {
    let provider = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", provider.local_addr().unwrap());
    let doctor = |store: &str| {
        let rest = format!("{}[ledger]\nstore = \"{store}\"\n", simple(&url, "", ""));
        let scene = Scene::with_server("", &rest).key("alice", "secret", "");
        scene.write("taken.db", "not a database");
        let output = keygate_for(&scene, &["doctor"]);
        (output.status.success(), text(&output.stdout).to_owned())
    };
    let (good, printed) = doctor("ledger.db");
    assert!(
        good && printed.contains("ledger.db can be written"),
        "{printed}"
    );
    for (store, expected) in [
        (
            "missing/ledger.db",
            "-> install -d -o keygate -g keygate -m 0700 ",
        ),
        (
            "taken.db",
            "-> give ledger.store the path of a file of its own",
        ),
    ] {
        let (good, printed) = doctor(store);
        assert!(!good && printed.contains("FAIL  ledger"), "{printed}");
        assert!(printed.contains(expected), "{printed}");
    }
}

#[test]
fn a_change_of_the_ledger_waits_for_the_next_start_and_the_log_says_so() {
    let provider = Provider::start();
    let scene = Scene::new(&simple(&provider.url(), "", "")).key("alice", "secret", "");
    let process = Process::start(scene);
    let path = process.scene.path("gateway.toml");
    let before = std::fs::read_to_string(path).unwrap();
    let after = format!("{before}\n[ledger]\nstore = \"ledger.db\"\n");
    process.scene.write("gateway.toml", &after);
    eventually("the warning", || {
        let expected = "[ledger] has changes that take effect at the next start";
        process.log().contains(expected)
    });
    process.signal("INT");
    process.end();
}
