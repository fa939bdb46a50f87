//! Providers that respond with 101 to a request that asks for no other protocol.

use bytes::Bytes;
use http::Request;

use crate::support::gateway::simple;
use crate::support::provider::Wire;
use crate::support::websocket::handshake;
use crate::support::{Gateway, Provider, Scene, http2};

/// A provider that responds to every request with 101 in this `version` of HTTP, and keeps the connection open.
fn switching(version: &'static str) -> Provider {
    let switch = move |wire: &mut dyn Wire| {
        let head = format!(
            "HTTP/{version} 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: foo\r\n\r\n\
             HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno"
        );
        wire.write_all(head.as_bytes()).unwrap();
        wire.flush().unwrap();
    };
    Provider::responding(move |_, wire| switch(wire))
}

/// A gateway with HTTP/2 without TLS, and WebSockets if `websocket` is true.
fn before(provider: &Provider, websocket: bool) -> Gateway {
    let route = format!("websocket = {websocket}");
    let scene = Scene::with_server("server.h2c = true", &simple(&provider.url(), "", &route));
    scene.key("alice", "secret", "").start()
}

#[test]
fn an_unrequested_protocol_switch_is_502_with_its_reason_in_the_access_line() {
    let provider = switching("1.1");
    for websocket in [false, true] {
        let gateway = before(&provider, websocket);
        let h2c =
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
        let other = "Connection: Upgrade\r\nUpgrade: foo\r\n";
        // A list of protocols is not sent to the provider as a request for a WebSocket.
        let list = websocket.then_some("Connection: Upgrade\r\nUpgrade: foo, websocket\r\n");
        let mut requests = 0;
        for method in ["GET", "POST"] {
            for upgrade in ["", h2c, other].into_iter().chain(list) {
                let mut client = gateway.client();
                client.send(format!(
                    "{method} /p HTTP/1.1\r\nHost: h\r\napi-key: secret\r\n{upgrade}Content-Length: 2\r\n\r\n{{}}"
                ));
                let refused = client.response(false);
                let response = (refused.status, refused.code(), refused.header("connection"));
                assert_eq!(
                    response,
                    (502, "unexpected_switch".to_owned(), Some("close"))
                );
                assert!(client.is_closed());
                requests += 1;
            }
        }
        let lines = gateway.access_lines(requests);
        assert!(
            lines
                .iter()
                .all(|line| line["reason"] == "unexpected_switch")
        );
        // Each on a connection of its own: bytes after a 101 are no response.
        assert!(lines.iter().all(|line| line["attempts"] == 1));
    }
}

#[test]
fn an_unrequested_protocol_switch_is_502_over_http2_too() {
    let provider = switching("1.1");
    let gateway = before(&provider, true);
    let status = http2::run(async {
        let client = http2::connect(gateway.address()).await;
        let mut client = client.ready().await.unwrap();
        let request = Request::post("http://h/p").header("api-key", "secret");
        let (response, mut body) = client
            .send_request(request.body(()).unwrap(), false)
            .unwrap();
        body.send_data(Bytes::from_static(b"{}"), true).unwrap();
        response.await.unwrap().status()
    });
    assert_eq!(status, 502);
    assert_eq!(gateway.access_lines(1)[0]["reason"], "unexpected_switch");
}

#[test]
fn an_http_1_0_response_opens_no_websocket() {
    let provider = switching("1.0");
    let gateway = before(&provider, true);
    let mut client = gateway.client();
    client.send(handshake("/p", ""));
    let refused = client.response(false);
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (502, "unexpected_switch")
    );
    assert!(client.is_closed());
}
