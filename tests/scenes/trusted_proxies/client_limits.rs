//! Limits count for the client that a trusted proxy names, and not for the proxy.

use super::*;

#[test]
fn connections_of_a_balancer_count_for_their_clients_and_not_for_the_balancer() {
    let provider = Provider::start();
    let server = format!("{PROTOCOL}\nserver.limits.connections_per_address = 2");
    let gateway = Scene::before(&provider, &server).start();
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
    // Another client is not affected, and a client in a private network is not counted.
    assert_eq!(open("203.0.113.8").1, Some(200));
    let near: Vec<_> = (0..4).map(|_| open("10.1.2.3")).collect();
    assert!(near.iter().all(|(_, status)| *status == Some(200)));
    drop(first);
    eventually("room for another", || open("203.0.113.7").1 == Some(200));
}

/// Checks that wrong keys of one client block that client and no other; `send` sends a request of the client at an address
/// with a key, on a new connection.
fn wrong_keys_block_one_client(send: impl Fn(&str, &str) -> Response) {
    for _ in 0..3 {
        send("203.0.113.7", "wrong");
    }
    let out = send("203.0.113.7", "secret");
    assert_eq!(
        (out.status, out.code().as_str()),
        (429, "too_many_failed_keys")
    );
    assert_eq!(send("203.0.113.8", "secret").status, 200);
    // An address in a private network may stand for many clients.
    for _ in 0..3 {
        send("192.168.1.2", "wrong");
    }
    assert_eq!(send("192.168.1.2", "secret").status, 200);
}

#[test]
fn wrong_keys_count_for_the_client_behind_the_proxy_protocol() {
    let provider = Provider::start();
    let server = format!("{PROTOCOL}\nserver.limits.failed_keys_per_address = 1");
    let gateway = Scene::before(&provider, &server).start();
    wrong_keys_block_one_client(|client, key| {
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
    let gateway = Scene::before(&provider, &server).start();
    wrong_keys_block_one_client(|client, key| {
        // The client's own, invented addresses come first, and differ each time.
        let made_up = format!("198.51.100.{}, {client}", key.len());
        let forwarded = [("X-Forwarded-For", made_up.as_str()), ("api-key", key)];
        post(&mut gateway.client(), &forwarded)
    });
}

#[test]
fn guesses_behind_a_proxy_delay_no_other_client_on_its_connection() {
    let provider = Provider::start();
    let server = format!("{HEADER}\nserver.h2c = true\nserver.limits.failed_keys_per_address = 1");
    let gateway = Scene::before(&provider, &server).start();
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
            let response = http2::send(&mut kept, request).await;
            assert_eq!(response.status(), *status, "{client} {key}");
        }
    });
}

#[test]
fn running_requests_count_for_the_client_that_a_header_names() {
    let (provider, events) = event_stream();
    let server = format!("{HEADER}\nserver.limits.connections_per_address = 2");
    let gateway = Scene::before(&provider, &server).start();
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
    // Another client is not affected, nor is one in a private network, and the connection still serves others.
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
    drop((events, going));
    eventually("room for another", || {
        stream("203.0.113.7")
            .read_head()
            .starts_with("HTTP/1.1 200 ")
    });
}

#[test]
fn a_trusted_proxy_that_names_no_client_is_not_blocked() {
    let provider = Provider::start();
    let server = "server.trusted_proxies = [\"127.0.0.1\", \"203.0.113.1\"]\n\
                  server.limits.failed_keys_per_address = 1";
    let gateway = Scene::before(&provider, server).start();
    for key in ["wrong", "wrong", "wrong", "secret"] {
        let hidden = [
            ("X-Forwarded-For", "unknown, 203.0.113.1"),
            ("api-key", key),
        ];
        let status = post(&mut gateway.client(), &hidden).status;
        assert_eq!(status, if key == "secret" { 200 } else { 401 });
    }
}
