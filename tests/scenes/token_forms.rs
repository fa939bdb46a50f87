//! Tokens that were pasted with surrounding text: `check` reports them, and never prints the value.

use crate::support::Scene;
use crate::support::gateway::simple;

const URL: &str = "https://api.example.com/v1";

#[test]
fn a_token_with_quotes_or_a_name_is_reported_without_its_value() {
    for (pasted, expected) in [
        ("\"sk-canary\"", "quotation mark"),
        ("OPENAI_API_KEY=sk-canary\n", "looks like `NAME=value`"),
        (
            "export OPENAI_API_KEY='sk-canary'\r\n",
            "looks like `NAME=value`",
        ),
        ("{\"api_key\": \"sk-canary\"}", "looks like JSON"),
        ("Authorization: Bearer sk-canary", "looks like a header"),
        ("${sk-canary}", "looks like the name of a variable"),
        ("sk-canary\\n", "backslash"),
    ] {
        let scene = Scene::new(&simple(URL, "", "").replace("inline:provider-token", "file:token"))
            .key("alice", "secret", "");
        scene.write("token", pasted);
        let found = scene.problems();
        let place = "gateway.toml:7: warning: providers.p.token: file:";
        assert!(
            found.contains(place) && found.contains(expected),
            "{pasted}: {found}"
        );
        assert!(!found.contains("canary"), "{found}");
    }
}

#[test]
fn a_token_may_end_in_line_breaks_and_must_not_begin_with_a_byte_order_mark() {
    let scene = Scene::new(&simple(URL, "", "").replace("inline:provider-token", "file:token"))
        .key("alice", "secret", "");
    for good in ["sk-1", "sk-1\n", "sk-1\r\n", "Bearer sk-1\n\n"] {
        scene.write("token", good);
        assert_eq!(scene.problems(), "", "{good:?}");
    }
    scene.write("token", "\u{feff}sk-canary");
    let found = scene.problems();
    assert!(
        found.contains("byte order mark") && !found.contains("canary"),
        "{found}"
    );
}

#[test]
fn a_keys_own_token_in_quotes_is_reported_with_the_keys_name() {
    let rest = simple(URL, "", "").replace("inline:provider-token", "key:hf");
    let scene = Scene::new(&rest)
        .key(
            "alice",
            "secret",
            "metadata = { hf = \"inline:'hf_canary'\" }",
        )
        .key(
            "bob",
            "other",
            "metadata = { hf = \"inline:hf_canary\", tier = \"inline:{}\" }",
        );
    let found = scene.problems();
    assert!(
        found.contains("the metadata `hf` of key `alice`, which begins or ends"),
        "{found}"
    );
    assert!(
        !found.contains("canary") && !found.contains("bob"),
        "{found}"
    );
}
