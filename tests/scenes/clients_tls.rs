//! TLS for clients: the certificate in use, HTTP/2 by ALPN, client certificates.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConnection, StreamOwned};

use crate::support::gateway::simple;
use crate::support::http2;
use crate::support::tls::{
    self, Authority, client_config, connect, handshake, post, scene, write_certificate,
};
use crate::support::{Gateway, PATIENCE, Provider, Scene, eventually};

#[test]
fn clients_are_served_over_tls_and_by_http2_if_they_offer_it() {
    let (provider, authority) = (Provider::start(), Authority::new());
    let gateway = scene(&provider, &authority, "").start();
    let config = client_config(&authority, None, &[]);
    let response = post(gateway.address(), &config, "gateway.test").unwrap();
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    assert!(post(gateway.address(), &config, "other.test").is_err());
    http2::run(async {
        let config = client_config(&authority, None, &["h2", "http/1.1"]);
        let stream = tokio::net::TcpStream::connect(gateway.address())
            .await
            .unwrap();
        let (mut client, _) = tls::http2(stream, config).await;
        let request = http::Request::get("https://gateway.test/p").header("api-key", "secret");
        let response = http2::send(&mut client, request).await;
        assert_eq!(response.status(), 200);
    });
    // A client without TLS gets no response.
    let mut plain = TcpStream::connect(gateway.address()).unwrap();
    plain
        .write_all(b"GET /p HTTP/1.1\r\nhost: h\r\n\r\n")
        .unwrap();
    let mut response = Vec::new();
    let _ = plain.read_to_end(&mut response);
    assert!(!response.starts_with(b"HTTP/"));
}

#[test]
fn a_new_certificate_is_used_from_the_next_connection_on_and_a_bad_one_never() {
    let (provider, authority) = (Provider::start(), Authority::new());
    let gateway = scene(&provider, &authority, "").start();
    let config = client_config(&authority, None, &[]);
    write_certificate(&gateway.scene, &authority, "renewed.test");
    eventually("the new certificate", || {
        post(gateway.address(), &config, "renewed.test").is_ok()
    });
    assert!(post(gateway.address(), &config, "gateway.test").is_err());
    let generation = gateway.running.live().snapshot().rules.generation;
    // A certificate that does not match its key.
    gateway
        .scene
        .write("cert.pem", &authority.certificate("bad.test").0);
    gateway.wait_for_generation(generation + 1);
    assert!(
        gateway
            .admin("/status")
            .text()
            .contains("do not go together")
    );
    assert!(post(gateway.address(), &config, "renewed.test").is_ok());
}

#[test]
fn the_expiry_of_the_certificate_is_in_the_metrics() {
    const METRIC: &str = "\nkeygate_certificate_expiry_timestamp_seconds";
    let (provider, authority) = (Provider::start(), Authority::new());
    let gateway = scene(&provider, &authority, "").start();
    let (certificate, key) = authority.certificate_until("gateway.test", 2031);
    gateway.scene.write("key.pem", &key);
    gateway.scene.write("cert.pem", &certificate);
    eventually("the expiry of the new certificate", || {
        let metrics = gateway.admin("/metrics");
        metrics.text().contains(&format!("{METRIC} 1924992000\n"))
    });
    let plain = Scene::before(&provider, "");
    let metrics = plain.start().admin("/metrics");
    assert!(!metrics.text().contains(METRIC));
}

#[test]
fn a_reload_without_a_certificate_keeps_tls_until_the_next_start() {
    let (provider, authority) = (Provider::start(), Authority::new());
    let gateway = scene(&provider, &authority, "").start();
    gateway
        .scene
        .configure("", &simple(&provider.url(), "", ""));
    gateway.wait_for_generation(2);
    let config = client_config(&authority, None, &[]);
    assert!(post(gateway.address(), &config, "gateway.test").is_ok());
}

#[test]
fn a_client_without_a_required_certificate_is_refused() {
    let (provider, authority, clients) = (Provider::start(), Authority::new(), Authority::new());
    let scene = scene(
        &provider,
        &authority,
        "server.tls.client_ca = \"clients.pem\"",
    );
    let text = std::fs::read_to_string(scene.path("gateway.toml")).unwrap();
    let text = text.replace("key.pem\" }", "key.pem\", client_ca = \"clients.pem\" }");
    scene.write(
        "gateway.toml",
        &text.replace("server.tls.client_ca = \"clients.pem\"", ""),
    );
    scene.write("clients.pem", &clients.pem);
    let gateway = scene.start();
    let with = |own: Option<&Authority>| {
        post(
            gateway.address(),
            &client_config(&authority, own, &[]),
            "gateway.test",
        )
    };
    assert!(with(Some(&clients)).unwrap().starts_with("HTTP/1.1 200 "));
    assert!(with(None).is_err());
    assert!(with(Some(&Authority::new())).is_err());
    assert_eq!(provider.received().len(), 1);
}

#[test]
fn tls_errors_are_reported_before_anything_listens() {
    let (provider, authority) = (Provider::start(), Authority::new());
    let scene = scene(&provider, &authority, "");
    scene.write("cert.pem", "no certificate");
    assert!(
        scene.problems().contains("cert.pem holds no certificate"),
        "{}",
        scene.problems()
    );
    scene.write("cert.pem", &authority.certificate("a.test").0);
    assert!(scene.problems().contains("do not go together"));
    scene.write("key.pem", "no key");
    assert!(
        scene
            .problems()
            .contains("key.pem is not a private key in PEM")
    );
    let rest = simple(&provider.url(), "", "");
    for (listen, plain, problem) in [
        (
            "0.0.0.0:0",
            "",
            ": keys of clients would go unencrypted to 0.0.0.0:0",
        ),
        (
            "[::]:0",
            "server.plain_http = true",
            "warning: keys of clients go unencrypted to [::]:0",
        ),
        (
            "8.8.8.8:443",
            "",
            ": keys of clients would go unencrypted to 8.8.8.8:443",
        ),
        ("10.1.2.3:80", "", ""),
    ] {
        let scene = Scene::new("").key("alice", "secret", "");
        scene.write(
            "gateway.toml",
            &format!("server.listen = \"{listen}\"\n{plain}\n{rest}"),
        );
        let problems = scene.problems();
        assert!(
            problems.contains(problem) && problems.is_empty() == problem.is_empty(),
            "{listen}: {problems}"
        );
    }
}

#[test]
fn a_client_without_a_handshake_counts_and_is_closed_after_the_head_timeout() {
    let (provider, authority) = (Provider::start(), Authority::new());
    let more = "server.timeouts.client_head = \"3s\"\nserver.limits.connections = 3";
    let gateway = scene(&provider, &authority, more).start();
    let mut silent: Vec<_> = (0..3).map(|_| connect(gateway.address())).collect();
    eventually("three silent connections", || {
        gateway.count("keygate_connections") == 3
    });
    // The fourth connection is above the limit.
    assert_eq!(connect(gateway.address()).read(&mut [0; 1]).unwrap_or(0), 0);
    let refused = "keygate_connections_refused_total{limit=\"total\"}";
    assert_eq!(gateway.count(refused), 1);
    for stream in &mut silent {
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    }
    eventually("no connection is left", || {
        gateway.count("keygate_connections") == 0
    });
    assert_eq!(gateway.count("keygate_tls_handshake_failures_total"), 3);
    let config = client_config(&authority, None, &[]);
    assert!(post(gateway.address(), &config, "gateway.test").is_ok());
}

/// A gateway whose clients have one second to send a head.
fn with_short_head_timeout(authority: &Authority) -> (Gateway, Provider) {
    let provider = Provider::start();
    let more = "server.timeouts.client_head = \"1s\"";
    (scene(&provider, authority, more).start(), provider)
}

#[test]
fn a_client_silent_after_its_handshake_is_closed_after_the_head_timeout() {
    let authority = Authority::new();
    let (gateway, _provider) = with_short_head_timeout(&authority);
    for protocols in [&["h2"][..], &["http/1.1"], &[]] {
        let begin = Instant::now();
        let mut stream = handshake(
            gateway.address(),
            &client_config(&authority, None, protocols),
        );
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        // The timeout is not `keepalive`, which is longer and for connections that have had a request.
        assert!(begin.elapsed() < PATIENCE, "{protocols:?}");
        assert!(!rest.starts_with(b"HTTP/"));
    }
    assert_eq!(gateway.count("keygate_tls_handshake_failures_total"), 0);
}

#[test]
fn an_http2_connection_after_its_preface_has_the_idle_timeout() {
    let authority = Authority::new();
    let (gateway, _provider) = with_short_head_timeout(&authority);
    http2::run(async {
        let config = client_config(&authority, None, &["h2"]);
        let stream = tokio::net::TcpStream::connect(gateway.address())
            .await
            .unwrap();
        let (mut client, running) = tls::http2(stream, config).await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert!(!running.is_finished());
        let request = http::Request::get("https://gateway.test/p").header("api-key", "secret");
        let response = http2::send(&mut client, request).await;
        assert_eq!(response.status(), 200);
    });
}

#[test]
fn a_tls_client_gets_all_bytes_of_a_provider_that_pauses() {
    // Once far more bytes than the sockets buffer, so that the last ones wait in the TLS library, and once a few bytes.
    for length in [8 << 20, 10] {
        let (finish, finished) = std::sync::mpsc::channel::<()>();
        let finished = std::sync::Mutex::new(finished);
        let written = Arc::new(AtomicUsize::new(0));
        let count = written.clone();
        let provider = Provider::responding(move |_, wire| {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", length + 1);
            wire.write_all(head.as_bytes()).unwrap();
            for chunk in vec![b'X'; length].chunks(64 << 10) {
                wire.write_all(chunk).unwrap();
                count.fetch_add(chunk.len(), Ordering::SeqCst);
            }
            // The provider sends the rest once the client has read this.
            if finished.lock().unwrap().recv().is_ok() {
                wire.write_all(b"!").unwrap();
            }
        });
        let authority = Authority::new();
        let gateway = scene(&provider, &authority, "").start();
        let name = ServerName::try_from("gateway.test").unwrap();
        let session = ClientConnection::new(client_config(&authority, None, &[]), name).unwrap();
        let socket = TcpStream::connect(gateway.address()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut stream = StreamOwned::new(session, socket);
        let request = "GET /p HTTP/1.1\r\nhost: h\r\napi-key: secret\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        // The client starts to read when the provider has written all of it, or can write no more because every buffer on
        // the way is full.
        let (mut before, mut unchanged) = (0, 0);
        eventually("the buffers are full", || {
            let now = written.load(Ordering::SeqCst);
            unchanged = if now == before { unchanged + 1 } else { 0 };
            before = now;
            now == length || (now > 0 && unchanged > 40)
        });
        let mut chunk = vec![0; 64 << 10];
        let mut seen = 0;
        while seen < length {
            let count = stream.read(&mut chunk).unwrap();
            seen += chunk[..count].iter().filter(|byte| **byte == b'X').count();
        }
        finish.send(()).unwrap();
        let mut last = Vec::new();
        stream.read_to_end(&mut last).unwrap();
        assert!(last.ends_with(b"!"));
    }
}

#[test]
fn pipelined_requests_over_tls_are_answered_in_order() {
    let (provider, authority) = (Provider::start(), Authority::new());
    let gateway = scene(&provider, &authority, "").start();
    let mut stream = handshake(gateway.address(), &client_config(&authority, None, &[]));
    let head = "POST /p HTTP/1.1\r\nhost: h\r\napi-key: secret\r\n";
    let many = format!("{head}content-length: 2\r\n\r\n{{}}").repeat(20);
    let last = format!("{head}connection: close\r\n\r\n");
    stream.write_all((many + &last).as_bytes()).unwrap();
    let mut responses = Vec::new();
    // The way in which the session ends does not matter here.
    let _ = stream.read_to_end(&mut responses);
    let responses = String::from_utf8(responses).unwrap();
    assert_eq!(
        responses.matches("HTTP/1.1 200 ").count(),
        21,
        "{responses}"
    );
    assert_eq!(provider.received().len(), 21);
}
