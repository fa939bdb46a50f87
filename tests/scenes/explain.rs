//! `keygate explain`: the same decision as a request's, without a request.

use crate::support::command::{keygate_for, text};
use crate::support::gateway::simple;
use crate::support::{Provider, Scene};

/// The output of `keygate explain`, and its exit code.
fn explain(scene: &Scene, arguments: &[&str]) -> (String, Option<i32>) {
    let ran = keygate_for(scene, &[&["explain"], arguments].concat());
    let printed = format!("{}{}", text(&ran.stdout), text(&ran.stderr));
    (printed, ran.status.code())
}

#[test]
fn explain_prints_where_a_request_would_go_and_sends_nothing() {
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
    let (printed, code) = explain(&scene, &requested);
    assert_eq!(code, Some(0), "{printed}");
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
            printed.lines().any(|printed| printed == line),
            "wanted {line}\ngot\n{printed}"
        );
    }
    for secret in ["secret", "provider-token", "hidden-value"] {
        assert!(!printed.contains(secret), "{printed}");
    }
    assert!(provider.received().is_empty());
}

#[test]
fn explain_names_the_rule_that_refuses_a_request() {
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
                "selector   team = red: is not evaluated",
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
        let (printed, code) = explain(&scene, requested);
        assert_eq!(code, Some(1), "{printed}");
        for line in wanted {
            assert!(
                printed.lines().any(|printed| printed == *line),
                "wanted {line}\ngot\n{printed}"
            );
        }
    }
    let (printed, code) = explain(&scene, &["GET", "/p", "-H", "nonsense"]);
    assert_eq!((code, printed.contains("NAME: VALUE")), (Some(64), true));
}

#[test]
fn explain_prints_the_routes_and_the_needed_base_url_for_a_404() {
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
        let (printed, code) = explain(&scene, requested);
        assert_eq!(code, Some(1), "{printed}");
        for part in wanted {
            assert!(printed.contains(part), "wanted {part}\ngot\n{printed}");
        }
    }
    let whole = "http://llm.test/ours/v1/responses";
    let (printed, code) = explain(&scene, &["POST", whole, "-H", "api-key: secret"]);
    assert_eq!(code, Some(0), "{printed}");
}

#[test]
fn explain_reports_that_a_providers_own_key_is_not_valid_here() {
    let scene = Scene::new(&simple("http://127.0.0.1:9", "", "")).key("alice", "secret", "");
    let (printed, _) = explain(
        &scene,
        &["POST", "/p", "-H", "authorization: Bearer sk-proj-pasted"],
    );
    assert!(
        printed.contains("A provider's own key (sk-...)"),
        "{printed}"
    );
    assert!(!printed.contains("sk-proj-pasted"), "{printed}");
}

#[test]
fn explain_distinguishes_a_preflight_from_a_refusal() {
    let cors = "cors = { origins = [\"https://app.test\"] }";
    let scene = Scene::new(&simple("http://127.0.0.1:9", "", cors)).key("alice", "secret", "");
    let requested = |origin: &str| {
        let origin = format!("origin: {origin}");
        let method = "access-control-request-method: POST";
        explain(&scene, &["OPTIONS", "/p", "-H", &origin, "-H", method])
    };
    let (printed, code) = requested("https://app.test");
    assert!(printed.contains("answered   204 preflight"), "{printed}");
    assert_eq!(code, Some(0), "{printed}");
    let (printed, code) = requested("https://other.test");
    assert!(printed.contains("refused    401"), "{printed}");
    assert_eq!(code, Some(1));
}

#[test]
fn explain_refuses_an_argument_that_is_no_path_and_accepts_a_websocket_url() {
    let scene = Scene::new(&simple("http://127.0.0.1:1", "", ""));
    for (requested, why) in [
        ("p/v1/models", "`p/v1/models` is neither a path"),
        ("127.0.0.1:8080/p/v1/models", "is neither a path"),
        ("/p/v1/a b", "`/p/v1/a b` holds what cannot stand in a URL"),
    ] {
        let (printed, code) = explain(&scene, &["POST", requested]);
        assert!(printed.contains(why) && code == Some(64), "{printed}");
    }
    let (printed, code) = explain(&scene, &["GET", "wss://127.0.0.1:8080/p/v1/realtime"]);
    assert!(
        printed.contains("path       /p/v1/realtime\n") && code == Some(1),
        "{printed}"
    );
    let preflight = [
        "OPTIONS",
        "/p/v1/models",
        "-H",
        "Access-Control-Request-Method: POST",
    ];
    let (printed, _) = explain(&scene, &preflight);
    assert!(
        printed.contains("name the page's origin in the route's `cors"),
        "{printed}"
    );
}

#[test]
fn explain_reports_unreadable_secrets_and_explains_everything_else() {
    let tls = "[server.tls]\ncertificate = \"none.pem\"\nkey = \"file:none.pem\"\n\
               [tracing]\nendpoint = \"http://127.0.0.1:1\"\nheaders = { A = \"file:none\" }\n";
    let text = format!("{tls}{}", simple("http://127.0.0.1:1", "", ""));
    let scene = Scene::new(&text).key("alice", "secret", "");
    let request = ["GET", "/p/v1/models", "-H", "Authorization: Bearer secret"];
    let (printed, code) = explain(&scene, &request);
    assert_eq!(code, Some(0), "{printed}");
    for expected in [
        "gateway.toml:5: warning: server.tls: ",
        "none.pem is not there",
        "gateway.toml:9: warning: tracing.headers: ",
        "key        alice: valid",
        "endpoint   GET http://127.0.0.1:1/v1/models",
    ] {
        assert!(
            printed.contains(expected),
            "wanted {expected}\ngot\n{printed}"
        );
    }
    // `check` and a start refuse this configuration, and `explain` still reports the other mistakes.
    let problems = scene.problems();
    assert!(
        problems.contains("gateway.toml:5: server.tls: "),
        "{problems}"
    );
    scene.write(
        "gateway.toml",
        &text.replace("path = \"/p\"", "path = \"p\""),
    );
    let (printed, code) = explain(&scene, &request);
    assert_eq!(code, Some(78), "{printed}");
    assert!(
        printed.contains("gateway.toml:14: ") && printed.contains("none.pem"),
        "{printed}"
    );
}

#[test]
fn explain_refuses_an_invalid_key_file() {
    let scene =
        Scene::new(&simple("http://127.0.0.1:1", "", "")).key("alice", "secret", "label = 1");
    let request = ["GET", "/p/v1/models", "-H", "Authorization: Bearer secret"];
    let (printed, code) = explain(&scene, &request);
    assert_eq!(code, Some(78), "{printed}");
    assert!(printed.contains("unknown key `key[0].label`"), "{printed}");
    assert!(!printed.contains("alice: valid"), "{printed}");
}

#[test]
fn explain_calls_no_key_unknown_if_the_key_file_cannot_be_read() {
    let scene = Scene::new(&simple("http://127.0.0.1:1", "", "")).key("alice", "secret", "");
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    std::fs::set_permissions(scene.path("keys.toml"), everybody).unwrap();
    let request = ["GET", "/p/v1/models", "-H", "Authorization: Bearer secret"];
    let (printed, code) = explain(&scene, &request);
    assert_eq!(code, Some(78), "{printed}");
    for expected in [
        "can be written by others",
        "whether the key is valid is not known",
    ] {
        assert!(
            printed.contains(expected),
            "wanted {expected}\ngot\n{printed}"
        );
    }
    assert!(!printed.contains("not in the key file"), "{printed}");
    // `explain` still explains everything that does not depend on the keys.
    let (printed, code) = explain(&scene, &["GET", "/p/v1/models"]);
    assert_eq!(code, Some(1), "{printed}");
    assert!(printed.contains("none was sent"), "{printed}");
}
