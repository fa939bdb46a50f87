//! Addresses of `LiteLLM`'s deployments: requests of a generated deployment go to the host that `LiteLLM` uses, with
//! the same token, or the deployment is left out.

use keygate::testing::import::{self, litellm};
use proptest::prelude::*;

/// The settings of one deployment. Each level names a host of its own, or the same one.
#[derive(Clone, Debug)]
struct Addresses {
    api_base: Option<&'static str>,
    base_url: Option<&'static str>,
    credential: Option<&'static str>,
    variable: Option<&'static str>,
    setting: Option<&'static str>,
    unknown: Option<&'static str>,
}

const HOSTS: [&str; 3] = [
    "https://a.example/v1",
    "https://b.example/v1",
    "https://c.example/v1",
];
/// Unknown fields, at each level.
const UNKNOWN: [&str; 5] = ["params", "entry", "credential", "settings", "router"];

fn addresses() -> impl Strategy<Value = Addresses> {
    let host = || prop::option::weighted(0.3, prop::sample::select(&HOSTS[..]));
    let unknown = prop::option::weighted(0.2, prop::sample::select(&UNKNOWN[..]));
    (host(), host(), host(), host(), host(), unknown).prop_map(
        |(api_base, base_url, credential, variable, setting, unknown)| Addresses {
            api_base,
            base_url,
            credential,
            variable,
            setting,
            unknown,
        },
    )
}

fn config(set: &Addresses) -> String {
    let at = |place: &str| set.unknown == Some(place);
    let field = |name: &str, value: Option<&str>| {
        value.map_or(String::new(), |value| format!(", {name}: '{value}'"))
    };
    let extra = |place: &str| {
        if at(place) {
            ", tomorrow_endpoint: 'https://d.example'"
        } else {
            ""
        }
    };
    let credential = set.credential.map_or(String::new(), |host| {
        format!(
            "credential_list: [{{credential_name: c, credential_values: {{api_base: '{host}'{}}}}}]\n",
            extra("credential")
        )
    });
    let router = if at("router") {
        "router_settings: {default_litellm_params: {api_base: 'https://d.example'}}\n"
    } else {
        ""
    };
    format!(
        "model_list: [{{model_name: m, litellm_params: {{model: openai/m, api_key: sk-1{}{}{}{}}}{}}}]\n{credential}{router}\
         environment_variables: {{A: b{}}}\nlitellm_settings: {{drop_params: true{}{}}}\n",
        field("api_base", set.api_base),
        field("base_url", set.base_url),
        field("litellm_credential_name", set.credential.map(|_| "c")),
        extra("params"),
        extra("entry"),
        field("OPENAI_BASE_URL", set.variable),
        field("api_base", set.setting),
        extra("settings"),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_imported_deployment_keeps_its_address_and_token_or_is_left_out(set in addresses()) {
        let text = config(&set);
        let plan = litellm::read("c", &text, &litellm::Tables::default()).unwrap();
        let gateway = import::gateway(&plan);
        let wanted = set.base_url.or(set.api_base).or(set.credential).or(set.setting).or(set.variable);
        let expected = wanted.map_or("kind = \"openai\"".to_owned(), |url| format!("base_url = \"{url}\""));
        let own = [set.api_base, set.base_url, set.credential];
        let mut own: Vec<&str> = own.into_iter().flatten().collect();
        own.dedup();
        match plan.providers.len() {
            0 => {
                // It is left out only if its address is ambiguous.
                let is_clear = own.len() < 2 && set.unknown.is_none();
                prop_assert!(!is_clear, "{text}");
            }
            1 => {
                prop_assert!(gateway.contains(&expected), "{text}\n{gateway}");
                let hidden = set.unknown.is_some_and(|place| match place {
                    "credential" => set.credential.is_some(),
                    // An address of the deployment itself takes precedence over these.
                    "settings" | "router" => own.is_empty(),
                    _ => true,
                });
                prop_assert!(!hidden && own.len() < 2, "{text}\n{gateway}");
            }
            more => prop_assert!(false, "{more} providers of one deployment\n{text}"),
        }
    }
}
