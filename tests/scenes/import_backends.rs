//! Tokens of agentgateway's backends: a provider that several objects configure gets the token that it has there, or
//! is left out.

use keygate::testing::import::gloo::{self, Input};
use keygate::testing::import::{self, Plan};
use proptest::prelude::*;

/// The objects that set a token: the provider, its backend, and policies for either.
#[derive(Clone, Debug)]
struct Said {
    member: Option<&'static str>,
    backend: Option<&'static str>,
    for_backend: [Option<&'static str>; 2],
    for_member: [Option<&'static str>; 2],
    /// The order in which the policies stand in the file.
    reversed: bool,
    /// An unknown field in one of the policies.
    unknown: bool,
}

fn said() -> impl Strategy<Value = Said> {
    let token = || prop::option::weighted(0.3, prop::sample::select(vec!["sk-a", "sk-b"]));
    (
        token(),
        token(),
        [token(), token()],
        [token(), token()],
        any::<bool>(),
        prop::bool::weighted(0.1),
    )
        .prop_map(
            |(member, backend, for_backend, for_member, reversed, unknown)| Said {
                member,
                backend,
                for_backend,
                for_member,
                reversed,
                unknown,
            },
        )
}

fn manifests(said: &Said) -> String {
    let auth = |token: Option<&str>| {
        token.map_or(String::new(), |token| format!("auth: {{key: {token}}}"))
    };
    let mut objects = vec![
        format!(
            "kind: AgentgatewayBackend\nmetadata: {{name: b, namespace: n}}\nspec: {{policies: {{{}}}, ai: {{groups: [{{providers: [{{name: p, openai: {{}}, policies: {{{}}}}}]}}]}}}}\n",
            auth(said.backend),
            auth(said.member)
        ),
        "kind: HTTPRoute\nmetadata: {name: r, namespace: n}\nspec: {rules: [{matches: [{path: {value: /r}}], backendRefs: [{kind: AgentgatewayBackend, name: b}]}]}\n".to_owned(),
    ];
    let policies = said.for_backend.iter().map(|token| (token, "")).chain(
        said.for_member
            .iter()
            .map(|token| (token, ", sectionName: p")),
    );
    let mut written = Vec::new();
    for (number, (token, section)) in policies.enumerate() {
        let Some(token) = token else { continue };
        let unknown = if said.unknown {
            ", tomorrow: {host: elsewhere.example}"
        } else {
            ""
        };
        written.push(format!(
            "kind: AgentgatewayPolicy\nmetadata: {{name: p{number}, namespace: n}}\nspec: {{targetRefs: [{{kind: AgentgatewayBackend, name: b{section}}}], backend: {{auth: {{key: {token}}}{unknown}}}}}\n"
        ));
    }
    if said.reversed {
        written.reverse();
    }
    objects.extend(written);
    objects.join("---\n")
}

fn imported(text: &str) -> Plan {
    let input = Input {
        name: "m".to_owned(),
        text: text.to_owned(),
    };
    gloo::read(&[input], &[], false).unwrap()
}

/// The token in agentgateway; `None` if it is not known.
fn there(said: &Said) -> Option<&'static str> {
    let one = |tokens: &[Option<&'static str>]| {
        let mut tokens: Vec<&str> = tokens.iter().flatten().copied().collect();
        tokens.dedup();
        match tokens.as_slice() {
            [] => Some(None),
            [token] => Some(Some(*token)),
            _ => None,
        }
    };
    if said.member.is_some() {
        return said.member;
    }
    let for_member = one(&said.for_member)?;
    if let Some(own) = said.backend {
        // Which of the two counts is not said anywhere.
        return for_member.is_none_or(|token| token == own).then_some(own);
    }
    match for_member {
        Some(token) => Some(token),
        None => one(&said.for_backend)?,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_backend_has_the_token_that_it_had_or_is_left_out(said in said()) {
        let text = manifests(&said);
        let plan = imported(&text);
        let gateway = import::gateway(&plan);
        let policies = said.for_backend.iter().chain(&said.for_member).flatten().count();
        let tokens: Vec<&str> = plan.secrets.values().map(|token| token.as_str()).collect();
        let is_there = gateway.contains("kind = \"openai\"");
        if said.unknown && policies > 0 {
            prop_assert!(!is_there, "{text}\n{gateway}");
        } else if let Some(token) = there(&said) {
            prop_assert!(is_there && tokens == [token], "{text}\n{gateway}\n{tokens:?}");
        } else if said.member.or(said.backend).is_some() || policies > 0 {
            prop_assert!(!is_there, "{text}\n{gateway}");
        } else {
            // It has none there, either: a file to be written.
            prop_assert!(tokens.is_empty(), "{text}\n{tokens:?}");
        }
        prop_assert_eq!(gateway.contains("name = \"nowhere\"") || gateway.contains("providers.nowhere"), !is_there);
    }
}
