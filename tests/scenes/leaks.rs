//! The gateway's own keys reach no provider, and responses do not reveal which keys exist.

use keygate::testing::key::format;

use crate::support::gateway::simple;
use crate::support::{Provider, Scene};

#[test]
fn a_key_in_any_parameter_of_the_query_is_not_forwarded() {
    let provider = Provider::start();
    let made = format::generate("alice").unwrap();
    let gateway = Scene::before(&provider, "").key("bob", &made, "").start();
    let encoded = made.replace("kg_", "%6bg%5F");
    for (query, up) in [
        ("api_key=secret&a=b", "?a=b"),
        ("apikey=anything&a=b", "?a=b"),
        ("token=secret&a=b", "?a=b"),
        ("a=b&x=s%65cret", "?a=b"),
        ("token=TTT", "?token=TTT"),
        ("pageToken=x&limit=2", "?pageToken=x&limit=2"),
        (&*format!("a=b&token={}", *made), "?a=b"),
        (&format!("a=b&x=Bearer+{}", *made), "?a=b"),
        (&format!("a=b;x=u:{encoded}"), "?a=b"),
        (&format!("{}=1&a=b", *made), "?a=b"),
    ] {
        let path = format!("/p/v1/models?{query}");
        let response = gateway.get(&path, &[("api-key", "secret")]);
        assert_eq!(response.status, 200, "{query}");
        let line = provider.last().line().to_owned();
        assert_eq!(line, format!("GET /v1/models{up} HTTP/1.1"), "{query}");
    }
}

#[test]
fn a_key_in_any_encoding_of_a_passed_token_is_refused() {
    use base64::Engine as _;
    let provider = Provider::start();
    let made = format::generate("bob").unwrap();
    let rest = simple(&provider.url(), "", "").replace("inline:provider-token", "passthrough");
    let rest =
        rest + "[[routes]]\nname = \"open\"\npath = \"/open\"\nprovider = \"p\"\nauth = \"none\"\n";
    let gateway = Scene::new(&rest)
        .key("alice", "secret", "")
        .key("bob", &made, "")
        .start();
    let basic = |text: &str| {
        let text = base64::engine::general_purpose::STANDARD.encode(text);
        format!("Basic {text}")
    };
    let wrapped = |key: &str| {
        [
            format!("Bearer {key}"),
            format!("Bearer <{key}>"),
            format!("x&{key}"),
            format!("Token token=\"{key}\""),
            basic(&format!("u:{key}")),
            basic(&format!("{key}:")).replace("Basic", "BASIC"),
        ]
    };
    for value in &wrapped(&made) {
        for (path, key) in [("/p", "secret"), ("/p", &**made), ("/open", "x")] {
            let refused = gateway.get(path, &[("api-key", key), ("authorization", value)]);
            let code = refused.code();
            let wanted = (401, "provider_token_missing");
            assert_eq!((refused.status, &*code), wanted, "{path} {value}");
        }
    }
    // A key that keygate did not make is recognized because the request presents it.
    for value in &wrapped("secret") {
        let refused = gateway.get("/p", &[("api-key", "secret"), ("authorization", value)]);
        assert_eq!(refused.status, 401, "{value}");
    }
    assert!(provider.received().is_empty());
    for own in [
        "Bearer sk-kg-own",
        &basic("user:password"),
        "Token token=\"x\"",
    ] {
        let response = gateway.get("/open", &[("authorization", own)]);
        assert_eq!(response.status, 200, "{own}");
        assert_eq!(provider.last().header("authorization"), Some(own));
    }
}

#[test]
fn a_passthrough_route_does_not_reveal_which_keys_exist() {
    let provider = Provider::start();
    let rest = simple(&provider.url(), "", "").replace("inline:provider-token", "passthrough");
    let rest =
        rest + "[[routes]]\nname = \"open\"\npath = \"/open\"\nprovider = \"p\"\nauth = \"none\"\n";
    let gateway = Scene::new(&rest)
        .key("alice", "secret", "")
        .key("weak", "mysecretkey", "")
        .key("off", "olddisabledkey", "disabled = true")
        .start();
    for guess in ["mysecretkey", "olddisabledkey", "guess"] {
        let value = format!("Bearer {guess}");
        let own = ("authorization", value.as_str());
        for headers in [&[own][..], &[("api-key", "secret"), own]] {
            let path = if headers.len() == 1 { "/open" } else { "/p" };
            assert_eq!(gateway.get(path, headers).status, 200, "{path} {guess}");
            assert_eq!(provider.last().header("authorization"), Some(&*value));
        }
    }
}
