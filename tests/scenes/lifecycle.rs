//! The start and the end of the process.

use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::gateway::simple;
use crate::support::process::{Process, keygate, open_stream};
use crate::support::provider::event_stream;
use crate::support::provider::respond;
use crate::support::{Client, PATIENCE, Provider, Scene, admin_request, eventually};

#[test]
fn sigterm_lets_an_open_stream_end_and_then_ends_at_once() {
    let (provider, events) = event_stream();
    let process = Process::start(Scene::before(&provider, "server.timeouts.drain = \"60s\""));
    let mut client = open_stream(process.listen, &events);
    let mut idle = Client::connect(process.listen);
    assert_eq!(idle.request("GET", "/nothing", &[], b"").status, 404);
    process.signal("TERM");
    let ready = || admin_request(process.admin, "GET", "/readyz").status;
    eventually("readiness fails", || ready() == 503);
    assert!(idle.is_closed(), "a connection without a request is closed");
    eventually("no new connection", || {
        std::net::TcpStream::connect(process.listen).is_err()
    });
    events.send("data: 2\n\n").unwrap();
    assert_eq!(client.chunk(), "data: 2\n\n");
    // The admin listener serves during the drain.
    let metrics = admin_request(process.admin, "GET", "/metrics");
    assert!(metrics.text().contains("keygate_inflight_requests 1"));
    assert_eq!(ready(), 503);
    events.send("end").unwrap();
    assert_eq!(client.try_chunk(), Some(None));
    let start = Instant::now();
    let (code, log) = process.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("drained"), "{log}");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn readiness_fails_for_the_shutdown_delay_before_the_listeners_close() {
    let provider = Provider::start();
    let server = "server.timeouts.shutdown_delay = \"1s\"\n";
    let process = Process::start(Scene::before(&provider, server));
    process.signal("TERM");
    let ready = || admin_request(process.admin, "GET", "/readyz").status;
    eventually("readiness fails", || ready() == 503);
    // New connections are still served.
    let response =
        Client::connect(process.listen).request("GET", "/p", &[("api-key", "secret")], b"");
    assert_eq!(response.status, 200);
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn an_idle_gateway_ends_at_once() {
    let provider = Provider::start();
    for signal in ["TERM", "INT"] {
        let process = Process::start(Scene::before(&provider, ""));
        let start = Instant::now();
        process.signal(signal);
        let (code, log) = process.end();
        assert_eq!(code, Some(0), "{signal}: {log}");
        assert!(!log.contains("WARN"), "{signal}: {log}");
        assert!(start.elapsed() < Duration::from_secs(5), "{signal}");
    }
}

#[test]
fn a_drain_ends_after_its_time_with_a_stream_still_open() {
    let (provider, events) = event_stream();
    let process = Process::start(Scene::before(
        &provider,
        "server.timeouts.drain = \"300ms\"",
    ));
    let mut client = open_stream(process.listen, &events);
    process.signal("TERM");
    let (code, log) = process.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("drain timed out"), "{log}");
    assert_eq!(
        client.try_chunk(),
        None,
        "an end that the provider did not send"
    );
}

#[test]
fn sigint_ends_with_a_stream_still_open() {
    let (provider, events) = event_stream();
    let process = Process::start(Scene::before(&provider, ""));
    let mut client = open_stream(process.listen, &events);
    process.signal("INT");
    assert_eq!(process.end().0, Some(0));
    assert_eq!(client.try_chunk(), None);
}

#[test]
fn sighup_reloads_and_does_not_kill() {
    let provider = Provider::start();
    let process = Process::start(Scene::before(&provider, ""));
    let generation = || {
        let status = admin_request(process.admin, "GET", "/status");
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
fn an_occupied_port_is_reported_and_exits_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let provider = Provider::start();
    let scene = Scene::before(&provider, "");
    for key in ["server.listen", "server.admin"] {
        let text = std::fs::read_to_string(scene.path("gateway.toml")).unwrap();
        let old = format!("{key} = \"127.0.0.1:0\"");
        scene.write(
            "gateway.toml",
            &text.replace(&old, &format!("{key} = \"{address}\"")),
        );
        let output = keygate()
            .args(["run", "--allow-root", "--config"])
            .arg(scene.path("gateway.toml"))
            .output()
            .unwrap();
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{log}");
        assert!(
            log.contains(&format!(
                "cannot listen on {address}: Address already in use"
            )),
            "{log}"
        );
        scene.write("gateway.toml", &text);
    }
}

#[test]
fn a_configuration_with_errors_is_not_served_and_exits_78() {
    let provider = Provider::start();
    let scene = Scene::before(&provider, "server.listne = \"127.0.0.1:0\"");
    for command in ["run", "check"] {
        let output = keygate()
            .args([command, "--config"])
            .env("KEYGATE_ALLOW_ROOT", "1")
            .arg(scene.path("gateway.toml"))
            .output()
            .unwrap();
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{log}");
        assert!(
            log.contains("unknown key `server.listne`: did you mean `listen`?"),
            "{log}"
        );
    }
}

#[test]
fn a_gateway_ends_even_if_nobody_reads_its_access_log() {
    let provider = Provider::start();
    let process = Process::start_with(Scene::before(&provider, ""), Stdio::piped());
    // The requests make more access lines than a pipe holds.
    let mut client = Client::connect(process.listen);
    for _ in 0..1000 {
        assert_eq!(client.request("GET", "/nothing", &[], b"").status, 404);
    }
    process.signal("TERM");
    let (code, log) = process.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("nobody reads the access log"), "{log}");
}

#[test]
fn a_head_that_arrives_too_slowly_is_cut() {
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
            assert!(start.elapsed() < PATIENCE, "the connection is still open");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(silent.is_closed());
        let response = gateway.get("/p", &[("api-key", "secret")]);
        assert_eq!(response.status, 200);
    }
}

#[test]
fn a_client_that_reads_nothing_of_its_response_is_cut_after_the_write_timeout() {
    let large = "x".repeat(1000);
    let names: Vec<String> = (0..12).map(|number| format!("x-large-{number}")).collect();
    let provider = Provider::responding(move |_, wire| {
        let headers = names.iter().map(|name| (&**name, &*large));
        respond(wire, "200 OK", &headers.collect::<Vec<_>>(), b"");
    });
    let rest = simple(&provider.url(), "", "");
    let server = "server.timeouts.client_write = \"300ms\"\n";
    let scene = Scene::with_server(server, &rest);
    let gateway = scene.key("alice", "secret", "").start();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut client = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(2048).unwrap();
        let stream = socket.connect(gateway.address()).await.unwrap();
        stream.into_std().unwrap()
    });
    client.set_nonblocking(false).unwrap();
    let open = || gateway.metric("keygate_connections") > 0.0;
    eventually("the connection", open);
    let done = "keygate_requests_total{code=\"200\",provider=\"p\",reason=\"\",route=\"r\"}";
    let mut responses: usize = 0;
    while client
        .write_all(b"HEAD /p HTTP/1.1\r\nhost: h\r\napi-key: secret\r\n\r\n")
        .is_ok()
    {
        eventually("the end of the response, or of the connection", || {
            gateway.count(done) > responses as u64 || !open()
        });
        if !open() {
            break;
        }
        responses += 1;
        assert!(responses < 20_000, "the system buffers every response");
    }
    // The exchange was kept until then, and is not counted as a failure of the provider.
    assert!(responses > 1);
    let lines = gateway.access_lines(responses + 1);
    let whole = lines[..responses]
        .iter()
        .filter(|line| line["reason"].is_null());
    assert_eq!((whole.count(), lines.len()), (responses, responses + 1));
    assert_eq!(lines[responses]["reason"], "client_closed");
}
