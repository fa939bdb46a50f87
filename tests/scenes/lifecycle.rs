//! The process: how it starts, and how it ends.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use crate::support::gateway::simple;
use crate::support::provider::{begin_events, chunk, end_chunks};
use crate::support::{Client, PATIENCE, Provider, Scene, eventually};

/// A gateway in a process of its own.
struct Process {
    child: Child,
    stderr: BufReader<ChildStderr>,
    listen: SocketAddr,
    admin: SocketAddr,
    _scene: Scene,
}

fn keygate() -> Command {
    Command::new(env!("CARGO_BIN_EXE_keygate"))
}

impl Process {
    fn start(scene: Scene) -> Self {
        Self::start_with(scene, Stdio::null())
    }

    fn start_with(scene: Scene, stdout: Stdio) -> Self {
        let config = scene.path("gateway.toml");
        let mut child = keygate()
            .args(["run", "--config"])
            .arg(config)
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("serving") {
            line.clear();
            assert!(
                stderr.read_line(&mut line).unwrap() > 0,
                "it ended: {:?}",
                child.wait()
            );
        }
        // serving listen=[127.0.0.1:1234] admin=127.0.0.1:1235 threads=2
        let field = |name: &str| {
            let (_, rest) = line.split_once(name).unwrap();
            let end = rest.find([']', ' ']).unwrap();
            rest[..end].trim_start_matches('[').parse().unwrap()
        };
        let (listen, admin) = (field("listen="), field("admin="));
        Self {
            child,
            stderr,
            listen,
            admin,
            _scene: scene,
        }
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([&format!("-{name}"), &id])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for its end, and gives the exit code and the rest of what it said.
    fn end(mut self) -> (Option<i32>, String) {
        let mut code = None;
        eventually("the end of the process", || {
            code = self.child.try_wait().unwrap().map(|status| status.code());
            code.is_some()
        });
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).unwrap();
        (code.flatten(), said)
    }
}

fn scene(provider: &Provider, server: &str) -> Scene {
    Scene::with_server(server, &simple(&provider.url(), "", "")).key("alice", "secret", "")
}

fn streaming() -> (Provider, Sender<&'static str>) {
    let (tell, told) = channel::<&'static str>();
    let told = Mutex::new(told);
    let provider = Provider::answering(move |_, wire| {
        begin_events(wire);
        while let Ok(event) = told.lock().unwrap().recv_timeout(PATIENCE) {
            if event == "end" {
                return end_chunks(wire);
            }
            chunk(wire, event.as_bytes());
        }
    });
    (provider, tell)
}

fn open_stream(to: SocketAddr, tell: &Sender<&'static str>) -> Client {
    let mut client = Client::connect(to);
    client.send("POST /p HTTP/1.1\r\nHost: a\r\napi-key: secret\r\nContent-Length: 2\r\n\r\n{}");
    assert!(client.read_head().starts_with("HTTP/1.1 200 "));
    tell.send("data: 1\n\n").unwrap();
    assert_eq!(client.chunk(), "data: 1\n\n");
    client
}

#[test]
fn sigterm_lets_an_open_stream_end_and_then_ends_at_once() {
    let (provider, tell) = streaming();
    let process = Process::start(scene(&provider, "server.timeouts.drain = \"60s\""));
    let mut client = open_stream(process.listen, &tell);
    let mut idle = Client::connect(process.listen);
    assert_eq!(idle.request("GET", "/nothing", &[], b"").status, 404);
    process.signal("TERM");
    let ready = || {
        Client::connect(process.admin)
            .request("GET", "/readyz", &[], b"")
            .status
    };
    eventually("it is not ready", || ready() == 503);
    assert!(idle.is_closed(), "a connection without a request is closed");
    eventually("no new connection", || {
        std::net::TcpStream::connect(process.listen).is_err()
    });
    tell.send("data: 2\n\n").unwrap();
    assert_eq!(client.chunk(), "data: 2\n\n");
    // The drain can be watched to its end.
    let metrics = Client::connect(process.admin).request("GET", "/metrics", &[], b"");
    assert!(metrics.text().contains("keygate_inflight_requests 1"));
    assert_eq!(ready(), 503);
    tell.send("end").unwrap();
    assert_eq!(client.try_chunk(), Some(None));
    let start = Instant::now();
    let (code, said) = process.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("drained"), "{said}");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn readiness_says_no_for_as_long_as_it_is_told_before_the_listeners_close() {
    let provider = Provider::start();
    let server = "server.timeouts.shutdown_delay = \"1s\"\n";
    let process = Process::start(scene(&provider, server));
    process.signal("TERM");
    let ready = || {
        Client::connect(process.admin)
            .request("GET", "/readyz", &[], b"")
            .status
    };
    eventually("it is not ready", || ready() == 503);
    // Whoever has not noticed yet is still served.
    let answer =
        Client::connect(process.listen).request("GET", "/p", &[("api-key", "secret")], b"");
    assert_eq!(answer.status, 200);
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn an_idle_gateway_ends_at_once() {
    let provider = Provider::start();
    for signal in ["TERM", "INT"] {
        let process = Process::start(scene(&provider, ""));
        let start = Instant::now();
        process.signal(signal);
        let (code, said) = process.end();
        assert_eq!(code, Some(0), "{signal}: {said}");
        assert!(start.elapsed() < Duration::from_secs(5), "{signal}");
    }
}

#[test]
fn a_drain_ends_after_its_time_with_a_stream_still_open() {
    let (provider, tell) = streaming();
    let process = Process::start(scene(&provider, "server.timeouts.drain = \"300ms\""));
    let mut client = open_stream(process.listen, &tell);
    process.signal("TERM");
    let (code, said) = process.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("drain timed out"), "{said}");
    assert_eq!(
        client.try_chunk(),
        None,
        "an end that the provider did not send"
    );
}

#[test]
fn sigint_ends_with_a_stream_still_open() {
    let (provider, tell) = streaming();
    let process = Process::start(scene(&provider, ""));
    let mut client = open_stream(process.listen, &tell);
    process.signal("INT");
    assert_eq!(process.end().0, Some(0));
    assert_eq!(client.try_chunk(), None);
}

#[test]
fn sighup_reloads_and_does_not_kill() {
    let provider = Provider::start();
    let process = Process::start(scene(&provider, ""));
    let generation = || {
        let status = Client::connect(process.admin).request("GET", "/status", &[], b"");
        status.json()["generation"].as_u64().unwrap()
    };
    for wanted in 2..5 {
        process.signal("HUP");
        eventually("the reload", || generation() == wanted);
    }
    process.signal("TERM");
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn an_occupied_port_is_said_and_exits_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let provider = Provider::start();
    let scene = scene(&provider, "");
    for key in ["server.listen", "server.admin"] {
        let text = std::fs::read_to_string(scene.path("gateway.toml")).unwrap();
        let old = format!("{key} = \"127.0.0.1:0\"");
        scene.write(
            "gateway.toml",
            &text.replace(&old, &format!("{key} = \"{address}\"")),
        );
        let output = keygate()
            .args(["run", "--config"])
            .arg(scene.path("gateway.toml"))
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains(&format!(
                "cannot listen on {address}: Address already in use"
            )),
            "{said}"
        );
        scene.write("gateway.toml", &text);
    }
}

#[test]
fn a_configuration_with_errors_is_not_served_and_exits_78() {
    let provider = Provider::start();
    let scene = scene(&provider, "server.listne = \"127.0.0.1:0\"");
    for command in ["run", "check"] {
        let output = keygate()
            .args([command, "--config"])
            .arg(scene.path("gateway.toml"))
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{said}");
        assert!(
            said.contains("unknown key `server.listne`: did you mean `listen`?"),
            "{said}"
        );
    }
}

#[test]
fn it_ends_though_nobody_reads_its_access_log() {
    let provider = Provider::start();
    let process = Process::start_with(scene(&provider, ""), Stdio::piped());
    // More lines than a pipe holds.
    let mut client = Client::connect(process.listen);
    for _ in 0..1000 {
        assert_eq!(client.request("GET", "/nothing", &[], b"").status, 404);
    }
    process.signal("TERM");
    let (code, said) = process.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("nobody reads the access log"), "{said}");
}

#[test]
fn a_head_that_comes_too_slowly_is_cut() {
    let provider = Provider::start();
    let server = "server.timeouts.client_head = \"300ms\"\nserver.timeouts.keepalive = \"300ms\"\n";
    for h2c in ["", "server.h2c = true\n"] {
        let rest = simple(&provider.url(), "", "");
        let scene = Scene::with_server(&format!("{server}{h2c}"), &rest);
        let gateway = scene.key("alice", "secret", "").start();
        let mut slow = gateway.client();
        let mut silent = gateway.client();
        let start = Instant::now();
        for byte in "GET /p HTTP/1.1\r\nx-drip: "
            .bytes()
            .chain(std::iter::repeat(b'x'))
        {
            if slow.try_send([byte]).is_err() {
                break;
            }
            assert!(start.elapsed() < PATIENCE, "it is still listening");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(silent.is_closed());
        let answer = gateway.get("/p", &[("api-key", "secret")]);
        assert_eq!(answer.status, 200);
    }
}
