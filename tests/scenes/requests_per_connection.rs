//! The limit of requests per client connection.

use http::Request;
use tokio::net::TcpStream;

use crate::support::client::raw_request;
use crate::support::gateway::simple;
use crate::support::{Gateway, KEY, Provider, Scene, http2};

/// A gateway with a limit of `most` requests per connection.
fn with_limit(provider: &Provider, most: usize) -> Gateway {
    let server = format!("server.h2c = true\nserver.limits.requests_per_connection = {most}");
    let scene = Scene::with_server(&server, &simple(&provider.url(), "", ""));
    scene.key("alice", "secret", "").start()
}

#[test]
fn the_last_request_of_a_connection_gets_its_response_and_closes_it() {
    let provider = Provider::start();
    for most in [1, 2, 5] {
        let gateway = with_limit(&provider, most);
        let mut client = gateway.client();
        for number in 1..=most {
            // Refused requests count, too.
            let path = if number % 2 == 0 { "/nothing" } else { "/p" };
            let response = client.request("POST", path, &KEY, b"{}");
            let expected = if number == most {
                "close"
            } else {
                "keep-alive"
            };
            assert_eq!(
                response.header("connection"),
                Some(expected),
                "{number} of {most}"
            );
        }
        assert!(client.is_closed());
        assert_eq!(gateway.access_lines(most).len(), most);
    }
}

#[test]
fn pipelined_requests_are_answered_up_to_the_limit() {
    let provider = Provider::start();
    let gateway = with_limit(&provider, 3);
    let mut client = gateway.client();
    client.send(raw_request("POST", "/p", &KEY, b"{}").repeat(5));
    let headers: Vec<_> = std::iter::from_fn(|| client.try_response(false))
        .map(|response| response.header("connection").unwrap().to_owned())
        .collect();
    assert_eq!(headers, ["keep-alive", "keep-alive", "close"]);
    assert_eq!(provider.received().len(), 3);
}

/// Sends requests over HTTP/2, one after the other, until the gateway closes the connection. Returns the number of responses.
async fn responses_over_http2(gateway: &Gateway) -> usize {
    let stream = TcpStream::connect(gateway.address()).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    let over = tokio::spawn(connection);
    let mut responses = 0;
    while let Ok(mut client) = client.clone().ready().await {
        assert!(responses < 10);
        let request = Request::get("http://h/p").header("api-key", "secret");
        let request = request.body(()).unwrap();
        let Ok((response, _)) = client.send_request(request, true) else {
            break;
        };
        let mut body = response.await.unwrap().into_body();
        while let Some(chunk) = body.data().await {
            chunk.unwrap();
        }
        responses += 1;
    }
    // Closed in order, by a GOAWAY without an error.
    over.await.unwrap().unwrap();
    responses
}

#[test]
fn an_http2_connection_ends_with_goaway_at_the_limit() {
    for most in [1, 3] {
        let provider = Provider::start();
        let gateway = with_limit(&provider, most);
        assert_eq!(http2::run(responses_over_http2(&gateway)), most);
        assert_eq!(provider.received().len(), most);
    }
}

#[test]
fn a_limit_of_zero_allows_one_request() {
    let provider = Provider::start();
    let gateway = with_limit(&provider, 0);
    let mut client = gateway.client();
    let response = client.request("POST", "/p", &KEY, b"{}");
    assert_eq!(response.header("connection"), Some("close"));
    assert!(client.is_closed());
    assert_eq!(http2::run(responses_over_http2(&gateway)), 1);
}
