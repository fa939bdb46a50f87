//! Bodies that are read whole before they go up: they arrive byte for byte, are dropped when the response begins, and
//! leave nothing behind, however the exchange ends.

mod tries;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConnection, StreamOwned};

use crate::support::client::raw_request;
use crate::support::gateway::simple;
use crate::support::http2::{self, Http2Provider};
use crate::support::provider::{chat, event_stream, gated, ok, respond};
use crate::support::tls::{Authority, client_config, scene};
use crate::support::{Client, Gateway, KEY, PATIENCE, Provider, Scene, bytes, eventually};

/// The longest body that is held, unless a setting says otherwise.
const LONGEST: usize = 1 << 20;

const SIZES: [usize; 14] = [
    1,
    (4 << 10) - 1,
    4 << 10,
    (4 << 10) + 1,
    16 << 10,
    (64 << 10) - 1,
    64 << 10,
    (64 << 10) + 1,
    (128 << 10) - 1,
    128 << 10,
    (128 << 10) + 1,
    LONGEST - 1,
    LONGEST,
    LONGEST + 1,
];

fn echo() -> Provider {
    Provider::responding(|request, wire| respond(wire, "200 OK", &[], &request.body))
}

/// The head of a request with a body of `length` bytes.
fn head(length: usize, more: &str) -> String {
    format!(
        "POST /p HTTP/1.1\r\nHost: a\r\napi-key: secret\r\nContent-Length: {length}\r\n{more}\r\n"
    )
}

fn held(gateway: &Gateway) -> u64 {
    gateway.count("keygate_held_bytes")
}

fn unheld(gateway: &Gateway, reason: &str) -> u64 {
    gateway.count(&format!("keygate_unheld_total{{reason=\"{reason}\"}}"))
}

/// Waits until nothing is held and nothing runs.
fn at_rest(gateway: &Gateway) {
    eventually("the end of all exchanges", || {
        held(gateway) == 0 && gateway.count("keygate_inflight_requests") == 0
    });
}

/// Sends a head, waits until the gateway has it, and sends `body` in chunks.
fn send_in_chunks(client: &mut Client, head: &str, body: &[u8], chunk: usize) {
    client.send(head);
    for chunk in body.chunks(chunk) {
        client.send(chunk);
    }
}

#[test]
fn bodies_of_every_length_arrive_byte_for_byte_however_they_are_cut() {
    let provider = echo();
    let gateway = Gateway::before(&provider);
    let mut client = gateway.client();
    for size in SIZES {
        let body = bytes(size);
        for chunk in [size, 1 + size / 7, 1 + size / 300] {
            send_in_chunks(&mut client, &head(size, ""), &body, chunk);
            let response = client.response(false);
            assert_eq!(response.status, 200, "{size} in chunks of {chunk}");
            assert!(provider.last().body == body, "{size} up");
            assert!(response.body == body, "{size} down");
            assert_eq!(
                provider.last().header("content-length"),
                Some(&*size.to_string())
            );
            assert_eq!(provider.last().count("transfer-encoding"), 0);
        }
    }
    let lines = gateway.access_lines(SIZES.len() * 3);
    let sum: u64 = lines
        .iter()
        .map(|line| line["request_bytes"].as_u64().unwrap())
        .sum();
    assert_eq!(sum, 3 * SIZES.iter().sum::<usize>() as u64);
    assert_eq!(unheld(&gateway, "size"), 3);
    assert_eq!(
        (unheld(&gateway, "budget"), unheld(&gateway, "length")),
        (0, 0)
    );
    at_rest(&gateway);
}

#[test]
fn requests_that_are_sent_behind_a_held_body_get_their_responses_in_order() {
    let provider = echo();
    let gateway = Gateway::before(&provider);
    let mut client = gateway.client();
    let bodies = [5000, 70_000, 3, 200_000, 1].map(bytes);
    let all: Vec<u8> = bodies
        .iter()
        .flat_map(|body| [head(body.len(), "").into_bytes(), body.clone()].concat())
        .collect();
    for cut in [all.len(), 4097, 10_000] {
        std::thread::scope(|scope| {
            let mut wire = client.sender();
            let all = &all;
            scope.spawn(move || {
                for chunk in all.chunks(cut) {
                    wire.write_all(chunk).unwrap();
                }
            });
            for body in &bodies {
                assert!(
                    client.response(false).body == *body,
                    "{} in {cut}",
                    body.len()
                );
            }
        });
    }
    at_rest(&gateway);
}

#[test]
fn held_bodies_go_over_tls_and_http2() {
    let (authority, provider) = (Authority::new(), echo());
    let gateway = scene(&provider, &authority, "").start();
    let config = client_config(&authority, None, &[]);
    let name = ServerName::try_from("gateway.test").unwrap();
    let session = ClientConnection::new(config, name).unwrap();
    let stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut client = StreamOwned::new(session, stream);
    for size in SIZES {
        let body = bytes(size);
        client.write_all(head(size, "").as_bytes()).unwrap();
        client.write_all(&body).unwrap();
        client.flush().unwrap();
        let mut response = Vec::new();
        while !response.ends_with(&body) || response.len() <= size {
            let mut chunk = [0; 1 << 14];
            let count = client.read(&mut chunk).unwrap();
            assert_ne!(count, 0, "{size}");
            response.extend_from_slice(&chunk[..count]);
        }
        assert!(provider.last().body == body, "{size}");
    }
    at_rest(&gateway);

    let provider = Http2Provider::start(None);
    let url = format!("http://{}", provider.address);
    let server = "server.h2c = true";
    let scene = Scene::with_server(server, &simple(&url, "http = \"2\"", ""));
    let gateway = scene.key("alice", "secret", "").start();
    let mut client = gateway.client();
    for size in SIZES {
        assert_eq!(client.request("POST", "/p", &KEY, &bytes(size)).status, 200);
    }
    // A client over HTTP/2 is served as ever.
    http2::run(async {
        let mut client = http2::connect(gateway.address()).await;
        let request = http::Request::post("http://gateway.test/p").header("api-key", "secret");
        let request = request.header("content-length", "100000");
        let (response, mut body) = client
            .send_request(request.body(()).unwrap(), false)
            .unwrap();
        body.send_data(bytes(100_000).into(), true).unwrap();
        assert_eq!(response.await.unwrap().status(), 200);
    });
    let received: Vec<_> = provider
        .received()
        .into_iter()
        .map(|(_, body)| body)
        .collect();
    let expected: Vec<_> = SIZES.into_iter().chain([100_000]).map(bytes).collect();
    assert!(received == expected);
    at_rest(&gateway);
}

#[test]
fn a_held_body_is_there_until_the_response_begins_and_not_longer() {
    let (provider, release) = gated(|_, wire| ok(wire, b"{}"));
    let gateway = Gateway::before(&provider);
    let mut client = gateway.client();
    client.send(raw_request("POST", "/p", &KEY, &bytes(200_000)));
    eventually("the request", || provider.received().len() == 1);
    assert_eq!(held(&gateway), 200_000);
    release.send(()).unwrap();
    assert_eq!(client.response(false).status, 200);
    at_rest(&gateway);

    let (provider, events) = event_stream();
    let gateway = Gateway::before(&provider);
    let request = raw_request("POST", "/p", &KEY, &bytes(200_000));
    let mut client = Client::open_response(gateway.address(), request);
    events.send("data: 1\n\n").unwrap();
    assert_eq!(client.chunk(), "data: 1\n\n");
    assert_eq!(held(&gateway), 0);
    assert_eq!(gateway.count("keygate_inflight_requests"), 1);
    events.send("end").unwrap();
    assert_eq!(client.try_chunk(), Some(None));
}

#[test]
fn an_interim_response_does_not_drop_a_held_body() {
    let barrier = Arc::new(Barrier::new(2));
    let waits = barrier.clone();
    let provider = Provider::responding(move |_, wire| {
        wire.write_all(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")
            .unwrap();
        waits.wait();
        ok(wire, b"{}");
    });
    let gateway = Gateway::before(&provider);
    let mut client = gateway.client();
    client.send(raw_request("POST", "/p", &KEY, &bytes(50_000)));
    assert!(client.read_head().starts_with("HTTP/1.1 103 "));
    assert_eq!(held(&gateway), 50_000);
    barrier.wait();
    assert_eq!(client.response(false).status, 200);
    at_rest(&gateway);
}

#[test]
fn usage_is_requested_in_a_held_body() {
    let provider = chat();
    let gateway = Scene::new(&simple(&provider.url(), "", "meter_streams = \"exact\""))
        .key("alice", "secret", "")
        .start();
    let prompt = "x".repeat(300_000);
    let body = format!(r#"{{"model":"m-1","stream":true,"messages":["{prompt}"]}}"#);
    let response = gateway.request("POST", "/p/chat/completions", &KEY, body.as_bytes());
    assert_eq!(response.status, 200);
    let sent: serde_json::Value = serde_json::from_slice(&provider.last().body).unwrap();
    assert_eq!(sent["stream_options"]["include_usage"], true);
    assert_eq!(sent["messages"][0].as_str().unwrap().len(), 300_000);
    at_rest(&gateway);
}

#[test]
fn chunked_bodies_and_those_of_clients_that_wait_are_not_held() {
    let provider = echo();
    let gateway = Gateway::before(&provider);
    let mut client = gateway.client();
    client.send(
        "POST /p HTTP/1.1\r\nHost: a\r\napi-key: secret\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    // More than can come with the head.
    for _ in 0..100 {
        client.send(format!("3e8\r\n{}\r\n", "x".repeat(1000)));
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.response(false).body.len(), 100_000);
    assert_eq!(unheld(&gateway, "length"), 1);
    client.send(head(5, "Expect: 100-continue\r\n"));
    assert!(client.read_head().starts_with("HTTP/1.1 100 "));
    client.send("hello");
    assert_eq!(client.response(false).text(), "hello");
    // A small body that comes with its head is no matter of holding.
    assert_eq!(gateway.request("POST", "/p", &KEY, b"{}").status, 200);
    let reasons = ["size", "budget", "length"].map(|reason| unheld(&gateway, reason));
    assert_eq!(reasons, [0, 0, 1]);
}

#[test]
fn a_client_with_http_1_0_is_served() {
    let provider = echo();
    let gateway = Gateway::before(&provider);
    let mut client = gateway.client();
    let head = head(100_000, "").replace("HTTP/1.1", "HTTP/1.0");
    send_in_chunks(&mut client, &head, &bytes(100_000), 30_000);
    assert!(client.response(false).body == bytes(100_000));
}

#[test]
fn a_body_goes_up_as_it_comes_while_the_budget_is_used_up() {
    let provider = echo();
    let gateway = Scene::before(&provider, "server.limits.held_bodies = \"100KiB\"").start();
    let mut first = gateway.client();
    first.send(head(100 << 10, ""));
    // The declared length counts, and no byte of the body.
    eventually("the first body is held", || held(&gateway) == 100 << 10);
    let mut second = gateway.client();
    send_in_chunks(&mut second, &head(64 << 10, ""), &bytes(64 << 10), 5000);
    assert!(second.response(false).body == bytes(64 << 10));
    assert_eq!((unheld(&gateway, "budget"), held(&gateway)), (1, 100 << 10));
    first.send(bytes(100 << 10));
    assert!(first.response(false).body == bytes(100 << 10));
    at_rest(&gateway);
    // The same connection again, now that there is room.
    send_in_chunks(&mut second, &head(64 << 10, ""), &bytes(64 << 10), 5000);
    assert!(second.response(false).body == bytes(64 << 10));
    assert_eq!(unheld(&gateway, "budget"), 1);
}

#[test]
fn no_body_is_held_if_that_is_switched_off() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = "server.limits.held_body = \"0B\"";
    let scene = Scene::with_server(server, &simple(&url, "", ""));
    let gateway = scene.key("alice", "secret", "").start();
    let mut client = gateway.client();
    client.send(head(100_000, ""));
    client.send(bytes(50_000));
    // The provider has the beginning before the client has sent the end.
    let (mut stream, _) = listener.accept().unwrap();
    let mut begun = vec![0; 40_000];
    stream.read_exact(&mut begun).unwrap();
    client.send(bytes(50_000));
    let mut rest = vec![0; 60_000];
    stream.read_exact(&mut rest).unwrap();
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        .unwrap();
    assert_eq!(client.response(false).status, 200);
    let reasons = ["size", "budget", "length"].map(|reason| unheld(&gateway, reason));
    assert_eq!((reasons, held(&gateway)), ([0; 3], 0));
}

#[test]
fn a_client_that_is_silent_in_a_held_body_gets_408_and_a_slow_one_does_not() {
    let provider = echo();
    let gateway = Scene::before(&provider, "server.timeouts.client_read = \"1s\"").start();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for sent in [0, 1, 5000, 70_000] {
                let mut client = gateway.client();
                client.send(head(100_000, ""));
                client.send(bytes(sent));
                let refused = client.response(false);
                assert_eq!(
                    (refused.status, refused.code().as_str()),
                    (408, "request_timeout"),
                    "{sent}"
                );
                assert_eq!(refused.header("connection"), Some("close"));
            }
        });
        // Each pause is shorter than the timeout, all together are longer.
        let mut client = gateway.client();
        client.send(head(100_000, ""));
        for chunk in bytes(100_000).chunks(25_000) {
            std::thread::sleep(Duration::from_millis(600));
            client.send(chunk);
        }
        assert!(client.response(false).body == bytes(100_000));
    });
    assert_eq!(provider.received().len(), 1);
    at_rest(&gateway);
    // The time of a slow client is not the gateway's.
    let lines = gateway.access_lines(5);
    let served = lines.iter().find(|line| line["status"] == 200).unwrap();
    let ms = |name: &str| served[name].as_f64().unwrap();
    assert!(
        ms("duration_ms") > 1500.0 && ms("added_ms") < ms("duration_ms") / 2.0,
        "{served}"
    );
}

#[test]
fn an_exchange_whose_time_is_over_within_a_held_body_is_408() {
    let provider = echo();
    let timeouts = "timeouts = { total = \"1s\" }";
    let gateway = Scene::new(&simple(&provider.url(), timeouts, ""))
        .key("alice", "secret", "")
        .start();
    let mut client = gateway.client();
    client.send(head(100_000, ""));
    client.send(bytes(50_000));
    let since = Instant::now();
    let refused = client.response(false);
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (408, "request_timeout")
    );
    assert!(since.elapsed() < PATIENCE / 2);
    at_rest(&gateway);
}

#[test]
fn nothing_is_held_of_clients_that_abort_at_any_byte() {
    let provider = echo();
    let gateway = Gateway::before(&provider);
    let small = raw_request("POST", "/p", &KEY, &bytes(40));
    let large = raw_request("POST", "/p", &KEY, &bytes(300_000));
    let cuts = (0..small.len()).map(|end| (&small, end));
    let step = large.len() / 97;
    let large_cuts = (1..97).map(|number| (&large, number * step));
    let mut aborted = 0;
    for (request, end) in cuts.chain(large_cuts) {
        let mut stream = TcpStream::connect(gateway.address()).unwrap();
        stream.write_all(&request[..end]).unwrap();
        // Half of them end in order, the others are reset if bytes are unread.
        if end % 2 == 0 {
            let _ = stream.shutdown(Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        }
        aborted += 1;
    }
    assert!(aborted > 200);
    at_rest(&gateway);
    assert!(provider.received().is_empty(), "{:#?}", provider.received());
    assert_eq!(gateway.count("keygate_connections"), 0);
    // The first body may have been held meanwhile, and there is room for another one.
    assert_eq!(
        gateway.request("POST", "/p", &KEY, &bytes(300_000)).status,
        200
    );
    at_rest(&gateway);
}

#[test]
fn a_client_that_leaves_while_the_provider_thinks_leaves_nothing_held() {
    let (provider, _release) = gated(|_, wire| ok(wire, b"{}"));
    let gateway = Gateway::before(&provider);
    let mut client = gateway.client();
    client.send(raw_request("POST", "/p", &KEY, &bytes(300_000)));
    eventually("the request", || provider.received().len() == 1);
    assert_eq!(held(&gateway), 300_000);
    drop(client);
    at_rest(&gateway);
    assert_eq!(gateway.access_lines(1)[0]["aborted"], true);
}

#[test]
fn nothing_is_read_of_a_body_before_its_key_is_verified() {
    let provider = echo();
    let gateway = Gateway::before(&provider);
    let mut client = gateway.client();
    client.send("POST /p HTTP/1.1\r\nHost: a\r\napi-key: wrong\r\nContent-Length: 200000\r\n\r\n");
    // The client has sent nothing of its body.
    assert_eq!(client.response(false).status, 401);
    assert_eq!(held(&gateway), 0);
}
