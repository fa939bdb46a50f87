//! Which requests are admitted, and what is forwarded.

use crate::support::gateway::simple;
use crate::support::{Client, Gateway, Provider, Response, Scene, http2};

/// A response without the headers that differ between two otherwise equal ones.
fn without_ids(response: &Response) -> (String, Vec<u8>) {
    let differs = |line: &&str| {
        !["x-request-id", "x-keygate-request-id", "date"]
            .iter()
            .any(|name| line.to_ascii_lowercase().starts_with(name))
    };
    (
        response
            .head
            .lines()
            .filter(differs)
            .collect::<Vec<_>>()
            .join("\n"),
        response.body.clone(),
    )
}

#[test]
fn a_key_is_accepted_in_every_place_and_forwarded_in_none() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    for (path, headers) in [
        ("/p", vec![("Authorization", "Bearer secret")]),
        ("/p", vec![("authorization", "bearer secret")]),
        ("/p", vec![("API-KEY", "secret")]),
        ("/p", vec![("x-api-key", "secret")]),
        ("/p", vec![("x-goog-api-key", "secret")]),
        ("/p?key=secret", vec![]),
        ("/p?a=b&k%65y=secret&c=d", vec![]),
        (
            "/p?key=secret",
            vec![
                ("api-key", "secret"),
                ("Api-Key", "secret"),
                ("authorization", "Bearer secret"),
            ],
        ),
        ("/p", vec![("api-key", "secret"), ("authorization", "")]),
    ] {
        let response = gateway.get(path, &headers);
        assert_eq!(response.status, 200, "{path} {headers:?}");
        let received = provider.last();
        assert!(!received.head.contains("secret"), "{}", received.head);
        assert_eq!(
            received.header("authorization"),
            Some("Bearer provider-token")
        );
        assert_eq!(received.count("authorization"), 1);
        for name in ["api-key", "x-api-key", "x-goog-api-key"] {
            assert_eq!(received.count(name), 0, "{name}");
        }
    }
    assert!(
        provider.received()[6]
            .line()
            .starts_with("GET /v1/chat/completions?a=b&c=d ")
    );
}

#[test]
fn two_different_keys_are_refused_in_any_order() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    for headers in [
        [("api-key", "secret"), ("api-key", "other")],
        [("api-key", "other"), ("api-key", "secret")],
        [("authorization", "Bearer secret"), ("x-api-key", "other")],
        [
            ("x-goog-api-key", "other"),
            ("authorization", "Bearer secret"),
        ],
    ] {
        let refused = gateway.get("/p", &headers);
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (400, "ambiguous_credentials")
        );
    }
    assert_eq!(
        gateway.get("/p?key=other", &[("api-key", "secret")]).status,
        400
    );
    assert!(provider.received().is_empty());
}

#[test]
fn every_reason_to_refuse_a_key_gives_the_same_response() {
    let provider = Provider::start();
    let gateway = Scene::new(&simple(&provider.url(), "", ""))
        .key("off", "disabled-key", "disabled = true")
        .key("over", "expired-key", "expires = 2020-01-01T00:00:00Z")
        .key("soon", "early-key", "not_before = 2999-01-01T00:00:00Z")
        .start();
    // On one connection, so that the access lines have this order.
    let mut client = gateway.client();
    let first = without_ids(&client.request("GET", "/p", &[], b""));
    assert!(first.0.starts_with("HTTP/1.1 401 "));
    for key in [
        "disabled-key",
        "expired-key",
        "early-key",
        "unknown-key",
        "kg_alice_mistyped",
        "\u{e9}",
    ] {
        assert_eq!(
            without_ids(&client.request("GET", "/p", &[("api-key", key)], b"")),
            first,
            "{key}"
        );
    }
    assert!(provider.received().is_empty());
    // Only the log and the metrics have the reason.
    let lines = gateway.access_lines(7);
    let reasons: Vec<_> = lines
        .iter()
        .map(|line| line["reason"].as_str().unwrap())
        .collect();
    assert_eq!(
        reasons,
        [
            "missing_key",
            "disabled_key",
            "expired_key",
            "key_not_yet_valid",
            "unknown_key",
            "malformed_key",
            "unknown_key",
        ]
    );
    assert_eq!(
        gateway.count("keygate_auth_failures_total{reason=\"expired_key\"}"),
        1
    );
}

#[test]
fn a_path_is_normalized_and_joined_to_the_base_path() {
    let provider = Provider::start();
    let rest = simple(&format!("{}/v1", provider.url()), "", "");
    let gateway = Scene::new(&rest).key("alice", "secret", "").start();
    for (requested, sent) in [
        ("/p", "/v1/chat/completions"),
        ("/p/", "/v1/chat/completions"),
        ("/p/v1/embeddings", "/v1/embeddings"),
        ("/p/embeddings", "/v1/embeddings"),
        ("/p/embeddings?a=%2F&b", "/v1/embeddings?a=%2F&b"),
        ("//p//v1///files/a:b", "/v1/files/a:b"),
        ("/%70/v1/%66iles", "/v1/files"),
        ("http://gateway.test/p/v1/models", "/v1/models"),
    ] {
        assert_eq!(
            gateway.get(requested, &[("api-key", "secret")]).status,
            200,
            "{requested}"
        );
        assert_eq!(
            provider.last().line(),
            format!("GET {sent} HTTP/1.1"),
            "{requested}"
        );
    }
}

#[test]
fn an_ambiguous_path_is_refused_before_routing() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    for path in [
        "/p/../x",
        "/p/%2e%2e/x",
        "/p/.",
        "/p/a%2f../b",
        "/p/a%5cb",
        "/p/a;b",
        "/p/a\\b",
        "/p/%00",
        "/p/%252e%252e",
        "/p/%zz",
        "*",
    ] {
        let refused = gateway.get(path, &[("api-key", "secret")]);
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (400, "bad_path"),
            "{path}"
        );
    }
    let refused = gateway.get("/other", &[("api-key", "secret")]);
    assert_eq!((refused.status, refused.code().as_str()), (404, "no_route"));
    assert_eq!(gateway.get("/pp", &[("api-key", "secret")]).status, 404);
    assert!(provider.received().is_empty());
}

#[test]
fn a_callers_own_token_is_passed_on_beside_the_gateways_key() {
    let provider = Provider::start();
    let rest = simple(&provider.url(), "", "").replace("inline:provider-token", "passthrough");
    let gateway = Scene::new(&rest).key("alice", "secret", "").start();
    let own = ("Authorization", "Bearer own-token");
    assert_eq!(gateway.get("/p", &[("api-key", "secret"), own]).status, 200);
    let received = provider.only();
    assert_eq!(received.header("authorization"), Some("Bearer own-token"));
    assert!(!received.head.contains("secret"));
    let refused = gateway.get("/p", &[("api-key", "secret")]);
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (401, "provider_token_missing")
    );
    // The gateway's key in the place of the provider's token is refused and not forwarded, not even beside itself, as one
    // SDK sends it.
    let ours = ("authorization", "Bearer secret");
    let refused = gateway.get("/p", &[ours]);
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (401, "invalid_api_key")
    );
    let made = ("authorization", "Bearer kg_bob_0123456789");
    for own in [ours, made] {
        let refused = gateway.get("/p", &[("api-key", "secret"), own]);
        let code = refused.code();
        assert_eq!(
            (refused.status, code.as_str()),
            (401, "provider_token_missing")
        );
    }
    assert_eq!(provider.received().len(), 1);
}

#[test]
fn an_open_route_needs_no_key_and_removes_the_clients_credentials() {
    let provider = Provider::start();
    let gateway = Scene::new(&simple(&provider.url(), "", "auth = \"none\"")).start();
    assert_eq!(
        gateway
            .get(
                "/p",
                &[("authorization", "Bearer mine"), ("x-api-key", "a")]
            )
            .status,
        200
    );
    let received = provider.only();
    assert_eq!(
        received.header("authorization"),
        Some("Bearer provider-token")
    );
    assert_eq!(received.count("x-api-key"), 0);
}

#[test]
fn a_route_accepts_only_the_keys_of_its_selector() {
    let provider = Provider::start();
    let gateway = Scene::new(&simple(&provider.url(), "", "keys = { team = \"search\" }"))
        .key(
            "alice",
            "secret",
            "labels = { team = \"search\", extra = \"x\" }",
        )
        .key("bob", "other", "labels = { team = \"ads\" }")
        .key("carol", "third", "")
        .start();
    assert_eq!(gateway.get("/p", &[("api-key", "secret")]).status, 200);
    for key in ["other", "third"] {
        let refused = gateway.get("/p", &[("api-key", key)]);
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (403, "key_not_allowed")
        );
    }
    assert_eq!(provider.received().len(), 1);
    // The access line has the key of the refused request.
    let mut keys: Vec<_> = gateway
        .access_lines(3)
        .iter()
        .map(|line| line["key"].to_string())
        .collect();
    keys.sort();
    assert_eq!(keys, ["\"alice\"", "\"bob\"", "\"carol\""]);
}

#[test]
fn a_route_for_the_host_takes_precedence_over_a_longer_path() {
    let (any, named) = (Provider::start(), Provider::start());
    let rest = format!(
        "{}\n[providers.q]\nkind = \"custom\"\nbase_url = \"{}\"\ntoken = \"none\"\n\
         [[routes]]\nname = \"s\"\nhost = [\"llm.example.com\", \"*.llm.example.com\"]\npath = \"/\"\nprovider = \"q\"\n",
        simple(&any.url(), "", ""),
        named.url()
    );
    let gateway = Scene::new(&rest).key("alice", "secret", "").start();
    for host in [
        "llm.example.com",
        "LLM.example.com:8080",
        "a.llm.example.com",
    ] {
        assert_eq!(
            gateway
                .get("/p", &[("host", host), ("api-key", "secret")])
                .status,
            200
        );
    }
    assert_eq!((any.received().len(), named.received().len()), (0, 3));
    assert_eq!(named.last().line(), "GET /p HTTP/1.1");
    assert_eq!(
        gateway
            .get("/p", &[("host", "example.com"), ("api-key", "secret")])
            .status,
        200
    );
    assert_eq!(any.received().len(), 1);
}

#[test]
fn a_provider_without_its_token_is_503_while_others_serve() {
    let provider = Provider::start();
    let rest = format!(
        "{}\n[providers.q]\nkind = \"custom\"\nbase_url = \"{}\"\ntoken = \"env:KEYGATE_NO_SUCH_VARIABLE\"\n\
         [[routes]]\nname = \"s\"\npath = \"/q\"\nprovider = \"q\"\n",
        simple(&provider.url(), "", ""),
        provider.url()
    );
    let gateway = Scene::new(&rest).key("alice", "secret", "").start();
    let refused = gateway.get("/q", &[("api-key", "secret")]);
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (503, "provider_unavailable")
    );
    assert_eq!(refused.header("x-keygate-refused-by"), Some("gateway"));
    assert_eq!(gateway.get("/p", &[("api-key", "secret")]).status, 200);
    let status = gateway.admin("/status").json();
    assert_eq!(status["providers"][1]["state"], "Rejected");
    let reason = "environment variable KEYGATE_NO_SUCH_VARIABLE is not set";
    assert_eq!(status["providers"][1]["reason"], reason);
    assert_eq!(status["routes"][1]["state"], "Rejected");
    let series = format!("keygate_provider_up{{provider=\"q\",reason=\"{reason}\"}}");
    assert!(
        gateway
            .admin("/metrics")
            .text()
            .contains(&format!("{series} 0"))
    );
}

#[test]
fn a_query_with_other_separators_hides_no_key() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    assert_eq!(
        gateway
            .get("/p/x?a=1;key=secret;b=2", &[("api-key", "secret")])
            .status,
        200
    );
    assert_eq!(provider.only().line(), "GET /x?a=1;b=2 HTTP/1.1");
}

#[test]
fn a_default_endpoint_keeps_the_clients_query() {
    let provider = Provider::start();
    let settings = "default_endpoint = \"/d/chat?api-version=1\"";
    let gateway = Scene::new(&simple(&provider.url(), settings, ""))
        .key("alice", "secret", "")
        .start();
    assert_eq!(
        gateway.get("/p?alt=sse", &[("api-key", "secret")]).status,
        200
    );
    assert_eq!(
        provider.only().line(),
        "GET /d/chat?api-version=1&alt=sse HTTP/1.1"
    );
}

#[test]
fn the_rules_of_admission_apply_to_http2_clients() {
    let provider = Provider::start();
    let rest = simple(&provider.url(), "", "");
    let gateway = Scene::with_server("server.h2c = true", &rest)
        .key("alice", "secret", "")
        .start();
    http2::run(async {
        let mut client = http2::connect(gateway.address()).await;
        for (path, headers, status) in [
            (
                "/p",
                vec![
                    ("api-key", "secret"),
                    ("cookie", "a=b"),
                    ("x-goog-api-key", "secret"),
                ],
                200,
            ),
            (
                "/p",
                vec![("api-key", "secret"), ("authorization", "Bearer other")],
                400,
            ),
            ("/p", vec![("api-key", "wrong")], 401),
            ("/p/%2e%2e", vec![("api-key", "secret")], 400),
        ] {
            let mut request = http::Request::post(format!("http://gateway.test{path}"));
            for (name, value) in headers {
                request = request.header(name, value);
            }
            let (response, mut body) = client
                .send_request(request.body(()).unwrap(), false)
                .unwrap();
            let _ = body.send_data(bytes::Bytes::from_static(b"{\"a\":1}"), true);
            assert_eq!(response.await.unwrap().status(), status, "{path}");
        }
    });
    let received = provider.only();
    assert_eq!(received.line(), "POST /v1/chat/completions HTTP/1.1");
    assert_eq!(received.body, b"{\"a\":1}");
    assert_eq!(
        received.header("host"),
        Some(provider.address().to_string().as_str())
    );
    assert!(!received.head.contains("secret") && !received.head.contains("cookie"));
    // HTTP/1.1 still works.
    assert_eq!(
        Client::connect(gateway.address())
            .request("GET", "/p", &[("api-key", "secret")], b"")
            .status,
        200
    );
}
