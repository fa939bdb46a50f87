//! Bodies of any size arrive byte for byte, and a client can read a refusal while its body is still being sent.

use std::sync::Arc;

use crate::support::gateway::simple;
use crate::support::http2;
use crate::support::provider::respond;
use crate::support::{Gateway, Provider, Scene, bytes};

const SIZES: [usize; 6] = [0, 1, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, 20 << 20];

fn echo() -> Provider {
    Provider::responding(|request, wire| respond(wire, "200 OK", &[], &request.body))
}

#[test]
fn bodies_with_a_length_arrive_and_return_byte_for_byte() {
    let provider = echo();
    let gateway = Gateway::before(&provider);
    let mut client = gateway.client();
    for size in SIZES {
        let body = bytes(size);
        let response = client.request("POST", "/p", &[("api-key", "secret")], &body);
        assert_eq!(response.status, 200);
        assert!(provider.last().body == body, "{size} up");
        assert!(response.body == body, "{size} down");
        assert_eq!(provider.last().count("transfer-encoding"), 0);
    }
}

#[test]
fn chunked_bodies_arrive_byte_for_byte() {
    let provider = echo();
    let gateway = Gateway::before(&provider);
    let mut client = gateway.client();
    for size in SIZES {
        let body = bytes(size);
        client.send(
            "POST /p HTTP/1.1\r\nHost: a\r\napi-key: secret\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        for chunk in body.chunks(10_007) {
            client.send(format!("{:x}\r\n", chunk.len()));
            client.send(chunk);
            client.send("\r\n");
        }
        client.send("0\r\n\r\n");
        let response = client.response(false);
        assert_eq!(response.status, 200);
        assert!(provider.last().body == body, "{size} up");
        assert!(response.body == body, "{size} down");
    }
}

#[test]
fn a_client_that_waits_for_100_continue_gets_it() {
    let provider = echo();
    let gateway = Gateway::before(&provider);
    let mut client = gateway.client();
    client.send(
        "POST /p HTTP/1.1\r\nHost: a\r\napi-key: secret\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    );
    assert!(client.read_head().starts_with("HTTP/1.1 100 "));
    client.send("hello");
    assert_eq!(client.response(false).text(), "hello");
    // A refused request gets its refusal instead of a 100. (Pingora closes a connection after a 100.)
    let mut client = gateway.client();
    client.send("POST /p HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert!(client.read_head().starts_with("HTTP/1.1 401 "));
}

#[test]
fn a_client_that_sends_a_megabyte_can_read_a_refusal() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    for _ in 0..20 {
        let mut client = gateway.client();
        client.send(format!(
            "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
            1 << 20
        ));
        for chunk in bytes(1 << 20).chunks(64 << 10) {
            if client.try_send(chunk).is_err() {
                break;
            }
        }
        let refused = client.response(false);
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (401, "invalid_api_key")
        );
    }
    assert!(provider.received().is_empty());
}

#[test]
fn a_refusal_of_a_small_body_leaves_the_connection_usable() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    let mut client = gateway.client();
    for _ in 0..3 {
        assert_eq!(client.request("POST", "/p", &[], &bytes(300)).status, 401);
    }
    assert_eq!(
        client
            .request("POST", "/p", &[("api-key", "secret")], b"{}")
            .status,
        200
    );
}

#[test]
fn a_body_over_the_limit_is_413_by_its_length_and_by_its_chunks() {
    let provider = Provider::start();
    let rest = simple(&provider.url(), "", "");
    let scene = Scene::with_server("server.limits.request_body = \"64KiB\"", &rest);
    let gateway = Arc::new(scene.key("alice", "secret", "").start());
    let key = [("api-key", "secret")];
    assert_eq!(
        gateway.request("POST", "/p", &key, &bytes(64 << 10)).status,
        200
    );
    let refused = gateway.request("POST", "/p", &key, &bytes((64 << 10) + 1));
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (413, "body_too_large")
    );
    assert_eq!(provider.received().len(), 1);

    let mut client = gateway.client();
    client.send(
        "POST /p HTTP/1.1\r\nHost: a\r\napi-key: secret\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    for chunk in bytes(100 << 10).chunks(1000) {
        let chunk = [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat();
        if client.try_send(chunk).is_err() {
            break;
        }
    }
    let refused = client.response(false);
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (413, "body_too_large")
    );
    // The forwarded part was cut off: the provider never received a complete request.
    assert_eq!(provider.received().len(), 1);
}

#[test]
fn bytes_after_a_broken_body_are_not_the_next_request() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    let smuggled = "GET /p/smuggled HTTP/1.1\r\nHost: a\r\napi-key: secret\r\n\r\n";
    let extension = format!("1;{}", "x".repeat(40_000));
    for broken in [
        "ZZ\r\n",
        "11111111111111111\r\n",
        "2\r\nabc",
        "-1\r\n",
        &extension,
    ] {
        // Refused for a missing key, or admitted: either way, it is the last request of the connection.
        for key in ["", "api-key: secret\r\n"] {
            let mut client = gateway.client();
            client.send(format!(
                "POST /p HTTP/1.1\r\nHost: a\r\n{key}Transfer-Encoding: chunked\r\n\r\n{broken}"
            ));
            let _ = client.try_send(smuggled);
            let refused = client.response(false);
            let wanted = if key.is_empty() { 401 } else { 400 };
            assert_eq!(refused.status, wanted, "{broken:.20}");
            assert_eq!(refused.header("connection"), Some("close"), "{broken:.20}");
            assert!(client.try_response(false).is_none(), "{broken:.20}");
        }
    }
    assert!(provider.received().is_empty(), "{:#?}", provider.received());
}

#[test]
fn bytes_after_a_body_with_an_ambiguous_end_are_not_the_next_request() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    let next = "GET /p/next HTTP/1.1\r\nHost: a\r\napi-key: secret\r\n\r\n";
    for body in [
        "\r\n\r\n",
        "\r\n5\r\nxxxxx\r\n\r\n",
        ";5\r\nxxxxx\r\n\r\n",
        "1\r\na\r\n0\r\n x: y\r\n\r\n",
        "1\r\na\r\n0\r\nx: y\r\n\r\n",
        "1 \r\na\r\n0\r\n\r\n",
    ] {
        // No further bytes follow the response.
        for key in ["", "api-key: secret\r\n"] {
            let mut client = gateway.client();
            client.send(format!(
                "POST /p HTTP/1.1\r\nHost: a\r\n{key}Transfer-Encoding: chunked\r\n\r\n{body}"
            ));
            let first = client.response(false);
            assert!([200, 400, 401].contains(&first.status), "{body:?}");
            let _ = client.try_send(next);
            assert!(client.try_response(false).is_none(), "{body:?} {key:?}");
        }
    }
    let received = provider.received();
    assert!(!received.iter().any(|it| it.head.contains("next")));
}

#[test]
fn a_body_below_the_minimum_rate_is_refused_and_a_slow_one_is_not() {
    let provider = Provider::start();
    let rest = crate::support::gateway::simple(&provider.url(), "", "");
    let scene = Scene::with_server("server.limits.body_rate = \"1KiB\"", &rest);
    let gateway = scene.key("alice", "secret", "").start();
    let drip = |chunk: usize| {
        let mut client = gateway.client();
        client.send(
            "POST /p HTTP/1.1\r\nhost: h\r\napi-key: secret\r\ncontent-length: 90000\r\n\r\n",
        );
        let mut sent = 0;
        // A chunk every quarter of a second, for longer than the rate is not checked.
        while sent < 90_000
            && client
                .try_send("x".repeat(chunk.min(90_000 - sent)))
                .is_ok()
        {
            sent += chunk;
            std::thread::sleep(std::time::Duration::from_millis(250));
            if chunk < 100 && sent > 60 * chunk {
                break;
            }
        }
        client.try_response(false).map(|response| response.status)
    };
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| drip(10));
        let steady = scope.spawn(|| drip(1800));
        assert_eq!(
            (slow.join().unwrap(), steady.join().unwrap()),
            (Some(408), Some(200))
        );
    });
    assert_eq!(
        gateway
            .access_lines(2)
            .iter()
            .filter(|line| line["reason"] == "request_timeout")
            .count(),
        1
    );
}

#[test]
fn an_empty_last_chunk_leaves_nothing_on_the_connection_for_the_next_tenant() {
    let provider = Provider::start();
    let scene = Scene::with_server("server.h2c = true", &simple(&provider.url(), "", ""));
    let gateway = scene.key("alice", "secret", "").start();
    http2::run(async {
        for chunks in [&["x", ""][..], &[""], &["", "x", "", ""], &["x"]] {
            let mut client = http2::connect(gateway.address()).await;
            let request = http::Request::post("http://gateway.test/p").header("api-key", "secret");
            let (response, mut body) = client
                .send_request(request.body(()).unwrap(), false)
                .unwrap();
            for (number, chunk) in chunks.iter().enumerate() {
                let last = number + 1 == chunks.len();
                body.send_data(bytes::Bytes::from_static(chunk.as_bytes()), last)
                    .unwrap();
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            assert_eq!(response.await.unwrap().status(), 200);
        }
    });
    let received = provider.received();
    assert_eq!((received.len(), provider.connections()), (4, 1));
    for request in received {
        assert_eq!(request.line(), "POST /v1/chat/completions HTTP/1.1");
    }
}
