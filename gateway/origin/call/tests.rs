//! Calls to servers on loopback and on a Unix socket.

use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, LOCATION};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};

use super::*;
use crate::origin::addresses::Addresses;
use crate::origin::endpoint::{EndpointSpec, HttpVersion};
use crate::origin::timeouts::Timeouts;
use crate::origin::url::BaseUrl;

const LIMITS: CallLimits = CallLimits {
    deadline: Duration::from_secs(10),
    response_bytes: 64,
};

fn request(method: http::Method) -> CallRequest {
    CallRequest::new(method, HeaderValue::from_static("a.test"), "/x?y=z")
}

/// A server for one connection: reads a request with `body_length` bytes of body, and sends `response`.
async fn serve(
    mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin,
    length: usize,
    response: &str,
) -> String {
    let mut received = Vec::new();
    let head_end = |bytes: &[u8]| bytes.windows(4).position(|it| it == b"\r\n\r\n");
    while head_end(&received).is_none_or(|at| received.len() < at + 4 + length) {
        assert!(stream.read_buf(&mut received).await.unwrap() > 0);
    }
    stream.write_all(response.as_bytes()).await.unwrap();
    String::from_utf8(received).unwrap()
}

/// The endpoint of a server that sends `response`, and what it received.
async fn server(response: &'static str) -> (Endpoint, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream, 0, response).await
    });
    (endpoint(port), served)
}

fn endpoint(port: u16) -> Endpoint {
    let url = BaseUrl::parse(&format!("http://127.0.0.1:{port}")).unwrap();
    let addresses = Arc::new(Addresses::new(&url.host, port, false));
    let spec = EndpointSpec {
        url: &url,
        sni: &url.host,
        ca: None,
        http: HttpVersion::Http1,
        timeouts: Timeouts::default(),
        proxy: None,
    };
    Endpoint::new(&spec, addresses)
}

#[tokio::test]
async fn a_redirect_is_a_response_and_is_not_followed() {
    let (endpoint, served) =
        server("HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 2\r\n\r\nno")
            .await;
    let mut get = request(http::Method::GET);
    get.set(AUTHORIZATION, HeaderValue::from_static("Bearer t"));
    let response = Caller::new().call(&endpoint, &get, LIMITS).await.unwrap();
    assert_eq!(response.status(), 307);
    assert_eq!(response.headers()[LOCATION], "http://127.0.0.1:1/");
    assert_eq!(&response.body()[..], b"no");
    let received = served.await.unwrap();
    assert!(
        received.starts_with("GET /x?y=z HTTP/1.1\r\nHost: a.test\r\n"),
        "{received}"
    );
    assert!(received.contains("uthorization: Bearer t\r\n") && !received.contains("ength"));
}

#[tokio::test]
async fn a_response_is_read_as_far_as_its_limit_and_a_status_without_its_body() {
    let large = "HTTP/1.1 200 OK\r\nContent-Length: 65\r\n\r\n\
                 01234567890123456789012345678901234567890123456789012345678901234";
    let (endpoint, _served) = server(large).await;
    let caller = Caller::new();
    let get = request(http::Method::GET);
    let error = caller.call(&endpoint, &get, LIMITS).await.unwrap_err();
    assert!(matches!(error, CallError::TooLarge(64)), "{error}");
    let (endpoint, _served) = server(large).await;
    assert_eq!(
        caller
            .status(&endpoint, &get, LIMITS.deadline)
            .await
            .unwrap(),
        200
    );
}

#[tokio::test]
async fn interim_responses_are_passed_over_and_a_switch_of_protocols_is_an_error() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n\
                   HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok";
    let (caller, get) = (Caller::new(), request(http::Method::GET));
    let (endpoint, _served) = server(interim).await;
    let response = caller.call(&endpoint, &get, LIMITS).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.body()[..]),
        (202, &b"ok"[..])
    );
    let (endpoint, _served) = server(interim).await;
    let status = caller.status(&endpoint, &get, LIMITS.deadline).await;
    assert_eq!(status.unwrap(), 202);
    for other in [
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nxx",
        "HTTP/1.1 100 Continue\r\n\r\n",
    ] {
        let (endpoint, _served) = server(other).await;
        let error = caller.call(&endpoint, &get, LIMITS).await.unwrap_err();
        assert!(matches!(error, CallError::Exchange(_)), "{other}: {error}");
    }
}

#[tokio::test]
async fn a_call_that_cannot_be_made_says_why_and_keeps_the_source() {
    use std::error::Error as _;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let limits = CallLimits {
        deadline: Duration::from_millis(50),
        ..LIMITS
    };
    let get = request(http::Method::GET);
    let late = Caller::new()
        .call(&endpoint(port), &get, limits)
        .await
        .unwrap_err();
    assert_eq!(late.to_string(), "no response within 50ms");
    drop(listener);
    let refused = Caller::new()
        .call(&endpoint(port), &get, LIMITS)
        .await
        .unwrap_err();
    assert!(
        matches!(refused, CallError::Connect(_)) && refused.source().is_some(),
        "{refused}"
    );
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let refused = call_plain(address, get.clone(), LIMITS).await.unwrap_err();
    assert!(
        refused.to_string().starts_with("Connection refused"),
        "{refused}"
    );
    let (endpoint, _served) = server("SSH-2.0-canary\r\n\r\n").await;
    let error = Caller::new()
        .call(&endpoint, &get, LIMITS)
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Exchange(_)), "{error}");
    assert!(!error.to_string().contains("canary"), "{error}");
}

#[tokio::test]
async fn a_call_has_a_body_and_may_go_over_a_unix_socket() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let served = tokio::spawn(serve(
        theirs,
        4,
        "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
    ));
    let put = request(http::Method::PUT).with_body("body");
    let response = call_over(ours.into(), &put, 0).await.unwrap();
    assert_eq!(response.status(), 201);
    let received = served.await.unwrap();
    assert!(
        received.starts_with("PUT /x?y=z HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n"),
        "{received}"
    );
    assert!(received.ends_with("\r\n\r\nbody"), "{received}");
}
