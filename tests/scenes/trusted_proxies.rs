//! A load balancer in front: who the client is, by the PROXY protocol or by a header of each request, and who may say so.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use command_fds::{CommandFdExt, FdMapping};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::clients_tls;
use crate::support::gateway::simple;
use crate::support::process::{Process, keygate, streaming};
use crate::support::tls::Authority;
use crate::support::{Client, Gateway, PATIENCE, Provider, Response, Scene, eventually, http2};
use crate::upgrade::upgrade;

const KEY: (&str, &str) = ("api-key", "secret");
/// The balancer is on loopback, as every client of a scene is.
const PROTOCOL: &str =
    "server.trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]\nserver.proxy_protocol = true";
const HEADER: &str = "server.trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]";
/// Somebody else is trusted.
const ELSEWHERE: &str = "server.trusted_proxies = [\"192.0.2.0/24\"]";

fn scene(provider: &Provider, server: &str) -> Scene {
    Scene::with_server(server, &simple(&provider.url(), "", "")).key("alice", "secret", "")
}

/// A header of version 1 for a client at this address of `IPv4`.
fn v1(client: &str) -> Vec<u8> {
    format!("PROXY TCP4 {client} 127.0.0.1 4711 443\r\n").into_bytes()
}

/// A header of version 2.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [
        b"\r\n\r\n\0\r\nQUIT\n",
        &[command, family][..],
        &length,
        rest,
    ]
    .concat()
}

/// One for a client at an address of `IPv4`, with additional values behind.
fn v2_tcp4(client: [u8; 4], more: &[u8]) -> Vec<u8> {
    let ports = [0x12, 0x67, 0x01, 0xbb];
    v2(
        0x21,
        0x11,
        &[&client, &[127, 0, 0, 1], &ports, more].concat(),
    )
}

/// A connection that the balancer begins with `header`.
fn behind(to: SocketAddr, header: &[u8]) -> Client {
    let mut client = Client::connect(to);
    // It may be closed at once.
    let _ = client.try_send(header);
    client
}

fn post(client: &mut Client, headers: &[(&str, &str)]) -> Response {
    client.request("POST", "/p", headers, b"{}")
}

fn refused(gateway: &Gateway, limit: &str) -> u64 {
    gateway.count(&format!(
        "keygate_connections_refused_total{{limit=\"{limit}\"}}"
    ))
}

/// The client in the last of so many access lines.
fn client_in_line(gateway: &Gateway, count: usize) -> String {
    let lines = gateway.access_lines(count);
    lines[count - 1]["client"].as_str().unwrap().to_owned()
}

#[test]
fn the_client_is_who_the_proxy_header_names_in_both_versions_and_in_any_pieces() {
    let provider = Provider::start();
    let gateway = scene(&provider, PROTOCOL).start();
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
        // As AWS and others add what they know, here 2 KiB of it.
        (
            v2_tcp4([203, 0, 113, 7], &vec![0xea; 2 << 10]),
            "203.0.113.7:4711",
        ),
        (v2(0x21, 0x21, &v6), "[2001:db8::7]:4711"),
    ] {
        let request = crate::support::client::raw_request("POST", "/p", &[KEY], b"{}");
        let whole = [&header[..], &request].concat();
        // A byte at a time as far as the request; all at once; cut within the header and behind it.
        for size in [1, whole.len(), 5, header.len()] {
            let mut balancer = Client::connect(gateway.address());
            for chunk in whole.chunks(size) {
                balancer.send(chunk);
            }
            assert_eq!(balancer.response(false).status, 200);
            // The next one on the connection has no header in front.
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
fn where_the_balancer_speaks_for_itself_the_client_is_the_balancer() {
    let provider = Provider::start();
    let gateway = scene(&provider, PROTOCOL).start();
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
    // A health check that only connects is nothing to be told of.
    drop(Client::connect(gateway.address()));
    eventually("it is gone", || gateway.count("keygate_connections") == 0);
    assert_eq!(refused(&gateway, "proxy_header"), 0);
}

#[test]
fn a_trusted_proxy_without_a_good_header_is_closed_without_a_word() {
    let provider = Provider::start();
    let gateway = scene(&provider, PROTOCOL).start();
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
        eventually("it is counted", || {
            refused(&gateway, "proxy_header") == before as u64 + 1
        });
    }
    assert!(provider.received().is_empty());
}

#[test]
fn a_header_that_does_not_come_in_the_time_of_a_head_ends_the_connection() {
    let provider = Provider::start();
    let server = format!("{PROTOCOL}\nserver.timeouts.client_head = \"1s\"");
    let gateway = scene(&provider, &server).start();
    for begun in [
        &b""[..],
        b"PROXY TCP4 203",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c",
    ] {
        assert!(behind(gateway.address(), begun).is_closed());
    }
}

#[test]
fn with_the_proxy_protocol_who_is_no_trusted_proxy_is_closed_whatever_it_sends() {
    let provider = Provider::start();
    let server = format!("{ELSEWHERE}\nserver.proxy_protocol = true");
    let gateway = scene(&provider, &server).start();
    let request = crate::support::client::raw_request("POST", "/p", &[KEY], b"{}");
    let spoofed = [&v1("192.0.2.1")[..], &request].concat();
    for (before, bytes) in [&spoofed, &request].into_iter().enumerate() {
        assert!(behind(gateway.address(), bytes).is_closed());
        eventually("it is counted", || {
            refused(&gateway, "untrusted") == before as u64 + 1
        });
    }
    assert!(provider.received().is_empty());
}

#[test]
fn tls_begins_behind_the_proxy_header() {
    let (provider, authority) = (Provider::start(), Authority::new());
    let gateway = clients_tls::scene(&provider, &authority, PROTOCOL).start();
    let config = clients_tls::client(&authority, None, &[]);
    for (count, header) in [v1("203.0.113.7"), v2_tcp4([203, 0, 113, 7], b"tlv")]
        .iter()
        .enumerate()
    {
        // With the first bytes of the handshake behind it in one chunk, too.
        for at_once in [false, true] {
            let response = ask_tls(gateway.address(), &config, header, at_once);
            assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
        }
        assert_eq!(
            client_in_line(&gateway, 2 * (count + 1)),
            "203.0.113.7:4711"
        );
    }
    let status = http2::run(async {
        let config = clients_tls::client(&authority, None, &["h2"]);
        let mut stream = tokio::net::TcpStream::connect(gateway.address())
            .await
            .unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, &v1("203.0.113.8"))
            .await
            .unwrap();
        let name = ServerName::try_from("gateway.test").unwrap();
        let connector = tokio_rustls::TlsConnector::from(config);
        let stream = connector.connect(name, stream).await.unwrap();
        let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::post("https://gateway.test/p").header(KEY.0, KEY.1);
        let (response, _) = client
            .send_request(request.body(()).unwrap(), true)
            .unwrap();
        response.await.unwrap().status()
    });
    assert_eq!(status, 200);
    assert_eq!(client_in_line(&gateway, 5), "203.0.113.8:4711");
    // Within TLS, it is no header.
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

/// One request over TLS behind `header`, and all that came.
fn ask_tls(to: SocketAddr, config: &Arc<ClientConfig>, header: &[u8], at_once: bool) -> String {
    let name = ServerName::try_from("gateway.test").unwrap();
    let mut session = ClientConnection::new(config.clone(), name).unwrap();
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
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
fn connections_of_a_balancer_count_for_their_clients_and_not_for_the_balancer() {
    let provider = Provider::start();
    let server = format!("{PROTOCOL}\nserver.limits.connections_per_address = 2");
    let gateway = scene(&provider, &server).start();
    let open = |client| {
        let mut client = behind(gateway.address(), &v1(client));
        let _ = client.try_send(crate::support::client::raw_request(
            "POST",
            "/p",
            &[KEY],
            b"{}",
        ));
        let status = client.try_response(false).map(|response| response.status);
        (client, status)
    };
    let (first, status) = open("203.0.113.7");
    assert_eq!(status, Some(200));
    let (_second, status) = open("203.0.113.7");
    assert_eq!(status, Some(200));
    assert_eq!(open("203.0.113.7").1, None);
    assert_eq!(refused(&gateway, "address"), 1);
    // Another client is not concerned, and one in a private network is not counted.
    assert_eq!(open("203.0.113.8").1, Some(200));
    let near: Vec<_> = (0..4).map(|_| open("10.1.2.3")).collect();
    assert!(near.iter().all(|(_, status)| *status == Some(200)));
    drop(first);
    eventually("room for another", || open("203.0.113.7").1 == Some(200));
}

/// Whether wrong keys of one client keep that client out, and nobody else, where `ask` is a request of the client at an
/// address with a key, on a connection of its own.
fn wrong_keys_keep_one_client_out(ask: impl Fn(&str, &str) -> Response) {
    for _ in 0..3 {
        ask("203.0.113.7", "wrong");
    }
    let out = ask("203.0.113.7", "secret");
    assert_eq!(
        (out.status, out.code().as_str()),
        (429, "too_many_failed_keys")
    );
    assert_eq!(ask("203.0.113.8", "secret").status, 200);
    // Private networks may be many clients.
    for _ in 0..3 {
        ask("192.168.1.2", "wrong");
    }
    assert_eq!(ask("192.168.1.2", "secret").status, 200);
}

#[test]
fn wrong_keys_count_for_the_client_behind_the_proxy_protocol() {
    let provider = Provider::start();
    let server = format!("{PROTOCOL}\nserver.limits.failed_keys_per_address = 1");
    let gateway = scene(&provider, &server).start();
    wrong_keys_keep_one_client_out(|client, key| {
        post(
            &mut behind(gateway.address(), &v1(client)),
            &[("api-key", key)],
        )
    });
}

#[test]
fn wrong_keys_count_for_the_client_that_a_header_names() {
    let provider = Provider::start();
    let server = format!("{HEADER}\nserver.limits.failed_keys_per_address = 1");
    let gateway = scene(&provider, &server).start();
    wrong_keys_keep_one_client_out(|client, key| {
        // What the client made up stands in front, and is a new address each time.
        let made_up = format!("198.51.100.{}, {client}", key.len());
        let forwarded = [("X-Forwarded-For", made_up.as_str()), ("api-key", key)];
        post(&mut gateway.client(), &forwarded)
    });
}

#[test]
fn who_guesses_behind_a_proxy_delays_nobody_else_on_the_proxys_connection() {
    let provider = Provider::start();
    let server = format!("{HEADER}\nserver.h2c = true\nserver.limits.failed_keys_per_address = 1");
    let gateway = scene(&provider, &server).start();
    let (guesser, other) = ("203.0.113.7", "203.0.113.8");
    let requests = [
        (guesser, "wrong", 401),
        (guesser, "wrong", 401),
        (guesser, "wrong", 429),
        (other, "secret", 200),
        (guesser, "secret", 429),
        (other, "secret", 200),
    ];
    let mut kept = gateway.client();
    for (client, key, status) in requests {
        let headers = [("api-key", key), ("x-forwarded-for", client)];
        assert_eq!(post(&mut kept, &headers).status, status, "{client} {key}");
    }
    http2::run(async {
        let mut kept = http2::connect(gateway.address()).await;
        for (client, key, status) in &requests[2..] {
            let request = http::Request::post("http://gateway.test/p");
            let request = request
                .header("api-key", *key)
                .header("x-forwarded-for", *client);
            let request = request.body(()).unwrap();
            let (response, _) = kept.send_request(request, true).unwrap();
            assert_eq!(response.await.unwrap().status(), *status, "{client} {key}");
        }
    });
}

#[test]
fn requests_of_a_client_that_a_header_names_count_for_it_as_long_as_they_go_on() {
    let (provider, tell) = streaming();
    let server = format!("{HEADER}\nserver.limits.connections_per_address = 2");
    let gateway = scene(&provider, &server).start();
    let stream = |client: &str| {
        let mut connection = gateway.client();
        let forwarded = [KEY, ("x-forwarded-for", client)];
        let request = crate::support::client::raw_request("POST", "/p", &forwarded, b"{}");
        connection.send(request);
        connection
    };
    let mut going: Vec<_> = (0..2).map(|_| stream("203.0.113.7")).collect();
    for open in &mut going {
        assert!(open.read_head().starts_with("HTTP/1.1 200 "));
    }
    let mut third = stream("203.0.113.7");
    let refused = third.response(false);
    let response = (refused.status, refused.code());
    assert_eq!(response, (429, "too_many_connections".to_owned()));
    // Another client is not concerned, nor is one in a private network, and the connection is of use to others.
    let other = crate::support::client::raw_request(
        "POST",
        "/p",
        &[KEY, ("x-forwarded-for", "203.0.113.8")],
        b"{}",
    );
    third.send(other);
    assert!(third.read_head().starts_with("HTTP/1.1 200 "));
    let mut near: Vec<_> = (0..4).map(|_| stream("192.168.1.2")).collect();
    for open in &mut near {
        assert!(open.read_head().starts_with("HTTP/1.1 200 "));
    }
    drop((tell, going));
    eventually("room for another", || {
        stream("203.0.113.7")
            .read_head()
            .starts_with("HTTP/1.1 200 ")
    });
}

#[test]
fn where_a_trusted_proxy_names_nobody_its_address_is_not_kept_out() {
    let provider = Provider::start();
    let server = "server.trusted_proxies = [\"127.0.0.1\", \"203.0.113.1\"]\n\
                  server.limits.failed_keys_per_address = 1";
    let gateway = scene(&provider, server).start();
    for key in ["wrong", "wrong", "wrong", "secret"] {
        let hidden = [
            ("X-Forwarded-For", "unknown, 203.0.113.1"),
            ("api-key", key),
        ];
        let status = post(&mut gateway.client(), &hidden).status;
        assert_eq!(status, if key == "secret" { 200 } else { 401 });
    }
}

#[test]
fn a_trusted_header_names_the_client_from_its_end_and_goes_to_no_provider() {
    let provider = Provider::start();
    let mut asked = 0;
    for (more, headers, client) in [
        ("", &[("X-Forwarded-For", "203.0.113.7")][..], "203.0.113.7"),
        (
            "",
            &[("x-forwarded-for", "6.6.6.6, 203.0.113.7, 10.0.0.2")],
            "203.0.113.7",
        ),
        (
            "",
            &[
                ("x-forwarded-for", "6.6.6.6"),
                ("x-forwarded-for", "203.0.113.7:99"),
            ],
            "203.0.113.7:99",
        ),
        ("", &[("x-forwarded-for", "2001:db8::7")], "2001:db8::7"),
        // It is one header that counts: of others, nobody knows who wrote them.
        (
            "",
            &[
                ("x-forwarded-for", "203.0.113.7"),
                ("forwarded", "for=6.6.6.6"),
                ("x-real-ip", "6.6.6.6"),
            ],
            "203.0.113.7",
        ),
        (
            "forwarded",
            &[(
                "forwarded",
                "for=6.6.6.6, for=\"[2001:db8::7]:99\";proto=https",
            )],
            "[2001:db8::7]:99",
        ),
        (
            "forwarded",
            &[
                ("forwarded", "for=203.0.113.7"),
                ("x-forwarded-for", "6.6.6.6"),
            ],
            "203.0.113.7",
        ),
        (
            "X-Corp-Client",
            &[("x-corp-client", "203.0.113.7")],
            "203.0.113.7",
        ),
    ] {
        let header = format!("{HEADER}\nserver.client_ip_header = \"{more}\"");
        let gateway = scene(&provider, if more.is_empty() { HEADER } else { &header }).start();
        let headers = [headers, &[KEY]].concat();
        assert_eq!(post(&mut gateway.client(), &headers).status, 200);
        assert_eq!(client_in_line(&gateway, 1), client, "{headers:?}");
        asked += 1;
        let head = provider.last().head.to_ascii_lowercase();
        for address in [
            "203.0.113.7",
            "2001:db8",
            "6.6.6.6",
            "10.0.0.2",
            "x-corp-client",
        ] {
            assert!(!head.contains(address), "{head}");
        }
    }
    assert_eq!(provider.received().len(), asked);
}

#[test]
fn a_header_counts_for_each_request_of_a_connection_and_over_http2() {
    let provider = Provider::start();
    let gateway = scene(&provider, &format!("{HEADER}\nserver.h2c = true")).start();
    let mut client = gateway.client();
    for (count, address) in ["203.0.113.7", "203.0.113.8"].into_iter().enumerate() {
        assert_eq!(
            post(&mut client, &[KEY, ("x-forwarded-for", address)]).status,
            200
        );
        assert_eq!(client_in_line(&gateway, count + 1), address);
    }
    http2::run(async {
        let mut client = http2::connect(gateway.address()).await;
        for address in ["203.0.113.9", "203.0.113.10"] {
            let request = http::Request::post("http://gateway.test/p");
            let request = request
                .header(KEY.0, KEY.1)
                .header("x-forwarded-for", address);
            let (response, _) = client
                .send_request(request.body(()).unwrap(), true)
                .unwrap();
            assert_eq!(response.await.unwrap().status(), 200);
        }
    });
    assert_eq!(client_in_line(&gateway, 3), "203.0.113.9");
    assert_eq!(client_in_line(&gateway, 4), "203.0.113.10");
}

#[test]
fn nobody_else_says_who_the_client_is() {
    let provider = Provider::start();
    for server in ["", ELSEWHERE, "server.trusted_proxies = []"] {
        let gateway = scene(&provider, server).start();
        let spoofed = [
            ("x-forwarded-for", "203.0.113.7"),
            ("forwarded", "for=203.0.113.7"),
            KEY,
        ];
        assert_eq!(post(&mut gateway.client(), &spoofed).status, 200);
        assert!(
            client_in_line(&gateway, 1).starts_with("127.0.0.1:"),
            "{server}"
        );
        // Nor by a PROXY header, which is no request.
        let mut client = behind(gateway.address(), &v1("203.0.113.7"));
        let _ = client.try_send(crate::support::client::raw_request(
            "POST",
            "/p",
            &[KEY],
            b"{}",
        ));
        assert_ne!(
            client.try_response(false).map(|response| response.status),
            Some(200)
        );
    }
    // With the PROXY protocol, no header of a request counts, not even that of a trusted address.
    let gateway = scene(&provider, PROTOCOL).start();
    let mut client = behind(gateway.address(), &v1("10.1.2.3"));
    assert_eq!(
        post(&mut client, &[KEY, ("x-forwarded-for", "203.0.113.7")]).status,
        200
    );
    assert_eq!(client_in_line(&gateway, 1), "10.1.2.3:4711");
}

#[test]
fn who_is_trusted_changes_with_a_reload() {
    let provider = Provider::start();
    let gateway = scene(&provider, ELSEWHERE).start();
    let mut kept = gateway.client();
    let named = [KEY, ("x-forwarded-for", "203.0.113.7")];
    post(&mut kept, &named);
    assert!(client_in_line(&gateway, 1).starts_with("127.0.0.1:"));
    let rest = simple(&provider.url(), "", "");
    gateway.scene.configure(HEADER, &rest);
    gateway.running.reload();
    gateway.wait_for_generation(2);
    post(&mut kept, &named);
    assert_eq!(client_in_line(&gateway, 2), "203.0.113.7");
    gateway.scene.configure(PROTOCOL, &rest);
    gateway.running.reload();
    gateway.wait_for_generation(3);
    post(&mut behind(gateway.address(), &v1("203.0.113.8")), &[KEY]);
    assert_eq!(client_in_line(&gateway, 3), "203.0.113.8:4711");
}

#[test]
fn sockets_of_systemd_and_the_next_process_take_the_proxy_header_as_well() {
    let provider = Provider::start();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = socket.local_addr().unwrap();
    let scene = scene(&provider, PROTOCOL);
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
    // What had begun goes on where it was, and what comes now is taken by the other process.
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

#[test]
fn what_is_wrong_with_trusted_proxies_is_said_with_its_cure() {
    let provider = Provider::start();
    for (server, problem) in [
        (
            "server.trusted_proxies = \"10.0.0.0/33\"",
            "`10.0.0.0/33` is neither an address nor a network, such as 10.0.0.0/8",
        ),
        (
            "server.trusted_proxies = \"lb.internal\"",
            "`lb.internal` is neither an address nor a network",
        ),
        (
            "server.trusted_proxies = \"10.0.0.1/8\"",
            "`10.0.0.1/8` has bits behind its prefix",
        ),
        (
            "server.trusted_proxies = \"0.0.0.0/0\"",
            "warning: server.trusted_proxies: `0.0.0.0/0` is everybody",
        ),
        (
            "server.proxy_protocol = true",
            "server.proxy_protocol = true believes nobody: name the networks",
        ),
        (
            "server.trusted_proxies = []\nserver.proxy_protocol = true",
            "believes nobody",
        ),
        (
            "server.client_ip_header = \"X-Real-IP\"",
            "server.client_ip_header believes nobody",
        ),
        (
            &format!("{PROTOCOL}\nserver.client_ip_header = \"X-Real-IP\""),
            "server.client_ip_header and server.proxy_protocol both say who the client is",
        ),
        (
            &format!("{HEADER}\nserver.client_ip_header = \"Host\""),
            "`Host` cannot hold a client's address",
        ),
        (
            &format!("{HEADER}\nserver.client_ip_header = \"x-api-key\""),
            "`x-api-key` cannot hold",
        ),
        (
            &format!("{HEADER}\nserver.client_ip_header = \"a b\""),
            "`a b` cannot hold",
        ),
    ] {
        let problems = scene(&provider, server).problems();
        assert!(problems.contains(problem), "{server}: {problems}");
        assert!(problems.contains("gateway.toml:"), "{problems}");
    }
    for server in [
        PROTOCOL,
        HEADER,
        "server.trusted_proxies = []",
        "server.proxy_protocol = false",
    ] {
        assert_eq!(scene(&provider, server).problems(), "");
    }
}
