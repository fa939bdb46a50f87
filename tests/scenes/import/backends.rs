//! Tokens of agentgateway's backends: a provider that several objects configure gets the token that agentgateway sends,
//! or is left out.

use keygate::testing::import;
use proptest::prelude::*;

use super::read_manifests;

/// The tokens that the objects set: the provider, its backend, and policies for either.
#[derive(Clone, Debug)]
struct Tokens {
    member: Option<&'static str>,
    backend: Option<&'static str>,
    for_backend: [Option<&'static str>; 2],
    for_member: [Option<&'static str>; 2],
    /// The order in which the policies stand in the file.
    reversed: bool,
    /// An unknown field in one of the policies.
    unknown: bool,
}

fn tokens() -> impl Strategy<Value = Tokens> {
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
            |(member, backend, for_backend, for_member, reversed, unknown)| Tokens {
                member,
                backend,
                for_backend,
                for_member,
                reversed,
                unknown,
            },
        )
}

fn manifests(set: &Tokens) -> String {
    let auth = |token: Option<&str>| {
        token.map_or(String::new(), |token| format!("auth: {{key: {token}}}"))
    };
    let mut objects = vec![
        format!(
            "kind: AgentgatewayBackend\nmetadata: {{name: b, namespace: n}}\nspec: {{policies: {{{}}}, ai: {{groups: [{{providers: [{{name: p, openai: {{}}, policies: {{{}}}}}]}}]}}}}\n",
            auth(set.backend),
            auth(set.member)
        ),
        "kind: HTTPRoute\nmetadata: {name: r, namespace: n}\nspec: {rules: [{matches: [{path: {value: /r}}], backendRefs: [{kind: AgentgatewayBackend, name: b}]}]}\n".to_owned(),
    ];
    let policies = set.for_backend.iter().map(|token| (token, "")).chain(
        set.for_member
            .iter()
            .map(|token| (token, ", sectionName: p")),
    );
    let mut written = Vec::new();
    for (number, (token, section)) in policies.enumerate() {
        let Some(token) = token else { continue };
        let unknown = if set.unknown {
            ", tomorrow: {host: elsewhere.example}"
        } else {
            ""
        };
        written.push(format!(
            "kind: AgentgatewayPolicy\nmetadata: {{name: p{number}, namespace: n}}\nspec: {{targetRefs: [{{kind: AgentgatewayBackend, name: b{section}}}], backend: {{auth: {{key: {token}}}{unknown}}}}}\n"
        ));
    }
    if set.reversed {
        written.reverse();
    }
    objects.extend(written);
    objects.join("---\n")
}

/// The token that agentgateway sends; `None` if the documentation does not say.
fn sent_by_agentgateway(set: &Tokens) -> Option<&'static str> {
    let one = |tokens: &[Option<&'static str>]| {
        let mut tokens: Vec<&str> = tokens.iter().flatten().copied().collect();
        tokens.dedup();
        match tokens.as_slice() {
            [] => Some(None),
            [token] => Some(Some(*token)),
            _ => None,
        }
    };
    if set.member.is_some() {
        return set.member;
    }
    let for_member = one(&set.for_member)?;
    if let Some(own) = set.backend {
        // No documentation says which of the two takes precedence.
        return for_member.is_none_or(|token| token == own).then_some(own);
    }
    match for_member {
        Some(token) => Some(token),
        None => one(&set.for_backend)?,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_imported_backend_has_the_token_of_the_original_or_is_left_out(set in tokens()) {
        let text = manifests(&set);
        let plan = read_manifests(&text, false);
        let gateway = import::gateway(&plan);
        let policies = set.for_backend.iter().chain(&set.for_member).flatten().count();
        let tokens: Vec<&str> = plan.secrets.values().map(|token| token.as_str()).collect();
        let is_imported = gateway.contains("kind = \"openai\"");
        if set.unknown && policies > 0 {
            prop_assert!(!is_imported, "{text}\n{gateway}");
        } else if let Some(token) = sent_by_agentgateway(&set) {
            prop_assert!(is_imported && tokens == [token], "{text}\n{gateway}\n{tokens:?}");
        } else if set.member.or(set.backend).is_some() || policies > 0 {
            prop_assert!(!is_imported, "{text}\n{gateway}");
        } else {
            // Without a token in the original, the import refers to a file that the user has to write.
            prop_assert!(tokens.is_empty(), "{text}\n{tokens:?}");
        }
        prop_assert_eq!(gateway.contains("name = \"nowhere\"") || gateway.contains("providers.nowhere"), !is_imported);
    }
}
