//! Connections to providers over HTTP/1.1, which keygate keeps itself: how requests go out on them, and when they close.
//!
//! `origin/connection` depends on how Pingora 0.9.1 uses a connection. If a newer one does it differently, these scenes
//! fail.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::client::raw_request;
use crate::support::gateway::simple;
use crate::support::{Gateway, KEY, PATIENCE, Provider, Scene};

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

/// A listener, and a gateway with a route `/p` to it.
fn before_listener(timeouts: &str) -> (TcpListener, Gateway) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let gateway = Scene::new(&simple(&url, timeouts, ""))
        .key("alice", "secret", "")
        .start();
    (listener, gateway)
}

/// Accepts one connection, and serves one request on it.
fn serve_one(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"{}") {
        let mut bytes = [0; 4096];
        let count = stream.read(&mut bytes).unwrap();
        assert_ne!(count, 0, "closed within a request");
        request.extend_from_slice(&bytes[..count]);
    }
    stream.write_all(RESPONSE).unwrap();
    stream
}

/// When the gateway closes the connection.
fn closed_after(mut stream: TcpStream, since: Instant) -> Duration {
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    since.elapsed()
}

#[test]
fn the_head_of_a_request_arrives_together_with_its_body() {
    let (listener, gateway) = before_listener("");
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = reads.clone();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = [0; 1 << 16];
        while stream.read(&mut bytes).is_ok_and(|count| count > 0) {
            // A request in two reads gets two responses, of which the second one makes the connection useless.
            counted.fetch_add(1, Ordering::SeqCst);
            stream.write_all(RESPONSE).unwrap();
        }
    });
    let mut client = gateway.client();
    for _ in 0..50 {
        let response = client.request("POST", "/p", &KEY, &[b'x'; 1000]);
        assert_eq!(response.status, 200);
    }
    assert_eq!(reads.load(Ordering::SeqCst), 50);
}

#[test]
fn a_connection_serves_one_request_after_the_other_and_is_counted_as_reused() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    for round in 0..20 {
        let response = gateway.request("POST", "/p", &KEY, format!("{round}").as_bytes());
        assert_eq!(response.status, 200);
        assert_eq!(provider.last().body, format!("{round}").as_bytes());
    }
    assert_eq!(provider.connections(), 1);
    let connections = |reused: &str| {
        let labels = format!("provider=\"p\",reused=\"{reused}\"");
        gateway.count(&format!("keygate_upstream_connections_total{{{labels}}}"))
    };
    assert_eq!((connections("false"), connections("true")), (1, 19));
}

#[test]
fn a_connection_that_the_provider_closed_while_it_was_idle_is_closed_at_the_gateway() {
    let (listener, gateway) = before_listener("");
    std::thread::scope(|scope| {
        let serve = scope.spawn(|| serve_one(&listener));
        assert_eq!(gateway.request("POST", "/p", &KEY, b"{}").status, 200);
        let stream = serve.join().unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(closed_after(stream, Instant::now()) < PATIENCE);
    });
}

#[test]
fn an_idle_connection_is_closed_when_its_time_is_over() {
    let (listener, gateway) = before_listener("[providers.p.timeouts]\npool_idle = \"1s\"\n");
    std::thread::scope(|scope| {
        let serve = scope.spawn(|| serve_one(&listener));
        assert_eq!(gateway.request("POST", "/p", &KEY, b"{}").status, 200);
        let stream = serve.join().unwrap();
        let open_for = closed_after(stream, Instant::now());
        assert!(open_for > Duration::from_millis(500), "{open_for:?}");
    });
}

#[test]
fn the_time_to_a_response_begins_when_the_whole_request_was_sent() {
    let provider = Provider::start();
    let setting = "timeouts.first_byte = \"400ms\"";
    let gateway = Scene::new(&simple(&provider.url(), setting, ""))
        .key("alice", "secret", "")
        .start();
    let mut client = gateway.client();
    client.send(
        "POST /p HTTP/1.1\r\nHost: a\r\napi-key: secret\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    for _ in 0..6 {
        client.send("1\r\nx\r\n");
        std::thread::sleep(Duration::from_millis(100));
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.response(true).status, 200);
    assert_eq!(provider.only().body, b"xxxxxx");
}

#[test]
fn a_head_that_arrives_in_parts_may_take_its_time_and_one_that_stops_is_504() {
    let (listener, gateway) = before_listener("timeouts.first_byte = \"400ms\"");
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let parts = [
        interim,
        "HTTP/1.1 200",
        " OK\r\nContent-",
        "Length: 2\r\n\r\n{}",
    ];
    for (sent, status) in [(parts.len(), 200), (3, 504), (1, 504)] {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                assert_ne!(stream.read(&mut [0; 4096]).unwrap(), 0);
                for part in &parts[..sent] {
                    std::thread::sleep(Duration::from_millis(250));
                    stream.write_all(part.as_bytes()).unwrap();
                }
                if status == 504 {
                    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
                }
            });
            let mut client = gateway.client();
            client.send(raw_request("POST", "/p", &KEY, b"{}"));
            let interim = client.read_head();
            assert!(interim.starts_with("HTTP/1.1 103 "), "{interim}");
            assert_eq!(client.response(true).status, status, "{sent} parts");
        });
    }
    let reason = |line: usize| gateway.access_lines(3)[line]["reason"].clone();
    assert_eq!(
        (reason(1), reason(2)),
        ("provider_timeout".into(), "provider_timeout".into())
    );
}

#[test]
fn a_request_that_waits_for_its_body_survives_a_provider_that_closes() {
    let (listener, gateway) = before_listener("");
    let head =
        "POST /p HTTP/1.1\r\nHost: a\r\napi-key: secret\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut client = gateway.client();
    client.send(head);
    // Nothing of the request arrives, and the provider gives the connection up.
    let (stream, _) = listener.accept().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    drop(stream);
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send("2\r\n{}\r\n0\r\n\r\n");
    let mut request = Vec::new();
    while !request.ends_with(b"0\r\n\r\n") {
        let mut bytes = [0; 4096];
        let count = stream.read(&mut bytes).unwrap();
        request.extend_from_slice(&bytes[..count]);
    }
    assert!(request.ends_with(b"2\r\n{}\r\n0\r\n\r\n"));
    stream.write_all(RESPONSE).unwrap();
    assert_eq!(client.response(true).status, 200);
    assert_eq!(gateway.access_lines(1)[0]["attempts"], 2);
}

#[test]
fn what_a_provider_sends_before_a_request_has_gone_up_is_no_response_to_it() {
    let (listener, gateway) = before_listener("");
    let head =
        "POST /p HTTP/1.1\r\nHost: a\r\napi-key: secret\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut client = gateway.client();
    client.send("POST /p HTTP/1.1\r\nHost: a\r\napi-key: secret\r\nContent-Length: 2\r\n\r\n{}");
    let mut kept = serve_one(&listener);
    assert_eq!(client.response(true).status, 200);
    // The head goes to the kept connection, and waits there for the body.
    client.send(head);
    std::thread::sleep(Duration::from_millis(300));
    kept.write_all(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        .unwrap();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"0\r\n\r\n") {
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).unwrap();
            assert_ne!(count, 0, "closed within a request");
            request.extend_from_slice(&bytes[..count]);
        }
        stream.write_all(RESPONSE).unwrap();
    });
    std::thread::sleep(Duration::from_millis(100));
    client.send("2\r\n{}\r\n0\r\n\r\n");
    assert_eq!(client.response(true).status, 200);
    served.join().unwrap();
    assert_eq!(kept.read(&mut [0]).unwrap(), 0);
}
