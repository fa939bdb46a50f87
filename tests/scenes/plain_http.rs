//! Providers by plain http in a private network: only if the configuration says so, and never beyond that network.

use crate::support::gateway::simple;
use crate::support::{Provider, Scene};

const PRIVATE: [&str; 5] = [
    "gpu-box:8000",
    "host.docker.internal:11434",
    "llm.corp.example",
    "100.64.7.9:8000",
    "100.127.255.254",
];

fn problems(host: &str, more: &str) -> String {
    let rest = simple(&format!("http://{host}/v1"), more, "");
    Scene::new(&rest).key("alice", "secret", "").problems()
}

#[test]
fn plain_http_to_a_private_name_needs_a_setting_and_is_reported() {
    for host in PRIVATE {
        let refused = problems(host, "");
        assert!(
            refused.contains("gateway.toml:6: providers.p.base_url would send requests and the token unencrypted to")
                && refused.contains("`plain_http = true`"),
            "{host}: {refused}"
        );
        let found = problems(host, "plain_http = true");
        let warning =
            "gateway.toml:6: warning: providers.p: requests and the token go unencrypted to";
        assert!(found.contains(warning), "{host}: {found}");
        assert_eq!(found.lines().count(), 1, "{found}");
    }
    for public in ["8.8.8.8", "[2001:db8::1]:8000", "172.32.0.1"] {
        let found = problems(public, "plain_http = true");
        assert!(
            found.contains("is a public address: use https://"),
            "{found}"
        );
    }
    let metadata = problems("100.100.100.200", "plain_http = true");
    assert!(metadata.contains("metadata service"), "{metadata}");
    // Without a token, the message does not mention one.
    let rest = simple("http://gpu-box", "", "").replace("inline:provider-token", "none");
    let found = Scene::new(&rest).key("alice", "secret", "").problems();
    assert!(
        found.contains("would send requests unencrypted to gpu-box"),
        "{found}"
    );
}

#[test]
fn an_unneeded_plain_http_setting_is_reported() {
    for (url, more) in [
        ("https://api.example.com", "plain_http = true"),
        ("http://10.0.0.1", "plain_http = true"),
    ] {
        let scene = Scene::new(&simple(url, more, "")).key("alice", "secret", "");
        let found = scene.problems();
        assert!(
            found.contains("gateway.toml:8: warning: providers.p.plain_http has no effect"),
            "{found}"
        );
    }
    assert_eq!(problems("10.0.0.1", "plain_http = false"), "");
}

#[test]
fn a_request_goes_to_a_private_name_by_plain_http() {
    let provider = Provider::start();
    let url = format!("http://gpu-box:{}", provider.address().port());
    let scene = Scene::new(&simple(&url, "plain_http = true", "")).key("alice", "secret", "");
    let gateway = scene.start();
    let snapshot = gateway.running.live().snapshot();
    // Sets the address, as if the resolver had returned it.
    let known = snapshot.rules.providers[0].endpoint.addresses();
    known.learn(vec![provider.address()]);
    let response = gateway.request("POST", "/p", &[("api-key", "secret")], b"{}");
    assert_eq!(response.status, 200);
    let host = format!("gpu-box:{}", provider.address().port());
    assert_eq!(provider.only().header("host"), Some(host.as_str()));
}

#[test]
fn a_collector_by_plain_http_needs_the_same_setting() {
    let rest = |more: &str| {
        let provider = simple("https://api.example.com", "", "");
        format!("{provider}[tracing]\nendpoint = \"http://otel:4318\"\n{more}")
    };
    let found = Scene::new(&rest("")).key("alice", "secret", "").problems();
    assert!(
        found.contains("tracing.endpoint would send spans unencrypted to otel")
            && found.contains("`plain_http = true`"),
        "{found}"
    );
    let found = Scene::new(&rest("plain_http = true"))
        .key("alice", "secret", "")
        .problems();
    assert!(
        found.contains("warning: tracing: spans go unencrypted to otel"),
        "{found}"
    );
}
