//! A load balancer in front of the gateway: the PROXY protocol or a header of each request names the client, if the
//! balancer is trusted.

mod client_header;
mod client_limits;
mod proxy_protocol;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use command_fds::{CommandFdExt, FdMapping};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::support::gateway::simple;
use crate::support::process::{Process, keygate};
use crate::support::provider::event_stream;
use crate::support::successor::upgrade;
use crate::support::tls::{self, Authority};
use crate::support::{Client, Gateway, Provider, Response, Scene, eventually, http2};

const KEY: (&str, &str) = ("api-key", "secret");
/// Trusts loopback, where the balancer and every client of a scene are.
const PROTOCOL: &str =
    "server.trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]\nserver.proxy_protocol = true";
const HEADER: &str = "server.trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]";
/// Trusts another network.
const ELSEWHERE: &str = "server.trusted_proxies = [\"192.0.2.0/24\"]";

/// A PROXY header of version 1 for a client at this `IPv4` address.
fn v1(client: &str) -> Vec<u8> {
    format!("PROXY TCP4 {client} 127.0.0.1 4711 443\r\n").into_bytes()
}

/// A PROXY header of version 2.
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

/// A PROXY header of version 2 for a client at this `IPv4` address, followed by additional values.
fn v2_tcp4(client: [u8; 4], more: &[u8]) -> Vec<u8> {
    let ports = [0x12, 0x67, 0x01, 0xbb];
    v2(
        0x21,
        0x11,
        &[&client, &[127, 0, 0, 1], &ports, more].concat(),
    )
}

/// A connection of the balancer that starts with `header`.
fn behind(to: SocketAddr, header: &[u8]) -> Client {
    let mut client = Client::connect(to);
    // The gateway may close it at once.
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

/// The client in the last of this many access lines.
fn client_in_line(gateway: &Gateway, count: usize) -> String {
    let lines = gateway.access_lines(count);
    lines[count - 1]["client"].as_str().unwrap().to_owned()
}

#[test]
fn a_reload_changes_the_trusted_proxies() {
    let provider = Provider::start();
    let gateway = Scene::before(&provider, ELSEWHERE).start();
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
fn problems_of_trusted_proxies_are_reported_with_a_remedy() {
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
        let problems = Scene::before(&provider, server).problems();
        assert!(problems.contains(problem), "{server}: {problems}");
        assert!(problems.contains("gateway.toml:"), "{problems}");
    }
    for server in [
        PROTOCOL,
        HEADER,
        "server.trusted_proxies = []",
        "server.proxy_protocol = false",
    ] {
        assert_eq!(Scene::before(&provider, server).problems(), "");
    }
}
