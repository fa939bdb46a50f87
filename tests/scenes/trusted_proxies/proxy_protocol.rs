//! The PROXY protocol: its header names the client of a connection.

use super::*;

#[test]
fn the_proxy_header_names_the_client_in_both_versions_and_in_any_chunks() {
    let provider = Provider::start();
    let gateway = Scene::before(&provider, PROTOCOL).start();
    let v6: std::net::Ipv6Addr = "2001:db8::7".parse().unwrap();
    let v6 = [&v6.octets()[..], &[0; 16], &[0x12, 0x67, 1, 0xbb]].concat();
    let mut count = 0;
    for (header, client) in [
        (v1("203.0.113.7"), "203.0.113.7:4711"),
        (
            b"PROXY TCP6 2001:db8::7 ::1 4711 443\r\n".to_vec(),
            "[2001:db8::7]:4711",
        ),
        (v2_tcp4([203, 0, 113, 7], &[]), "203.0.113.7:4711"),
        // AWS and others add values of their own, here 2 KiB.
        (
            v2_tcp4([203, 0, 113, 7], &vec![0xea; 2 << 10]),
            "203.0.113.7:4711",
        ),
        (v2(0x21, 0x21, &v6), "[2001:db8::7]:4711"),
    ] {
        let request = crate::support::client::raw_request("POST", "/p", &[KEY], b"{}");
        let whole = [&header[..], &request].concat();
        // Byte by byte up to the request; all at once; cut within the header and after it.
        for size in [1, whole.len(), 5, header.len()] {
            let mut balancer = Client::connect(gateway.address());
            for chunk in whole.chunks(size) {
                balancer.send(chunk);
            }
            assert_eq!(balancer.response(false).status, 200);
            // The next request on the connection has no PROXY header.
            assert_eq!(post(&mut balancer, &[KEY]).status, 200);
            count += 2;
            assert_eq!(client_in_line(&gateway, count), client, "in {size}s");
        }
    }
    for received in provider.received() {
        assert!(
            received.line().starts_with("POST /v1/chat/completions "),
            "{}",
            received.head
        );
        assert!(!received.head.contains("203.0.113") && !received.head.contains("PROXY"));
    }
}

#[test]
fn a_proxy_header_that_names_no_client_makes_the_balancer_the_client() {
    let provider = Provider::start();
    let gateway = Scene::before(&provider, PROTOCOL).start();
    for (round, header) in [
        v2(0x20, 0, &[]),
        v2(0x20, 0x11, &[9; 12]),
        v2(0x21, 0, &[]),
        v2(0x21, 0x31, &[0; 216]),
        b"PROXY UNKNOWN\r\n".to_vec(),
    ]
    .iter()
    .enumerate()
    {
        let mut balancer = behind(gateway.address(), header);
        assert_eq!(post(&mut balancer, &[KEY]).status, 200);
        assert!(client_in_line(&gateway, round + 1).starts_with("127.0.0.1:"));
    }
    // A health check that only connects is not logged.
    drop(Client::connect(gateway.address()));
    eventually("the connection is gone", || {
        gateway.count("keygate_connections") == 0
    });
    assert_eq!(refused(&gateway, "proxy_header"), 0);
}

#[test]
fn a_trusted_proxy_with_a_bad_header_is_closed_without_a_response() {
    let provider = Provider::start();
    let gateway = Scene::before(&provider, PROTOCOL).start();
    let long = [&b"PROXY UNKNOWN "[..], &[b'x'; 200]].concat();
    let bad: [&[u8]; 6] = [
        b"POST /p HTTP/1.1\r\nHost: a\r\napi-key: secret\r\nContent-Length: 2\r\n\r\n{}",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"PROXY TCP4 203.0.113.7 127.0.0.1 4711\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &long,
        &v2_tcp4([203, 0, 113, 7], &vec![0; 4096]),
    ];
    for (before, bytes) in bad.iter().enumerate() {
        let mut client = behind(gateway.address(), bytes);
        assert!(client.is_closed(), "{}", bytes.escape_ascii());
        eventually("the refusal is counted", || {
            refused(&gateway, "proxy_header") == before as u64 + 1
        });
    }
    assert!(provider.received().is_empty());
}

#[test]
fn a_late_proxy_header_ends_the_connection() {
    let provider = Provider::start();
    let server = format!("{PROTOCOL}\nserver.timeouts.client_head = \"1s\"");
    let gateway = Scene::before(&provider, &server).start();
    for begun in [
        &b""[..],
        b"PROXY TCP4 203",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c",
    ] {
        assert!(behind(gateway.address(), begun).is_closed());
    }
}

#[test]
fn with_the_proxy_protocol_an_untrusted_peer_is_closed_whatever_it_sends() {
    let provider = Provider::start();
    let server = format!("{ELSEWHERE}\nserver.proxy_protocol = true");
    let gateway = Scene::before(&provider, &server).start();
    let request = crate::support::client::raw_request("POST", "/p", &[KEY], b"{}");
    let spoofed = [&v1("192.0.2.1")[..], &request].concat();
    for (before, bytes) in [&spoofed, &request].into_iter().enumerate() {
        assert!(behind(gateway.address(), bytes).is_closed());
        eventually("the refusal is counted", || {
            refused(&gateway, "untrusted") == before as u64 + 1
        });
    }
    assert!(provider.received().is_empty());
}

#[test]
fn tls_starts_after_the_proxy_header() {
    let (provider, authority) = (Provider::start(), Authority::new());
    let gateway = tls::scene(&provider, &authority, PROTOCOL).start();
    let config = tls::client_config(&authority, None, &[]);
    for (count, header) in [v1("203.0.113.7"), v2_tcp4([203, 0, 113, 7], b"tlv")]
        .iter()
        .enumerate()
    {
        // The header is sent alone, or in one chunk with the first bytes of the handshake.
        for at_once in [false, true] {
            let response = post_over_tls(gateway.address(), &config, header, at_once);
            assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
        }
        assert_eq!(
            client_in_line(&gateway, 2 * (count + 1)),
            "203.0.113.7:4711"
        );
    }
    let status = http2::run(async {
        let config = tls::client_config(&authority, None, &["h2"]);
        let mut stream = tokio::net::TcpStream::connect(gateway.address())
            .await
            .unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, &v1("203.0.113.8"))
            .await
            .unwrap();
        let (mut client, _) = tls::http2(stream, config).await;
        let request = http::Request::post("https://gateway.test/p").header(KEY.0, KEY.1);
        let response = http2::send(&mut client, request).await;
        response.status()
    });
    assert_eq!(status, 200);
    assert_eq!(client_in_line(&gateway, 5), "203.0.113.8:4711");
    // A PROXY header inside TLS is no valid request.
    let inner = "PROXY TCP4 203.0.113.9 127.0.0.1 4711 443\r\n";
    let mut stream = StreamOwned::new(
        ClientConnection::new(config, ServerName::try_from("gateway.test").unwrap()).unwrap(),
        TcpStream::connect(gateway.address()).unwrap(),
    );
    assert!(
        stream
            .write_all(inner.as_bytes())
            .and_then(|()| stream.read(&mut [0; 9]))
            .is_err()
    );
}

/// Sends a request over TLS after `header`, and returns everything that was received.
fn post_over_tls(
    to: SocketAddr,
    config: &Arc<ClientConfig>,
    header: &[u8],
    at_once: bool,
) -> String {
    let name = ServerName::try_from("gateway.test").unwrap();
    let mut session = ClientConnection::new(config.clone(), name).unwrap();
    let mut stream = tls::connect(to);
    let mut first = header.to_vec();
    if at_once {
        session.write_tls(&mut first).unwrap();
    }
    stream.write_all(&first).unwrap();
    let mut stream = StreamOwned::new(session, stream);
    let request = "POST /p HTTP/1.1\r\nhost: h\r\napi-key: secret\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response);
    String::from_utf8(response).unwrap()
}

#[test]
fn systemd_sockets_and_the_next_process_read_the_proxy_header_as_well() {
    let provider = Provider::start();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = socket.local_addr().unwrap();
    let scene = Scene::before(&provider, PROTOCOL);
    let text = std::fs::read_to_string(scene.path("gateway.toml")).unwrap();
    let text = text.replacen(
        "server.listen = \"127.0.0.1:0\"",
        "server.listen = \"systemd\"",
        1,
    );
    scene.write("gateway.toml", &text);
    let mut command = keygate();
    command.stdout(std::process::Stdio::null());
    command
        .env("LISTEN_FDS", "1")
        .env("LISTEN_FDNAMES", "keygate.socket");
    let mapping = FdMapping {
        parent_fd: socket.into(),
        child_fd: 3,
    };
    command.fd_mappings(vec![mapping]).unwrap();
    let process = Process::start_as(scene, &mut command);
    drop(command);
    let mut kept = behind(listen, &v1("203.0.113.7"));
    assert_eq!(post(&mut kept, &[KEY]).status, 200);
    let begun = behind(listen, b"PROXY TCP4 203.0.113.8 ");
    let successor = upgrade(&process);
    // The old process finishes its connections, and the new process accepts new ones.
    let mut begun = begun;
    begun.send(b"127.0.0.1 4711 443\r\n");
    assert_eq!(post(&mut begun, &[KEY]).status, 200);
    assert_eq!(post(&mut kept, &[KEY]).status, 200);
    assert_eq!(
        post(&mut behind(listen, &v1("203.0.113.9")), &[KEY]).status,
        200
    );
    let mut bare = behind(listen, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(bare.is_closed());
    drop((kept, begun));
    assert_eq!(process.end().0, Some(0));
    drop(successor);
}
