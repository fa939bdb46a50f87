//! Providers that are unreachable, that close connections, or that send too much.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::client::raw_request;
use crate::support::gateway::simple;
use crate::support::process::Process;
use crate::support::provider::{Wire, ok, respond};
use crate::support::{Client, Gateway, KEY, Provider, Scene, eventually, unused_port};

#[test]
fn an_unreachable_provider_is_502() {
    let url = format!("http://127.0.0.1:{}", unused_port());
    let rest = simple(&url, "", "");
    let gateway = Scene::new(&rest).key("alice", "secret", "").start();
    let refused = gateway.request("POST", "/p", &KEY, b"{}");
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (502, "provider_unreachable")
    );
    // No byte had been sent, so the request was tried once more.
    assert_eq!(gateway.access_lines(1)[0]["attempts"], 2);
}

#[test]
fn a_name_that_cannot_be_resolved_is_502_and_reported() {
    let rest = simple("https://no-such-name.invalid", "", "");
    let gateway = Scene::new(&rest).key("alice", "secret", "").start();
    assert_eq!(gateway.request("POST", "/p", &KEY, b"{}").status, 502);
    let provider = &gateway.admin("/status").json()["providers"][0];
    assert_eq!(provider["state"], "Rejected");
    assert!(
        provider["reason"]
            .as_str()
            .unwrap()
            .contains("cannot be resolved")
    );
}

#[test]
fn a_post_on_a_closing_connection_still_gets_its_response() {
    let provider = Provider::closing(|_, wire| ok(wire, b"{}"));
    let gateway = Gateway::before(&provider);
    let mut client = gateway.client();
    for round in 0..20 {
        let body = format!("{{\"round\":{round}}}");
        let response = client.request("POST", "/p", &KEY, body.as_bytes());
        assert_eq!(response.status, 200, "round {round}");
        // The request arrived once, complete and in order.
        assert_eq!(provider.received().len(), round + 1);
        assert_eq!(provider.last().body, body.as_bytes());
    }
}

#[test]
fn a_post_that_the_provider_may_have_processed_is_not_sent_twice() {
    // Reads the second request of a connection completely, and closes without a response.
    let provider = Provider::responding(|request, wire| {
        if request.body == b"paid" {
            std::thread::sleep(std::time::Duration::from_millis(400));
            panic!("died at work");
        }
        ok(wire, b"{}");
    });
    let gateway = Gateway::before(&provider);
    let mut client = gateway.client();
    assert_eq!(client.request("POST", "/p", &KEY, b"first").status, 200);
    let refused = client.request("POST", "/p", &KEY, b"paid");
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (502, "provider_unreachable")
    );
    // Pingora closes the connection after this, and the response announces it.
    assert_eq!(refused.header("connection"), Some("close"));
    assert_eq!(provider.received().len(), 2);
}

/// The reaction of a provider to a request on a reused connection, before it closes the connection.
struct Way {
    sends: &'static str,
    after: u64,
    resets: bool,
}

const fn way(sends: &'static str, after: u64, resets: bool) -> Way {
    Way {
        sends,
        after,
        resets,
    }
}

/// The number of times that a provider of this kind received a POST, and the client's response.
fn times_sent(way: &'static Way) -> (u16, usize) {
    let begun = AtomicBool::new(false);
    let accept = |stream: TcpStream| {
        let linger = way.resets.then_some(Duration::ZERO);
        rustix::net::sockopt::set_socket_linger(&stream, linger).unwrap();
        Some(Box::new(stream) as Box<dyn Wire>)
    };
    let provider = Provider::accepting(accept, move |request, wire| {
        if request.body == b"first" || begun.swap(true, Ordering::SeqCst) {
            return ok(wire, b"{}");
        }
        let _ = wire
            .write_all(way.sends.as_bytes())
            .and_then(|()| wire.flush());
        std::thread::sleep(Duration::from_millis(way.after));
        // Closes at once: a panic would print its backtrace first.
        std::panic::resume_unwind(Box::new(()));
    });
    let gateway = Gateway::before(&provider);
    let mut client = gateway.client();
    assert_eq!(client.request("POST", "/p", &KEY, b"first").status, 200);
    // From here on, its connection is in the pool.
    gateway.access_lines(1);
    client.send(raw_request("POST", "/p", &KEY, b"paid"));
    let status = loop {
        let head = client.read_head();
        if !head.starts_with("HTTP/1.1 1") {
            break head.split(' ').nth(1).unwrap().parse().unwrap();
        }
    };
    (status, provider.received().len() - 1)
}

#[test]
fn a_post_is_sent_again_only_if_no_byte_of_a_response_arrived() {
    const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
    const HALF: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-model: m\r\n";
    static WITHOUT_RESPONSE: [Way; 2] = [way("", 0, false), way("", 0, true)];
    static WITH_BEGUN_RESPONSE: [Way; 13] = [
        way("HTTP/1.1 100 Continue\r\n\r\n", 0, false),
        way("HTTP/1.1 102 Processing\r\n\r\n", 0, false),
        way("HTTP/1.1 102 Processing\r\n\r\n", 0, true),
        way(HINTS, 0, false),
        way(HINTS, 150, false),
        way(HINTS, 0, true),
        way("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 20", 0, false),
        way("H", 0, false),
        way("HTTP/1.1 20", 0, false),
        way("\r\n", 0, false),
        way(HALF, 0, false),
        way(HALF, 0, true),
        way(HALF, 170, false),
    ];
    for way in &WITHOUT_RESPONSE {
        assert_eq!(times_sent(way), (200, 2), "reset {}", way.resets);
    }
    for way in &WITH_BEGUN_RESPONSE {
        let described = format!("{:?}, reset {}", way.sends, way.resets);
        assert_eq!(times_sent(way), (502, 1), "{described}");
    }
}

#[test]
fn a_provider_that_closes_after_an_interim_response_is_502() {
    let provider = Provider::responding(|_, wire| {
        let _ = wire
            .write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n")
            .and_then(|()| wire.flush());
        panic!("gone");
    });
    let gateway = Gateway::before(&provider);
    let mut client = gateway.client();
    client.send("POST /p HTTP/1.1\r\nHost: a\r\napi-key: secret\r\nContent-Length: 2\r\n\r\n{}");
    assert!(client.read_head().starts_with("HTTP/1.1 103 "));
    let refused = client.response(false);
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (502, "provider_unreachable")
    );
    assert_eq!(gateway.access_lines(1)[0]["status"], 502);
}

#[test]
fn a_post_too_large_to_keep_is_not_sent_twice() {
    let provider = Provider::closing(|_, wire| ok(wire, b"{}"));
    let gateway = Gateway::before(&provider);
    let mut client = gateway.client();
    assert_eq!(client.request("POST", "/p", &KEY, b"{}").status, 200);
    // Longer than one that is held.
    let response = client.request("POST", "/p", &KEY, &vec![b'x'; (1 << 20) + 1]);
    assert_eq!(
        (response.status, response.code().as_str()),
        (502, "provider_unreachable")
    );
    assert_eq!(provider.received().len(), 1);
}

#[test]
fn a_request_is_sent_once_if_the_provider_closes_a_new_connection() {
    let requested = std::sync::Arc::new(AtomicUsize::new(0));
    let count = requested.clone();
    let provider = Provider::responding(move |_, wire| {
        count.fetch_add(1, Ordering::SeqCst);
        // Half a head, then the connection is closed.
        let _ = wire.write_all(b"HTTP/1.1 200 OK\r\ncontent-le");
        panic!("hung up");
    });
    let gateway = Gateway::before(&provider);
    let refused = gateway.request("POST", "/p", &KEY, b"{}");
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (502, "provider_unreachable")
    );
    assert_eq!(requested.load(Ordering::SeqCst), 1);
}

#[test]
fn extra_bytes_of_a_provider_do_not_reach_the_next_client() {
    let provider = Provider::responding(|request, wire| {
        let body = request.body.clone();
        let surplus = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nstolen";
        let mut all =
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
        all.extend(&body);
        all.extend(surplus);
        let _ = wire.write_all(&all);
        let _ = wire.flush();
    });
    let gateway = Gateway::before(&provider);
    for round in 0..30 {
        let body = format!("round {round}");
        let response = gateway.request("POST", "/p", &KEY, body.as_bytes());
        assert_eq!(response.text(), body);
    }
}

#[test]
fn an_abort_does_not_leave_its_response_to_the_next_client() {
    let provider = Provider::responding(|request, wire| {
        std::thread::sleep(std::time::Duration::from_millis(5));
        respond(wire, "200 OK", &[], &request.body);
    });
    let gateway = Gateway::before(&provider);
    for round in 0..50 {
        let mut left = gateway.client();
        left.send(
            "POST /p HTTP/1.1\r\nHost: a\r\napi-key: secret\r\nContent-Length: 4\r\n\r\nleft",
        );
        drop(left);
        let body = format!("round {round}");
        assert_eq!(
            gateway.request("POST", "/p", &KEY, body.as_bytes()).text(),
            body
        );
    }
    eventually("nothing in flight", || {
        gateway.metric("keygate_inflight_requests") == 0.0
    });
}

#[test]
fn head_is_passed_on_and_its_response_has_no_body() {
    let provider = Provider::responding(|request, wire| {
        let body: &[u8] = if request.line().starts_with("HEAD ") {
            b""
        } else {
            b"body"
        };
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\nx-a: b\r\n\r\n";
        let _ = wire
            .write_all(head.as_bytes())
            .and_then(|()| wire.write_all(body));
    });
    let gateway = Gateway::before(&provider);
    let mut client = gateway.client();
    let head = client.request("HEAD", "/p/v1/models", &KEY, b"");
    assert_eq!((head.status, head.header("x-a")), (200, Some("b")));
    assert_eq!(
        client.request("GET", "/p/v1/models", &KEY, b"").text(),
        "body"
    );
    assert_eq!(provider.connections(), 1);
}

#[test]
fn the_same_prompt_is_sent_to_the_provider_each_time() {
    let provider = Provider::responding(|_, wire| {
        let head = "HTTP/1.1 200 OK\r\ncache-control: public, max-age=3600\r\netag: \"x\"\r\ncontent-length: 2\r\n\r\n{}";
        let _ = wire.write_all(head.as_bytes());
    });
    let gateway = Scene::before(&provider, "")
        .key("bob", "secret-2", "")
        .start();
    for method in ["POST", "GET"] {
        for key in ["secret", "secret-2", "secret"] {
            let response = gateway.request(method, "/p/v1/models", &[("api-key", key)], b"{}");
            assert_eq!(response.status, 200);
        }
    }
    assert_eq!(provider.received().len(), 6);
}

#[test]
fn a_response_in_time_leaves_no_timer_behind() {
    let provider = Provider::responding(|_, wire| {
        std::thread::sleep(Duration::from_millis(20));
        ok(wire, b"{}");
    });
    let scene = Scene::before(&provider, "");
    let gateway = Process::start(scene);
    let response = Client::connect(gateway.listen).request("POST", "/p", &KEY, b"{}");
    assert_eq!(response.status, 200);
    // Pingora's timers of ten minutes would remain that long. They have a thread that starts with the first of them.
    let threads = std::fs::read_dir(format!("/proc/{}/task", gateway.id())).unwrap();
    let names = threads.map(|thread| std::fs::read_to_string(thread.unwrap().path().join("comm")));
    let names: Vec<_> = names.flatten().collect();
    assert!(names.iter().any(|name| name == "serve\n"), "{names:?}");
    assert!(names.iter().all(|name| name != "Timer thread\n"));
}
