//! Which headers are forwarded in each direction, and heads that are ambiguous.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use crate::support::gateway::simple;
use crate::support::provider::{chunk, end_chunks, respond};
use crate::support::{Gateway, Provider, Scene};

#[test]
fn cookies_accounts_and_forwarding_are_removed_and_feature_headers_are_kept() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    let removed = [
        "Cookie",
        "OpenAI-Organization",
        "OpenAI-Project",
        "X-Goog-User-Project",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Real-IP",
        "Forwarded",
        "Via",
        "Proxy-Authorization",
        "X-Request-Id",
    ];
    let forwarded = [
        "OpenAI-Beta",
        "anthropic-beta",
        "anthropic-version",
        "X-Stainless-Lang",
        "User-Agent",
        "Accept",
        "Idempotency-Key",
        "X-Client-Request-Id",
        "traceparent",
    ];
    let mut headers = vec![("api-key", "secret")];
    headers.extend(
        removed
            .iter()
            .chain(&forwarded)
            .map(|name| (*name, "value")),
    );
    assert_eq!(gateway.request("POST", "/p", &headers, b"{}").status, 200);
    let received = provider.only();
    for name in removed {
        assert_eq!(received.count(name), 0, "{name}");
    }
    for name in forwarded {
        assert_eq!(received.header(name), Some("value"), "{name}");
    }
}

/// Identities, tokens and addresses that oauth2-proxy, ALB, Easy Auth, IAP, Cloudflare Access, Tailscale, Envoy and others
/// add to requests.
const OF_FRONT_PROXIES: [&str; 56] = [
    "X-Forwarded-Access-Token",
    "X-Forwarded-User",
    "X-Forwarded-Email",
    "X-Forwarded-Groups",
    "X-Forwarded-Preferred-Username",
    "X-Auth-Request-Access-Token",
    "X-Auth-Request-Email",
    "X-Amzn-Oidc-Accesstoken",
    "X-Amzn-Oidc-Data",
    "X-Amzn-Oidc-Identity",
    "X-MS-TOKEN-AAD-ACCESS-TOKEN",
    "X-MS-TOKEN-AAD-ID-TOKEN",
    "X-MS-CLIENT-PRINCIPAL",
    "X-Goog-IAP-JWT-Assertion",
    "X-Goog-Authenticated-User-Email",
    "Cf-Access-Jwt-Assertion",
    "Cf-Connecting-Ip",
    "True-Client-Ip",
    "Tailscale-User-Login",
    "X-Forwarded-Client-Cert",
    "X-Envoy-External-Address",
    "X-Original-Forwarded-For",
    "X-Forwarded-Authorization",
    "X-Original-Authorization",
    "X-Auth-Token",
    "X-Access-Token",
    "X-Amz-Security-Token",
    "X-Vault-Token",
    "Private-Token",
    "X-Client-Ip",
    "X-Forwarded",
    "Forwarded-For",
    "X-Remote-User",
    "Remote-User",
    "Ssl-Client-Cert",
    "Cookie2",
    "Proxy-Authentication-Info",
    "Authentication",
    // Further headers of the same products.
    "X-Amzn-Mtls-Clientcert-Subject",
    "X-Amzn-Ava-User-Context",
    "X-MS-CLIENT-PRINCIPAL-NAME",
    "X-ZUMO-AUTH",
    "X-Goog-Authenticated-User-Id",
    "Cf-Access-Authenticated-User-Email",
    "Cf-Ipcountry",
    "CloudFront-Viewer-Address",
    "Tailscale-User-Profile-Pic",
    "X-Authentik-Jwt",
    "X-Pomerium-Jwt-Assertion",
    "X-Webauth-User",
    "X-Consumer-Username",
    "Client-Cert-Chain",
    "L5d-Client-Id",
    "Teleport-Jwt-Assertion",
    "Impersonate-User",
    "Fly-Client-Ip",
];

#[test]
fn headers_of_proxies_about_the_client_are_not_forwarded() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    let mut headers = vec![("api-key", "secret")];
    headers.extend(OF_FRONT_PROXIES.iter().map(|name| (*name, "theirs")));
    assert_eq!(gateway.request("POST", "/p", &headers, b"{}").status, 200);
    let received = provider.only();
    for name in OF_FRONT_PROXIES {
        assert_eq!(received.count(name), 0, "{name}");
    }
}

#[test]
fn configured_headers_are_not_forwarded() {
    let provider = Provider::start();
    let server = "server.strip_headers = [\"X-Corp-Identity\", \"X-Team-*\"]";
    let gateway = Scene::before(&provider, server).start();
    let names = [
        "X-Corp-Identity",
        "X-Team-Name",
        "x-team-",
        "X-Teams",
        "X-Corp",
    ];
    let mut headers = vec![("api-key", "secret")];
    headers.extend(names.map(|name| (name, "theirs")));
    let forwarded = || {
        assert_eq!(gateway.get("/p", &headers).status, 200);
        let received = provider.last();
        names.map(|name| received.count(name))
    };
    assert_eq!(forwarded(), [0, 0, 0, 1, 1]);
    // A reload changes the list.
    gateway.scene.configure(
        "server.strip_headers = \"x-corp\"",
        &simple(&provider.url(), "", ""),
    );
    gateway.wait_for_generation(2);
    assert_eq!(forwarded(), [1, 1, 1, 1, 0]);
}

#[test]
fn an_encoding_that_the_meter_cannot_read_is_not_requested() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    for (accepted, requested) in [
        ("gzip", "gzip"),
        ("gzip;q=0.5, identity;q=0", "gzip;q=0.5, identity;q=0"),
        ("gzip, deflate, br, zstd", "gzip"),
        ("br", "identity"),
        ("*", "identity"),
        ("br;q=1.0, GZIP;q=0.8, *;q=0.1", "GZIP;q=0.8"),
    ] {
        gateway.get(
            "/p",
            &[("api-key", "secret"), ("Accept-Encoding", accepted)],
        );
        assert_eq!(
            provider.last().header("accept-encoding"),
            Some(requested),
            "{accepted}"
        );
    }
    gateway.get("/p", &[("api-key", "secret")]);
    assert_eq!(provider.last().header("accept-encoding"), None);
}

#[test]
fn a_compressed_stream_passes_unchanged_and_its_events_are_counted() {
    let provider = Provider::responding(|_, wire| {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                    content-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n";
        wire.write_all(head.as_bytes()).unwrap();
        for number in 0..10 {
            gzip.write_all(format!("data: {number}\n\n").as_bytes())
                .unwrap();
            gzip.flush().unwrap();
            chunk(wire, &std::mem::take(gzip.get_mut()));
        }
        chunk(wire, &gzip.finish().unwrap());
        end_chunks(wire);
    });
    let gateway = Gateway::before(&provider);
    let headers = [("api-key", "secret"), ("Accept-Encoding", "gzip")];
    let response = gateway.get("/p", &headers);
    assert_eq!(response.header("content-encoding"), Some("gzip"));
    let mut text = String::new();
    MultiGzDecoder::new(&response.body[..])
        .read_to_string(&mut text)
        .unwrap();
    assert!(text.starts_with("data: 0\n\n") && text.ends_with("data: 9\n\n"));
    assert_eq!(gateway.access_lines(1)[0]["events"], 10);
}

#[test]
fn a_connection_header_cannot_remove_the_token() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    let headers = [
        ("api-key", "secret"),
        ("Connection", "authorization, x-a"),
        ("x-a", "1"),
    ];
    assert_eq!(gateway.get("/p", &headers).status, 200);
    let received = provider.only();
    assert_eq!(
        received.header("authorization"),
        Some("Bearer provider-token")
    );
    assert_eq!(received.count("x-a"), 0);
    for nomination in ["host", "x-forwarded-for", &["a"; 300].join(",")] {
        let headers = [("api-key", "secret"), ("Connection", nomination)];
        let refused = gateway.get("/p", &headers);
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (400, "bad_framing")
        );
    }
    assert_eq!(provider.received().len(), 1);
}

#[test]
fn a_provider_chooses_its_header_its_prefix_and_further_headers() {
    let provider = Provider::start();
    let settings = "auth_header = \"X-Token\"\nauth_prefix = \"\"\ndefault_endpoint = \"/ask\"\n\
                    headers = { OpenAI-Organization = \"org-1\", x-team = \"red\" }\n";
    let gateway = Scene::new(&simple(&provider.url(), settings, ""))
        .key("alice", "secret", "")
        .start();
    let headers = [
        ("api-key", "secret"),
        ("x-token", "mine"),
        ("x-team", "blue"),
    ];
    assert_eq!(gateway.get("/p", &headers).status, 200);
    let received = provider.only();
    assert_eq!(received.line(), "GET /ask HTTP/1.1");
    assert_eq!(
        (received.header("x-token"), received.count("x-token")),
        (Some("provider-token"), 1)
    );
    assert_eq!(
        (received.header("x-team"), received.count("x-team")),
        (Some("red"), 1)
    );
    assert_eq!(received.header("openai-organization"), Some("org-1"));
    assert_eq!(received.count("authorization"), 0);
}

#[test]
fn templates_build_headers_from_the_clients_headers_and_the_keys_metadata() {
    let provider = Provider::start();
    let route = "transform.extractors.team = { header = \"x-team\", regex = \"team-(\\\\w+)\", group = 1 }\n\
                 transform.extractors.tier = { metadata = \"tier\" }\n\
                 transform.headers.x-out = \"{{ team }}/{{ tier }}\"\n\
                 transform.headers.x-gone = \"\"\n";
    let gateway = Scene::new(&simple(&provider.url(), "", route))
        .key("alice", "secret", "metadata = { tier = \"inline:gold\" }")
        .start();
    let headers = [
        ("api-key", "secret"),
        ("x-team", "team-red"),
        ("x-gone", "1"),
        ("x-out", "mine"),
    ];
    assert_eq!(gateway.get("/p", &headers).status, 200);
    let received = provider.last();
    assert_eq!(
        (received.header("x-out"), received.count("x-out")),
        (Some("red/gold"), 1)
    );
    assert_eq!(received.count("x-gone"), 0);
    let headers = [("api-key", "secret"), ("x-team", "blue"), ("x-out", "mine")];
    assert_eq!(gateway.get("/p", &headers).status, 200);
    assert_eq!(provider.last().count("x-out"), 0);
}

#[test]
fn a_head_larger_than_the_limits_is_431() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    let long = "x".repeat(17 << 10);
    let refused = gateway.get("/p", &[("api-key", "secret"), ("x-long", &long)]);
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (431, "headers_too_large")
    );
    let mut many = vec![("api-key", "secret")];
    many.extend(std::iter::repeat_n(("x-a", "1"), 101));
    assert_eq!(gateway.get("/p", &many).status, 431);
    assert!(provider.received().is_empty());
}

#[test]
fn repeated_headers_go_on_in_their_order_with_names_in_lower_case() {
    let provider = Provider::responding(|_, wire| {
        let headers = [("X-Mine", "One"), ("ETag", "e"), ("x-mINE", "Two")];
        respond(wire, "200 Fine", &headers, b"{}");
    });
    let gateway = Gateway::before(&provider);
    let sent = [
        ("api-key", "secret"),
        ("X-Theirs", "One"),
        ("x-tHEIRS", "Two"),
    ];
    let response = gateway.get("/p", &sent);
    assert!(response.head.starts_with("HTTP/1.1 200 Fine\r\n"));
    for (head, lines) in [
        (&response.head, "\r\nx-mine: One\r\nx-mine: Two\r\n"),
        (&response.head, "\r\netag: e\r\n"),
        (
            &provider.last().head,
            "\r\nx-theirs: One\r\nx-theirs: Two\r\n",
        ),
    ] {
        assert!(format!("{head}\r\n").contains(lines), "{head}");
    }
}

#[test]
fn responses_pass_unchanged_without_internal_headers() {
    let provider = Provider::responding(|request, wire| {
        let status = if request.line().contains("/429") {
            "429 Slow Down"
        } else {
            "201 Created"
        };
        let headers = [
            ("set-cookie", "account=1"),
            ("openai-organization", "org"),
            ("openai-project", "p"),
            ("alt-svc", "h3=\":443\""),
            ("strict-transport-security", "max-age=1"),
            ("location", "https://elsewhere.test/"),
            ("retry-after", "7"),
            ("x-request-id", "req_1"),
            ("x-ratelimit-remaining-requests", "9"),
            ("x-keygate-refused-by", "nobody"),
            ("x-keygate-limit-reset", "2026-12-01T00:00:00Z"),
            ("x-keygate-budget-remaining", "7"),
        ];
        respond(wire, status, &headers, b"{\"mine\":1}");
    });
    let gateway = Gateway::before(&provider);
    let response = gateway.get("/p", &[("api-key", "secret")]);
    assert_eq!((response.status, response.text()), (201, "{\"mine\":1}"));
    assert_eq!(response.header("x-request-id"), Some("req_1"));
    assert_eq!(response.header("x-keygate-request-id").unwrap().len(), 32);
    assert_eq!(response.header("x-ratelimit-remaining-requests"), Some("9"));
    for gone in [
        "set-cookie",
        "openai-organization",
        "openai-project",
        "alt-svc",
        "strict-transport-security",
        "location",
        "x-keygate-refused-by",
        "x-keygate-limit-reset",
        "x-keygate-budget-remaining",
        "server",
    ] {
        assert_eq!(response.header(gone), None, "{gone}");
    }
    let response = gateway.get("/p/429", &[("api-key", "secret")]);
    assert_eq!(
        (response.status, response.header("retry-after")),
        (429, Some("7"))
    );
    assert_eq!(response.header("x-keygate-refused-by"), Some("provider"));
    assert_eq!(provider.received().len(), 2);
}

#[test]
fn ambiguous_framing_is_refused_and_not_forwarded() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    let head = "Host: a\r\napi-key: secret\r\n";
    for raw in [
        format!(
            "POST /p HTTP/1.1\r\n{head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
        format!(
            "POST /p HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n"
        ),
        format!("POST /p HTTP/1.1\r\n{head}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
        format!("POST /p HTTP/1.1\r\n{head}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        format!("POST /p HTTP/1.1\r\n{head}x: y\nContent-Length: 2\r\n\r\n{{}}"),
        format!("TRACE /p HTTP/1.1\r\n{head}\r\n"),
        format!("GET /p HTTP/1.1\r\n{head}Host: b\r\n\r\n"),
        "GET /p HTTP/1.1\r\napi-key: secret\r\n\r\n".to_owned(),
        format!("POST /p HTTP/1.1\r\n{head}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{{}}"),
        format!("POST /p HTTP/1.1\r\n{head}Content-Length: 2, 2\r\n\r\n{{}}"),
        format!("GET /p HTTP/1.1\r\n{head}X_Api_Key: other\r\n\r\n"),
    ] {
        let mut client = gateway.client();
        client.send(&raw);
        let refused = client.response(false);
        assert_eq!(refused.status, 400, "{raw}");
        if refused.text().contains("ambiguous_header") {
            continue;
        }
        assert_eq!(refused.header("connection"), Some("close"), "{raw}");
        // The rest of the connection is not read: a proxy in front may have seen another end of the request.
        let _ = client.try_send(format!("GET /p HTTP/1.1\r\n{head}\r\n"));
        assert!(client.try_response(false).is_none(), "{raw}");
    }
    assert!(provider.received().is_empty());
}

#[test]
fn a_head_may_arrive_in_any_chunks() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    let lines = ["host: gateway.test", "api-key: secret", "content-length: 4"];
    let long = format!("x-long: {}", "x".repeat(9_000));
    for ends in ["\r\n", "\n"] {
        for long in [None, Some(&*long)] {
            let lines = lines.iter().copied().chain(long);
            let head = ["POST /p HTTP/1.1"].into_iter().chain(lines);
            let head: String = head.flat_map(|line| [line, ends]).collect();
            let request = format!("{head}{ends}body");
            for chunk in [1, 3, 17, request.len() - 5, request.len()] {
                if long.is_some() && chunk < 17 {
                    continue;
                }
                let mut client = gateway.client();
                for chunk in request.as_bytes().chunks(chunk) {
                    // The gateway may refuse a head before all of it has arrived.
                    let _ = client.try_send(chunk);
                }
                let response = client.response(false);
                // Lines with other endings are refused.
                let expected = if ends == "\r\n" { 200 } else { 400 };
                assert_eq!(response.status, expected, "{chunk} bytes at a time");
                if expected == 200 {
                    assert_eq!(provider.last().body, b"body");
                }
            }
        }
    }
}

#[test]
fn another_protocol_is_refused_at_once() {
    let provider = Provider::start();
    let rest = simple(&provider.url(), "", "");
    let server = "server.timeouts.client_head = \"1h\"\n";
    let gateway = Scene::with_server(server, &rest).start();
    let handshake = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01];
    for other in [
        &handshake[..],
        b"GET /\r\n",
        b"SSH-2.0-x\r\n",
        b"EHLO x\r\n",
    ] {
        let mut client = gateway.client();
        client.send(other);
        assert_eq!(client.response(false).status, 400);
        assert!(client.is_closed());
    }
}
