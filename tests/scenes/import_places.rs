//! Addresses of `LiteLLM`'s deployments: requests of a generated deployment go to the host that `LiteLLM` uses, with
//! the same token, or the deployment is left out.

use keygate::testing::import::{self, litellm};
use proptest::prelude::*;

/// The settings of one deployment. Each level names a host of its own, or the same one.
#[derive(Clone, Debug)]
struct Said {
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

fn said() -> impl Strategy<Value = Said> {
    let host = || prop::option::weighted(0.3, prop::sample::select(&HOSTS[..]));
    let unknown = prop::option::weighted(0.2, prop::sample::select(&UNKNOWN[..]));
    (host(), host(), host(), host(), host(), unknown).prop_map(
        |(api_base, base_url, credential, variable, setting, unknown)| Said {
            api_base,
            base_url,
            credential,
            variable,
            setting,
            unknown,
        },
    )
}

fn config(said: &Said) -> String {
    let at = |place: &str| said.unknown == Some(place);
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
    let credential = said.credential.map_or(String::new(), |host| {
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
        field("api_base", said.api_base),
        field("base_url", said.base_url),
        field("litellm_credential_name", said.credential.map(|_| "c")),
        extra("params"),
        extra("entry"),
        field("OPENAI_BASE_URL", said.variable),
        field("api_base", said.setting),
        extra("settings"),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_deployment_goes_where_it_went_or_nowhere(said in said()) {
        let text = config(&said);
        let plan = litellm::read("c", &text, &litellm::Tables::default()).unwrap();
        let gateway = import::gateway(&plan);
        let wanted = said.base_url.or(said.api_base).or(said.credential).or(said.setting).or(said.variable);
        let there = wanted.map_or("kind = \"openai\"".to_owned(), |url| format!("base_url = \"{url}\""));
        let own = [said.api_base, said.base_url, said.credential];
        let mut own: Vec<&str> = own.into_iter().flatten().collect();
        own.dedup();
        match plan.providers.len() {
            0 => {
                // Only for a reason.
                let is_clear = own.len() < 2 && said.unknown.is_none();
                prop_assert!(!is_clear, "{text}");
            }
            1 => {
                prop_assert!(gateway.contains(&there), "{text}\n{gateway}");
                let hidden = said.unknown.is_some_and(|place| match place {
                    "credential" => said.credential.is_some(),
                    // Its own address counts, whatever holds for the others.
                    "settings" | "router" => own.is_empty(),
                    _ => true,
                });
                prop_assert!(!hidden && own.len() < 2, "{text}\n{gateway}");
            }
            more => prop_assert!(false, "{more} of one\n{text}"),
        }
    }
}
