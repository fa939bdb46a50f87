//! Providers that answer 101 to a request that asks for no other protocol.

use bytes::Bytes;
use http::Request;

use crate::support::gateway::simple;
use crate::support::provider::Wire;
use crate::support::websocket::handshake;
use crate::support::{Gateway, Provider, Scene, http2};

/// A provider that switches protocols over `version` of HTTP, whatever it is asked for, and keeps the connection.
fn switching(version: &'static str) -> Provider {
    let switch = move |wire: &mut dyn Wire| {
        let head = format!(
            "HTTP/{version} 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: foo\r\n\r\n\
             HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno"
        );
        wire.write_all(head.as_bytes()).unwrap();
        wire.flush().unwrap();
    };
    Provider::answering(move |_, wire| switch(wire))
}

/// A gateway that takes HTTP/2 without TLS, and WebSockets where `websocket` is true.
fn before(provider: &Provider, websocket: bool) -> Gateway {
    let route = format!("websocket = {websocket}");
    let scene = Scene::with_server("server.h2c = true", &simple(&provider.url(), "", &route));
    scene.key("alice", "secret", "").start()
}

#[test]
fn a_provider_that_switches_to_a_protocol_unasked_is_502_and_says_why() {
    let provider = switching("1.1");
    for websocket in [false, true] {
        let gateway = before(&provider, websocket);
        let h2c =
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
        let other = "Connection: Upgrade\r\nUpgrade: foo\r\n";
        // What goes up of a list does not ask for a WebSocket.
        let list = websocket.then_some("Connection: Upgrade\r\nUpgrade: foo, websocket\r\n");
        let mut requests = 0;
        for method in ["GET", "POST"] {
            for upgrade in ["", h2c, other].into_iter().chain(list) {
                let mut client = gateway.client();
                client.send(format!(
                    "{method} /p HTTP/1.1\r\nHost: h\r\napi-key: secret\r\n{upgrade}Content-Length: 2\r\n\r\n{{}}"
                ));
                let refused = client.response(false);
                let told = (refused.status, refused.code(), refused.header("connection"));
                assert_eq!(told, (502, "unexpected_switch".to_owned(), Some("close")));
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
        // Each on a connection of its own: what comes behind a 101 is no response.
        assert!(lines.iter().all(|line| line["attempts"] == 1));
    }
}

#[test]
fn nor_does_a_client_of_http2_get_it() {
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
fn a_version_of_http_that_cannot_switch_opens_no_websocket() {
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
