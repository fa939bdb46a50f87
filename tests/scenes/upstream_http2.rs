//! Providers over HTTP/2: the effect of one request on others of its connection, and which requests are sent again.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::support::client::Response;
use crate::support::client::raw_request;
use crate::support::frames::{
    ENHANCE_YOUR_CALM, FrameProvider, INTERNAL_ERROR, MOST_RESETS, NO_ERROR, NO_STREAMS,
    REFUSED_STREAM, RequestedStream, TWO_STREAMS, goaway, last_data, ok, reset, settings, status,
};
use crate::support::gateway::simple;
use crate::support::http2::{self, Http2Provider};
use crate::support::{Client, Gateway, KEY, PATIENCE, Scene, eventually};

const BOB: [(&str, &str); 1] = [("api-key", "secret-2")];

fn gateway(url: &str, server: &str) -> Gateway {
    Scene::with_server(server, &simple(url, "http = \"2\"", ""))
        .key("alice", "secret", "")
        .key("bob", "secret-2", "")
        .start()
}

fn gateway_with_timeouts(url: &str, timeouts: &str) -> Gateway {
    let provider = format!("http = \"2\"\ntimeouts = {{ {timeouts} }}");
    Scene::new(&simple(url, &provider, ""))
        .key("alice", "secret", "")
        .key("bob", "secret-2", "")
        .start()
}

/// A client that has read only the head of a response.
fn open_response(gateway: &Gateway, path: &str, key: &[(&str, &str)]) -> Client {
    Client::open_response(gateway.address(), raw_request("GET", path, key, b""))
}

#[test]
fn clients_that_do_not_read_do_not_stall_others_on_the_same_connection() {
    let large = Bytes::from(vec![b'x'; 64 << 20]);
    let provider = Http2Provider::responding(None, move |request| {
        if request.uri().path().ends_with("/large") {
            large.clone()
        } else {
            Bytes::from(vec![b'y'; 2 << 10])
        }
    });
    let gateway = gateway(&format!("http://{}", provider.address), "");
    // The requests are sent one after the other: at the same time, each might open a connection.
    let mut silent: Vec<Client> = (0..3)
        .map(|_| open_response(&gateway, "/p/large", &KEY))
        .collect();
    let mut unchanged = 0;
    eventually("the provider stops sending what is not read", || {
        let before = provider.sent();
        // Bob sends requests on the same connection all the time, and gets complete responses.
        let response = gateway.get("/p/small", &BOB);
        assert_eq!((response.status, response.body.len()), (200, 2 << 10));
        let still = provider.sent() == before + (2 << 10) && before > 1 << 20;
        unchanged = if still { unchanged + 1 } else { 0 };
        unchanged > 20
    });
    assert_eq!(provider.connections(), 1);
    // A client that starts to read again receives the rest.
    let mut received = 0;
    while let Some(chunk) = silent[0].try_chunk().unwrap() {
        received += chunk.len();
    }
    assert_eq!(received, 64 << 20);
}

#[test]
fn clients_that_abort_do_not_make_the_provider_end_the_responses_of_others() {
    let first = Arc::new(Mutex::new(None));
    let seen = first.clone();
    let provider = FrameProvider::start(move |requested, wire| {
        // Every response starts, and none of them ends.
        let mut first = seen.lock().unwrap();
        first.get_or_insert_with(|| (requested.stream, wire.try_clone().unwrap()));
        drop(first);
        write(wire, &[status(requested.stream, "200")])
    });
    let gateway = gateway(&provider.url(), "");
    let mut bob = open_response(&gateway, "/p", &BOB);
    for _ in 0..MOST_RESETS * 2 {
        drop(open_response(&gateway, "/p", &KEY));
    }
    gateway.access_lines(MOST_RESETS * 2);
    let (stream, mut wire) = first.lock().unwrap().take().unwrap();
    wire.write_all(&last_data(stream, b"whole")).unwrap();
    assert_eq!(bob.chunk(), "whole");
    assert_eq!(bob.try_chunk(), Some(None));
}

/// The refusal of a request whose body is sent in chunks of `size` bytes until a response arrives.
fn refused(gateway: &Gateway, size: usize, pause: Duration) -> (u16, Duration) {
    let mut client = gateway.client();
    let begun = Instant::now();
    client.send(
        "POST /p HTTP/1.1\r\nHost: a\r\napi-key: secret\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    let chunk = format!("{size:x}\r\n{}\r\n", "x".repeat(size));
    while begun.elapsed() < Duration::from_secs(14) && !client.has_response() {
        let _ = client.try_send(&chunk);
        std::thread::sleep(pause);
    }
    (client.response(false).status, begun.elapsed())
}

#[test]
fn a_body_that_is_too_long_is_413_at_once_over_http2() {
    let provider = Http2Provider::start(None);
    let url = format!("http://{}", provider.address);
    let gateway = gateway(&url, "server.limits.request_body = \"10KiB\"");
    let (status, took) = refused(&gateway, 1 << 10, Duration::from_millis(5));
    assert_eq!(status, 413);
    assert!(took < Duration::from_secs(5), "{took:?}");
    // The provider does not wait for the rest.
    eventually("the reset of the request", || provider.resets() == 1);
    assert!(provider.received().is_empty());
    assert_eq!(gateway.access_lines(1)[0]["reason"], "body_too_large");
    // The connection serves the next request.
    assert_eq!(gateway.request("POST", "/p", &BOB, b"{}").status, 200);
    assert_eq!(provider.connections(), 1);
}

#[test]
fn a_body_that_arrives_too_slowly_is_408_over_http2() {
    let provider = Http2Provider::start(None);
    let url = format!("http://{}", provider.address);
    let gateway = gateway(&url, "server.limits.body_rate = \"1KiB\"");
    let (status, took) = refused(&gateway, 1, Duration::from_millis(100));
    assert_eq!(status, 408);
    assert!(took < Duration::from_secs(14), "{took:?}");
    eventually("the reset of the request", || provider.resets() == 1);
}

/// The reaction of a provider to the first POST.
type Way = fn(RequestedStream, &mut TcpStream) -> bool;

fn write(wire: &mut TcpStream, frames: &[Vec<u8>]) -> bool {
    wire.write_all(&frames.concat()).is_ok()
}

fn hang_up(wire: &mut TcpStream, frames: &[Vec<u8>]) -> bool {
    write(wire, frames);
    let _ = wire.shutdown(Shutdown::Both);
    false
}

/// A gateway whose connection to the provider is reused if `kept`, and the number of times that a provider of this kind
/// received a POST.
fn times_sent(kept: bool, way: Way) -> (Option<u16>, usize) {
    times_sent_with("POST", &KEY, kept, way)
}

/// The same for a request of `method` with `headers`.
fn times_sent_with(
    method: &str,
    headers: &[(&str, &str)],
    kept: bool,
    way: Way,
) -> (Option<u16>, usize) {
    let first = usize::from(kept);
    let requests_before = AtomicUsize::new(0);
    let provider = FrameProvider::start(move |requested, wire| {
        if requests_before.fetch_add(1, Ordering::SeqCst) == first {
            return way(requested, wire);
        }
        write(wire, &[ok(requested.stream)])
    });
    let gateway = gateway(&provider.url(), "");
    let mut client = gateway.client();
    for _ in 0..first {
        assert_eq!(client.request("POST", "/p", &KEY, b"first").status, 200);
        // From here on, its connection is in the pool.
        gateway.access_lines(1);
    }
    client.send(raw_request(method, "/p", headers, b"paid"));
    let status = client
        .try_response(method == "HEAD")
        .map(|response| response.status);
    (status, provider.requested() - first)
}

#[test]
fn a_post_is_sent_again_over_http2_only_if_the_provider_declares_it_unprocessed() {
    let unprocessed: [(&str, Way); 8] = [
        ("REFUSED_STREAM", |requested, wire| {
            write(wire, &[reset(requested.stream, REFUSED_STREAM)])
        }),
        ("REFUSED_STREAM after 300 ms", |requested, wire| {
            std::thread::sleep(Duration::from_millis(300));
            write(wire, &[reset(requested.stream, REFUSED_STREAM)])
        }),
        ("GOAWAY before it, FIN", |requested, wire| {
            hang_up(wire, &[goaway(requested.stream - 1, NO_ERROR)])
        }),
        ("GOAWAY before it", |requested, wire| {
            write(wire, &[goaway(requested.stream - 1, NO_ERROR)])
        }),
        ("GOAWAY for an error, before it, FIN", |requested, wire| {
            hang_up(wire, &[goaway(requested.stream - 1, ENHANCE_YOUR_CALM)])
        }),
        // An interim response does not revoke the guarantee (RFC 9113, section 8.7).
        ("103, REFUSED_STREAM", |requested, wire| {
            let early = status(requested.stream, "103");
            write(wire, &[early, reset(requested.stream, REFUSED_STREAM)])
        }),
        ("103, GOAWAY before it, FIN", |requested, wire| {
            let early = status(requested.stream, "103");
            hang_up(wire, &[early, goaway(requested.stream - 1, NO_ERROR)])
        }),
        ("GOAWAY before it after 300 ms, FIN", |requested, wire| {
            std::thread::sleep(Duration::from_millis(300));
            hang_up(wire, &[goaway(requested.stream - 1, NO_ERROR)])
        }),
    ];
    for (way, provider) in unprocessed {
        for kept in [true, false] {
            assert_eq!(
                times_sent(kept, provider),
                (Some(200), 2),
                "{way}, kept {kept}"
            );
        }
    }
    let perhaps_processed: [(&str, Way); 8] = [
        ("FIN", |_, wire| hang_up(wire, &[])),
        ("103, FIN", |requested, wire| {
            hang_up(wire, &[status(requested.stream, "103")])
        }),
        ("half a frame, FIN", |requested, wire| {
            hang_up(wire, &[status(requested.stream, "200")[..10].to_vec()])
        }),
        ("GOAWAY behind it, FIN", |requested, wire| {
            hang_up(wire, &[goaway(requested.stream, NO_ERROR)])
        }),
        ("GOAWAY for an error, behind it, FIN", |requested, wire| {
            hang_up(wire, &[goaway(requested.stream, ENHANCE_YOUR_CALM)])
        }),
        ("INTERNAL_ERROR", |requested, wire| {
            write(wire, &[reset(requested.stream, INTERNAL_ERROR)])
        }),
        ("a head, REFUSED_STREAM", |requested, wire| {
            write(
                wire,
                &[
                    status(requested.stream, "200"),
                    reset(requested.stream, REFUSED_STREAM),
                ],
            )
        }),
        ("103, FIN after 150 ms", |requested, wire| {
            write(wire, &[status(requested.stream, "103")]);
            std::thread::sleep(Duration::from_millis(150));
            hang_up(wire, &[])
        }),
    ];
    for (way, provider) in perhaps_processed {
        for kept in [true, false] {
            let (_, times) = times_sent(kept, provider);
            assert_eq!(times, 1, "{way}, kept {kept}");
        }
    }
}

#[test]
fn a_safe_request_is_sent_again_over_http2_if_its_kept_connection_was_closed() {
    let close: Way = |_, wire| hang_up(wire, &[]);
    for method in ["GET", "HEAD", "OPTIONS"] {
        assert_eq!(times_sent_with(method, &KEY, true, close), (Some(200), 2));
        assert_eq!(times_sent_with(method, &KEY, false, close), (Some(502), 1));
    }
    for method in ["PUT", "DELETE", "PATCH"] {
        assert_eq!(times_sent_with(method, &KEY, true, close), (Some(502), 1));
    }
    // A request that a header may turn into a POST is not sent again either.
    let post = [KEY[0], ("x-http-method-override", "POST")];
    let times = times_sent_with("GET", &post, true, close);
    assert_eq!(times, (Some(502), 1));
}

#[test]
fn a_goaway_while_a_request_is_on_its_way_loses_no_request() {
    let provider = FrameProvider::start(|requested, wire| {
        if !write(wire, &[ok(requested.stream)]) {
            return false;
        }
        let mut wire = wire.try_clone().unwrap();
        std::thread::spawn(move || {
            // At about the time of the next request.
            std::thread::sleep(Duration::from_millis(1));
            write(&mut wire, &[goaway(requested.stream, NO_ERROR)]);
            let _ = wire.shutdown(Shutdown::Write);
        });
        true
    });
    let gateway = gateway(&provider.url(), "");
    for number in 0..300 {
        let response = gateway.request("POST", "/p", &KEY, b"paid");
        assert_eq!(response.status, 200, "request {number}");
        std::thread::sleep(Duration::from_micros(number * 7 % 1500));
    }
}

#[test]
fn a_refused_request_is_sent_again_on_another_connection() {
    // A draining connection refuses every request after its first one.
    let provider = FrameProvider::start(|requested, wire| {
        if requested.stream == 1 {
            write(wire, &[ok(requested.stream)])
        } else {
            write(wire, &[reset(requested.stream, REFUSED_STREAM)])
        }
    });
    let gateway = gateway(&provider.url(), "");
    for number in 1..=2 {
        assert_eq!(gateway.request("POST", "/p", &KEY, b"paid").status, 200);
        gateway.access_lines(number);
    }
    assert_eq!(provider.requested(), 3);
}

#[test]
fn an_error_of_the_clients_stream_is_no_refusal_of_the_provider() {
    let provider = Http2Provider::start(None);
    let url = format!("http://{}", provider.address);
    let gateway = gateway(&url, "server.h2c = true");
    http2::run(async {
        let mut client = http2::connect(gateway.address()).await;
        let request = http::Request::post(format!("http://{}/p", gateway.address()));
        let request = request.header("api-key", "secret").body(()).unwrap();
        let (_response, mut body) = client.send_request(request, false).unwrap();
        body.send_data(Bytes::from_static(b"half"), false).unwrap();
        while provider.connections() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        body.send_reset(h2::Reason::REFUSED_STREAM);
        // The exchange ends before the client drops the connection.
        while gateway.metric("keygate_inflight_requests") > 0.0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let line = &gateway.access_lines(1)[0];
    assert_eq!(line["attempts"], 1, "{line}");
}

#[test]
fn several_connections_that_end_at_once_lose_no_request() {
    let ending = Arc::new(AtomicBool::new(false));
    let end = ending.clone();
    let provider = FrameProvider::with_settings(TWO_STREAMS, move |requested, wire| {
        if end.load(Ordering::SeqCst) {
            return write(wire, &[ok(requested.stream)]);
        }
        if requested.stream == 1 {
            // Without a response, so that the connection stays open and is shared.
            return true;
        }
        eventually("the end of the connections", || end.load(Ordering::SeqCst));
        let last = requested.stream;
        write(wire, &[ok(last), goaway(last, ENHANCE_YOUR_CALM)])
    });
    let gateway = gateway(&provider.url(), "");
    // Two connections with two streams each.
    let mut clients: Vec<Client> = (1..=4)
        .map(|count| {
            let mut client = gateway.client();
            client.send(raw_request("POST", "/p", &KEY, b"paid"));
            eventually("the request", || provider.requested() == count);
            client
        })
        .collect();
    ending.store(true, Ordering::SeqCst);
    for waiting in [1, 3] {
        assert_eq!(clients[waiting].response(false).status, 200);
    }
    gateway.access_lines(2);
    let response = gateway.client().request("POST", "/p", &KEY, b"paid");
    assert_eq!(response.status, 200);
}

/// The response to a client that sends as much of a long body as it can until a response arrives.
fn post_a_long_body(gateway: &Gateway) -> Response {
    let mut client = gateway.client();
    client
        .send("POST /p HTTP/1.1\r\nHost: a\r\napi-key: secret\r\nContent-Length: 16777216\r\n\r\n");
    let begun = Instant::now();
    while !client.has_response() {
        assert!(begun.elapsed() < PATIENCE / 2, "no response arrived");
        let _ = client.send_some(&[b'x'; 4 << 10]);
    }
    client.response(false)
}

#[test]
fn a_response_that_ends_before_the_body_reaches_the_client() {
    // The provider resets the rest of the body (RFC 9113, section 8.1), or grants no window and sends nothing.
    for (resets, write_timeout) in [(true, "60s"), (false, "1s")] {
        for code in ["413", "401", "200"] {
            let provider = FrameProvider::at_heads(move |requested, wire| {
                let mut frames = vec![
                    status(requested.stream, code),
                    last_data(requested.stream, b"{}"),
                ];
                if resets {
                    frames.push(reset(requested.stream, NO_ERROR));
                }
                write(wire, &frames)
            });
            let timeouts = format!("write = \"{write_timeout}\"");
            let gateway = gateway_with_timeouts(&provider.url(), &timeouts);
            let response = post_a_long_body(&gateway);
            assert_eq!(response.status.to_string(), code);
            assert_eq!(response.body, b"{}");
            if !resets {
                eventually("the reset of the request", || provider.resets() == 1);
            }
        }
    }
}

#[test]
fn a_reused_connection_that_allows_no_more_streams_fails_only_one_request() {
    let settled = AtomicBool::new(false);
    let provider = FrameProvider::start(move |requested, wire| {
        let mut frames = vec![ok(requested.stream)];
        if !settled.swap(true, Ordering::SeqCst) {
            frames.push(settings(NO_STREAMS));
        }
        write(wire, &frames)
    });
    let gateway = gateway_with_timeouts(&provider.url(), "first_byte = \"2s\"");
    assert_eq!(gateway.request("POST", "/p", &KEY, b"first").status, 200);
    gateway.access_lines(1);
    let mut stuck = gateway.client();
    stuck.send(raw_request("POST", "/p", &KEY, b"stuck"));
    eventually("the request", || {
        gateway.metric("keygate_inflight_requests") == 1.0
    });
    // Others go over another connection, meanwhile and after.
    assert_eq!(
        gateway.request("POST", "/p", &BOB, b"meanwhile").status,
        200
    );
    let response = stuck.response(false);
    assert_eq!(
        (response.status, &*response.code()),
        (504, "provider_timeout")
    );
    assert_eq!(gateway.request("POST", "/p", &BOB, b"after").status, 200);
    assert_eq!(provider.requested(), 3);
}
