//! The cost of clients whose key was not verified is bounded, whatever they send and however they read.

use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::Request;

use crate::support::{Client, Gateway, Provider, Scene, eventually, http2};

fn gateway(server: &str, provider: &Provider) -> Gateway {
    Scene::before(provider, server).start()
}

#[test]
fn an_endless_head_is_431_as_soon_as_it_is_too_long() {
    let provider = Provider::start();
    let gateway = gateway("server.limits.header_bytes = \"4 KiB\"", &provider);
    let long = "y".repeat(8 << 10);
    for begun in [
        format!("POST /p HTTP/1.1\r\nhost: h\r\nx: {long}"),
        format!("POST /{long}"),
        format!("POST /p HTTP/1.1\r\n{}", "a: b\r\n".repeat(1000)),
    ] {
        let mut client = gateway.client();
        client.send(&begun);
        let response = client.response(false);
        assert_eq!(
            (response.status, &*response.code()),
            (431, "headers_too_large")
        );
        assert_eq!(response.header("connection"), Some("close"));
        // Bytes that it still sends are not read as a request.
        let _ = client.try_send("\r\n\r\nGET /p HTTP/1.1\r\nhost: h\r\napi-key: secret\r\n\r\n");
        assert!(client.is_closed());
    }
    assert_eq!(gateway.count("keygate_requests_total{code=\"431\",provider=\"\",reason=\"headers_too_large\",route=\"\"}"), 3);
    let line = &gateway.access_lines(3)[0];
    assert_eq!(
        (&line["status"], &line["method"]),
        (&431.into(), &"POST".into()),
        "{line}"
    );
    assert!(provider.received().is_empty());
}

#[test]
fn a_malformed_request_line_is_refused_and_never_repaired() {
    let provider = Provider::start();
    let gateway = gateway("", &provider);
    for line in [
        "GET /p/a b HTTP/1.1",
        "GET  /p HTTP/1.1",
        "GET /p\t HTTP/1.1",
        "GET /p/a\tb HTTP/1.1",
        "GET /p/x#/../admin HTTP/1.1",
        "\r\nGET /p/x#/../admin HTTP/1.1",
    ] {
        let mut client = gateway.client();
        client.send(format!("{line}\r\nhost: h\r\napi-key: secret\r\n\r\n"));
        let response = client.response(false);
        assert_eq!(
            (response.status, &*response.code()),
            (400, "bad_framing"),
            "{line:?}"
        );
        assert!(client.is_closed(), "{line:?}");
    }
    // An empty line before a request is ignored (RFC 9112, section 2.2).
    let mut client = gateway.client();
    client.send("\r\nGET /p HTTP/1.1\r\nhost: h\r\napi-key: secret\r\n\r\n");
    assert_eq!(client.response(false).status, 200);
    assert_eq!(provider.received().len(), 1);
}

#[test]
fn a_request_shorter_than_the_http2_preface_is_answered_with_h2c() {
    let provider = Provider::start();
    let gateway = gateway("server.h2c = true", &provider);
    for short in [
        "GET / HTTP/1.0\r\n\r\n",
        "GET /a HTTP/1.0\r\n\r\n",
        "PRI / HTTP/1.0\r\n\r\n",
    ] {
        let mut client = gateway.client();
        client.send(short);
        assert_eq!(client.response(false).status, 404, "{short:?}");
    }
}

#[test]
fn a_path_counts_against_the_head_limit_over_http2_too() {
    let provider = Provider::start();
    let gateway = gateway("server.h2c = true", &provider);
    let path = format!("/p/{}", "y".repeat(20_000));
    http2::run(async {
        let mut client = http2::connect(gateway.address()).await;
        let (response, _) = client
            .send_request(request(&gateway, &path, "secret"), true)
            .unwrap();
        assert_eq!(response.await.unwrap().status(), 431);
    });
    assert!(provider.received().is_empty());
}

fn request(gateway: &Gateway, path: &str, key: &str) -> Request<()> {
    let request = Request::get(format!("http://{}{path}", gateway.address()));
    request.header("api-key", key).body(()).unwrap()
}

/// An HTTP/2 client with a flow-control window of zero: nobody can send it a body.
async fn without_a_window(gateway: &Gateway) -> SendRequest<Bytes> {
    let stream = tokio::net::TcpStream::connect(gateway.address())
        .await
        .unwrap();
    let mut builder = h2::client::Builder::new();
    let (client, connection) = builder
        .initial_window_size(0)
        .handshake(stream)
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}

#[test]
fn a_refusal_over_http2_does_not_wait_for_a_client_without_a_window() {
    let provider = Provider::start();
    // The timeout is far longer than the test.
    let timeouts = "server.h2c = true\nserver.timeouts.client_write = \"1h\"";
    let gateway = gateway(timeouts, &provider);
    http2::run(async {
        let client = without_a_window(&gateway).await;
        let mut responses: Vec<ResponseFuture> = Vec::new();
        for (path, key) in [
            ("/p", "wrong"),
            ("/p", ""),
            ("/nowhere", "secret"),
            ("/p/%00", "secret"),
        ] {
            for _ in 0..10 {
                let mut client = client.clone().ready().await.unwrap();
                let (response, _) = client
                    .send_request(request(&gateway, path, key), true)
                    .unwrap();
                responses.push(response);
            }
        }
        for response in responses {
            let mut response = response.await.unwrap();
            assert!(matches!(response.status().as_u16(), 401 | 404 | 400));
            // The stream ends without a body.
            while let Some(data) = response.body_mut().data().await {
                assert_eq!(data.unwrap(), Bytes::new());
            }
        }
        eventually("no exchange is left", || {
            gateway.metric("keygate_inflight_requests") == 0.0
        });
        // A client with a window gets the body.
        let mut client = http2::connect(gateway.address()).await;
        let (response, _) = client
            .send_request(request(&gateway, "/p", "wrong"), true)
            .unwrap();
        let mut response = response.await.unwrap();
        let body = response.body_mut().data().await.unwrap().unwrap();
        assert!(body.starts_with(b"{\"error\""), "{body:?}");
    });
}

#[test]
fn all_streams_get_a_response_if_there_are_more_than_are_served_at_once() {
    let provider = Provider::start();
    let gateway = gateway("server.h2c = true", &provider);
    http2::run(async {
        let client = http2::connect(gateway.address()).await;
        let mut responses = Vec::new();
        for number in 0..100 {
            let mut client = client.clone().ready().await.unwrap();
            let key = if number % 3 == 0 { "secret" } else { "wrong" };
            let (response, _) = client
                .send_request(request(&gateway, "/p", key), true)
                .unwrap();
            responses.push((response, if key == "secret" { 200 } else { 401 }));
        }
        for (response, expected) in responses {
            assert_eq!(response.await.unwrap().status(), expected);
        }
    });
}

#[test]
fn an_idle_http2_connection_is_closed_after_its_timeout() {
    let provider = Provider::start();
    let gateway = gateway(
        "server.h2c = true\nserver.timeouts.keepalive = \"300ms\"",
        &provider,
    );
    http2::run(async {
        let stream = tokio::net::TcpStream::connect(gateway.address())
            .await
            .unwrap();
        let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
        let connection = tokio::spawn(connection);
        let (response, _) = client
            .send_request(request(&gateway, "/p", "secret"), true)
            .unwrap();
        assert_eq!(response.await.unwrap().status(), 200);
        let ended = tokio::time::timeout(Duration::from_secs(20), connection).await;
        assert!(ended.is_ok(), "the connection is still there");
    });
}

#[test]
fn bytes_of_a_response_with_a_length_are_forwarded_at_once() {
    use std::sync::Mutex;
    use std::sync::mpsc::channel;
    let (finish, finished) = channel::<()>();
    let finished = Mutex::new(finished);
    let provider = Provider::responding(move |_, wire| {
        let begun = "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n0123456789";
        wire.write_all(begun.as_bytes()).unwrap();
        // The provider sends the rest once the client has read this.
        if finished.lock().unwrap().recv().is_ok() {
            wire.write_all(b"0123456789").unwrap();
        }
    });
    let gateway = gateway("", &provider);
    let mut client = Client::connect(gateway.address());
    client.send("GET /p HTTP/1.1\r\nhost: h\r\napi-key: secret\r\n\r\n");
    client.read_head();
    let mut half = [0; 10];
    client.read_exact(&mut half);
    assert_eq!(&half, b"0123456789");
    finish.send(()).unwrap();
    client.read_exact(&mut half);
    assert_eq!(&half, b"0123456789");
}
