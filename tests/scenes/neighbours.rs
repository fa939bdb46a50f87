//! Two tenants share one connection to a provider, and one log. Whatever one of them does, the other one gets its own
//! responses, complete and in time.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;

use crate::support::client::raw_request;
use crate::support::http2::Http2Provider;
use crate::support::process::{LogReader, Process, keygate};
use crate::support::{Client, Gateway, Scene, eventually};

const LARGE: usize = 16 << 20;
/// The time limit of one exchange, whatever the other tenant does: a thousand times what an exchange takes alone.
const SLOWEST: Duration = Duration::from_secs(5);

type Key = [(&'static str, &'static str); 1];
const ALICE: Key = [("api-key", "secret-a")];
const BOB: Key = [("api-key", "secret-b")];

/// The body of the response to a path: the path, repeated. So no two requests have the same response.
fn own(path: &str) -> Vec<u8> {
    let length = if path.contains("large") { LARGE } else { 5_000 };
    let mut body = path.repeat(length / path.len() + 1).into_bytes();
    body.truncate(length);
    body
}

fn provider() -> Http2Provider {
    Http2Provider::responding(None, |request: &Request<()>| {
        Bytes::from(own(request.uri().path()))
    })
}

/// A route and a key for each tenant, each with its own token at the same provider.
fn scene(provider: &Http2Provider) -> Scene {
    let rest = format!(
        "[providers.p]\nkind = \"custom\"\nbase_url = \"http://{}\"\ntoken = \"key:up\"\nhttp = \"2\"\n\
         [[routes]]\nname = \"a\"\npath = \"/a\"\nprovider = \"p\"\nkeys = {{ team = \"a\" }}\n\
         [[routes]]\nname = \"b\"\npath = \"/b\"\nprovider = \"p\"\nkeys = {{ team = \"b\" }}\n",
        provider.address
    );
    let more = |team: &str| {
        format!("labels = {{ team = \"{team}\" }}\nmetadata = {{ up = \"inline:token-{team}\" }}")
    };
    Scene::with_server("server.limits.request_body = \"1GiB\"", &rest)
        .key("alice", "secret-a", &more("a"))
        .key("bob", "secret-b", &more("b"))
}

/// Runs one exchange of a tenant, and checks that its response is its own and arrives in time.
fn exchange(client: &mut Client, key: &Key, route: &str, rest: &str, body: &[u8]) {
    let start = Instant::now();
    let response = client.request("POST", &format!("{route}{rest}"), key, body);
    assert_eq!(response.status, 200, "{rest}: {}", response.head);
    assert!(
        response.body == own(rest),
        "{rest}: the response is not its own"
    );
    assert!(start.elapsed() < SLOWEST, "{rest}: {:?}", start.elapsed());
}

/// Lets Bob send requests all the time while Alice runs `disturb`, which gets the number of Bob's responses.
fn beside(provider: &Http2Provider, disturb: impl FnOnce(&Gateway, &AtomicUsize) + Send) {
    let gateway = scene(provider).start();
    let (over, exchanges) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut bob = gateway.client();
    // Opens the connection first, so that no request opens another one.
    exchange(&mut bob, &BOB, "/b", "/bob/first", b"first");
    std::thread::scope(|threads| {
        let alice = threads.spawn(|| {
            disturb(&gateway, &exchanges);
            over.store(true, Ordering::SeqCst);
        });
        while !over.load(Ordering::SeqCst) && !alice.is_finished() {
            let number = exchanges.fetch_add(1, Ordering::SeqCst);
            let body = format!("{number} ").repeat(3_000);
            exchange(
                &mut bob,
                &BOB,
                "/b",
                &format!("/bob/{number}"),
                body.as_bytes(),
            );
        }
        alice.join().unwrap();
    });
    // The requests that the provider received were each tenant's own as well.
    let mut of_bob = 0;
    for (request, body) in provider.received() {
        let token = &request.headers()["authorization"];
        let path = request.uri().path();
        let Some(number) = path.strip_prefix("/bob/") else {
            assert_eq!(token, "Bearer token-a", "{path}");
            assert!(body.iter().all(|byte| *byte == b'a'), "{path}");
            continue;
        };
        assert_eq!(token, "Bearer token-b", "{path}");
        let first = number == "first";
        let wanted = format!("{number} ").repeat(3_000);
        assert!(
            first || body == wanted.as_bytes(),
            "{path}: the body is not its own"
        );
        of_bob += 1;
    }
    assert_eq!(of_bob, exchanges.into_inner() + 1);
}

/// Waits until Bob has received this many more responses.
fn wait_for(more: usize, exchanges: &AtomicUsize) {
    let before = exchanges.load(Ordering::SeqCst);
    eventually("Bob's responses", || {
        exchanges.load(Ordering::SeqCst) >= before + more
    });
}

#[test]
fn a_tenant_that_does_not_read_does_not_affect_another_on_its_connection() {
    let provider = provider();
    beside(&provider, |gateway, exchanges| {
        let mut silent: Vec<Client> = (0..6)
            .map(|number| {
                let path = format!("/a/large/{number}");
                Client::open_response(gateway.address(), raw_request("GET", &path, &ALICE, b""))
            })
            .collect();
        wait_for(60, exchanges);
        // A client that starts to read again receives its own response.
        for number in [5, 0] {
            let mut received = Vec::new();
            while let Some(chunk) = silent[number].try_chunk().unwrap() {
                received.extend(chunk);
            }
            assert!(received == own(&format!("/large/{number}")));
        }
    });
    assert_eq!(provider.connections(), 1);
}

#[test]
fn a_tenant_that_resets_all_the_time_does_not_affect_another_on_its_connection() {
    let provider = provider();
    beside(&provider, |gateway, exchanges| {
        for number in 0..300 {
            let mut client = gateway.client();
            let request = raw_request("GET", &format!("/a/large/{number}"), &ALICE, b"");
            match number % 3 {
                // Before the response, in its middle, and in the middle of the request.
                0 => client.send(request),
                1 => {
                    client.send(request);
                    client.read_head();
                }
                _ => client.send(
                    "POST /a/cut HTTP/1.1\r\nHost: a\r\napi-key: secret-a\r\nContent-Length: 9\r\n\r\na",
                ),
            }
        }
        wait_for(20, exchanges);
    });
    // After a hundred resets there is a new connection; a request while it is being opened opens another one.
    let connections = provider.connections();
    assert!(connections <= 30, "{connections}");
}

#[test]
fn a_tenant_that_posts_a_huge_body_does_not_affect_another_on_its_connection() {
    const CHUNKS: usize = 1_000;
    let provider = provider();
    beside(&provider, |gateway, exchanges| {
        let mut client = gateway.client();
        let length = CHUNKS << 16;
        client.send(format!(
            "POST /a/huge HTTP/1.1\r\nHost: a\r\napi-key: secret-a\r\nContent-Length: {length}\r\n\r\n"
        ));
        let chunk = vec![b'a'; 1 << 16];
        for number in 0..CHUNKS {
            client.send(&chunk);
            if number % (CHUNKS / 5) == 0 {
                wait_for(5, exchanges);
            }
        }
        let response = client.response(false);
        assert_eq!(response.status, 200);
        assert!(response.body == own("/huge"));
    });
    let received = provider.received();
    let huge = received
        .iter()
        .find(|(request, _)| request.uri().path() == "/huge");
    assert_eq!(huge.unwrap().1.len(), CHUNKS << 16);
    assert_eq!(provider.connections(), 1);
}

#[test]
fn a_log_reader_that_stops_does_not_affect_either_of_two_tenants() {
    const EXCHANGES: usize = 150;
    let provider = provider();
    let mut reader = LogReader::new();
    let mut command = keygate();
    command.stdout(reader.end()).stderr(reader.end());
    let process = Process::start_with_log(scene(&provider), &mut command, || reader.read());
    drop(command);
    let done = AtomicUsize::new(0);
    let work = |key: &Key, route: &str, tenant: &str| {
        let mut client = Client::connect(process.listen);
        for number in 0..EXCHANGES {
            exchange(
                &mut client,
                key,
                route,
                &format!("/{tenant}/{number}"),
                b"{}",
            );
            done.fetch_add(1, Ordering::SeqCst);
        }
    };
    std::thread::scope(|threads| {
        threads.spawn(|| work(&ALICE, "/a", "alice"));
        threads.spawn(|| work(&BOB, "/b", "bob"));
        wait_for(20, &done);
        reader.stop();
    });
    // The reader that starts again finds the lines of both tenants.
    assert_eq!(done.into_inner(), EXCHANGES * 2);
    let mut routes = [0, 0];
    eventually("the access lines", || {
        let log = reader.read();
        let lines = log.lines().filter(|line| line.starts_with('{'));
        let lines = lines.filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        routes = [0, 0];
        for line in lines {
            match (line["key"].as_str(), line["route"].as_str()) {
                (Some("alice"), Some("a")) => routes[0] += 1,
                (Some("bob"), Some("b")) => routes[1] += 1,
                _ => panic!("a line that mixes both tenants: {line}"),
            }
        }
        routes == [EXCHANGES; 2]
    });
}
