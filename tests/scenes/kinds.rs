//! Each kind of provider gets the path, token and headers that it expects, and refusals have its error format.

use crate::support::provider::respond;
use crate::support::{Gateway, Provider, Scene};

/// A provider of a kind behind `/p`, with one key `secret`.
fn of_kind(kind: &str, url: &str, provider: &str, route: &str) -> Gateway {
    let place = if kind == "azure-openai" {
        "endpoint"
    } else {
        "base_url"
    };
    let token = if provider.contains("token") {
        ""
    } else {
        "token = \"inline:provider-token\""
    };
    Scene::new(&format!(
        "[providers.p]\nkind = \"{kind}\"\n{place} = \"{url}\"\n{token}\n{provider}\n\
         [[routes]]\nname = \"r\"\npath = \"/p\"\nprovider = \"p\"\n{route}\n"
    ))
    .key("alice", "secret", "")
    .start()
}

#[test]
fn each_kind_of_provider_gets_the_path_and_the_token_header_that_it_expects() {
    for (kind, base, more, requested, line, credential) in [
        (
            "openai",
            "/v1",
            "",
            "/responses",
            "POST /v1/responses",
            "authorization: Bearer provider-token",
        ),
        (
            "azure-openai",
            "",
            "deployment = \"d\"",
            "",
            "POST /openai/deployments/d/chat/completions?api-version=2024-10-21",
            "api-key: provider-token",
        ),
        (
            "azure-openai",
            "",
            "default_endpoint = \"/openai/v1/chat/completions\"",
            "",
            "POST /openai/v1/chat/completions",
            "api-key: provider-token",
        ),
        (
            "azure-openai",
            "",
            "deployment = \"chat\"",
            "/openai/deployments/e/embeddings?api%2Dversion=1",
            "POST /openai/deployments/e/embeddings?api%2Dversion=1",
            "api-key: provider-token",
        ),
        (
            "azure-openai",
            "",
            "deployment = \"chat\"",
            "/chat/completions",
            "POST /openai/deployments/chat/chat/completions?api-version=2024-10-21",
            "api-key: provider-token",
        ),
        (
            "azure-openai",
            "",
            "deployment = \"d\"",
            "/openai/deployments/d/chat/completions",
            "POST /openai/deployments/d/chat/completions?api-version=2024-10-21",
            "api-key: provider-token",
        ),
        (
            "azure-openai",
            "",
            "deployment = \"d\"",
            "/openai/deployments/e/embeddings?api-version=1",
            "POST /openai/deployments/e/embeddings?api-version=1",
            "api-key: provider-token",
        ),
        (
            "anthropic",
            "/v1",
            "",
            "/v1/messages",
            "POST /v1/messages",
            "x-api-key: provider-token",
        ),
        (
            "gemini",
            "/v1beta",
            "",
            "/v1/models/m:generateContent",
            "POST /v1/models/m:generateContent",
            "x-goog-api-key: provider-token",
        ),
        (
            "gemini",
            "/v1beta",
            "model = \"m\"",
            "",
            "POST /v1beta/models/m:generateContent",
            "x-goog-api-key: provider-token",
        ),
        (
            "mistral",
            "/v1",
            "",
            "/v1/fim/completions",
            "POST /v1/fim/completions",
            "authorization: Bearer provider-token",
        ),
        (
            "huggingface",
            "/v1",
            "",
            "/models/gpt2",
            "POST /hf-inference/models/gpt2",
            "authorization: Bearer provider-token",
        ),
        (
            "groq",
            "/openai/v1",
            "",
            "/openai/v1/chat/completions",
            "POST /openai/v1/chat/completions",
            "authorization: Bearer provider-token",
        ),
        (
            "cohere",
            "/v2",
            "",
            "/v2/chat",
            "POST /v2/chat",
            "authorization: Bearer provider-token",
        ),
    ] {
        let provider = Provider::start();
        let gateway = of_kind(kind, &(provider.url() + base), more, "");
        // The client's key may be in any place, wherever the provider expects its token.
        for header in ["authorization", "api-key", "x-api-key", "x-goog-api-key"] {
            let path = format!("/p{requested}");
            assert_eq!(
                gateway
                    .request("POST", &path, &[(header, "secret")], b"{}")
                    .status,
                200
            );
            let received = provider.last();
            assert_eq!(received.line(), format!("{line} HTTP/1.1"), "{kind}");
            let (name, value) = credential.split_once(": ").unwrap();
            for spelling in ["authorization", "api-key", "x-api-key", "x-goog-api-key"] {
                let times = usize::from(spelling == name);
                assert_eq!(
                    received.count(spelling),
                    times,
                    "{kind} {header} {spelling}"
                );
            }
            assert_eq!(received.header(name), Some(value), "{kind}");
            assert!(!received.head.contains("secret"));
        }
    }
}

#[test]
fn anthropics_version_is_added_only_if_the_client_sent_none() {
    let provider = Provider::start();
    let gateway = of_kind("anthropic", &provider.url(), "", "");
    let key = ("x-api-key", "secret");
    gateway.request("POST", "/p", &[key], b"{}");
    assert_eq!(
        provider.last().header("anthropic-version"),
        Some("2023-06-01")
    );
    gateway.request(
        "POST",
        "/p",
        &[key, ("anthropic-version", "2026-10-21")],
        b"{}",
    );
    let received = provider.last();
    assert_eq!(
        (
            received.header("anthropic-version"),
            received.count("anthropic-version")
        ),
        (Some("2026-10-21"), 1)
    );
    assert_eq!(received.count("anthropic-beta"), 0);
}

#[test]
fn an_anthropic_oauth_token_is_sent_as_bearer_with_its_beta_header() {
    let provider = Provider::start();
    let token = "token = \"inline:sk-ant-oat01-x\"";
    let gateway = of_kind("anthropic", &provider.url(), token, "");
    let key = ("x-api-key", "secret");
    gateway.request(
        "POST",
        "/p",
        &[key, ("anthropic-beta", "context-1m")],
        b"{}",
    );
    let received = provider.last();
    assert_eq!(
        received.header("authorization"),
        Some("Bearer sk-ant-oat01-x")
    );
    assert_eq!(received.count("x-api-key"), 0);
    assert!(received.head.contains("anthropic-beta: context-1m\r\n"));
    assert!(
        received
            .head
            .contains("anthropic-beta: oauth-2025-04-20\r\n")
    );
    gateway.request(
        "POST",
        "/p",
        &[key, ("anthropic-beta", "a, oauth-2025-04-20")],
        b"{}",
    );
    assert_eq!(provider.last().count("anthropic-beta"), 1);
}

#[test]
fn the_callers_own_token_is_passed_on_and_the_gateways_key_needs_another_header() {
    let provider = Provider::start();
    let gateway = of_kind("anthropic", &provider.url(), "token = \"passthrough\"", "");
    let own = ("authorization", "Bearer sk-ant-api03-own");
    let key = ("api-key", "secret");
    assert_eq!(
        gateway.request("POST", "/p", &[key, own], b"{}").status,
        200
    );
    let received = provider.last();
    assert_eq!(received.header("x-api-key"), Some("sk-ant-api03-own"));
    assert_eq!(
        (received.count("authorization"), received.count("api-key")),
        (0, 0)
    );
    // The gateway's key in the place of the token is no token.
    for wrong in [("authorization", "Bearer secret"), ("x-api-key", "secret")] {
        assert_eq!(gateway.request("POST", "/p", &[wrong], b"{}").status, 401);
        let refused = gateway.request("POST", "/p", &[key, wrong], b"{}");
        assert_eq!(refused.status, 401);
    }
    assert_eq!(provider.received().len(), 1);
}

#[test]
fn a_refusal_has_the_error_format_of_its_route() {
    let provider = Provider::start();
    for (kind, more, pointer, value, id) in [
        (
            "openai",
            "",
            "/error/type",
            "authentication_error",
            "x-request-id",
        ),
        (
            "anthropic",
            "",
            "/error/type",
            "authentication_error",
            "request-id",
        ),
        (
            "gemini",
            "",
            "/error/status",
            "UNAUTHENTICATED",
            "x-request-id",
        ),
        (
            "mistral",
            "",
            "/type",
            "authentication_error",
            "x-request-id",
        ),
        ("cohere", "", "/message", "Invalid API key.", "x-request-id"),
        (
            "huggingface",
            "",
            "/error",
            "Invalid API key.",
            "x-request-id",
        ),
        (
            "azure-openai",
            "deployment = \"d\"",
            "/error/code",
            "invalid_api_key",
            "x-request-id",
        ),
    ] {
        let gateway = of_kind(kind, &provider.url(), more, "");
        let refused = gateway.request("POST", "/p/x", &[("api-key", "wrong")], b"{}");
        assert_eq!(refused.status, 401, "{kind}");
        assert_eq!(refused.json().pointer(pointer).unwrap(), value, "{kind}");
        let ours = refused.header("x-keygate-request-id").unwrap();
        assert_eq!(refused.header(id), Some(ours), "{kind}");
        // A missing key gets the same bytes.
        assert_eq!(
            gateway.request("POST", "/p/x", &[], b"{}").body,
            refused.body,
            "{kind}"
        );
    }
    assert!(provider.received().is_empty());
}

#[test]
fn a_bare_prefix_without_an_endpoint_is_404() {
    let provider = Provider::start();
    let gateway = of_kind("gemini", &provider.url(), "", "");
    let refused = gateway.request("POST", "/p", &[("x-goog-api-key", "secret")], b"{}");
    assert_eq!(refused.status, 404);
    assert_eq!(
        refused.json()["error"]["details"][0]["reason"],
        "NO_DEFAULT_ENDPOINT"
    );
    assert!(provider.received().is_empty());
}

#[test]
fn the_client_chooses_the_account_only_if_the_route_allows_it() {
    let provider = Provider::start();
    let choices = [
        ("OpenAI-Organization", "theirs"),
        ("OpenAI-Project", "theirs"),
        ("X-Goog-User-Project", "theirs"),
        ("X-HF-Bill-To", "theirs"),
    ];
    let accounts = |gateway: &Gateway| {
        let headers: Vec<_> = [("api-key", "secret")].into_iter().chain(choices).collect();
        let path = "/p?userProject=theirs&access_token=theirs&a=1";
        assert_eq!(gateway.request("POST", path, &headers, b"{}").status, 200);
        let received = provider.last();
        assert!(
            received
                .line()
                .ends_with("/v1/chat/completions?a=1 HTTP/1.1"),
            "{}",
            received.line()
        );
        choices.map(|(name, _)| received.header(name).map(str::to_owned))
    };
    let kind = |more: &str, route: &str| of_kind("openai", &provider.url(), more, route);
    assert_eq!(accounts(&kind("", "")), [None, None, None, None]);
    let theirs = || Some("theirs".to_owned());
    let allowed = kind("", "allow_headers = [\"OpenAI-Project\", \"x-hf-bill-to\"]");
    assert_eq!(accounts(&allowed), [None, theirs(), None, theirs()]);
    let set = kind("headers = { OpenAI-Organization = \"ours\" }", "");
    assert_eq!(accounts(&set), [Some("ours".to_owned()), None, None, None]);
}

#[test]
fn response_headers_about_the_account_are_removed_by_kind() {
    let account = [
        "openai-organization",
        "openai-project",
        "anthropic-organization-id",
        "anthropic-workspace-id",
    ];
    let provider = Provider::responding(move |_, wire| {
        let mut headers = vec![
            ("set-cookie", "a=1"),
            ("anthropic-ratelimit-requests-limit", "50"),
            ("x-mine", "1"),
        ];
        headers.extend(account.map(|name| (name, "account")));
        respond(wire, "200 OK", &headers, b"{}");
    });
    for (kind, kept) in [
        ("openai", &account[2..]),
        ("custom", &account[2..]),
        ("anthropic", &account[..2]),
    ] {
        let gateway = of_kind(kind, &provider.url(), "", "");
        let response = gateway.request("POST", "/p", &[("api-key", "secret")], b"{}");
        for name in account {
            assert_eq!(
                response.header(name).is_some(),
                kept.contains(&name),
                "{kind} {name}"
            );
        }
        assert_eq!(response.header("set-cookie"), None);
        assert_eq!(response.header("x-mine"), Some("1"));
        assert_eq!(
            response.header("anthropic-ratelimit-requests-limit"),
            Some("50")
        );
    }
}

#[test]
fn upload_urls_of_a_provider_lead_back_through_the_gateway() {
    let provider = Provider::responding(|request, wire| {
        let host = request.header("host").unwrap();
        let own = format!("http://{host}/upload/v1beta/files?upload_id=1");
        let headers = [
            ("x-goog-upload-url", own.as_str()),
            ("x-goog-upload-control-url", "http://elsewhere.test/upload"),
        ];
        let mut headers = headers.to_vec();
        headers.push(("location", "/v1beta/files/f"));
        respond(wire, "200 OK", &headers, b"{}");
    });
    // The base path has another version than the path of the request.
    let gateway = of_kind("gemini", &(provider.url() + "/v1"), "", "");
    let key = ("x-goog-api-key", "secret");
    let response = gateway.request("POST", "/p/upload/v1beta/files", &[key], b"{}");
    let url = response.header("x-goog-upload-url").unwrap();
    assert_eq!(response.header("location"), Some("/p/v1beta/files/f"));
    assert_eq!(url, "http://gateway.test/p/upload/v1beta/files?upload_id=1");
    assert_eq!(
        response.header("x-goog-upload-control-url"),
        None,
        "a client would send its key to another host"
    );
    let path = url.strip_prefix("http://gateway.test").unwrap();
    gateway.request("POST", path, &[key], b"data");
    assert_eq!(
        provider.last().line(),
        "POST /upload/v1beta/files?upload_id=1 HTTP/1.1"
    );
    let behind_tls = [
        key,
        ("x-forwarded-proto", "https"),
        ("host", "llm.example.com"),
    ];
    let response = gateway.request("POST", "/p/upload/v1beta/files", &behind_tls, b"{}");
    assert!(
        response
            .header("x-goog-upload-url")
            .unwrap()
            .starts_with("https://llm.example.com/p/upload/")
    );
}
