//! Header names that an application behind the gateway may confuse: CGI, WSGI, Rack and PHP turn names into variables, in
//! which `X_Api_Key` and `X-Api-Key` are the same.

use crate::support::gateway::simple;
use crate::support::{Gateway, Provider, Scene};

#[test]
fn names_with_underscores_are_forwarded_unchanged() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    // From Codex 0.101.0, from custom headers of Claude Code, and from others.
    let names = [
        "session_id",
        "Conversation_Id",
        "user_id",
        "X_Client_Request_Id",
        "cf_aig_metadata",
        "x.trace.id",
    ];
    let mut headers = vec![("api-key", "secret")];
    headers.extend(names.map(|name| (name, "1")));
    assert_eq!(gateway.request("POST", "/p", &headers, b"{}").status, 200);
    let received = provider.only();
    for name in names.map(str::to_ascii_lowercase) {
        assert!(
            received.head.contains(&format!("\r\n{name}: 1\r\n")),
            "{name}\n{}",
            received.head
        );
    }
}

/// Spellings, and how applications behind the gateway may read them.
const MISREAD: [(&str, &str); 25] = [
    ("api_key", "api-key"),
    ("X_Api_Key", "x-api-key"),
    ("x-api_key", "x-api-key"),
    ("x_goog_api_key", "x-goog-api-key"),
    ("Proxy_Authorization", "proxy-authorization"),
    ("ocp-apim-subscription_key", "ocp-apim-subscription-key"),
    ("openai_organization", "openai-organization"),
    ("OpenAI_Project", "openai-project"),
    ("x-goog-user_project", "x-goog-user-project"),
    ("x_hf_bill_to", "x-hf-bill-to"),
    ("anthropic_workspace_id", "anthropic-workspace-id"),
    ("X_Forwarded_For", "x-forwarded-for"),
    ("x-forwarded_host", "x-forwarded-host"),
    ("x_real_ip", "x-real-ip"),
    ("x_request_id", "x-request-id"),
    ("remote_user", "remote-user"),
    ("cf_connecting_ip", "cf-connecting-ip"),
    ("x_amzn_oidc_data", "x-amzn-oidc-data"),
    ("Content_Length", "content-length"),
    ("Transfer_Encoding", "transfer-encoding"),
    ("content_type", "content-type"),
    ("Sec_WebSocket_Extensions", "sec-websocket-extensions"),
    // PHP reads a dot as an underscore; old versions of Apache also every other character that is no letter or digit.
    ("x.api.key", "x-api-key"),
    ("x~forwarded!for", "x-forwarded-for"),
    ("openai.organization", "openai-organization"),
];

#[test]
fn a_name_that_may_be_read_as_a_credential_account_or_forwarding_is_refused() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    for (name, read_as) in MISREAD {
        let refused = gateway.get("/p", &[("api-key", "secret"), (name, "v4lue")]);
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (400, "ambiguous_header"),
            "{name}"
        );
        let text = refused.text();
        let named = text.contains(&format!("`{}`", name.to_lowercase()));
        assert!(named && text.contains(&format!("`{read_as}`")), "{text}");
        assert!(!text.contains("v4lue"), "{text}");
    }
    assert!(provider.received().is_empty());
    let line = &gateway.access_lines(1)[0];
    assert_eq!(line["reason"], "ambiguous_header");
}

#[test]
fn a_stripped_or_written_header_is_not_forwarded_in_another_spelling() {
    let provider = Provider::start();
    let server = "server.strip_headers = [\"X-Corp-Identity\", \"X-Team-*\", \"under_score\"]\n\
                  keys.headers = [\"authorization\", \"x-gate-key\", \"gate_key\"]";
    let provider_lines =
        "auth_header = \"X-Token\"\nheaders = { x-tenant = \"ours\", our_tenant = \"ours\" }";
    let route = "allow_headers = [\"openai-project\"]\ntransform.headers.x-made-up = \"made\"";
    let gateway = Scene::with_server(server, &simple(&provider.url(), provider_lines, route))
        .key("alice", "secret", "")
        .start();
    for name in [
        "x_corp_identity",
        "x_team_name",
        "x-team_name",
        "under.score",
        "x_gate_key",
        "gate.key",
        "x_token",
        "x_tenant",
        "our.tenant",
        "x_made_up",
        "openai_project",
    ] {
        let refused = gateway.get(
            "/p",
            &[("authorization", "Bearer secret"), (name, "theirs")],
        );
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (400, "ambiguous_header"),
            "{name}"
        );
    }
    assert!(provider.received().is_empty());
    // A name in the configuration has one reading, and so has the name that may be confused with it.
    let headers = [
        ("gate_key", "secret"),
        ("gate-key", "theirs"),
        ("under_score", "theirs"),
        ("under-score", "theirs"),
        ("our-tenant", "theirs"),
        ("our_tenant", "theirs"),
        ("openai-project", "mine"),
    ];
    assert_eq!(gateway.get("/p", &headers).status, 200);
    let received = provider.only();
    assert!(
        !received.head.contains("theirs") && !received.head.contains("secret"),
        "{}",
        received.head
    );
    assert_eq!(received.header("our_tenant"), Some("ours"));
    assert_eq!(received.header("openai-project"), Some("mine"));
}

#[test]
fn two_different_keys_are_named_by_their_places_and_not_by_their_values() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    for (path, headers, first, second) in [
        // Claude Code with both ANTHROPIC_AUTH_TOKEN and ANTHROPIC_API_KEY.
        (
            "/p",
            vec![
                ("x-api-key", "sk-ant-mine"),
                ("authorization", "Bearer secret"),
            ],
            "`authorization`",
            "`x-api-key`",
        ),
        (
            "/p?key=sk-ant-mine",
            vec![("api-key", "secret")],
            "`api-key`",
            "the query parameter `key`",
        ),
        (
            "/p",
            vec![
                ("api-key", "secret"),
                (
                    "sec-websocket-protocol",
                    "openai-insecure-api-key.sk-ant-mine",
                ),
            ],
            "`api-key`",
            "`sec-websocket-protocol`",
        ),
    ] {
        let refused = gateway.get(path, &headers);
        assert_eq!(refused.code(), "ambiguous_credentials");
        let text = refused.text();
        assert!(text.contains(first) && text.contains(second), "{text}");
        assert!(
            !text.contains("secret") && !text.contains("sk-ant"),
            "{text}"
        );
    }
    let twice = gateway.get("/p", &[("api-key", "secret"), ("api-key", "sk-ant-mine")]);
    assert!(twice.text().contains("`api-key` twice"), "{}", twice.text());
    assert!(provider.received().is_empty());
}
