//! What serves can be swapped while it serves.

use std::os::unix::fs::symlink;
use std::process::Command;

use crate::support::gateway::{key_table, simple};
use crate::support::http2;
use crate::support::process::{self, Process};
use crate::support::provider::{event_stream, gated};
use crate::support::{Client, Gateway, KEY, PATIENCE, Provider, Scene, eventually};

/// A gateway whose provider token is in the file `token`, and its configuration.
fn with_token_file(provider: &Provider, token: &str) -> (Gateway, String) {
    let rest = simple(&provider.url(), "", "").replace("inline:provider-token", "file:token");
    let scene = Scene::new("").key("alice", "secret", "");
    scene.write("token", token);
    scene.configure("", &rest);
    (scene.start(), rest)
}

#[test]
fn revoked_key_is_refused_on_an_open_connection() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    let mut client = gateway.client();
    assert_eq!(client.request("GET", "/p", &KEY, b"").status, 200);
    gateway.scene.write(
        "keys.toml",
        &key_table("alice", "secret", "disabled = true"),
    );
    gateway.wait_for_generation(2);
    let refused = client.request("GET", "/p", &KEY, b"");
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (401, "invalid_api_key")
    );
    gateway
        .scene
        .write("keys.toml", &key_table("bob", "new-secret", ""));
    gateway.wait_for_generation(3);
    assert_eq!(client.request("GET", "/p", &KEY, b"").status, 401);
    assert_eq!(
        client
            .request("GET", "/p", &[("api-key", "new-secret")], b"")
            .status,
        200
    );
}

#[test]
fn a_changed_configuration_and_a_changed_token_file_are_taken_over() {
    let provider = Provider::start();
    let (gateway, rest) = with_token_file(&provider, "first\n");
    assert_eq!(gateway.get("/p", &KEY).status, 200);
    assert_eq!(
        provider.last().header("authorization"),
        Some("Bearer first")
    );

    gateway.scene.write("token", "second\n");
    gateway.wait_for_generation(2);
    assert_eq!(gateway.get("/p", &KEY).status, 200);
    assert_eq!(
        provider.last().header("authorization"),
        Some("Bearer second")
    );

    gateway
        .scene
        .configure("", &rest.replace("path = \"/p\"", "path = \"/q\""));
    gateway.wait_for_generation(3);
    assert_eq!(gateway.get("/p", &KEY).status, 404);
    assert_eq!(gateway.get("/q", &KEY).status, 200);
    assert_eq!(gateway.count("keygate_config_generation"), 3);
}

#[test]
fn a_bad_file_leaves_the_old_one_serving_and_says_so_everywhere() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    let good = std::fs::read_to_string(gateway.scene.path("gateway.toml")).unwrap();
    for (file, bad, complaint) in [
        (
            "gateway.toml",
            "[server\n",
            "gateway.toml:1: not valid TOML",
        ),
        (
            "gateway.toml",
            &good.replace("\"p\"\n", "\"nowhere\"\n"),
            "there is no provider `nowhere`",
        ),
        (
            "keys.toml",
            "[[key]]\nid = \"a\"\n",
            "keys.toml:1: key[0].hashes is missing",
        ),
    ] {
        let before = std::fs::read_to_string(gateway.scene.path(file)).unwrap();
        gateway.scene.write(file, bad);
        let refused = || gateway.admin("/status").json()["last_reload"].clone();
        eventually("the refusal", || refused()["ok"] == false);
        let error = refused()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(complaint), "{error}");
        assert_eq!(gateway.count("keygate_config_last_reload_success"), 0);
        assert_eq!(gateway.get("/p", &KEY).status, 200);
        gateway.scene.write(file, &before);
        eventually("the cure", || refused()["ok"] == true);
        assert_eq!(gateway.count("keygate_config_last_reload_success"), 1);
    }
}

#[test]
fn a_missing_token_that_appears_brings_its_provider_back() {
    let provider = Provider::start();
    let rest = simple(&provider.url(), "", "").replace("inline:provider-token", "file:late");
    let gateway = Scene::new(&rest).key("alice", "secret", "").start();
    assert_eq!(gateway.get("/p", &KEY).status, 503);
    gateway.scene.write("late", "there\n");
    gateway.wait_for_generation(2);
    assert_eq!(gateway.get("/p", &KEY).status, 200);
    assert_eq!(
        gateway.admin("/status").json()["providers"][0]["state"],
        "Accepted"
    );
}

#[test]
fn revoking_the_last_key_of_a_selector_takes_effect() {
    let provider = Provider::start();
    let gateway = Scene::new(&simple(&provider.url(), "", "keys = { team = \"a\" }"))
        .key("alice", "secret", "labels = { team = \"a\" }")
        .start();
    assert_eq!(gateway.get("/p", &KEY).status, 200);
    gateway.scene.write("keys.toml", "");
    gateway.wait_for_generation(2);
    assert_eq!(gateway.get("/p", &KEY).status, 401);
    // A start would refuse this; a running gateway says it and goes on.
    let status = gateway.admin("/status").json();
    assert_eq!(status["last_reload"]["ok"], true);
    assert!(
        status["last_reload"]["warnings"]
            .to_string()
            .contains("no key satisfies")
    );
}

#[test]
fn a_stream_ends_with_the_snapshot_it_began_with() {
    let (provider, events) = event_stream();
    let gateway = Gateway::before(&provider);
    let mut client = process::open_stream(gateway.address(), &events);
    // The next configuration has neither its key, nor its route, nor its provider.
    gateway.scene.write("keys.toml", "");
    gateway.scene.configure("", "");
    gateway.wait_for_generation(2);
    eventually("the route is gone", || {
        gateway.get("/p", &KEY).status == 404
    });
    events.send("data: 2\n\n").unwrap();
    assert_eq!(client.chunk(), "data: 2\n\n");
    events.send("end").unwrap();
    assert_eq!(client.try_chunk(), Some(None));
}

#[test]
fn a_reload_on_request_happens_at_once_and_counters_survive_it() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    let series = "keygate_requests_total{code=\"200\",provider=\"p\",reason=\"\",route=\"r\"}";
    for generation in 2..12 {
        assert_eq!(gateway.get("/p", &KEY).status, 200);
        gateway.running.reload();
        gateway.wait_for_generation(generation);
    }
    eventually("ten requests", || gateway.count(series) == 10);
}

#[test]
fn swaps_under_load_lose_no_request_and_show_no_half_of_a_configuration() {
    let provider = Provider::answering(|request, wire| {
        // What the client says it expects, and what it got.
        let got = request
            .header("authorization")
            .unwrap()
            .trim_start_matches("Bearer token-");
        crate::support::provider::ok(wire, got.as_bytes());
    });
    // Route, key and token change together: /a with key a and token a, then /b with b and b.
    let files = |name: &str| {
        let rest = simple(&provider.url(), "", "")
            .replace("\"/p\"", &format!("\"/{name}\""))
            .replace("provider-token", &format!("token-{name}"));
        (rest, key_table(name, &format!("key-{name}"), ""))
    };
    let gateway = Scene::new(&files("a").0).key("a", "key-a", "").start();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for name in ["a", "b", "a", "b"] {
            let (gateway, done) = (&gateway, &done);
            scope.spawn(move || {
                let (path, key) = (format!("/{name}"), format!("key-{name}"));
                let mut client = gateway.client();
                let mut answered = 0;
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let response = client.request("GET", &path, &[("api-key", &key)], b"");
                    match response.status {
                        200 => assert_eq!(response.text(), name),
                        // The other configuration serves: no such route, or (between two files of
                        // one change) no such key. Nothing in between.
                        401 | 404 => {}
                        other => panic!("{other}: {}", response.text()),
                    }
                    answered += 1;
                }
                assert!(answered > 0);
            });
        }
        for round in 0..200 {
            let (rest, keys) = files(if round % 2 == 0 { "b" } else { "a" });
            gateway.scene.write("keys.toml", &keys);
            gateway.scene.configure("", &rest);
            let before = gateway.running.live().snapshot().rules.generation;
            gateway.running.reload();
            gateway.wait_for_generation(before + 1);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(gateway.metric("keygate_config_generation") >= 200.0);
}

#[test]
fn a_spoiled_token_does_not_keep_a_revoked_key_open() {
    let provider = Provider::start();
    let (gateway, _) = with_token_file(&provider, "good\n");
    assert_eq!(gateway.get("/p", &KEY).status, 200);
    gateway.scene.write("token", "\n");
    gateway.wait_for_generation(2);
    assert_eq!(gateway.get("/p", &KEY).status, 503);
    let status = gateway.admin("/status").json();
    assert_eq!(status["providers"][0]["state"], "Rejected");
    gateway
        .scene
        .write("keys.toml", &key_table("bob", "other", ""));
    gateway.wait_for_generation(3);
    assert_eq!(gateway.get("/p", &KEY).status, 401);
}

#[test]
fn a_file_that_never_rests_does_not_hold_up_the_others() {
    let provider = Provider::start();
    let (gateway, _) = with_token_file(&provider, "good\n");
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                gateway.scene.write("token", "good\n");
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        });
        gateway.scene.write("keys.toml", "");
        eventually("the revocation", || gateway.get("/p", &KEY).status == 401);
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

/// How a request of alice's ends.
fn requested(process: &Process) -> u16 {
    Client::connect(process.listen)
        .request("POST", "/p", &KEY, b"{}")
        .status
}

#[test]
fn a_revocation_that_came_while_no_file_could_be_opened_is_taken_over_when_one_can() {
    let provider = Provider::start();
    let process = Process::start(process::scene(&provider, ""));
    assert_eq!(requested(&process), 200);
    let mut admin = Client::connect(process.admin);
    let mut last_reload = move || {
        let status = admin
            .request("GET", "/status", &[("host", "localhost")], b"")
            .json();
        status["last_reload"]["at"].as_str().unwrap().to_owned()
    };
    let mut reloads = vec![last_reload()];
    let before = process.open_files(3);
    let disabled = key_table("alice", "secret", "disabled = true");
    process.scene.write("keys.toml", &disabled);
    // The first try, and others.
    eventually("four tries", || {
        let last = last_reload();
        if reloads.last() != Some(&last) {
            reloads.push(last);
        }
        reloads.len() == 5
    });
    process.open_files(before);
    eventually("the revocation", || requested(&process) == 401);
    let said = process.said();
    assert_eq!(said.matches("Too many open files").count(), 1, "{said}");
    assert!(
        said.contains("it is tried again until it can be read"),
        "{said}"
    );
    process.signal("TERM");
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn a_token_that_cannot_be_read_for_a_moment_stays_the_one_of_before_and_is_read_later() {
    let provider = Provider::start();
    let scene = process::scene(&provider, "");
    let rest = simple(&provider.url(), "", "").replace("inline:provider-token", "file:token");
    scene.write("token", "first\n");
    scene.configure("", &rest);
    let process = Process::start(scene);
    let mut client = Client::connect(process.listen);
    // With a connection to the provider that is used again.
    assert_eq!(client.request("POST", "/p", &KEY, b"{}").status, 200);
    let before = process.open_files(3);
    process.scene.write("token", "second\n");
    eventually("the failed reload", || {
        process.said().contains("REFUSED") || process.said().contains("configuration refused")
    });
    assert_eq!(client.request("POST", "/p", &KEY, b"{}").status, 200);
    assert_eq!(
        provider.last().header("authorization"),
        Some("Bearer first")
    );
    process.open_files(before);
    eventually("the new token", || {
        assert_eq!(client.request("POST", "/p", &KEY, b"{}").status, 200);
        provider.last().header("authorization") == Some("Bearer second")
    });
    process.signal("TERM");
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn a_file_without_an_end_or_a_writer_is_refused_and_does_not_keep_a_revoked_key_open() {
    type Make<'m> = &'m dyn Fn(&std::path::Path);
    let fifo = |at: &std::path::Path| {
        assert!(Command::new("mkfifo").arg(at).status().unwrap().success());
    };
    let zeros = |at: &std::path::Path| symlink("/dev/zero", at).unwrap();
    let sparse = |at: &std::path::Path| {
        std::fs::File::create(at).unwrap().set_len(2 << 30).unwrap();
    };
    let kind = "is not a regular file";
    let size = "is too large: 2147483648 bytes or more, of at most";
    let bad: [(Make<'_>, &str); 3] = [(&fifo, kind), (&zeros, kind), (&sparse, size)];
    for file in ["gateway.toml", "prices.toml", "ca.pem"] {
        for (make, complaint) in bad {
            let provider = Provider::start();
            let rest = simple(&provider.url(), "ca = \"ca.pem\"", "");
            let prices = "[usage]\nprices = \"prices.toml\"\n";
            let scene = Scene::new("").key("alice", "secret", "");
            scene.write("prices.toml", "");
            let authority = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
            scene.write("ca.pem", &authority.cert.pem());
            scene.configure("", &format!("{prices}{rest}"));
            let gateway = scene.start();
            assert_eq!(gateway.get("/p", &KEY).status, 200);
            let beside = gateway.scene.path("beside");
            make(&beside);
            std::fs::rename(&beside, gateway.scene.path(file)).unwrap();
            let told = || gateway.admin("/status").json()["last_reload"].to_string();
            eventually("the complaint", || told().contains(complaint));
            assert!(told().contains(file), "{}", told());
            gateway
                .scene
                .write("keys.toml", &key_table("bob", "other", ""));
            eventually("the revocation", || gateway.get("/p", &KEY).status == 401);
        }
    }
}

#[test]
fn what_the_key_file_revokes_is_revoked_though_the_rest_is_refused_and_what_it_adds_waits() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    let good = std::fs::read_to_string(gateway.scene.path("gateway.toml")).unwrap();
    let status = |key| gateway.get("/p", &[("api-key", key)]).status;
    gateway.scene.write("gateway.toml", "[server\n");
    let refused = || gateway.admin("/status").json()["last_reload"]["ok"] == false;
    eventually("the refusal", refused);
    assert_eq!(status("secret"), 200);
    let disabled = key_table("alice", "secret", "disabled = true");
    let both = disabled.clone() + &key_table("bob", "other", "");
    gateway.scene.write("keys.toml", &both);
    eventually("the revocation", || status("secret") == 401);
    assert_eq!(status("other"), 401);
    assert!(refused());
    // A file that is broken itself takes nothing away.
    gateway.scene.write("gateway.toml", &good);
    eventually("the cure", || status("other") == 200);
    gateway.scene.write("gateway.toml", "[server\n");
    eventually("the next refusal", refused);
    gateway.scene.write("keys.toml", "[[key]]\nid = \"bob\"\n");
    let at = || gateway.admin("/status").json()["last_reload"]["at"].to_string();
    let before = at();
    eventually("another try", || at() != before);
    assert_eq!(status("other"), 200);
}

#[test]
fn connections_and_what_they_ask_of_a_provider_leave_files_for_a_revocation() {
    let (provider, hold) = gated(|_, _| {});
    let scene = process::scene(&provider, "server.h2c = true");
    let script = "ulimit -n 64; exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_keygate")]);
    let process = Process::start_as(scene, command.stdout(std::process::Stdio::null()));
    http2::run(async {
        let client = http2::connect(process.listen).await;
        let ask = || {
            let client = client.clone();
            async move {
                let request = http::Request::post("http://gateway.test/p");
                let request = request.header("api-key", "secret").body(()).unwrap();
                let mut client = client.ready().await.unwrap();
                let (response, _) = client.send_request(request, true).unwrap();
                response.await.unwrap().status()
            }
        };
        let mut requested = Vec::new();
        for _ in 0..60 {
            requested.push(tokio::spawn(ask()));
        }
        let start = std::time::Instant::now();
        while !requested.iter().any(tokio::task::JoinHandle::is_finished) {
            assert!(start.elapsed() < PATIENCE, "there are files for all");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        // Whoever else comes is closed at once, or waits.
        let connect = || std::net::TcpStream::connect(process.listen);
        let flood: Vec<_> = (0..100).map(|_| connect()).collect();
        let disabled = key_table("alice", "secret", "disabled = true");
        process.scene.write("keys.toml", &disabled);
        while ask().await != 401 {
            assert!(start.elapsed() < PATIENCE, "alice still gets in");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        drop((flood, hold));
    });
    let said = process.said();
    assert!(!said.contains("configuration refused"), "{said}");
    let status = process.status();
    assert_eq!(status["connections"]["at_most"], 10);
    let reason = status["connections"]["reason"].as_str().unwrap();
    assert!(
        reason.contains("the system allows 64 open files"),
        "{reason}"
    );
    assert!(said.contains(reason));
    process.signal("INT");
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn a_revocation_beside_a_broken_configuration_is_tried_again_as_well() {
    let provider = Provider::start();
    let process = Process::start(process::scene(&provider, ""));
    process.scene.write("gateway.toml", "[server\n");
    eventually("the refusal", || process.said().contains("not valid TOML"));
    assert_eq!(requested(&process), 200);
    let before = process.open_files(3);
    let disabled = key_table("alice", "secret", "disabled = true");
    process.scene.write("keys.toml", &disabled);
    eventually("the failed reload", || {
        process.said().contains("Too many open files")
    });
    process.open_files(before);
    eventually("the revocation", || requested(&process) == 401);
    process.signal("TERM");
    assert_eq!(process.end().0, Some(0));
}
