//! HTTP/1.0 clients, and pipelined requests.

use std::io::Write;
use std::net::{Shutdown, TcpListener};
use std::sync::mpsc::Sender;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::client::header;
use crate::support::gateway::simple;
use crate::support::http2::Http2Provider;
use crate::support::provider::{begin_events, chunk, end_chunks, gated, ok};
use crate::support::websocket::{MESSAGE, handshake, switch};
use crate::support::{Gateway, Provider, Scene, eventually, http2};

const KEY: &str = "api-key: secret\r\n";

fn streaming() -> Provider {
    Provider::responding(|_, wire| {
        begin_events(wire);
        for number in 0..3 {
            chunk(wire, format!("data: {number}\n\n").as_bytes());
        }
        end_chunks(wire);
    })
}

#[test]
fn an_http_1_0_client_gets_no_chunks_but_a_body_up_to_the_end_of_the_connection() {
    let provider = streaming();
    let gateway = Gateway::before(&provider);
    for keep_alive in ["", "Connection: keep-alive\r\n"] {
        let mut client = gateway.client();
        client.send(format!("GET /p HTTP/1.0\r\n{KEY}{keep_alive}\r\n"));
        let response = client.response(false);
        assert_eq!(response.status, 200);
        assert_eq!(
            response.header("transfer-encoding"),
            None,
            "{}",
            response.head
        );
        assert_eq!(response.header("connection"), Some("close"));
        assert_eq!(response.text(), "data: 0\n\ndata: 1\n\ndata: 2\n\n");
        assert!(client.is_closed());
    }
    assert_eq!(gateway.access_lines(2)[0]["events"], 3);
}

#[test]
fn an_http_1_0_client_of_an_http2_provider_gets_no_chunks_either() {
    let provider = Http2Provider::start(None);
    let url = format!("http://{}", provider.address);
    let rest = simple(&url, "http = \"2\"", "");
    let gateway = Scene::new(&rest).key("alice", "secret", "").start();
    let mut client = gateway.client();
    client.send(format!(
        "GET /p HTTP/1.0\r\n{KEY}Connection: keep-alive\r\n\r\n"
    ));
    let response = client.response(false);
    let framing = (
        response.header("transfer-encoding"),
        response.header("connection"),
    );
    assert_eq!(framing, (None, Some("close")), "{}", response.head);
    assert_eq!(response.text(), "{\"ok\":true}");
    assert!(client.is_closed());
}

#[test]
fn an_http_1_0_client_keeps_its_connection_if_the_length_is_known() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    let mut client = gateway.client();
    for _ in 0..2 {
        client.send(format!(
            "GET /p HTTP/1.0\r\n{KEY}Connection: keep-alive\r\n\r\n"
        ));
        let response = client.response(false);
        assert_eq!(response.header("connection"), Some("keep-alive"));
        assert_eq!(response.text(), "{\"ok\":true}");
    }
    client.send("GET /p HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(client.response(false).status, 401);
}

#[test]
fn an_http_1_0_client_gets_no_interim_response() {
    let provider = Provider::responding(|_, wire| {
        for interim in ["100 Continue", "103 Early Hints"] {
            wire.write_all(format!("HTTP/1.1 {interim}\r\n\r\n").as_bytes())
                .unwrap();
        }
        ok(wire, b"{}");
    });
    let gateway = Gateway::before(&provider);
    for (version, first) in [("1.0", "200"), ("1.1", "100")] {
        let mut client = gateway.client();
        client.send(format!(
            "POST /p HTTP/{version}\r\nHost: h\r\n{KEY}Expect: 100-continue\r\nContent-Length: 0\r\n\r\n"
        ));
        let head = client.read_head();
        assert!(head.starts_with(&format!("HTTP/1.1 {first} ")), "{head}");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let provider = Provider::responding(|request, wire| {
        let line = request.line().split(' ').nth(1).unwrap().to_owned();
        if request.line().starts_with("HEAD ") {
            // A body would be taken for the response to the next request on this connection.
            return wire
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n")
                .unwrap();
        }
        ok(
            wire,
            format!("{line} {}", String::from_utf8_lossy(&request.body)).as_bytes(),
        );
    });
    let gateway = Gateway::before(&provider);
    let mut client = gateway.client();
    let head = format!("Host: h\r\n{KEY}");
    client.send(format!(
        "GET /p/a HTTP/1.1\r\n{head}\r\n\
         POST /p/b HTTP/1.1\r\n{head}Content-Length: 4\r\n\r\nbody\
         \r\nGET /p/c HTTP/1.1\r\nHost: h\r\n\r\n\
         HEAD /p/d HTTP/1.1\r\n{head}\r\n\
         POST /p/e HTTP/1.1\r\n{head}Content-Length: 0\r\n\r\n\
         GET /p/f HTTP/1.1\r\n{head}Connection: close\r\n\r\n\
         GET /p/g HTTP/1.1\r\n{head}\r\n"
    ));
    for (status, body, to_head) in [
        (200, "/a ", false),
        (200, "/b body", false),
        (401, "", false),
        (200, "", true),
        (200, "/e ", false),
        (200, "/f ", false),
    ] {
        let response = client.response(to_head);
        assert_eq!(response.status, status, "{body}");
        assert!(
            status == 401 || response.text() == body,
            "{body}: {}",
            response.text()
        );
        let closes = response.header("connection") == Some("close");
        assert_eq!(closes, body == "/f ");
    }
    assert!(client.is_closed());
    assert_eq!(provider.received().len(), 5);
}

#[test]
fn a_pipelined_request_does_not_abort_the_one_before_it() {
    let (provider, release) = gated(|_, wire| ok(wire, b"response"));
    let gateway = Gateway::before(&provider);
    let mut client = gateway.client();
    let long = "x".repeat(12 << 10);
    let request = format!("GET /p HTTP/1.1\r\nHost: h\r\n{KEY}x-long: {long}\r\n\r\n");
    client.send(&request);
    eventually("the first request", || provider.received().len() == 1);
    client.send([&*request, &*request].concat());
    for _ in 0..3 {
        release.send(()).unwrap();
    }
    for _ in 0..3 {
        let response = client.response(false);
        assert_eq!((response.status, response.text()), (200, "response"));
        assert_eq!(response.header("connection"), Some("keep-alive"));
    }
}

#[test]
fn a_client_that_closes_after_pipelined_requests_is_noticed() {
    let provider = Provider::responding(|_, wire| {
        begin_events(wire);
        while chunk(wire, b"data: 1\n\n") {}
    });
    let gateway = Gateway::before(&provider);
    let mut client = gateway.client();
    let request = format!("GET /p HTTP/1.1\r\nHost: h\r\n{KEY}\r\n");
    client.send([&*request, &*request].concat());
    client.read_head();
    drop(client);
    let line = &gateway.access_lines(1)[0];
    assert_eq!(
        (&line["aborted"], &line["status"]),
        (&true.into(), &200.into()),
        "{line}"
    );
    assert_eq!(provider.received().len(), 1);
}

#[test]
fn a_request_after_a_chunked_one_is_answered() {
    let provider = Provider::responding(|request, wire| ok(wire, &request.body));
    let gateway = Gateway::before(&provider);
    let head = format!("POST /p HTTP/1.1\r\nHost: h\r\n{KEY}Transfer-Encoding: chunked\r\n\r\n");
    let first = format!("{head}3\r\none\r\nb;x=y\r\n, and more.\r\n0\r\n\r\n");
    let second = format!("{head}3\r\ntwo\r\n0\r\n\r\n");
    for cut in [1, 7, 64, 1 << 20] {
        let mut client = gateway.client();
        for chunk in [&*first, &*second, &*first].concat().as_bytes().chunks(cut) {
            client.send(chunk);
        }
        for body in ["one, and more.", "two", "one, and more."] {
            let response = client.response(false);
            assert_eq!((response.status, response.text()), (200, body), "{cut}");
            assert_eq!(response.header("connection"), Some("keep-alive"));
        }
    }
}

#[test]
fn bytes_after_a_request_with_two_framings_are_never_a_request() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    let second = format!("GET /p/smuggled HTTP/1.1\r\nHost: h\r\n{KEY}\r\n");
    for framing in [
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        "Content-Length: 0\r\nContent-Length: 0\r\n",
        "Content-Length: 0, 0\r\n",
        "Content-Length : 0\r\n",
        "Content-Length: +0\r\n",
        "Content-Length: 0\r\nx: y\r\n Content-Length: 5\r\n",
        "x: y\nContent-Length: 0\r\n",
        "Transfer-Encoding: gzip\r\n",
    ] {
        let mut client = gateway.client();
        client.send(format!(
            "POST /p HTTP/1.1\r\nHost: h\r\n{KEY}{framing}\r\n{second}"
        ));
        let first = client.response(false);
        assert!(first.status >= 400, "{framing}: {}", first.status);
        let more = client.try_response(false);
        assert!(more.is_none_or(|more| more.status >= 400), "{framing}");
    }
    let smuggled = |it: &crate::support::provider::Received| it.head.contains("smuggled");
    assert!(!provider.received().iter().any(smuggled));
}

/// A provider that responds with the path and the body after a message of the sender.
fn waiting() -> (Provider, Sender<()>) {
    gated(|request, wire| {
        let path = request.line().split(' ').nth(1).unwrap();
        ok(wire, &[path.as_bytes(), &request.body].concat());
    })
}

#[test]
fn a_request_after_an_ignored_upgrade_is_answered() {
    let (provider, release) = waiting();
    let rest = simple(&provider.url(), "", "websocket = true");
    let gateway = Scene::new(&rest).key("alice", "secret", "").start();
    let h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
    let plain = "Upgrade-Insecure-Requests: 1\r\nContent-Length-Hint: 3\r\nTransfer-Hint: x\r\n";
    let second = format!("POST /p/b HTTP/1.1\r\nHost: h\r\n{KEY}Content-Length: 4\r\n\r\nmore");
    for first in [
        format!("GET /p/a HTTP/1.1\r\nHost: h\r\n{KEY}{h2c}\r\n"),
        format!("POST /p/a HTTP/1.1\r\nHost: h\r\n{KEY}{h2c}Content-Length: 2\r\n\r\n{{}}"),
        format!("GET /p/a HTTP/1.1\r\nHost: h\r\n{KEY}{plain}\r\n"),
        handshake("/p/a", ""),
    ] {
        for at_once in [true, false] {
            let before = provider.received().len();
            let mut client = gateway.client();
            client.send(&first);
            if !at_once {
                eventually("the first request", || provider.received().len() > before);
            }
            client.send(&second);
            for body in ["/a", "/bmore"] {
                release.send(()).unwrap();
                let response = client.response(false);
                assert_eq!(response.status, 200, "{first}");
                assert_eq!(response.header("connection"), Some("keep-alive"));
                assert_eq!(response.text().trim_end_matches("{}"), body, "{first}");
            }
        }
    }
}

#[test]
fn a_request_after_a_refused_websocket_is_answered() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    let mut client = gateway.client();
    let second = format!("GET /p HTTP/1.1\r\nHost: h\r\n{KEY}\r\n");
    client.send(handshake("/p", "") + &second);
    for status in [403, 200] {
        let response = client.response(false);
        assert_eq!(response.status, status);
        assert_eq!(response.header("connection"), Some("keep-alive"));
    }
}

#[test]
fn the_response_to_a_request_with_trailers_closes_the_connection() {
    let (provider, release) = waiting();
    let gateway = Gateway::before(&provider);
    let head = format!("POST /p/a HTTP/1.1\r\nHost: h\r\n{KEY}Transfer-Encoding: chunked\r\n\r\n");
    let first = format!("{head}3\r\none\r\n0\r\nx: y\r\nz: a b\r\n\r\n");
    let second = format!("GET /p/b HTTP/1.1\r\nHost: h\r\n{KEY}\r\n");
    for at_once in [true, false] {
        let before = provider.received().len();
        let mut client = gateway.client();
        client.send(&first);
        if !at_once {
            eventually("the first request", || provider.received().len() > before);
        }
        client.send(&second);
        release.send(()).unwrap();
        let response = client.response(false);
        assert_eq!((response.status, response.text()), (200, "/aone"));
        assert_eq!(response.header("connection"), Some("close"), "{at_once}");
        assert!(client.is_closed());
    }
    // The second request gets no response either if the first one is refused.
    let mut client = gateway.client();
    client.send(first.replace("secret", "other") + &second);
    let response = client.response(false);
    assert_eq!(
        (response.status, response.header("connection")),
        (401, Some("close"))
    );
    assert!(client.is_closed());
    assert_eq!(provider.received().len(), 2);
}

#[test]
fn bytes_sent_before_a_websocket_is_open_arrive() {
    let provider = Provider::responding(|_, wire| {
        switch(wire, "");
        let mut requested = [0; MESSAGE.len()];
        for _ in 0..3 {
            wire.read_exact(&mut requested).unwrap();
            assert_eq!(requested, MESSAGE);
            wire.write_all(&requested).unwrap();
            wire.flush().unwrap();
        }
    });
    let rest = simple(&provider.url(), "", "websocket = true");
    let gateway = Scene::new(&rest).key("alice", "secret", "").start();
    let mut client = gateway.client();
    client.send([handshake("/p", "").as_bytes(), &MESSAGE].concat());
    eventually("the request", || provider.received().len() == 1);
    client.send(MESSAGE);
    assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    client.send(MESSAGE);
    let mut echo = [0; 3 * MESSAGE.len()];
    client.read_exact(&mut echo);
    assert_eq!(echo, [MESSAGE; 3].concat()[..]);
}

/// The length of a response that the gateway has sent long before a slow client has read it, in bytes.
const LONG: usize = 300_000;

/// The response to a client that sends `begin`, keeps sending, and reads slowly.
fn read_slowly(gateway: &Gateway, begin: &str) -> String {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 << 10).unwrap();
    http2::run(async {
        let (mut reading, mut writing) = socket
            .connect(gateway.address())
            .await
            .unwrap()
            .into_split();
        writing.write_all(begin.as_bytes()).await.unwrap();
        let sending = tokio::spawn(async move {
            while writing.write_all(&[b'a'; 2_000]).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        let (mut read, mut chunk) = (Vec::new(), vec![0; 3_000]);
        while let n @ 1.. = reading.read(&mut chunk).await.unwrap() {
            read.extend_from_slice(&chunk[..n]);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        sending.abort();
        String::from_utf8(read).unwrap()
    })
}

#[test]
fn bytes_after_the_last_request_do_not_cost_its_response() {
    let provider = Provider::responding(|_, wire| {
        std::thread::sleep(Duration::from_millis(100));
        ok(wire, &[b'%'; LONG]);
    });
    let scene = Scene::with_server(
        "server.limits.requests_per_connection = 1",
        &simple(&provider.url(), "", ""),
    );
    let limited = scene.key("alice", "secret", "").start();
    let gateway = Gateway::before(&provider);
    let trailers = "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\na: b\r\n\r\n";
    for (gateway, rest) in [
        (&limited, "\r\n"),
        (&gateway, "Connection: close\r\n\r\n"),
        (&gateway, trailers),
    ] {
        let last = format!("POST /p HTTP/1.1\r\nHost: h\r\n{KEY}{rest}");
        let read = read_slowly(gateway, &format!("{last}GET /p HTTP/1.1\r\nx: "));
        assert_eq!(header(&read, "connection"), Some("close"));
        assert_eq!(read.matches('%').count(), LONG, "{rest:?}");
    }
}

#[test]
fn the_end_of_a_websocket_reaches_a_client_that_keeps_sending() {
    let provider = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", provider.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut wire = provider.accept().unwrap().0;
        switch(&mut wire, "");
        wire.write_all(&[b'%'; LONG]).unwrap();
        wire.shutdown(Shutdown::Write).unwrap();
        // Without this read, closing the socket would reset the connection.
        std::io::copy(&mut wire, &mut std::io::sink()).unwrap();
    });
    let scene = Scene::new(&simple(&url, "", "websocket = true"));
    let gateway = scene.key("alice", "secret", "").start();
    let read = read_slowly(&gateway, &handshake("/p", ""));
    assert_eq!(read.matches('%').count(), LONG);
}
