//! The commands: creating a key, usage errors, `status`, `demo` and probes.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use crate::support::command::{keygate, text};
use crate::support::gateway::simple;
use crate::support::{Client, Gateway, Provider, Scene, admin_request, process};

#[test]
fn a_created_key_is_listed_and_valid() {
    let provider = Provider::start();
    let scene = Scene::new(&simple(&provider.url(), "", "keys = { team = \"search\" }"));
    std::fs::remove_file(scene.path("keys.toml")).unwrap();
    let config = scene.path("gateway.toml").display().to_string();
    // Without a key file, `check` fails and prints the next command.
    let check = keygate(&["check", "--config", &config]);
    assert_eq!(check.status.code(), Some(78));
    assert!(text(&check.stderr).contains("keygate keys create"));

    let create = [
        "keys",
        "create",
        "--config",
        &config,
        "--id",
        "alice",
        "--label",
        "team=search",
        "--expires",
        "30d",
        "--metadata",
        "tier=inline:gold",
        "--comment",
        "for tests",
    ];
    let made = keygate(&create);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let key = text(&made.stdout).trim().to_owned();
    assert!(key.starts_with("kg_alice_"), "{key}");
    let file = std::fs::read_to_string(scene.path("keys.toml")).unwrap();
    assert!(!file.contains(&key) && file.contains("sha256:"));
    let again = keygate(&create);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("there is a key `alice` already"));

    let listed = keygate(&["keys", "list", "--config", &config]);
    let listed = text(&listed.stdout);
    assert!(
        listed.contains("alice") && listed.contains("valid") && listed.contains("team=search"),
        "{listed}"
    );
    let json = keygate(&["keys", "list", "--config", &config, "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        (&json["keys"][0]["id"], &json["keys"][0]["state"]),
        (&"alice".into(), &"valid".into())
    );
    assert!(!json.to_string().contains("gold"));

    let check = keygate(&["check", "--config", &config]);
    assert!(check.status.success(), "{}", text(&check.stderr));
    assert!(text(&check.stdout).contains("ok: 1 route, 1 provider, 1 key"));
    let gateway = scene.start();
    assert_eq!(
        gateway
            .get("/p", &[("authorization", &format!("Bearer {key}"))])
            .status,
        200
    );

    // A key that is created while the gateway runs is served within about a second.
    let second = keygate(&[
        "keys",
        "create",
        "--config",
        &config,
        "--id",
        "bob",
        "--label",
        "team=search",
        "--json",
    ]);
    let second: serde_json::Value = serde_json::from_slice(&second.stdout).unwrap();
    gateway.wait_for_generation(2);
    assert_eq!(
        gateway
            .get("/p", &[("api-key", second["key"].as_str().unwrap())])
            .status,
        200
    );
}

#[test]
fn a_usage_error_exits_with_64_and_an_explanation() {
    for (arguments, why) in [
        (
            &["keys", "create", "--id", "sp ace", "--file", "k"][..],
            "--id must have",
        ),
        (
            &[
                "keys",
                "create",
                "--id",
                "a",
                "--file",
                "k",
                "--expires",
                "2020-01-01T00:00:00Z",
            ],
            "in the past",
        ),
        (
            &[
                "keys",
                "create",
                "--id",
                "a",
                "--file",
                "k",
                "--expires",
                "soon",
            ],
            "a time from now",
        ),
        (
            &["keys", "create", "--id", "a", "--file", "k", "--label", "x"],
            "NAME=VALUE",
        ),
        (
            &[
                "keys",
                "create",
                "--id",
                "a",
                "--file",
                "k",
                "--metadata",
                "t=hf_pasted",
            ],
            "bare string",
        ),
        (&["demo", "--listen", "0.0.0.0:80"], "loopback"),
        (&["serve"], "unrecognized"),
    ] {
        let output = keygate(arguments);
        assert_eq!(
            output.status.code(),
            Some(64),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
        assert!(
            text(&output.stderr).contains(why),
            "{}",
            text(&output.stderr)
        );
        assert!(!text(&output.stderr).contains("hf_pasted"));
    }
    assert!(keygate(&["--help"]).status.success());
    for shell in ["bash", "zsh", "fish"] {
        let script = keygate(&["completion", shell]);
        assert!(
            script.status.success() && text(&script.stdout).contains("rotate"),
            "{shell}"
        );
    }
    let page = keygate(&["man"]);
    for shown in [
        ".TH keygate 1",
        ".SS \"keygate keys rotate\"",
        "overlap",
        "Example: keygate keys rotate",
    ] {
        assert!(text(&page.stdout).contains(shown), "{shown}");
    }
    let version = keygate(&["--version"]);
    assert!(text(&version.stdout).starts_with("keygate "));
    assert_eq!(keygate(&["version"]).stdout, version.stdout);
}

#[test]
fn a_failure_is_printed_with_the_name_of_the_program() {
    // A failed step, with its cause, and a failure without one.
    for (arguments, why) in [
        (&["usage", "/nowhere/access.log"][..], "cannot read "),
        (
            &["keys", "show", "alice", "--file", "/nowhere/keys.toml"],
            "/nowhere/keys.toml",
        ),
    ] {
        let failed = keygate(arguments);
        let printed = text(&failed.stderr);
        assert!(printed.starts_with(&format!("keygate: {why}")), "{printed}");
    }
}

#[test]
fn a_wrong_command_line_gets_a_tip() {
    let run = |arguments: &[&str]| {
        let output = process::keygate()
            .args(arguments)
            .env("COLUMNS", "80")
            .output()
            .unwrap();
        let printed = format!("{}{}", text(&output.stdout), text(&output.stderr));
        (printed, output.status.code())
    };
    for (arguments, tip) in [
        (&["check", "lab.toml"][..], "'--config lab.toml'"),
        (&["run", "a/gateway.toml"], "'--config a/gateway.toml'"),
        (&["stauts"], "'status'"),
        (&["explain", "/openai", "POST"], "the method comes first"),
        (&["keys", "create"], "--id <ID>"),
    ] {
        let (printed, code) = run(arguments);
        assert!(
            printed.contains(tip) && code == Some(64),
            "{arguments:?}: {printed}"
        );
    }
    for arguments in [
        &["--help"][..],
        &["keys", "create", "--help"],
        &["usage", "-h"],
    ] {
        let (printed, code) = run(arguments);
        let is_pasted = |line: &str| line.contains("keygate ");
        let wide = printed
            .lines()
            .find(|line| line.len() > 80 && !is_pasted(line));
        assert_eq!((wide, code), (None, Some(0)));
    }
}

#[test]
fn status_watch_repeats_until_its_reader_closes_the_pipe() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    let admin = gateway.running.admin().to_string();
    let mut child = Command::new(env!("CARGO_BIN_EXE_keygate"))
        .args(["status", "--watch", "--admin", &admin])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut heads = 0;
    while heads < 2 {
        let line = lines.next().unwrap().unwrap();
        heads += usize::from(line.starts_with("keygate ") && line.contains(", ready, up "));
    }
    drop(lines);
    assert!(child.wait().unwrap().success());
}

#[test]
fn status_shows_routes_and_fails_if_one_is_not_served() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    let admin = gateway.running.admin().to_string();
    let status = keygate(&["status", "--admin", &admin]);
    assert!(status.status.success(), "{}", text(&status.stderr));
    assert!(
        text(&status.stdout)
            .contains("route    r                Accepted  * /p -> p (any valid key)"),
        "{}",
        text(&status.stdout)
    );
    let json = keygate(&["status", "--admin", &admin, "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["ready"], true);

    let rest =
        simple(&provider.url(), "", "").replace("inline:provider-token", "env:KEYGATE_NO_SUCH");
    gateway.scene.configure("", &rest);
    gateway.wait_for_generation(2);
    let status = keygate(&["status", "--admin", &admin]);
    assert_eq!(status.status.code(), Some(1));
    assert!(text(&status.stdout).contains("Rejected"));
    assert!(text(&status.stdout).contains("environment variable KEYGATE_NO_SUCH is not set"));
    let nobody = keygate(&["status", "--admin", "127.0.0.1:1"]);
    assert_eq!(nobody.status.code(), Some(1));
}

#[test]
fn the_demo_serves_the_commands_that_it_prints() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_keygate"))
        .args([
            "demo",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--pace",
            "0s",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut printed = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    while !printed.contains("Ctrl-C") {
        assert!(
            stdout.read_line(&mut printed).unwrap() > 0,
            "the demo ended: {printed}"
        );
    }
    let word_after = |marker: &str| {
        let (_, rest) = printed.split_once(marker).unwrap();
        rest.split([' ', '\n', ',', '/']).next().unwrap().to_owned()
    };
    let gateway: SocketAddr = word_after("serving on http://").parse().unwrap();
    let admin: SocketAddr = word_after("counted:  curl -s http://").parse().unwrap();
    let key = word_after("export KEY=");
    let bearer = format!("Bearer {key}");

    let body = br#"{"model":"sandbox-1","messages":[{"role":"user","content":"Say hello"}]}"#;
    let response =
        Client::connect(gateway).request("POST", "/openai", &[("authorization", &bearer)], body);
    let content = response.json()["choices"][0]["message"]["content"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        content.contains("Bearer provider-token-") && content.contains("Say hello"),
        "{content}"
    );
    assert!(!content.contains(&key));
    let stream = br#"{"stream":true,"messages":[{"role":"user","content":"Say hello"}]}"#;
    let path = "/openai/v1/chat/completions";
    let response = Client::connect(gateway).request("POST", path, &[("api-key", &key)], stream);
    assert!(
        response.text().starts_with("data: {") && response.text().ends_with("data: [DONE]\n\n")
    );
    assert_eq!(
        Client::connect(gateway)
            .request("POST", "/openai", &[], body)
            .status,
        401
    );
    let metrics = admin_request(admin, "GET", "/metrics");
    assert!(
        metrics
            .text()
            .contains("keygate_requests_total{code=\"200\"")
    );
    Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_probe_reports_whether_tokens_work_and_only_on_request() {
    let provider = Provider::responding(|request, wire| {
        let good = request.header("authorization") == Some("Bearer good");
        let status = if good { "200 OK" } else { "401 Unauthorized" };
        crate::support::provider::respond(wire, status, &[], b"{\"error\": \"no\"}");
    });
    let one = |name: &str, kind: &str, token: &str| {
        format!(
            "[providers.{name}]\nkind = \"{kind}\"\nbase_url = \"{}/v1\"\ntoken = \"{token}\"\n\
             [[routes]]\nname = \"{name}\"\npath = \"/{name}\"\nprovider = \"{name}\"\n",
            provider.url()
        )
    };
    let good = one("good", "openai", "inline:good");
    let others = one("own", "openai", "key:t") + &one("open", "huggingface", "inline:good");
    let gateway = Scene::new(&(good.clone() + &others))
        .key("alice", "secret", "")
        .start();
    let admin = gateway.running.admin().to_string();
    let status = keygate(&["status", "--admin", &admin]);
    assert!(status.status.success(), "{}", text(&status.stderr));
    assert!(provider.received().is_empty());
    let probed = keygate(&["status", "--admin", &admin, "--probe"]);
    let printed = text(&probed.stdout);
    assert!(probed.status.success(), "{printed}");
    assert!(
        printed.contains("its token works: GET /v1/models was answered with 200"),
        "{printed}"
    );
    assert!(
        printed.contains("not known: not probed: it has no token of its own"),
        "{printed}"
    );
    assert!(
        printed.contains("not known: not probed: its API has nothing"),
        "{printed}"
    );
    assert_eq!(provider.only().line(), "GET /v1/models HTTP/1.1");
    // A page in a browser cannot start a probe.
    let response = admin_request(gateway.running.admin(), "GET", "/probe");
    assert_eq!(response.status, 404);
    assert_eq!(provider.received().len(), 1);

    // A custom provider gets a request without a token first: if it responds to that, the token was not tested.
    let gateway = Scene::new(&one("custom", "custom", "inline:good"))
        .key("alice", "secret", "")
        .start();
    let admin = gateway.running.admin().to_string();
    let probed = keygate(&["status", "--admin", &admin, "--probe"]);
    assert!(text(&probed.stdout).contains("its token works"));
    let requested: Vec<_> = provider.received()[1..]
        .iter()
        .map(|request| request.header("authorization").map(str::to_owned))
        .collect();
    assert_eq!(requested, [None, Some("Bearer good".to_owned())]);
    let anyone = Provider::start();
    let open = format!(
        "[providers.p]\nkind = \"custom\"\nbase_url = \"{}/v1\"\ntoken = \"inline:t\"\n\
         [[routes]]\nname = \"p\"\npath = \"/p\"\nprovider = \"p\"\n",
        anyone.url()
    );
    let gateway = Scene::new(&open).key("alice", "secret", "").start();
    let admin = gateway.running.admin().to_string();
    let probed = keygate(&["status", "--admin", &admin, "--probe"]);
    assert!(text(&probed.stdout).contains("is answered without a token, too"));
    assert_eq!(anyone.only().count("authorization"), 0);

    let gateway = Scene::new(&(good + &one("bad", "openai", "inline:bad")))
        .key("alice", "secret", "")
        .start();
    let admin = gateway.running.admin().to_string();
    let probed = keygate(&["status", "--admin", &admin, "--probe", "--json"]);
    assert_eq!(probed.status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_slice(&probed.stdout).unwrap();
    let (good, bad) = (&json["providers"][0], &json["providers"][1]);
    assert_eq!(
        (&good["state"], &good["probe"]["works"]),
        (&"Accepted".into(), &true.into())
    );
    assert_eq!(
        (&bad["state"], &bad["probe"]["works"]),
        (&"Rejected".into(), &false.into())
    );
    assert_eq!(json["routes"][1]["state"], "Rejected");
    assert!(!text(&probed.stdout).contains("Bearer"));
}
