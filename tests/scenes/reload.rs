//! Reloads: changes of the configuration, of key files and of token files while the gateway serves.

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
fn a_revoked_key_is_refused_on_an_open_connection() {
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
fn a_changed_configuration_and_a_changed_token_file_take_effect() {
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
fn an_invalid_file_leaves_the_old_one_serving_and_is_in_the_status_and_the_metrics() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    let good = std::fs::read_to_string(gateway.scene.path("gateway.toml")).unwrap();
    for (file, bad, expected) in [
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
        assert!(error.contains(expected), "{error}");
        assert_eq!(gateway.count("keygate_config_last_reload_success"), 0);
        assert_eq!(gateway.get("/p", &KEY).status, 200);
        gateway.scene.write(file, &before);
        eventually("the corrected file", || refused()["ok"] == true);
        assert_eq!(gateway.count("keygate_config_last_reload_success"), 1);
    }
}

#[test]
fn a_provider_serves_once_its_missing_token_appears() {
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
    // A start would refuse this; a reload accepts it with a warning.
    let status = gateway.admin("/status").json();
    assert_eq!(status["last_reload"]["ok"], true);
    assert!(
        status["last_reload"]["warnings"]
            .to_string()
            .contains("no key satisfies")
    );
}

#[test]
fn a_running_stream_is_not_affected_by_a_reload() {
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
fn reloads_under_load_lose_no_request_and_serve_no_half_of_a_configuration() {
    let provider = Provider::responding(|request, wire| {
        // The response is the name in the token, which the client compares with its own.
        let name = request
            .header("authorization")
            .unwrap()
            .trim_start_matches("Bearer token-");
        crate::support::provider::ok(wire, name.as_bytes());
    });
    // Route, key and token change together: `/a` with key and token a, then `/b` with key and token b.
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
                let mut responses = 0;
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let response = client.request("GET", &path, &[("api-key", &key)], b"");
                    match response.status {
                        200 => assert_eq!(response.text(), name),
                        // The other configuration serves: it has no such route, or, between the two files of
                        // one change, no such key.
                        401 | 404 => {}
                        other => panic!("{other}: {}", response.text()),
                    }
                    responses += 1;
                }
                assert!(responses > 0);
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
fn an_invalid_token_does_not_keep_a_revoked_key_valid() {
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
fn a_file_that_keeps_changing_does_not_delay_the_reload_of_others() {
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

/// The status of the response to a request of alice.
fn status(process: &Process) -> u16 {
    Client::connect(process.listen)
        .request("POST", "/p", &KEY, b"{}")
        .status
}

#[test]
fn a_revocation_takes_effect_once_files_can_be_opened_again() {
    let provider = Provider::start();
    let process = Process::start(Scene::before(&provider, ""));
    assert_eq!(status(&process), 200);
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
    // The first try, and retries.
    eventually("four tries", || {
        let last = last_reload();
        if reloads.last() != Some(&last) {
            reloads.push(last);
        }
        reloads.len() == 5
    });
    process.open_files(before);
    eventually("the revocation", || status(&process) == 401);
    let log = process.log();
    assert_eq!(log.matches("Too many open files").count(), 1, "{log}");
    assert!(
        log.contains("it is tried again until it can be read"),
        "{log}"
    );
    process.signal("TERM");
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn a_token_that_cannot_be_read_keeps_its_old_value_and_is_read_later() {
    let provider = Provider::start();
    let scene = Scene::before(&provider, "");
    let rest = simple(&provider.url(), "", "").replace("inline:provider-token", "file:token");
    scene.write("token", "first\n");
    scene.configure("", &rest);
    let process = Process::start(scene);
    let mut client = Client::connect(process.listen);
    // Opens the connection to the provider that the next requests reuse.
    assert_eq!(client.request("POST", "/p", &KEY, b"{}").status, 200);
    let before = process.open_files(3);
    process.scene.write("token", "second\n");
    eventually("the failed reload", || {
        process.log().contains("REFUSED") || process.log().contains("configuration refused")
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
fn an_endless_file_or_a_fifo_is_refused_and_does_not_keep_a_revoked_key_valid() {
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
        for (make, expected) in bad {
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
            let last_reload = || gateway.admin("/status").json()["last_reload"].to_string();
            eventually("the refusal", || last_reload().contains(expected));
            assert!(last_reload().contains(file), "{}", last_reload());
            gateway
                .scene
                .write("keys.toml", &key_table("bob", "other", ""));
            eventually("the revocation", || gateway.get("/p", &KEY).status == 401);
        }
    }
}

#[test]
fn revocations_take_effect_beside_an_invalid_configuration_and_new_keys_do_not() {
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
    // An invalid key file revokes no key.
    gateway.scene.write("gateway.toml", &good);
    eventually("the corrected file", || status("other") == 200);
    gateway.scene.write("gateway.toml", "[server\n");
    eventually("the next refusal", refused);
    gateway.scene.write("keys.toml", "[[key]]\nid = \"bob\"\n");
    let at = || gateway.admin("/status").json()["last_reload"]["at"].to_string();
    let before = at();
    eventually("another try", || at() != before);
    assert_eq!(status("other"), 200);
}

#[test]
fn connections_leave_open_files_for_a_revocation() {
    let (provider, hold) = gated(|_, _| {});
    let scene = Scene::before(&provider, "server.h2c = true");
    let script = "ulimit -n 64; exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_keygate")]);
    let process = Process::start_as(scene, command.stdout(std::process::Stdio::null()));
    http2::run(async {
        let client = http2::connect(process.listen).await;
        let post = || {
            let mut client = client.clone();
            async move {
                let request = http::Request::post("http://gateway.test/p");
                let request = request.header("api-key", "secret");
                http2::send(&mut client, request).await.status()
            }
        };
        let mut requested = Vec::new();
        for _ in 0..60 {
            requested.push(tokio::spawn(post()));
        }
        let start = std::time::Instant::now();
        while !requested.iter().any(tokio::task::JoinHandle::is_finished) {
            assert!(start.elapsed() < PATIENCE, "no request has ended");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        // Further connections are closed at once, or wait.
        let connect = || std::net::TcpStream::connect(process.listen);
        let flood: Vec<_> = (0..100).map(|_| connect()).collect();
        let disabled = key_table("alice", "secret", "disabled = true");
        process.scene.write("keys.toml", &disabled);
        while post().await != 401 {
            assert!(start.elapsed() < PATIENCE, "the key is still accepted");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        drop((flood, hold));
    });
    let log = process.log();
    assert!(!log.contains("configuration refused"), "{log}");
    let status = process.status();
    assert_eq!(status["connections"]["at_most"], 10);
    let reason = status["connections"]["reason"].as_str().unwrap();
    assert!(
        reason.contains("the system allows 64 open files"),
        "{reason}"
    );
    assert!(log.contains(reason));
    process.signal("INT");
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn a_revocation_beside_an_invalid_configuration_is_retried() {
    let provider = Provider::start();
    let process = Process::start(Scene::before(&provider, ""));
    process.scene.write("gateway.toml", "[server\n");
    eventually("the refusal", || process.log().contains("not valid TOML"));
    assert_eq!(status(&process), 200);
    let before = process.open_files(3);
    let disabled = key_table("alice", "secret", "disabled = true");
    process.scene.write("keys.toml", &disabled);
    eventually("the failed reload", || {
        process.log().contains("Too many open files")
    });
    process.open_files(before);
    eventually("the revocation", || status(&process) == 401);
    process.signal("TERM");
    assert_eq!(process.end().0, Some(0));
}
