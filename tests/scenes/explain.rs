//! `keygate explain`: the same decision as a request's, without a request.

use crate::support::command::{keygate, text};
use crate::support::gateway::simple;
use crate::support::{Provider, Scene};

/// What is said, and the exit code.
fn explain(scene: &Scene, arguments: &[&str]) -> (String, Option<i32>) {
    let config = scene.path("gateway.toml").display().to_string();
    let ran = keygate(&[&["explain", "--config", &config], arguments].concat());
    let said = format!("{}{}", text(&ran.stdout), text(&ran.stderr));
    (said, ran.status.code())
}

#[test]
fn it_says_where_a_request_would_go_and_sends_nothing() {
    let provider = Provider::start();
    let more = "headers = { X-Team = \"hidden-value\" }";
    let scene = Scene::new(&simple(&provider.url(), more, "keys = { team = \"red\" }")).key(
        "alice",
        "secret",
        "labels = { team = \"red\" }",
    );
    let requested = [
        "POST",
        "//%70/v1/chat/completions?key=secret&a=1",
        "-H",
        "Authorization: Bearer secret",
        "-H",
        "Cookie: a=1",
        "-H",
        "X-Mine: shown",
        "--body-size",
        "100",
    ];
    let (said, code) = explain(&scene, &requested);
    assert_eq!(code, Some(0), "{said}");
    let url = provider.url();
    for line in [
        "path       /p/v1/chat/completions",
        "route      r (host *, path /p)",
        "key        alice: valid",
        "selector   team = red: takes it",
        &format!("provider   p (custom, {url})"),
        &format!("endpoint   POST {url}/v1/chat/completions?a=1"),
        "header     authorization: (hidden)",
        "header     x-team: (hidden)",
        "header     x-mine: shown",
        "header     content-length: 100",
        "taken out  cookie",
    ] {
        assert!(
            said.lines().any(|said| said == line),
            "wanted {line}\ngot\n{said}"
        );
    }
    for secret in ["secret", "provider-token", "hidden-value"] {
        assert!(!said.contains(secret), "{said}");
    }
    assert!(provider.received().is_empty());
}

#[test]
fn it_names_the_rule_that_refuses() {
    let provider = Provider::start();
    let scene = Scene::new(&simple(&provider.url(), "", "keys = { team = \"red\" }"))
        .key(
            "alice",
            "secret",
            "labels = { team = \"red\" }\ndisabled = true",
        )
        .key("bob", "bobs", "labels = { team = \"red\" }")
        .key("carol", "carols", "");
    for (requested, wanted) in [
        (
            &["GET", "/p", "-H", "api-key: secret"][..],
            &[
                "key        alice: disabled",
                "refused    401 invalid_api_key (disabled_key): Invalid API key.",
            ][..],
        ),
        (
            &["GET", "/p"],
            &[
                "key        none was sent",
                "selector   team = red: is not asked",
            ],
        ),
        (
            &["GET", "/p", "-H", "api-key: carols"],
            &[
                "key        carol: valid",
                "selector   team = red: does not take it",
                "refused    403 key_not_allowed: This API key may not use this route.",
            ],
        ),
        (
            &[
                "GET",
                "/p",
                "-H",
                "api-key: bobs",
                "-H",
                "x-api-key: carols",
            ],
            &[
                "refused    400 ambiguous_credentials: The request holds two different API keys, in `api-key` and in `x-api-key`: send one of them.",
            ],
        ),
        (
            &["GET", "/q"],
            &[
                "path       /q",
                "refused    404 no_route: There is no route for this host and path.",
            ],
        ),
        (
            &["GET", "/p/../q"],
            &[
                "path       has a segment `.` or `..`, which leads to another path",
                "refused    400 bad_path: The request's path cannot be read in one way only.",
                "hint       send the path that it leads to",
            ],
        ),
        (
            &[
                "POST",
                "/p",
                "-H",
                "api-key: bobs",
                "--body-size",
                "99999999",
            ],
            &[
                "refused    413 body_too_large: The request's body is larger than this gateway accepts.",
            ],
        ),
        (
            &["TRACE", "/p"],
            &[
                "refused    400 bad_framing: The request's framing cannot be read in one way only.",
                "hint       TRACE is not forwarded: it would send back the headers, and the provider's token among them",
            ],
        ),
        (
            &[
                "POST",
                "/p",
                "-H",
                "content-length: 1",
                "-H",
                "content-length: 1",
            ],
            &["hint       send one `Content-Length`, with one number"],
        ),
        (
            &["POST", "/p", "-H", "transfer-encoding: gzip"],
            &[
                "hint       send `Transfer-Encoding: chunked` alone, once and without a `Content-Length`, or a `Content-Length` alone",
            ],
        ),
        (
            &["POST", "/p", "-H", "content-length: +1"],
            &["hint       send one `Content-Length`, with one number"],
        ),
        (
            &[
                "POST",
                "/p",
                "-H",
                "transfer-encoding: chunked",
                "-H",
                "content-length: 1",
            ],
            &[
                "hint       send `Transfer-Encoding: chunked` alone, once and without a `Content-Length`, or a `Content-Length` alone",
            ],
        ),
        (
            &["POST", "/p", "-H", "host: a", "-H", "host: b"],
            &["hint       send one `Host`"],
        ),
        (
            &["GET", "/p/%2e%2e/q"],
            &["hint       send the path that it leads to"],
        ),
        (
            &["GET", "/p/%252f"],
            &[
                "hint       escape each character once, and only those that need it: `%` and two hexadecimal digits, never %25 and two more",
            ],
        ),
        (
            &["GET", "/p;a=b"],
            &[
                "hint       write the character as its escape: `;` within a name is %3B, a blank is %20",
            ],
        ),
    ] {
        let (said, code) = explain(&scene, requested);
        assert_eq!(code, Some(1), "{said}");
        for line in wanted {
            assert!(
                said.lines().any(|said| said == *line),
                "wanted {line}\ngot\n{said}"
            );
        }
    }
    let (said, code) = explain(&scene, &["GET", "/p", "-H", "nonsense"]);
    assert_eq!((code, said.contains("NAME: VALUE")), (Some(64), true));
}

#[test]
fn a_404_comes_with_the_routes_and_the_base_url_that_the_client_needs() {
    let route = |name: &str, kind: &str, path: &str, more: &str| {
        format!(
            "[providers.{name}]\nkind = \"{kind}\"\ntoken = \"inline:t\"\n\
             [[routes]]\nname = \"{name}\"\npath = \"{path}\"\nprovider = \"{name}\"\n{more}\n"
        )
    };
    let all = [
        route("openai", "openai", "/openai", ""),
        route("anthropic", "anthropic", "/anthropic", ""),
        route("ours", "openai", "/ours", "host = \"llm.test\""),
    ];
    let scene = Scene::new("").key("alice", "secret", "");
    let file = format!("server.listen = \"127.0.0.1:8099\"\n{}", all.concat());
    scene.write("gateway.toml", &file);
    for (requested, wanted) in [
        (
            &["POST", "/v1/chat/completions"][..],
            &[
                "no route has a path that begins /v1.",
                "  /openai (provider openai, host *)",
                "  /ours (provider ours, host llm.test)",
                "for example http://127.0.0.1:8099/openai/v1",
            ][..],
        ),
        (
            &["POST", "http://127.0.0.1:8099/OpenAI/v1/responses"],
            &["did you mean http://127.0.0.1:8099/openai/v1?"],
        ),
        (
            &["POST", "/antropic/v1/messages"],
            &["did you mean http://127.0.0.1:8099/anthropic?"],
        ),
        (
            &["POST", "/ours/v1/responses"],
            &["the route `ours` has this path, for the host llm.test alone"],
        ),
    ] {
        let (said, code) = explain(&scene, requested);
        assert_eq!(code, Some(1), "{said}");
        for part in wanted {
            assert!(said.contains(part), "wanted {part}\ngot\n{said}");
        }
    }
    let whole = "http://llm.test/ours/v1/responses";
    let (said, code) = explain(&scene, &["POST", whole, "-H", "api-key: secret"]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_401_for_a_providers_own_key_says_that_it_opens_nothing_here() {
    let scene = Scene::new(&simple("http://127.0.0.1:9", "", "")).key("alice", "secret", "");
    let (said, _) = explain(
        &scene,
        &["POST", "/p", "-H", "authorization: Bearer sk-proj-pasted"],
    );
    assert!(said.contains("A provider's own key (sk-...)"), "{said}");
    assert!(!said.contains("sk-proj-pasted"), "{said}");
}

#[test]
fn it_tells_a_preflight_from_a_refusal() {
    let cors = "cors = { origins = [\"https://app.test\"] }";
    let scene = Scene::new(&simple("http://127.0.0.1:9", "", cors)).key("alice", "secret", "");
    let requested = |origin: &str| {
        let origin = format!("origin: {origin}");
        let method = "access-control-request-method: POST";
        explain(&scene, &["OPTIONS", "/p", "-H", &origin, "-H", method])
    };
    let (said, code) = requested("https://app.test");
    assert!(said.contains("answered   204 preflight"), "{said}");
    assert_eq!(code, Some(0), "{said}");
    let (said, code) = requested("https://other.test");
    assert!(said.contains("refused    401"), "{said}");
    assert_eq!(code, Some(1));
}

#[test]
fn what_is_no_path_is_told_and_a_websockets_url_is_taken() {
    let scene = Scene::new(&simple("http://127.0.0.1:1", "", ""));
    for (requested, why) in [
        ("p/v1/models", "`p/v1/models` is neither a path"),
        ("127.0.0.1:8080/p/v1/models", "is neither a path"),
        ("/p/v1/a b", "`/p/v1/a b` holds what cannot stand in a URL"),
    ] {
        let (said, code) = explain(&scene, &["POST", requested]);
        assert!(said.contains(why) && code == Some(64), "{said}");
    }
    let (said, code) = explain(&scene, &["GET", "wss://127.0.0.1:8080/p/v1/realtime"]);
    assert!(
        said.contains("path       /p/v1/realtime\n") && code == Some(1),
        "{said}"
    );
    let preflight = [
        "OPTIONS",
        "/p/v1/models",
        "-H",
        "Access-Control-Request-Method: POST",
    ];
    let (said, _) = explain(&scene, &preflight);
    assert!(
        said.contains("name the page's origin in the route's `cors"),
        "{said}"
    );
}

#[test]
fn secrets_that_cannot_be_read_are_named_and_everything_else_is_explained() {
    let tls = "[server.tls]\ncertificate = \"none.pem\"\nkey = \"file:none.pem\"\n\
               [tracing]\nendpoint = \"http://127.0.0.1:1\"\nheaders = { A = \"file:none\" }\n";
    let text = format!("{tls}{}", simple("http://127.0.0.1:1", "", ""));
    let scene = Scene::new(&text).key("alice", "secret", "");
    let request = ["GET", "/p/v1/models", "-H", "Authorization: Bearer secret"];
    let (said, code) = explain(&scene, &request);
    assert_eq!(code, Some(0), "{said}");
    for expected in [
        "gateway.toml:5: warning: server.tls: ",
        "none.pem is not there",
        "gateway.toml:9: warning: tracing.headers: ",
        "key        alice: valid",
        "endpoint   GET http://127.0.0.1:1/v1/models",
    ] {
        assert!(said.contains(expected), "wanted {expected}\ngot\n{said}");
    }
    // A check and a start refuse the same, and what is wrong with the rest is still said.
    let problems = scene.problems();
    assert!(
        problems.contains("gateway.toml:5: server.tls: "),
        "{problems}"
    );
    scene.write(
        "gateway.toml",
        &text.replace("path = \"/p\"", "path = \"p\""),
    );
    let (said, code) = explain(&scene, &request);
    assert_eq!(code, Some(78), "{said}");
    assert!(
        said.contains("gateway.toml:14: ") && said.contains("none.pem"),
        "{said}"
    );
}

#[test]
fn a_key_file_that_is_wrong_is_no_base_for_an_explanation() {
    let scene =
        Scene::new(&simple("http://127.0.0.1:1", "", "")).key("alice", "secret", "label = 1");
    let request = ["GET", "/p/v1/models", "-H", "Authorization: Bearer secret"];
    let (said, code) = explain(&scene, &request);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("unknown key `key[0].label`"), "{said}");
    assert!(!said.contains("alice: valid"), "{said}");
}

#[test]
fn a_key_is_not_called_unknown_if_the_key_file_cannot_be_read() {
    let scene = Scene::new(&simple("http://127.0.0.1:1", "", "")).key("alice", "secret", "");
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    std::fs::set_permissions(scene.path("keys.toml"), everybody).unwrap();
    let request = ["GET", "/p/v1/models", "-H", "Authorization: Bearer secret"];
    let (said, code) = explain(&scene, &request);
    assert_eq!(code, Some(78), "{said}");
    for expected in [
        "can be written by others",
        "whether the key is valid is not known",
    ] {
        assert!(said.contains(expected), "wanted {expected}\ngot\n{said}");
    }
    assert!(!said.contains("not in the key file"), "{said}");
    // What does not depend on the keys is still explained.
    let (said, code) = explain(&scene, &["GET", "/p/v1/models"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("none was sent"), "{said}");
}
