//! Requests of pages in browsers, on routes that allow their origins (CORS, the Fetch standard).

use crate::support::client::Response;
use crate::support::gateway::simple;
use crate::support::http2;
use crate::support::provider::{chunk, end_chunks, respond};
use crate::support::{Gateway, Provider, Scene};

const CORS: &str = "cors = { origins = [\"https://app.example.com\", \"http://localhost:5173\"] }";
const ORIGIN: (&str, &str) = ("Origin", "https://app.example.com");
const ALLOW: &str = "access-control-allow-origin";
const PREFLIGHT: (&str, &str) = ("Access-Control-Request-Method", "POST");

fn gateway(provider: &Provider, route: &str) -> Gateway {
    Scene::new(&simple(&provider.url(), "", route))
        .key("alice", "secret", "")
        .start()
}

/// The header lines that start with `prefix`, in lower case.
fn header_lines(response: &Response, prefix: &str) -> Vec<String> {
    let lines = response.head.lines().skip(1).map(str::to_ascii_lowercase);
    lines.filter(|line| line.starts_with(prefix)).collect()
}

#[test]
fn a_preflight_is_answered_without_a_key_and_goes_to_no_provider() {
    let provider = Provider::start();
    let gateway = gateway(&provider, CORS);
    let mut client = gateway.client();
    let headers = [
        ORIGIN,
        PREFLIGHT,
        (
            "Access-Control-Request-Headers",
            "authorization,content-type,x-stainless-lang",
        ),
    ];
    let response = client.request("OPTIONS", "/p/v1/chat/completions", &headers, b"");
    assert_eq!((response.status, &*response.body), (204, &b""[..]));
    assert_eq!(
        header_lines(&response, "access-control-"),
        [
            "access-control-allow-origin: https://app.example.com",
            "access-control-expose-headers: *",
            "access-control-allow-methods: get, post, put, patch, delete",
            "access-control-allow-headers: authorization, *",
            "access-control-max-age: 600",
        ]
    );
    assert_eq!(response.header("vary"), Some("Origin"));
    assert_eq!(response.header("x-keygate-refused-by"), None);
    assert!(provider.received().is_empty());
    // On the same connection, the request itself.
    let headers = [ORIGIN, ("authorization", "Bearer secret")];
    assert_eq!(client.request("POST", "/p", &headers, b"{}").status, 200);
    let lines = gateway.access_lines(2);
    assert_eq!(
        (&lines[0]["status"], &lines[0]["reason"]),
        (&204.into(), &"preflight".into())
    );
    let series =
        "keygate_requests_total{code=\"204\",provider=\"p\",reason=\"preflight\",route=\"r\"}";
    assert_eq!(gateway.count(series), 1);
}

#[test]
fn pages_of_allowed_origins_may_read_every_response_and_refusal_of_the_route() {
    let provider = Provider::responding(|request, wire| {
        if request.line().contains("stream") {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
            wire.write_all(head.as_bytes()).unwrap();
            chunk(wire, b"data: 1\n\n");
            return end_chunks(wire);
        }
        let status = if request.line().contains("429") {
            "429 Slow Down"
        } else {
            "200 OK"
        };
        // CORS headers of a provider are about its own pages, and are removed.
        let headers = [
            ("access-control-allow-origin", "*"),
            ("access-control-allow-credentials", "true"),
            ("access-control-expose-headers", "x-theirs"),
            ("vary", "Accept-Encoding"),
        ];
        respond(wire, status, &headers, b"{}");
    });
    let gateway = gateway(&provider, CORS);
    let key = ("api-key", "secret");
    for (path, headers, status) in [
        ("/p", vec![ORIGIN, key], 200),
        ("/p/429", vec![ORIGIN, key], 429),
        ("/p/stream", vec![ORIGIN, key], 200),
        ("/p", vec![ORIGIN], 401),
        ("/p", vec![ORIGIN, ("api-key", "wrong")], 401),
        ("/p", vec![ORIGIN, key, ("x-api-key", "other")], 400),
        ("/p", vec![ORIGIN, key, ("x_api_key", "other")], 400),
    ] {
        let response = gateway.get(path, &headers);
        assert_eq!(response.status, status, "{path} {headers:?}");
        assert_eq!(
            header_lines(&response, "access-control-"),
            [
                "access-control-allow-origin: https://app.example.com",
                "access-control-expose-headers: *"
            ],
            "{path} {headers:?}"
        );
        assert!(
            header_lines(&response, "vary: origin").len() == 1,
            "{}",
            response.head
        );
    }
    // A page may also read the refusal if the provider is unreachable.
    let unreachable = simple("http://127.0.0.1:9", "", CORS);
    let gateway = Scene::new(&unreachable).key("alice", "secret", "").start();
    let response = gateway.get("/p", &[ORIGIN, key]);
    assert_eq!(
        (response.status, response.header(ALLOW)),
        (502, Some("https://app.example.com"))
    );
}

#[test]
fn pages_of_other_origins_read_no_response_and_their_preflights_need_a_key() {
    let provider = Provider::responding(|_, wire| {
        respond(
            wire,
            "200 OK",
            &[("access-control-allow-origin", "*")],
            b"{}",
        );
    });
    let gateway = gateway(&provider, CORS);
    for origin in [
        "https://evil.example.com",
        "https://app.example.com.evil.test",
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://app.example.com/",
        "HTTPS://APP.EXAMPLE.COM",
        "https://app.example.com, https://evil.test",
        "null",
        "*",
        "",
    ] {
        let preflight = gateway.request("OPTIONS", "/p", &[("Origin", origin), PREFLIGHT], b"");
        assert_eq!(preflight.status, 401, "{origin}");
        let response = gateway.get("/p", &[("Origin", origin), ("api-key", "secret")]);
        assert_eq!(response.status, 200, "{origin}");
        for response in [preflight, response] {
            assert!(
                header_lines(&response, "access-control-").is_empty(),
                "{origin}\n{}",
                response.head
            );
            assert_eq!(response.header("vary"), Some("Origin"));
        }
    }
    let two = [ORIGIN, ("Origin", "https://evil.test"), PREFLIGHT];
    assert_eq!(gateway.request("OPTIONS", "/p", &two, b"").status, 401);
    // An OPTIONS request that is no preflight is an ordinary request.
    for headers in [vec![ORIGIN], vec![PREFLIGHT]] {
        assert_eq!(gateway.request("OPTIONS", "/p", &headers, b"").status, 401);
    }
    assert_eq!(
        gateway
            .request("POST", "/p", &[ORIGIN, PREFLIGHT], b"")
            .status,
        401
    );
}

#[test]
fn without_cors_no_page_may_read_responses_whatever_the_provider_sends() {
    let provider = Provider::responding(|_, wire| {
        respond(
            wire,
            "200 OK",
            &[
                ("access-control-allow-origin", "*"),
                ("Access-Control-Allow-Credentials", "true"),
            ],
            b"{}",
        );
    });
    let gateway = gateway(&provider, "");
    assert_eq!(
        gateway
            .request("OPTIONS", "/p", &[ORIGIN, PREFLIGHT], b"")
            .status,
        401
    );
    let response = gateway.get("/p", &[ORIGIN, ("api-key", "secret")]);
    assert_eq!(header_lines(&response, "access-control-"), [""; 0]);
    assert_eq!(response.header("vary"), None);
    assert_eq!(provider.last().header("origin"), Some(ORIGIN.1));
}

#[test]
fn the_origin_of_the_page_is_not_forwarded() {
    let provider = Provider::start();
    let gateway = gateway(&provider, CORS);
    let headers = [ORIGIN, PREFLIGHT, ("api-key", "secret")];
    assert_eq!(gateway.get("/p", &headers).status, 200);
    let received = provider.only();
    assert_eq!(
        (
            received.count("origin"),
            received.count("access-control-request-method")
        ),
        (0, 0)
    );
}

#[test]
fn a_route_with_keys_may_allow_any_origin() {
    let provider = Provider::start();
    let gateway = gateway(&provider, "cors = { origins = \"*\" }");
    let response = gateway.get(
        "/p",
        &[("Origin", "https://any.test"), ("api-key", "secret")],
    );
    assert_eq!(response.header(ALLOW), Some("*"));
    assert_eq!(
        (
            response.header("access-control-allow-credentials"),
            response.header("vary")
        ),
        (None, None)
    );
    let preflight = gateway.request("OPTIONS", "/p", &[("Origin", "null"), PREFLIGHT], b"");
    assert_eq!(
        (preflight.status, preflight.header(ALLOW)),
        (204, Some("*"))
    );
}

#[test]
fn a_preflight_is_answered_after_too_many_failed_keys() {
    let provider = Provider::start();
    let server = "server.limits.failed_keys_per_address = 1";
    let gateway = Scene::with_server(server, &simple(&provider.url(), "", CORS)).start();
    let mut client = gateway.client();
    for _ in 0..3 {
        client.request("GET", "/p", &[ORIGIN, ("api-key", "wrong")], b"");
    }
    assert_eq!(
        client
            .request("OPTIONS", "/p", &[ORIGIN, PREFLIGHT], b"")
            .status,
        204
    );
}

#[test]
fn a_preflight_is_answered_over_http2() {
    let provider = Provider::start();
    let rest = simple(&provider.url(), "", CORS);
    let gateway = Scene::with_server("server.h2c = true", &rest).start();
    let response = http2::run(async {
        let mut client = http2::connect(gateway.address()).await;
        let request = http::Request::options("http://gateway.test/p")
            .header("origin", ORIGIN.1)
            .header(PREFLIGHT.0, PREFLIGHT.1);
        http2::send(&mut client, request).await
    });
    assert_eq!(response.status(), 204);
    assert_eq!(response.headers()[ALLOW], ORIGIN.1);
}

#[test]
fn check_reports_an_invalid_origin() {
    let problems = |cors: &str, more: &str| {
        let route = format!("cors = {{ {cors} }}\n{more}");
        Scene::new(&simple("http://127.0.0.1:9", "", &route))
            .key("alice", "secret", "")
            .problems()
    };
    assert_eq!(
        problems("origins = [\"https://a.test\", \"vscode-webview://x\"]", ""),
        ""
    );
    for (origin, expected) in [
        ("https://a.test/", "`https://a.test`"),
        ("https://A.test", "`https://a.test`"),
        ("https://a.test:443", "`https://a.test`"),
        ("http://a.test:80", "`http://a.test`"),
        ("https://*.a.test", "each origin"),
        ("a.test", "`https://a.test`"),
        ("null", "sandboxed"),
        ("", "`https://app.example.com`"),
        ("https://a b.test", "`https://app.example.com`"),
        ("https://u@a.test", "`https://app.example.com`"),
    ] {
        let found = problems(&format!("origins = [\"{origin}\"]"), "");
        assert!(
            found.contains("cors.origins") && found.contains(expected),
            "{origin}: {found}"
        );
        assert!(found.contains("gateway.toml:"), "{found}");
    }
    for (cors, more, expected) in [
        ("origins = []", "", "cors.origins"),
        ("", "", "cors.origins is missing"),
        ("origins = \"*\", orgins = 1", "", "orgins"),
        ("origins = [\"*\", \"https://a.test\"]", "", "alone"),
        ("origins = \"*\"", "auth = \"none\"", "name the origins"),
    ] {
        let found = problems(cors, more);
        assert!(found.contains(expected), "{cors}: {found}");
    }
}
