//! Tokens that were pasted with surrounding text: `check` reports them, and never prints the value.

use crate::support::Scene;
use crate::support::gateway::simple;

const URL: &str = "https://api.example.com/v1";

#[test]
fn a_token_in_quotes_or_behind_a_name_is_warned_of_without_its_value() {
    for (pasted, said) in [
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
        let said_of_it = scene.problems();
        let place = "gateway.toml:7: warning: providers.p.token: file:";
        assert!(
            said_of_it.contains(place) && said_of_it.contains(said),
            "{pasted}: {said_of_it}"
        );
        assert!(!said_of_it.contains("canary"), "{said_of_it}");
    }
}

#[test]
fn a_token_that_ends_in_line_breaks_is_good_and_one_behind_a_byte_order_mark_is_refused() {
    let scene = Scene::new(&simple(URL, "", "").replace("inline:provider-token", "file:token"))
        .key("alice", "secret", "");
    for good in ["sk-1", "sk-1\n", "sk-1\r\n", "Bearer sk-1\n\n"] {
        scene.write("token", good);
        assert_eq!(scene.problems(), "", "{good:?}");
    }
    scene.write("token", "\u{feff}sk-canary");
    let said = scene.problems();
    assert!(
        said.contains("byte order mark") && !said.contains("canary"),
        "{said}"
    );
}

#[test]
fn a_keys_own_token_in_quotes_is_warned_of_by_the_keys_name() {
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
    let said = scene.problems();
    assert!(
        said.contains("the metadata `hf` of key `alice`, which begins or ends"),
        "{said}"
    );
    assert!(!said.contains("canary") && !said.contains("bob"), "{said}");
}
