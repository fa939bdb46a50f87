//! Keys that are created, changed and revoked while the gateway serves, and their metrics.

mod limits;
mod waiting;

use std::fs::OpenOptions;
use std::io::Write;
use std::process::Output;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use crate::support::client::raw_request;
use crate::support::command::{keygate, keygate_with, text};
use crate::support::gateway::{key_table, simple};
use crate::support::provider::{begin_events, chunk, end_chunks};
use crate::support::{Client, Gateway, KEY, PATIENCE, Provider, Scene, eventually, http2};

/// A running gateway, and `keygate keys ...` for it. The commands know the port of its admin listener.
struct Keys {
    gateway: Gateway,
    config: String,
}

impl Keys {
    fn before(provider: &Provider) -> Self {
        Self::with_server(provider, "")
    }

    fn with_server(provider: &Provider, server: &str) -> Self {
        let rest = simple(&provider.url(), "", "");
        let scene = Scene::with_server(server, &rest).key("first", "first-key", "");
        let gateway = scene.start();
        // The commands read the port of the admin listener from the configuration.
        let path = gateway.scene.path("gateway.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let admin = format!("server.admin = \"{}\"", gateway.running.admin());
        gateway.scene.write(
            "gateway.toml",
            &text.replace("server.admin = \"127.0.0.1:0\"", &admin),
        );
        gateway.wait_for_generation(2);
        Self {
            config: path.display().to_string(),
            gateway,
        }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut all = vec!["keys"];
        all.extend(arguments);
        all.extend(["--config", &self.config]);
        let output = keygate(&all);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
        output
    }

    /// Returns whether the gateway accepts a key.
    fn accepts(&self, key: &str) -> bool {
        match self.gateway.get("/p", &[("api-key", key)]).status {
            200 => true,
            401 => false,
            other => panic!("{other}"),
        }
    }
}

#[test]
fn imported_keys_are_added_all_or_none() {
    let provider = Provider::start();
    let keys = Keys::before(&provider);
    let import = |input: &str| {
        keygate_with(
            input,
            &[
                "keys",
                "import",
                "--label",
                "from=litellm",
                "--wait",
                "--config",
                &keys.config,
            ],
        )
    };
    let digest = keygate_with("sk-litellm-0123456789abcdef\n", &["keys", "hash"]);
    let digest = text(&digest.stdout).trim().to_owned();
    let hex = digest.trim_start_matches("sha256:");
    let taken = import(&format!(
        "bob,{hex}\n\n\"carol\",\"mysecretkey\"\ndave,{digest_of_x}\n",
        digest_of_x = "x".repeat(40)
    ));
    assert!(taken.status.success(), "{}", text(&taken.stderr));
    assert!(
        text(&taken.stderr).contains("warning: key `carol` is short"),
        "{}",
        text(&taken.stderr)
    );
    assert!(!text(&taken.stderr).contains("dave"));
    for key in [
        "sk-litellm-0123456789abcdef",
        "mysecretkey",
        &"x".repeat(40),
    ] {
        assert!(keys.accepts(key), "{key}");
    }
    let file = std::fs::read_to_string(keys.gateway.scene.path("keys.toml")).unwrap();
    assert!(!file.contains("mysecretkey") && file.contains("from = \"litellm\""));
    for (bad, why) in [
        (
            "eve,a-key-of-eve-that-is-long\nbob,another-key-of-bob-is-here\n",
            "there is a key `bob` already",
        ),
        (
            "eve,a-key-of-eve-that-is-long\nsp ace,secret-in-here\n",
            "line 2: an id has",
        ),
        (
            "secret-in-here\n",
            "line 1: expected ID,SHA256 or ID,KEY; nothing was taken",
        ),
        ("eve,\n", "line 1: there is no key"),
    ] {
        let refused = import(bad);
        assert_eq!(refused.status.code(), Some(1));
        assert!(
            text(&refused.stderr).contains(why),
            "{}",
            text(&refused.stderr)
        );
        assert!(!text(&refused.stderr).contains("secret-in-here"));
        assert_eq!(
            std::fs::read_to_string(keys.gateway.scene.path("keys.toml")).unwrap(),
            file
        );
    }
}

#[test]
fn a_secret_of_another_key_is_not_imported_and_revocations_still_work() {
    let provider = Provider::start();
    let keys = Keys::before(&provider);
    let file = || std::fs::read_to_string(keys.gateway.scene.path("keys.toml")).unwrap();
    let before = file();
    let import = ["keys", "import", "--config", &keys.config];
    for (input, why) in [
        (
            "bob,first-key\n",
            "keys `first` and `bob` have the same hash",
        ),
        (
            "bob,same-secret-0123456789\ncarl,same-secret-0123456789\n",
            "`bob` and `carl` have the same",
        ),
    ] {
        let refused = keygate_with(input, &import);
        let printed = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{printed}");
        assert!(
            printed.contains(why) && printed.contains("nothing was"),
            "{printed}"
        );
        assert_eq!(file(), before);
    }
    assert!(keys.accepts("first-key"));
    keys.run(&["disable", "first", "--wait"]);
    assert!(!keys.accepts("first-key"));
}

#[test]
fn an_edit_of_a_key_file_that_the_gateway_refuses_fails_with_the_line() {
    let scene = Scene::new("").key("alice", "secret", "colour = \"red\"");
    let path = scene.path("keys.toml");
    let before = std::fs::read_to_string(&path).unwrap();
    for edit in [
        &["disable", "alice"][..],
        &["enable", "alice"],
        &["rotate", "alice"],
        &["create", "--id", "bob"],
    ] {
        let file = ["--file", path.to_str().unwrap()];
        let refused = keygate(&[&["keys"], edit, &file].concat());
        let printed = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{printed}");
        assert!(printed.contains("unknown key `key[0].colour`"), "{printed}");
        assert!(printed.contains("line 4: "), "{printed}");
        assert!(refused.stdout.is_empty());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), before);
    }
}

#[test]
fn a_key_file_that_is_truncated_at_any_byte_is_refused_and_the_old_keys_stay_valid() {
    let provider = Provider::start();
    let gateway = Scene::new(&simple(&provider.url(), "", ""))
        .key("first", "first-key", "labels = { team = \"a\" }")
        .key(
            "closed",
            "closed-key",
            "comment = \"leaked\"\ndisabled = true",
        )
        .key("last", "last-key", "expires = 2100-01-01T00:00:00Z")
        .start();
    let path = gateway.scene.path("keys.toml");
    let whole = std::fs::read(&path).unwrap();
    let opens = |key: &str| gateway.get("/p", &[("api-key", key)]).status == 200;
    let reload = || {
        let before = gateway.running.live().last_reload().at;
        gateway.running.reload();
        eventually("the reload", || {
            gateway.running.live().last_reload().at != before
        });
        gateway.running.live().last_reload().error
    };
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    for length in (0..whole.len()).rev() {
        file.set_len(length as u64).unwrap();
        assert!(reload().is_some(), "accepted when cut at {length}");
        assert!(opens("first-key") && opens("last-key") && !opens("closed-key"));
    }
    let refused = reload().unwrap();
    assert!(
        refused.contains("looks cut off") && refused.contains("(0 of 3 keys)"),
        "{refused}"
    );
    // The complete file is served again, and so is a shorter one that replaces it.
    (&file).write_all(&whole).unwrap();
    assert_eq!(reload(), None);
    gateway
        .scene
        .write("keys.toml", &key_table("first", "first-key", ""));
    assert_eq!(reload(), None);
    assert!(opens("first-key") && !opens("last-key"));
}

#[test]
fn a_thousand_open_connections_are_refused_within_a_second_of_the_command() {
    const OF_EACH: usize = 500;
    let provider = Provider::start();
    let keys = Keys::with_server(&provider, "server.h2c = true");
    let mut clients: Vec<Client> = (0..OF_EACH).map(|_| keys.gateway.client()).collect();
    let key = [("api-key", "first-key")];
    http2::run(async {
        let get = async |client: &mut h2::client::SendRequest<bytes::Bytes>| {
            let request = http::Request::get("http://a/p").header("api-key", "first-key");
            http2::send(client, request).await.status().as_u16()
        };
        let mut newer = Vec::with_capacity(OF_EACH);
        for client in &mut clients {
            assert_eq!(client.request("GET", "/p", &key, b"").status, 200);
            newer.push(http2::connect(keys.gateway.address()).await);
        }
        for client in &mut newer {
            assert_eq!(get(client).await, 200);
        }
        keys.run(&["disable", "first"]);
        // From here on, every connection must refuse the key within a second.
        tokio::time::sleep(Duration::from_secs(1)).await;
        for client in &mut clients {
            assert_eq!(client.request("GET", "/p", &key, b"").status, 401);
        }
        for client in &mut newer {
            assert_eq!(get(client).await, 401);
        }
    });
    assert_eq!(provider.received().len(), 2 * OF_EACH);
}

/// A gateway with a running stream, and a function that makes the provider end it.
fn with_running_stream(setting: &str) -> (Gateway, Client, impl Fn()) {
    let (finish, finished) = channel();
    let finished = Mutex::new(finished);
    let provider = Provider::responding(move |_, wire| {
        begin_events(wire);
        chunk(wire, b"data: 1\n\n");
        let _ = finished.lock().unwrap().recv_timeout(PATIENCE);
        end_chunks(wire);
    });
    let keys = format!("keys.revoked_streams = \"{setting}\"");
    let gateway = Scene::before(&provider, &keys).start();
    let request = raw_request("POST", "/p", &KEY, b"{}");
    let mut client = Client::open_response(gateway.address(), request);
    assert_eq!(client.chunk(), "data: 1\n\n");
    // The provider is kept until it has to end the stream.
    let end = move || {
        let _ = (&provider, finish.send(()));
    };
    (gateway, client, end)
}

#[test]
fn a_running_stream_of_a_revoked_key_finishes_if_configured() {
    let (gateway, mut client, end) = with_running_stream("finish");
    gateway.scene.write("keys.toml", "");
    gateway.wait_for_generation(2);
    assert_eq!(gateway.get("/p", &KEY).status, 401);
    end();
    assert_eq!(client.try_chunk(), Some(None));
}

#[test]
fn a_running_stream_of_a_revoked_key_is_cut_if_configured() {
    for change in [
        String::new(),
        key_table("alice", "secret", "disabled = true"),
        key_table("alice", "new-secret", ""),
        key_table("alice", "secret", "expires = 2020-01-01T00:00:00Z"),
    ] {
        let (gateway, mut client, _end) = with_running_stream("cut");
        // A reload that does not concern the key does not affect the stream.
        let other = key_table("alice", "secret", "labels = { team = \"b\" }");
        gateway.scene.write("keys.toml", &other);
        gateway.wait_for_generation(2);
        gateway.scene.write("keys.toml", &change);
        let since = Instant::now();
        assert_eq!(client.try_chunk(), None, "not cut: {change}");
        assert!(since.elapsed() < Duration::from_secs(5));
        let line = &gateway.access_lines(1)[0];
        assert_eq!(line["reason"], "key_revoked", "{line}");
        assert_eq!(
            (&line["status"], &line["aborted"]),
            (&200.into(), &false.into())
        );
    }
}

#[test]
fn a_running_stream_is_cut_when_its_key_expires() {
    let (gateway, mut client, _end) = with_running_stream("cut");
    let soon = jiff::Timestamp::now() + Duration::from_millis(1500);
    let table = key_table("alice", "secret", &format!("expires = {soon}"));
    gateway.scene.write("keys.toml", &table);
    assert_eq!(client.try_chunk(), None);
    assert!(jiff::Timestamp::now() >= soon);
}

#[test]
fn unknown_keys_make_no_metric_series_and_keys_above_the_limit_share_one() {
    let provider = Provider::start();
    let mut scene = Scene::with_server("keys.metric_keys = 2", &simple(&provider.url(), "", ""));
    for i in 0..5 {
        let ends = "expires = 2100-01-01T00:00:00Z";
        scene = scene.key(&format!("k{i}"), &format!("secret-{i}"), ends);
    }
    let gateway = scene.start();
    let mut client = gateway.client();
    for i in 0..5 {
        let key = format!("secret-{i}");
        let response = client.request("GET", "/p", &[("api-key", &key)], b"");
        assert_eq!(response.status, 200);
    }
    let get = |client: &mut Client, key: &str| {
        let response = client.request("GET", "/p", &[("api-key", key)], b"");
        assert_eq!(response.status, 401);
    };
    get(&mut client, "unknown");
    get(&mut client, "kg_malformed");
    let series = |name: &str| {
        let text = gateway.admin("/metrics").text().to_owned();
        text.lines().filter(|line| line.starts_with(name)).count()
    };
    eventually("the failed key is counted", || {
        gateway.count("keygate_auth_failures_total{reason=\"malformed_key\"}") == 1
    });
    let before = series("");
    for i in 0..2_000 {
        get(&mut client, &format!("random-{i}-{}", i * 7919));
        get(&mut client, &format!("kg_random_{i}"));
    }
    assert_eq!(series(""), before);
    let of = |key: &str| {
        gateway.count(&format!(
            "keygate_key_requests_total{{code=\"200\",key=\"{key}\",route=\"r\"}}"
        ))
    };
    assert_eq!((of("k0"), of("k1"), of("k2"), of("(other)")), (1, 1, 0, 3));
    assert_eq!(series("keygate_key_expiry_timestamp_seconds{"), 2);
    // The metrics of a key disappear with the key.
    gateway
        .scene
        .write("keys.toml", &key_table("k1", "secret-1", ""));
    gateway.wait_for_generation(2);
    assert_eq!((of("k0"), of("k1")), (0, 1));
    assert_eq!(series("keygate_key_expiry_timestamp_seconds{"), 0);
}
