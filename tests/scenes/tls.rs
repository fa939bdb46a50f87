//! Providers behind TLS: verified always, reused, over HTTP/1.1 and HTTP/2.

use crate::support::http2::{self, Http2Provider};
use crate::support::provider::ok;
use crate::support::tls::{Authority, provider};
use crate::support::{Gateway, KEY, Scene};

/// A gateway before `https://localhost:port` that trusts `authority`.
fn gateway(authority: &Authority, port: u16, more: &str) -> Gateway {
    let provider = format!("ca = \"ca.pem\"\n{more}");
    let url = format!("https://localhost:{port}");
    let scene = Scene::new("").key("alice", "secret", "");
    scene.write("ca.pem", &authority.pem);
    scene.configure("", &crate::support::gateway::simple(&url, &provider, ""));
    scene.start()
}

#[test]
fn a_thousand_requests_reuse_verified_connections() {
    let authority = Authority::new();
    let provider = provider(authority.server("localhost", &[]), |_, wire| {
        ok(wire, b"{}");
    });
    let gateway = gateway(&authority, provider.address().port(), "");
    let mut client = gateway.client();
    for _ in 0..1000 {
        assert_eq!(client.request("POST", "/p", &KEY, b"{\"a\":1}").status, 200);
    }
    assert_eq!(provider.received().len(), 1000);
    assert_eq!(provider.connections(), 1);
    let host = format!("localhost:{}", provider.address().port());
    assert_eq!(provider.last().header("host"), Some(host.as_str()));
    let reused = "keygate_upstream_connections_total{provider=\"p\",reused=\"true\"}";
    assert_eq!(gateway.count(reused), 999);
}

#[test]
fn a_certificate_for_another_host_is_502_and_the_token_is_not_sent() {
    let authority = Authority::new();
    let provider = provider(authority.server("elsewhere.test", &[]), |_, wire| {
        ok(wire, b"{}");
    });
    let gateway = gateway(&authority, provider.address().port(), "");
    let refused = gateway.request("POST", "/p", &KEY, b"{}");
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (502, "provider_unreachable")
    );
    assert!(provider.received().is_empty());
    // A failed handshake is not tried again: there is one connection, and no request on it.
    assert_eq!(provider.connections(), 1);
}

#[test]
fn a_certificate_of_another_authority_is_502_and_the_token_is_not_sent() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let provider = provider(theirs.server("localhost", &[]), |_, wire| ok(wire, b"{}"));
    let gateway = gateway(&ours, provider.address().port(), "");
    assert_eq!(gateway.request("POST", "/p", &KEY, b"{}").status, 502);
    assert!(provider.received().is_empty());
}

#[test]
fn a_certificate_is_verified_for_the_configured_name() {
    let authority = Authority::new();
    let provider = provider(authority.server("inner.test", &[]), |_, wire| {
        ok(wire, b"{}");
    });
    let gateway = gateway(
        &authority,
        provider.address().port(),
        "sni = \"inner.test\"",
    );
    assert_eq!(gateway.request("POST", "/p", &KEY, b"{}").status, 200);
}

#[test]
fn http2_is_used_if_the_provider_is_configured_for_it() {
    let authority = Authority::new();
    for (http, offered) in [("2", vec!["h2"]), ("auto", vec!["h2", "http/1.1"])] {
        let provider = Http2Provider::start(Some(authority.server("localhost", &offered)));
        let gateway = gateway(
            &authority,
            provider.address.port(),
            &format!("http = \"{http}\""),
        );
        let mut client = gateway.client();
        for _ in 0..50 {
            let response = client.request("POST", "/p/v1/x?a=b", &KEY, b"{\"a\":1}");
            assert_eq!((response.status, response.text()), (200, "{\"ok\":true}"));
        }
        let received = provider.received();
        assert_eq!((received.len(), provider.connections()), (50, 1));
        let (request, body) = &received[0];
        assert_eq!(
            request.uri().to_string(),
            format!("https://localhost:{}/v1/x?a=b", provider.address.port())
        );
        assert_eq!(request.headers()["authorization"], "Bearer provider-token");
        assert!(
            !request.headers().contains_key("api-key") && !request.headers().contains_key("host")
        );
        assert_eq!(body, b"{\"a\":1}");
    }
}

#[test]
fn auto_falls_back_to_http_1_1() {
    let authority = Authority::new();
    let provider = provider(authority.server("localhost", &["http/1.1"]), |_, wire| {
        ok(wire, b"{}");
    });
    let gateway = gateway(&authority, provider.address().port(), "http = \"auto\"");
    assert_eq!(gateway.request("POST", "/p", &KEY, b"{}").status, 200);
    assert_eq!(provider.only().line(), "POST /v1/chat/completions HTTP/1.1");
}

#[test]
fn trailers_pass_over_http2_without_headers_that_clients_must_not_get() {
    let provider = Http2Provider::start(None);
    let rest = crate::support::gateway::simple(
        &format!("http://{}", provider.address),
        "http = \"2\"",
        "",
    );
    let gateway = Scene::with_server("server.h2c = true", &rest)
        .key("alice", "secret", "")
        .start();
    http2::run(async {
        let mut client = http2::connect(gateway.address()).await;
        let request = http::Request::get("http://gateway.test/p").header("api-key", "secret");
        let response = http2::send(&mut client, request).await;
        let mut body = response.into_body();
        while let Some(chunk) = body.data().await {
            body.flow_control()
                .release_capacity(chunk.unwrap().len())
                .unwrap();
        }
        let trailers = body.trailers().await.unwrap().unwrap();
        assert_eq!(trailers["x-trailer"], "kept");
        assert_eq!(trailers.len(), 1, "{trailers:?}");
    });
}

#[test]
fn http2_without_tls_is_used_by_prior_knowledge() {
    let provider = Http2Provider::start(None);
    let url = format!("http://{}", provider.address);
    let rest = crate::support::gateway::simple(&url, "http = \"2\"", "");
    let gateway = Scene::new(&rest).key("alice", "secret", "").start();
    assert_eq!(gateway.request("POST", "/p", &KEY, b"{}").status, 200);
    assert_eq!(provider.received().len(), 1);
}

#[test]
fn bodies_of_any_size_go_over_http2_byte_for_byte() {
    let authority = Authority::new();
    let provider = Http2Provider::start(Some(authority.server("localhost", &["h2"])));
    let gateway = gateway(&authority, provider.address.port(), "http = \"2\"");
    for (round, size) in [0, 1, (64 << 10) + 1, 1 << 20, 20 << 20]
        .into_iter()
        .enumerate()
    {
        let body: Vec<u8> = (0..size)
            .map(|i: u32| i.to_le_bytes()[i as usize % 3])
            .collect();
        assert_eq!(
            gateway.request("POST", "/p", &KEY, &body).status,
            200,
            "{size}"
        );
        assert!(provider.received()[round].1 == body, "{size}");
    }
}

#[test]
fn a_handshake_that_never_ends_is_504() {
    // A listener that accepts connections and sends nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let gateway = gateway(&Authority::new(), port, "timeouts.connect = \"200ms\"");
    let refused = gateway.request("POST", "/p", &KEY, b"{}");
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (504, "provider_timeout")
    );
}
