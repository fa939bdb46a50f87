//! Held bodies of which providers want more than one try, or not all.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};

use super::{LONGEST, at_rest, bytes, head, send_in_chunks};
use crate::support::gateway::simple;
use crate::support::http2;
use crate::support::provider::ok;
use crate::support::{Gateway, KEY, PATIENCE, Provider, Scene, unused_port};

#[test]
fn a_large_held_body_is_sent_again_if_the_provider_had_closed_the_connection() {
    for size in [200_000, LONGEST] {
        let provider = Provider::closing(|_, wire| ok(wire, b"{}"));
        let gateway = Gateway::before(&provider);
        let mut client = gateway.client();
        for round in 1..=10 {
            let response = client.request("POST", "/p", &KEY, &bytes(size));
            assert_eq!(response.status, 200, "{size}, round {round}");
            assert_eq!(provider.received().len(), round);
            assert!(provider.last().body == bytes(size), "{size}, round {round}");
        }
        let lines = gateway.access_lines(10);
        assert!(
            lines
                .iter()
                .all(|line| line["request_bytes"] == size as u64)
        );
        at_rest(&gateway);
    }
}

/// A provider over HTTP/2 that refuses the first stream when a part of its body has come. The bodies of the others are
/// sent to the receiver.
fn refusing_once() -> (SocketAddr, Receiver<Vec<u8>>) {
    let (send, bodies) = channel();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let refused = Arc::new(AtomicBool::new(false));
    std::thread::spawn(move || {
        http2::run(async move {
            listener.set_nonblocking(true).unwrap();
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let (send, refused) = (send.clone(), refused.clone());
                tokio::spawn(async move {
                    let mut connection = h2::server::handshake(stream).await.unwrap();
                    while let Some(Ok((request, mut respond))) = connection.accept().await {
                        let (send, refused) = (send.clone(), refused.clone());
                        tokio::spawn(async move {
                            let (mut stream, mut body) = (request.into_body(), Vec::new());
                            while let Some(Ok(chunk)) = stream.data().await {
                                if !refused.swap(true, Ordering::SeqCst) {
                                    return respond.send_reset(h2::Reason::REFUSED_STREAM);
                                }
                                let _ = stream.flow_control().release_capacity(chunk.len());
                                body.extend_from_slice(&chunk);
                            }
                            send.send(body).unwrap();
                            respond
                                .send_response(http::Response::new(()), true)
                                .unwrap();
                        });
                    }
                });
            }
        });
    });
    (address, bodies)
}

#[test]
fn a_held_body_of_which_a_provider_over_http2_refused_a_part_is_sent_again() {
    for size in [1000, 70_000, 300_000] {
        let (provider, bodies) = refusing_once();
        let rest = simple(&format!("http://{provider}"), "http = \"2\"", "");
        let gateway = Scene::new(&rest).key("alice", "secret", "").start();
        let mut client = gateway.client();
        send_in_chunks(&mut client, &head(size, ""), &bytes(size), size);
        assert_eq!(client.response(false).status, 200, "{size}");
        assert!(
            bodies.recv_timeout(PATIENCE).unwrap() == bytes(size),
            "{size}"
        );
        assert_eq!(gateway.access_lines(1)[0]["attempts"], 2);
        at_rest(&gateway);
    }
}

#[test]
fn a_provider_that_responds_before_it_has_read_a_held_body_is_heard() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // More than fits into the sockets on the way.
    let server = "server.limits.held_body = \"16MiB\"";
    let scene = Scene::with_server(server, &simple(&url, "", ""));
    let gateway = scene.key("alice", "secret", "").start();
    std::thread::spawn(move || {
        for (stream, closes) in listener.incoming().zip([true, false]) {
            let mut stream = stream.unwrap();
            let mut begun = [0; 1000];
            assert!(stream.read(&mut begun).unwrap() > 0);
            stream
                .write_all(b"HTTP/1.1 413 Payload Too Large\r\ncontent-length: 4\r\n\r\nlong")
                .unwrap();
            if !closes {
                let _ = std::io::copy(&mut stream, &mut std::io::sink());
            }
        }
    });
    for _ in 0..2 {
        let response = gateway.request("POST", "/p", &KEY, &bytes(16 << 20));
        assert_eq!((response.status, response.text()), (413, "long"));
        at_rest(&gateway);
    }
}

#[test]
fn a_provider_that_cannot_be_reached_drops_the_held_body() {
    let url = format!("http://127.0.0.1:{}", unused_port());
    let gateway = Scene::new(&simple(&url, "", ""))
        .key("alice", "secret", "")
        .start();
    for _ in 0..3 {
        let refused = gateway.request("POST", "/p", &KEY, &bytes(300_000));
        assert_eq!(refused.status, 502);
    }
    at_rest(&gateway);
}
