//! Escaped separators (`%2F`, `%3B`, `%3F`) after a route's prefix, as SDKs send them in names with `/`.

use crate::support::gateway::simple;
use crate::support::{Gateway, Provider, Scene};

#[test]
fn an_escaped_separator_after_the_prefix_is_forwarded_escaped() {
    let provider = Provider::start();
    let rest = simple(&format!("{}/v1", provider.url()), "", "");
    let gateway = Scene::new(&rest).key("alice", "secret", "").start();
    for (requested, sent) in [
        (
            "/p/v1/models/meta-llama%2FLlama-3",
            "/v1/models/meta-llama%2FLlama-3",
        ),
        ("/p/models/a%2fb%3Bc%3fd", "/v1/models/a%2Fb%3Bc%3Fd"),
        (
            "/p/models/https%3A%2F%2Fh%2Fx",
            "/v1/models/https%3A%2F%2Fh%2Fx",
        ),
        ("/p/v1%2Fmodels", "/v1/v1%2Fmodels"),
        ("/p/models/a%2F", "/v1/models/a%2F"),
        ("/p/models/a%2Fb?c=d%2Fe", "/v1/models/a%2Fb?c=d%2Fe"),
    ] {
        let response = gateway.get(requested, &[("api-key", "secret")]);
        assert_eq!(response.status, 200, "{requested}");
        assert_eq!(
            provider.last().line(),
            format!("GET {sent} HTTP/1.1"),
            "{requested}"
        );
    }
    let line = &gateway.access_lines(1)[0];
    assert_eq!(line["path"], "/p/v1/models/meta-llama%2FLlama-3");
}

#[test]
fn an_escaped_separator_that_makes_a_dot_segment_or_is_in_the_prefix_is_refused() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    for path in [
        "/p/..%2Fx",
        "/p/a%2F..%2Fb",
        "/p/a%2f%2e%2e",
        "/p/.%2Fa",
        "/p/..%3Bx/a",
        "/p/a%2F..%3Bx",
        "/p/..%3F",
        "/p/%3B..",
        "/p/a%252Fb",
        "/p/a%2525",
        "/p/%25%32%46",
        "/p/a%5Cb",
        "/p/a;b",
        "/p/a%23b",
    ] {
        let refused = gateway.get(path, &[("api-key", "secret")]);
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (400, "bad_path"),
            "{path}"
        );
    }
    for path in ["/p%2Fa", "/p%2F", "/%2Fp/a", "/p%3Ba", "/p%3F", "/p%3Bx/a"] {
        let refused = gateway.get(path, &[("api-key", "secret")]);
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (404, "no_route"),
            "{path}"
        );
    }
    assert!(provider.received().is_empty());
    let route = "[[routes]]\nname = \"s\"\npath = \"/s%2Ft\"\nprovider = \"p\"\n";
    let problems = Scene::new(&simple(&provider.url(), "", route)).problems();
    assert!(problems.contains("plain form"), "{problems}");
}

#[test]
fn an_escaped_query_carries_no_credential_to_the_provider_or_the_log() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider);
    for path in [
        "/p/m:generateContent%3Fkey=canary",
        "/p/m:generateContent%3fkey%3dcanary",
        "/p/m%3Falt=sse&key=canary",
        "/p/m%3Falt%3Dsse%26access_token%3Dcanary",
        "/p/m%3Ba=b%3Bapi-key=canary",
        "/p/m%3F%3Fk%65y=canary",
        "/p/m%3FuserProject=canary",
    ] {
        for headers in [&[][..], &[("api-key", "secret")]] {
            let refused = gateway.get(path, headers);
            assert_eq!(
                (refused.status, refused.code().as_str()),
                (400, "bad_path"),
                "{path}"
            );
        }
    }
    assert!(provider.received().is_empty());
    for line in gateway.access_lines(14) {
        assert!(!line.to_string().contains("canary"), "{line}");
    }
    for path in ["/p/files/what%3F", "/p/files/a%3Bb=c", "/p/m%3Falt=sse"] {
        assert_eq!(
            gateway.get(path, &[("api-key", "secret")]).status,
            200,
            "{path}"
        );
    }
}

#[test]
fn a_narrower_route_cannot_be_bypassed_by_an_escaped_separator() {
    let (broad, narrow) = (Provider::start(), Provider::start());
    let rest = format!(
        "[providers.broad]\nkind = \"custom\"\nbase_url = \"{}/v1\"\ntoken = \"inline:t\"\n\
         [providers.narrow]\nkind = \"custom\"\nbase_url = \"{}/v1/admin\"\ntoken = \"inline:t\"\n\
         [[routes]]\nname = \"broad\"\npath = \"/\"\nprovider = \"broad\"\n\
         [[routes]]\nname = \"narrow\"\npath = \"/v1/admin\"\nprovider = \"narrow\"\nkeys = {{ team = \"admin\" }}\n",
        broad.url(),
        narrow.url(),
    );
    let gateway = Scene::new(&rest)
        .key("alice", "secret", "")
        .key("root", "roots", "labels = { team = \"admin\" }")
        .start();
    for path in [
        "/v1%2Fadmin/keys",
        "/v1/admin%2Fkeys",
        "/v1%2Fadmin%2Fkeys",
        "/%2Fv1/admin/keys",
        "/v1/%2F/admin",
        "/v1/admin%3Bx",
        "/v1/admin%3Bx%2Fy/keys",
        "/v1%3Bx%2Fy/admin/keys",
        "/v1/admin%3Fx",
        "/v1%3Bx/admin",
        "/v1/%3Bx/admin",
        "/V1%2FADMIN/keys",
        "/admin%2Fkeys",
        "/admin%3Bx/keys",
    ] {
        for key in ["secret", "roots"] {
            let refused = gateway.get(path, &[("api-key", key)]);
            assert_eq!(
                (refused.status, refused.code().as_str()),
                (400, "ambiguous_path"),
                "{path}"
            );
        }
    }
    assert!(broad.received().is_empty() && narrow.received().is_empty());
    for (path, key, to, sent) in [
        ("/v1/models/a%2Fb", "secret", &broad, "/v1/models/a%2Fb"),
        (
            "/v1/models/v1%2Fadmin",
            "secret",
            &broad,
            "/v1/models/v1%2Fadmin",
        ),
        ("/v1/admin/a%2Fb", "roots", &narrow, "/v1/admin/a%2Fb"),
    ] {
        assert_eq!(gateway.get(path, &[("api-key", key)]).status, 200, "{path}");
        assert_eq!(to.last().line(), format!("GET {sent} HTTP/1.1"));
    }
}
