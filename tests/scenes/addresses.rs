//! Providers whose name has several addresses, some of which cannot be reached.

use std::io::Read;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType};
use tokio_rustls::rustls::{ServerConnection, StreamOwned};

use crate::support::gateway::simple;
use crate::support::provider::ok;
use crate::support::tls::{self, Authority};
use crate::support::{Gateway, KEY, PATIENCE, Provider, Scene, eventually};

/// A gateway whose provider's name has these addresses.
fn gateway(provider: &Provider, more: &str, addresses: Vec<SocketAddr>) -> Gateway {
    let scene = Scene::new(&simple(&provider.url(), more, "")).key("alice", "secret", "");
    let gateway = scene.start();
    learn(&gateway, addresses);
    gateway
}

/// Replaces the addresses, as if the resolver had returned them.
fn learn(gateway: &Gateway, addresses: Vec<SocketAddr>) {
    let snapshot = gateway.running.live().snapshot();
    let known = snapshot.rules.providers[0].endpoint.addresses();
    known.learn(addresses);
}

/// The provider's port on a loopback address on which nothing listens.
fn dead(provider: &Provider, host: u8) -> SocketAddr {
    let ip: IpAddr = [127, 0, 0, host].into();
    SocketAddr::new(ip, provider.address().port())
}

/// Sends a request on each of `count` connections at the same time; each must get its response.
fn all_at_once(gateway: &Gateway, count: usize) {
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let post = || gateway.request("POST", "/p", &KEY, b"{}").status;
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(post)).collect();
        threads.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(statuses, vec![200; count]);
}

fn attempts(gateway: &Gateway, from: usize, to: usize) -> Vec<u64> {
    let lines = &gateway.access_lines(to)[from..to];
    let attempts = lines.iter().map(|line| line["attempts"].as_u64().unwrap());
    attempts.collect()
}

#[test]
fn unreachable_addresses_fail_no_request_and_are_not_tried_once_known() {
    for count in [1, 2, 4, 7] {
        let provider = Provider::start();
        let mut addresses: Vec<_> = (2..2 + count).map(|host| dead(&provider, host)).collect();
        addresses.insert(usize::from(count) / 2, provider.address());
        let gateway = gateway(&provider, "", addresses);
        all_at_once(&gateway, 8);
        // Requests have found some dead addresses already; the others are found now, each once.
        let mut client = gateway.client();
        for _ in 0..8 {
            let response = client.request("POST", "/p", &KEY, b"{}");
            assert_eq!(response.status, 200, "{count} dead");
        }
        all_at_once(&gateway, 8);
        let known = attempts(&gateway, 16, 24);
        assert_eq!(known, vec![1; 8], "{count} dead");
    }
}

#[test]
fn a_request_tries_each_address_once_and_then_gives_up() {
    let provider = Provider::start();
    let addresses = (2..6).map(|host| dead(&provider, host)).collect();
    let gateway = gateway(&provider, "", addresses);
    for round in 1..3 {
        let refused = gateway.request("POST", "/p", &KEY, b"{}");
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (502, "provider_unreachable")
        );
        assert_eq!(attempts(&gateway, round - 1, round), [4]);
    }
}

#[test]
fn an_address_with_another_certificate_is_left_out_and_never_gets_the_token() {
    let authority = Authority::new();
    let good = tls::provider(authority.server("localhost", &[]), |_, wire| {
        ok(wire, b"{}");
    });
    // The same port at another address, with a certificate for another name.
    let other = TcpListener::bind(dead(&good, 2)).unwrap();
    let wrong = authority.server("elsewhere.test", &[]);
    let read = Arc::new(Mutex::new(Vec::new()));
    let seen = read.clone();
    std::thread::spawn(move || {
        for stream in other.incoming().map_while(Result::ok) {
            let session = ServerConnection::new(wrong.clone()).unwrap();
            let _ = StreamOwned::new(session, stream).read_to_end(&mut seen.lock().unwrap());
        }
    });
    let scene = Scene::new("").key("alice", "secret", "");
    scene.write("ca.pem", &authority.pem);
    let url = format!("https://localhost:{}", good.address().port());
    scene.configure("", &simple(&url, "ca = \"ca.pem\"", ""));
    let gateway = scene.start();
    learn(&gateway, vec![dead(&good, 2), good.address()]);
    for _ in 0..4 {
        assert_eq!(gateway.request("POST", "/p", &KEY, b"{}").status, 200);
    }
    let all: u64 = attempts(&gateway, 0, 4).iter().sum();
    assert_eq!(all, 5);
    assert!(read.lock().unwrap().is_empty());
}

/// A socket that neither accepts nor refuses connections, as behind a firewall that drops packets; and the connections
/// that fill its queue.
fn silent(address: SocketAddr) -> (rustix::fd::OwnedFd, Vec<TcpStream>) {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&socket, &address).unwrap();
    rustix::net::listen(&socket, 0).unwrap();
    let mut waiting = Vec::new();
    while let Ok(one) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        waiting.push(one);
    }
    (socket, waiting)
}

#[test]
fn an_address_that_drops_connections_delays_only_one_request() {
    let provider = Provider::start();
    let dropping = dead(&provider, 2);
    let _silent = silent(dropping);
    let addresses = vec![dropping, provider.address()];
    let gateway = gateway(&provider, "timeouts.connect = \"1s\"", addresses);
    let timed = || {
        let begun = Instant::now();
        let response = gateway.request("POST", "/p", &KEY, b"{}");
        assert_eq!(response.status, 200);
        begun.elapsed()
    };
    assert!(timed() >= Duration::from_secs(1));
    let all: Duration = (0..10).map(|_| timed()).sum();
    assert!(all < Duration::from_secs(1), "{all:?}");
    assert_eq!(attempts(&gateway, 0, 11), [2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
}

#[test]
fn a_recovered_address_is_found_by_a_connection_without_a_request() {
    let provider = Provider::start();
    let recovering = dead(&provider, 2);
    let gateway = gateway(&provider, "", vec![recovering, provider.address()]);
    assert_eq!(gateway.request("POST", "/p", &KEY, b"{}").status, 200);
    assert_eq!(attempts(&gateway, 0, 1), [2]);
    let back = TcpListener::bind(recovering).unwrap();
    let (tried, is_tried) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in back.incoming().map_while(Result::ok) {
            // The background check only connects, and sends nothing.
            let has_request = stream.read(&mut [0; 4096]).unwrap_or_default() > 0;
            tried.send(has_request).unwrap();
            if has_request {
                ok(&mut stream, b"{}");
            }
        }
    });
    assert_eq!(is_tried.recv_timeout(PATIENCE), Ok(false));
    let mut requested = 1;
    eventually("a request to the address", || {
        assert_eq!(gateway.request("POST", "/p", &KEY, b"{}").status, 200);
        requested += 1;
        is_tried.try_recv() == Ok(true)
    });
    assert_eq!(attempts(&gateway, 1, requested), vec![1; requested - 1]);
}
