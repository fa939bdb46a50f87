//! The hosts to which a provider's response may redirect its client.

use crate::support::gateway::simple;
use crate::support::http2::{self, Http2Provider};
use crate::support::provider::respond;
use crate::support::{Client, Gateway, Provider, Response, Scene};

const KEY: (&str, &str) = ("api-key", "secret");

/// A provider that responds with the status and the headers in the request's `x-response`; `OWN` stands for its own host
/// and port.
fn provider() -> Provider {
    Provider::responding(|request, wire| {
        let wanted = request.header("x-response").unwrap();
        let own = request.header("host").unwrap();
        let (status, headers) = wanted.split_once(';').unwrap();
        let headers = headers.replace("OWN", own);
        let headers: Vec<_> = headers
            .split('|')
            .filter_map(|header| header.split_once(':'))
            .map(|(name, value)| (name, value.trim_start_matches(' ')))
            .collect();
        respond(wire, &format!("{status} X"), &headers, b"{}");
    })
}

fn gateway(provider: &Provider, base: &str, settings: &str) -> Gateway {
    let url = provider.url() + base;
    Scene::new(&simple(&url, settings, ""))
        .key("alice", "secret", "")
        .start()
}

fn request(gateway: &Gateway, method: &str, path: &str, response: &str) -> Response {
    let body: &[u8] = if method == "POST" { b"{}" } else { b"" };
    gateway.request(method, path, &[KEY, ("x-response", response)], body)
}

fn assert_refused(response: &Response, what: &str) {
    assert_eq!(response.status, 502, "{what}");
    assert_eq!(
        response.header("x-keygate-refused-by"),
        Some("gateway"),
        "{what}"
    );
    assert!(!response.head.contains("evil"), "{what}: {}", response.head);
}

/// Locations that a client might follow to another host.
const ELSEWHERE: [&str; 21] = [
    "https://evil.test/v1/x",
    "http://evil.test/",
    "HTTP://evil.test",
    "https://evil.test:443?x=1",
    "//evil.test/v1/x",
    "///evil.test/v1/x",
    "/\\evil.test/x",
    "\\\\evil.test\\x",
    "/\t/evil.test/x",
    "https:evil.test/x",
    "https:/evil.test/x",
    "https:\\\\evil.test/x",
    "https:///evil.test/x",
    "ftp://evil.test/x",
    "javascript:evil",
    "http://OWN@evil.test/x",
    "http://evil.test@OWN/x",
    "http://OWN.evil.test/x",
    "http://OWN\\@evil.test/x",
    "https://OWN/evil",
    "http://evil.test/ x",
];

#[test]
fn a_redirect_to_another_host_is_502_whatever_the_method_and_the_status() {
    let provider = provider();
    let gateway = gateway(&provider, "", "");
    for status in [300, 301, 302, 303, 304, 305, 306, 307, 308, 399] {
        for method in ["GET", "HEAD", "POST", "DELETE"] {
            let wanted = format!("{status};location: https://evil.test/v1/x");
            let response = request(&gateway, method, "/p/v1/x", &wanted);
            assert_refused(&response, &format!("{method} {status}"));
        }
    }
    let response = request(
        &gateway,
        "POST",
        "/p/v1/x",
        "307;location: https://evil.test/",
    );
    assert_eq!(response.code(), "foreign_redirect");
    let labels = "code=\"502\",provider=\"p\",reason=\"foreign_redirect\",route=\"r\"";
    gateway.access_lines(41);
    assert_eq!(
        gateway.count(&format!("keygate_requests_total{{{labels}}}")),
        41
    );
    // Each request is sent once: a redirect is no reason to repeat it.
    assert_eq!(provider.received().len(), 41);
}

#[test]
fn a_location_that_a_client_may_read_as_another_host_is_refused() {
    let provider = provider();
    let gateway = gateway(&provider, "", "");
    for location in ELSEWHERE {
        let response = request(
            &gateway,
            "POST",
            "/p/v1/x",
            &format!("307;location: {location}"),
        );
        assert_refused(&response, location);
        // Clients do not follow such a response automatically, but SDKs send the next request there.
        for name in [
            "location",
            "content-location",
            "operation-location",
            "x-goog-upload-url",
        ] {
            let response = request(
                &gateway,
                "POST",
                "/p/v1/x",
                &format!("202;{name}: {location}"),
            );
            assert_eq!(response.status, 202, "{name}: {location}");
            assert_eq!(response.header(name), None, "{name}: {location}");
        }
    }
    // Clients disagree about which of two they follow; and the location of a 305 is a proxy to use.
    for wanted in [
        "307;location: /v1/y|location: https://evil.test/",
        "305;location: /v1/evil",
    ] {
        assert_refused(&request(&gateway, "GET", "/p/v1/x", wanted), wanted);
    }
}

#[test]
fn a_redirect_within_the_provider_leads_back_through_the_route() {
    let provider = provider();
    let gateway = gateway(&provider, "/v1", "");
    for (location, here) in [
        ("http://OWN/v1/y?a=b#c", "http://gateway.test/p/y?a=b#c"),
        ("HTTP://OWN", "http://gateway.test/p/"),
        ("http://OWN?a=b", "http://gateway.test/p/?a=b"),
        ("/v1/y", "/p/y"),
        ("y", "/p/y"),
        ("./y/", "/p/y/"),
        ("?page=2", "/p/x?page=2"),
        ("", "/p/x?page=1"),
        ("#a:b", "/p/x?page=1#a:b"),
        ("/y//z", "/p/y//z"),
        // Another route of the gateway does not belong to the provider.
        ("../../../other/x", "/p/other/x"),
        ("/../other/x", "/p/other/x"),
        ("/%2e%2E/other/x", "/p/other/x"),
        ("http://OWN/../other", "http://gateway.test/p/other"),
    ] {
        for status in [201, 302, 307] {
            let wanted = format!("{status};location: {location}");
            let response = request(&gateway, "POST", "/p/x?page=1", &wanted);
            assert_eq!(response.status, status, "{location}");
            assert_eq!(response.header("location"), Some(here), "{location}");
        }
    }
    let response = request(&gateway, "GET", "/p/x", "304;etag: 1");
    assert_eq!((response.status, response.header("etag")), (304, Some("1")));
}

#[test]
fn a_path_that_may_be_read_as_a_host_is_refused() {
    let provider = provider();
    let rest = simple(&provider.url(), "", "").replace("\"/p\"", "\"/\"");
    let gateway = Scene::new(&rest).key("alice", "secret", "").start();
    for location in [
        "/.//evil.test/x",
        "http://OWN//evil.test/x",
        "/a/..//evil.test/x",
    ] {
        let response = request(
            &gateway,
            "POST",
            "/v1/x",
            &format!("307;location: {location}"),
        );
        assert_refused(&response, location);
    }
    let response = request(&gateway, "POST", "/v1/x", "307;location: /v1/y");
    assert_eq!(response.header("location"), Some("/v1/y"));
}

#[test]
fn configured_redirect_hosts_are_allowed() {
    let provider = provider();
    let settings = "redirect_hosts = [\"storage.example.com\", \"*.cdn.test\"]";
    let gateway = gateway(&provider, "", settings);
    for location in [
        "https://storage.example.com/file?signature=1",
        "http://storage.example.com:80/file",
        "https://eu.cdn.test/file",
    ] {
        for status in ["201", "302", "307"] {
            let response = request(
                &gateway,
                "GET",
                "/p/v1/x",
                &format!("{status};location: {location}"),
            );
            assert_eq!(response.header("location"), Some(location), "{status}");
        }
    }
    for location in ELSEWHERE {
        let response = request(
            &gateway,
            "GET",
            "/p/v1/x",
            &format!("302;location: {location}"),
        );
        assert_refused(&response, location);
    }
}

#[test]
fn links_lead_back_or_are_removed() {
    let provider = provider();
    let gateway = gateway(&provider, "/v1", "redirect_hosts = \"docs.test\"");
    for (link, here) in [
        (
            "<http://OWN/v1/models?after=m>; rel=\"next\", <?page=1>; rel=\"first\"",
            Some(
                "<http://gateway.test/p/models?after=m>; rel=\"next\", </p/models?page=1>; rel=\"first\"",
            ),
        ),
        (
            "<https://docs.test/>; rel=help",
            Some("<https://docs.test/>; rel=help"),
        ),
        ("<https://evil.test/?after=m>; rel=\"next\"", None),
        (
            "</v1/models>; rel=\"next\", <//evil.test/>; rel=\"last\"",
            None,
        ),
    ] {
        let response = request(&gateway, "GET", "/p/models", &format!("200;link: {link}"));
        assert_eq!(response.header("link"), here, "{link}");
    }
}

#[test]
fn response_headers_about_the_gateways_own_origin_are_removed() {
    let provider = provider();
    let gateway = gateway(&provider, "", "");
    let names = [
        "alt-svc",
        "refresh",
        "strict-transport-security",
        "clear-site-data",
        "nel",
        "report-to",
        "reporting-endpoints",
        "proxy-authenticate",
        "set-cookie",
        "set-cookie2",
        "x-keygate-refused-by",
    ];
    let wanted: String = names.iter().map(|name| format!("{name}: evil|")).collect();
    let response = request(&gateway, "GET", "/p/x", &format!("200;{wanted}x-mine: 1"));
    for name in names {
        assert_eq!(response.header(name), None, "{name}");
    }
    assert_eq!(response.header("x-mine"), Some("1"));
}

#[test]
fn an_interim_response_cannot_redirect_a_client_or_forge_headers() {
    let provider = Provider::responding(|_, wire| {
        let hints = "HTTP/1.1 103 Early Hints\r\nlink: <https://evil.test/>; rel=preconnect\r\n\
                     location: https://evil.test/\r\nx-keygate-request-id: forged\r\n\
                     x-keygate-refused-by: gateway\r\nset-cookie: a=1\r\nx-hint: 1\r\n\r\n";
        let _ = wire.write_all(hints.as_bytes());
        respond(wire, "200 OK", &[("x-keygate-request-id", "forged")], b"{}");
    });
    let gateway = Gateway::before(&provider);
    let mut client = gateway.client();
    client.send("GET /p HTTP/1.1\r\nHost: a\r\napi-key: secret\r\n\r\n");
    let hints = client.read_head();
    assert!(hints.starts_with("HTTP/1.1 103 "), "{hints}");
    assert!(hints.contains("x-hint: 1"), "{hints}");
    for gone in ["evil", "forged", "x-keygate", "set-cookie"] {
        assert!(!hints.contains(gone), "{gone} in {hints}");
    }
    let response = client.response(false);
    assert_eq!(response.status, 200);
    assert_ne!(response.header("x-keygate-request-id"), Some("forged"));
    assert_eq!(response.head.matches("x-keygate-request-id").count(), 1);
}

#[test]
fn a_redirect_to_another_host_is_502_over_http2() {
    let provider = Http2Provider::start(None);
    let url = format!("http://{}", provider.address);
    let server = "server.h2c = true";
    let gateway = Scene::with_server(server, &simple(&url, "http = \"2\"", ""))
        .key("alice", "secret", "")
        .start();
    let mut client = Client::connect(gateway.address());
    let to = |to| [KEY, ("x-redirect-to", to)];
    let response = client.request("POST", "/p/v1/x", &to("https://evil.test/"), b"{}");
    assert_refused(&response, "HTTP/1.1 client");
    assert_eq!(response.code(), "foreign_redirect");
    let response = gateway.request("POST", "/p/v1/x", &to("/v1/y"), b"{}");
    assert_eq!(
        (response.status, response.header("location")),
        (307, Some("/p/v1/y"))
    );
    http2::run(async {
        let mut client = http2::connect(gateway.address()).await;
        let request = http::Request::post("http://gateway.test/p/v1/x")
            .header("api-key", "secret")
            .header("x-redirect-to", "//evil.test/");
        let response = http2::send(&mut client, request).await;
        assert_eq!(response.status(), 502);
        assert_eq!(response.headers()["x-keygate-refused-by"], "gateway");
    });
    assert_eq!(provider.received().len(), 3);
}
