//! Streams: event by event in both directions, and how they end.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::gateway::simple;
use crate::support::provider::{begin_events, chunk, end_chunks, event_stream};
use crate::support::websocket::{handshake, switch};
use crate::support::{Client, Gateway, PATIENCE, Provider, Scene, eventually, http2};

const POST: &str = "POST /p HTTP/1.1\r\nHost: a\r\napi-key: secret\r\nContent-Length: 2\r\n\r\n{}";

/// A provider that streams events until the gateway closes the connection, and then sends a message.
fn endless() -> (Provider, Receiver<()>) {
    let (closed, is_closed) = channel();
    let closed = Mutex::new(closed);
    let provider = Provider::responding(move |_, wire| {
        begin_events(wire);
        while chunk(wire, b"data: x\n\n") {
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = closed.lock().unwrap().send(());
    });
    (provider, is_closed)
}

#[test]
fn each_event_arrives_before_the_next_is_sent() {
    let (provider, events) = event_stream();
    let gateway = Gateway::before(&provider);
    let mut client = gateway.client();
    client.send(POST);
    assert!(client.read_head().contains("text/event-stream"));
    for event in [
        "data: 1\n\n",
        "event: a\ndata: 2\n\n",
        ": comment\n\n",
        "data: [DO",
        "NE]\n\n",
    ] {
        events.send(event).unwrap();
        // The provider sends nothing more until this has arrived, unchanged and alone.
        assert_eq!(client.chunk(), event);
    }
    events.send("end").unwrap();
    assert_eq!(client.try_chunk(), Some(None));
    let line = &gateway.access_lines(1)[0];
    assert_eq!(
        (line["events"].as_u64(), line["aborted"].as_bool()),
        (Some(3), Some(false))
    );
    assert_eq!(
        gateway.count("keygate_stream_events_total{provider=\"p\",route=\"r\"}"),
        3
    );
}

#[test]
fn a_client_that_leaves_ends_the_providers_work() {
    let (provider, is_closed) = endless();
    let gateway = Gateway::before(&provider);
    let mut client = Client::open_response(gateway.address(), POST);
    assert!(client.chunk().starts_with("data: x\n\n"));
    drop(client);
    is_closed
        .recv_timeout(PATIENCE)
        .expect("the provider went on");
    let line = &gateway.access_lines(1)[0];
    assert_eq!(
        (line["reason"].as_str(), line["aborted"].as_bool()),
        (Some("client_closed"), Some(true))
    );
    eventually("nothing in flight", || {
        gateway.metric("keygate_inflight_requests") == 0.0
    });
}

#[test]
fn a_client_that_leaves_before_the_response_ends_the_providers_work() {
    let (gone, is_gone) = channel();
    let gone = Mutex::new(gone);
    let provider = Provider::responding(move |_, wire| {
        // The provider is slow. Its next read ends when the gateway closes the connection.
        let ended = wire.read(&mut [0]).map_or(true, |n| n == 0);
        gone.lock().unwrap().send(ended).unwrap();
    });
    let gateway = Gateway::before(&provider);
    let mut client = gateway.client();
    client.send(POST);
    eventually("the request is there", || !provider.received().is_empty());
    drop(client);
    assert!(is_gone.recv_timeout(PATIENCE).unwrap());
    assert_eq!(gateway.access_lines(1)[0]["status"], 499);
}

#[test]
fn a_body_is_forwarded_while_it_is_still_arriving() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // Longer than one that is held.
    let server = "server.limits.held_body = \"256KiB\"";
    let gateway = Scene::with_server(server, &simple(&url, "", ""))
        .key("alice", "secret", "")
        .start();
    let mut client = gateway.client();
    client.send("POST /p HTTP/1.1\r\nHost: a\r\napi-key: secret\r\nContent-Length: 300000\r\n\r\n");
    client.send([b'a'; 100_000]);
    let (mut provider, _) = listener.accept().unwrap();
    provider.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut seen = Vec::new();
    let mut read_until = |count: usize| {
        let mut chunk = vec![0; 64 << 10];
        while seen.iter().filter(|b| **b == b'a').count() < count {
            let n = provider.read(&mut chunk).unwrap();
            assert!(n > 0, "the gateway closed the connection");
            seen.extend_from_slice(&chunk[..n]);
        }
    };
    // The provider has received all that was sent, and the client has not sent the rest yet. (The head has three.)
    read_until(100_000);
    client.send([b'a'; 200_000]);
    read_until(300_000);
    provider
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        .unwrap();
    assert_eq!(client.response(false).text(), "ok");
}

#[test]
fn a_stream_that_pauses_too_long_is_cut_without_an_end() {
    let (provider, events) = event_stream();
    let rest = simple(&provider.url(), "timeouts.idle = \"200ms\"", "");
    let gateway = Scene::new(&rest).key("alice", "secret", "").start();
    let mut client = Client::open_response(gateway.address(), POST);
    // The timeout applies to each pause by itself.
    for _ in 0..4 {
        events.send("data: 1\n\n").unwrap();
        assert_eq!(client.chunk(), "data: 1\n\n");
        std::thread::sleep(Duration::from_millis(100));
    }
    let start = Instant::now();
    assert_eq!(
        client.try_chunk(),
        None,
        "an end that the provider did not send"
    );
    assert!(start.elapsed() < Duration::from_secs(5));
    let line = &gateway.access_lines(1)[0];
    assert_eq!(
        (line["reason"].as_str(), line["aborted"].as_bool()),
        (Some("provider_timeout"), Some(false))
    );
}

#[test]
fn an_exchange_that_takes_too_long_is_cut_though_it_never_pauses() {
    let (provider, is_closed) = endless();
    let rest = simple(&provider.url(), "timeouts.total = \"400ms\"", "");
    let gateway = Scene::new(&rest).key("alice", "secret", "").start();
    let mut client = Client::open_response(gateway.address(), POST);
    while client.try_chunk().is_some() {}
    is_closed
        .recv_timeout(PATIENCE)
        .expect("the provider went on");
    assert_eq!(gateway.access_lines(1)[0]["reason"], "provider_timeout");
}

#[test]
fn a_provider_that_does_not_respond_in_time_is_504() {
    for setting in [
        "timeouts.first_byte = \"200ms\"",
        "timeouts.total = \"200ms\"",
    ] {
        let provider = Provider::responding(|_, wire| {
            let _ = wire.read(&mut [0]);
        });
        let gateway = Scene::new(&simple(&provider.url(), setting, ""))
            .key("alice", "secret", "")
            .start();
        let refused = gateway.request("POST", "/p", &[("api-key", "secret")], b"{}");
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (504, "provider_timeout"),
            "{setting}"
        );
        assert_eq!(refused.header("x-keygate-refused-by"), Some("gateway"));
        // The provider may have started to process the request: it is sent once.
        assert_eq!(provider.received().len(), 1);
    }
}

#[test]
fn a_client_that_stalls_in_its_body_is_408() {
    let provider = Provider::start();
    let rest = simple(&provider.url(), "", "");
    let scene = Scene::with_server("server.timeouts.client_read = \"200ms\"", &rest);
    let gateway = scene.key("alice", "secret", "").start();
    let mut client = gateway.client();
    client.send("POST /p HTTP/1.1\r\nHost: a\r\napi-key: secret\r\nContent-Length: 10\r\n\r\nhel");
    let refused = client.response(false);
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (408, "request_timeout")
    );
    assert!(provider.received().is_empty());
}

fn upgrade() -> String {
    handshake("/p/v1/realtime?model=m", "")
}

/// A provider that switches protocols and then echoes every byte.
fn echoing() -> Provider {
    Provider::responding(|request, wire| {
        assert_eq!(request.header("upgrade"), Some("websocket"));
        switch(wire, "");
        let mut chunk = [0; 4096];
        while let Ok(n @ 1..) = wire.read(&mut chunk) {
            wire.write_all(&chunk[..n]).unwrap();
            wire.flush().unwrap();
        }
    })
}

#[test]
fn a_websocket_carries_bytes_both_ways_if_the_route_allows_it() {
    let provider = echoing();
    let rest = simple(
        &provider.url(),
        "timeouts.idle = \"20s\"",
        "websocket = true",
    );
    // The read timeout of clients applies to bodies, not to WebSockets.
    let scene = Scene::with_server("server.timeouts.client_read = \"300ms\"", &rest);
    let gateway = scene.key("alice", "secret", "").start();
    let mut client = gateway.client();
    client.send(upgrade());
    let head = client.read_head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    for round in 0..100 {
        if round == 50 {
            std::thread::sleep(Duration::from_millis(600));
        }
        let message = format!("message {round:03}");
        client.send(&message);
        let mut echo = [0; 11];
        client.read_exact(&mut echo);
        assert_eq!(echo, message.as_bytes());
    }
    let received = provider.only();
    assert_eq!(received.line(), "GET /v1/realtime?model=m HTTP/1.1");
    assert_eq!(
        received.header("authorization"),
        Some("Bearer provider-token")
    );
    drop(client);
    let line = &gateway.access_lines(1)[0];
    assert_eq!(line["status"], 101);
    // Closing the connection is a normal end of a WebSocket.
    assert!(
        line["reason"].is_null() && line["aborted"] == false,
        "{line}"
    );
}

#[test]
fn a_websocket_is_refused_if_the_route_does_not_allow_it() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    let mut client = gateway.client();
    client.send(upgrade());
    let refused = client.response(false);
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (403, "upgrade_not_allowed")
    );
    assert!(provider.received().is_empty());
}

#[test]
fn each_of_a_hundred_streams_at_once_gets_its_own_events() {
    let provider = Provider::responding(|request, wire| {
        begin_events(wire);
        let name = String::from_utf8(request.body.clone()).unwrap();
        for i in 0..20 {
            chunk(wire, format!("data: {name} {i}\n\n").as_bytes());
        }
        end_chunks(wire);
    });
    let gateway = Arc::new(Gateway::before(&provider));
    std::thread::scope(|scope| {
        for name in 0..100 {
            let gateway = gateway.clone();
            scope.spawn(move || {
                let name = name.to_string();
                let response =
                    gateway.request("POST", "/p", &[("api-key", "secret")], name.as_bytes());
                let wanted: String = (0..20).map(|i| format!("data: {name} {i}\n\n")).collect();
                assert_eq!(response.text(), wanted);
            });
        }
    });
}

#[test]
fn a_truncated_response_is_forwarded_as_truncated() {
    // A chunked body without its end, and a body shorter than its length.
    for head in [
        "transfer-encoding: chunked\r\n\r\n4\r\npart\r\n",
        "content-length: 10\r\n\r\npart",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut wire, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let mut seen = 0;
            while !request[..seen].ends_with(b"{}") {
                seen += wire.read(&mut request[seen..]).unwrap();
            }
            wire.write_all(format!("HTTP/1.1 200 OK\r\n{head}").as_bytes())
                .unwrap();
        });
        let gateway = Scene::new(&simple(&url, "", ""))
            .key("alice", "secret", "")
            .start();
        let mut client = gateway.client();
        client.send(POST);
        assert!(
            client.try_response(false).is_none(),
            "a truncated response was forwarded as complete"
        );
        let line = &gateway.access_lines(1)[0];
        assert_eq!(
            (line["status"].as_u64(), line["reason"].as_str()),
            (Some(200), Some("provider_unreachable"))
        );
        assert!(line["refused_by"].is_null() && line["aborted"] == false);
    }
}

#[test]
fn an_http2_client_that_stalls_in_its_body_is_cut() {
    let provider = Provider::start();
    let timeouts = "timeouts = { connect = \"50ms\", write = \"100ms\" }";
    let server = "server.h2c = true\nserver.timeouts.client_read = \"100ms\"";
    let scene = Scene::with_server(server, &simple(&provider.url(), timeouts, ""));
    let gateway = scene.key("alice", "secret", "").start();
    http2::run(async {
        let mut client = http2::connect(gateway.address()).await;
        let request = http::Request::post("http://gateway.test/p").header("api-key", "secret");
        let (response, mut body) = client
            .send_request(request.body(()).unwrap(), false)
            .unwrap();
        body.send_data(bytes::Bytes::from_static(b"{"), false)
            .unwrap();
        assert!(
            tokio::time::timeout(PATIENCE, response)
                .await
                .unwrap()
                .is_err()
        );
    });
    let line = &gateway.access_lines(1)[0];
    assert_eq!(
        (line["status"].as_u64(), line["reason"].as_str()),
        (Some(408), Some("request_timeout"))
    );
    assert!(provider.received().is_empty());
}
