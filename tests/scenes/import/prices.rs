//! Prices in `LiteLLM`'s file become a price file that `check` accepts and that gives the same costs.

use std::path::Path;

use keygate::testing::config::Resolved;
use keygate::testing::import::{self, litellm};
use keygate::testing::usage::{Media, MediumTokens, Prices, ServiceTier, Usage};
use proptest::prelude::*;

use super::write_and_load;

#[test]
fn a_note_says_that_a_left_out_model_is_reached_by_a_wildcard_which_then_has_no_price() {
    let read = |left_out: &str| {
        let text = format!(
            "model_list:\n\
             - {{model_name: 'openai/*', litellm_params: {{model: 'openai/*', api_key: k}}, \
               model_info: {{input_cost_per_token: 1e-6, output_cost_per_token: 2e-6}}}}\n\
             - {{model_name: m, {left_out}}}\n"
        );
        let plan = litellm::read_in("c", &text, &litellm::Tables::default(), &|_| None).unwrap();
        let notes: Vec<String> = plan.notes.iter().map(ToString::to_string).collect();
        let notes = notes.join("\n");
        (
            notes.contains("opens `/openai` reaches `gpt-5` there"),
            import::prices(&plan).contains("openai"),
        )
    };
    let of = |params: &str| format!("litellm_params: {{model: openai/gpt-5, {params}}}");
    for left_out in [
        of("api_base: os.environ/NOT_SET, api_key: k"),
        of("litellm_credential_name: unknown"),
        of("destination: https://elsewhere.example"),
        of("api_key: ''"),
        of("api_key: k") + ", model_info: {team_id: t}",
        of("api_key: k") + ", model_info: {blocked: true}",
    ] {
        assert_eq!(read(&left_out), (true, false), "{left_out}");
    }
    for other in [
        // The entry has a route of its own at another address, and the price that the file has for it.
        "litellm_params: {model: openai/gpt-5, api_base: https://elsewhere.example/v1, api_key: k}",
        // The entry is for another provider.
        "litellm_params: {model: mistral/gpt-5, destination: x}",
    ] {
        assert_eq!(read(other), (false, true), "{other}");
    }
    // The same model has a price of its own in an entry that is imported.
    let twice = of("destination: x")
        + "}\n- {model_name: n, litellm_params: {model: openai/gpt-5, api_key: k}, \
           model_info: {input_cost_per_token: 3e-6, output_cost_per_token: 4e-6}";
    assert_eq!(read(&twice), (false, true));
}

#[test]
fn a_note_says_that_a_left_out_model_is_reached_only_at_the_address_of_its_entry() {
    let notes_with = |left_out: &str| {
        let text = format!(
            "model_list:\n\
             - {{model_name: a, litellm_params: {{model: 'openai/*', api_base: 'http://10.0.0.1/v1', api_key: k}}}}\n\
             - {{model_name: b, litellm_params: {{model: 'openai/*', api_key: k}}}}\n\
             - {{model_name: c, litellm_params: {{model: openai/m, api_base: 'http://10.0.0.2/v1', api_key: k}}}}\n\
             - {{model_name: d, litellm_params: {{model: {left_out}}}, model_info: {{team_id: t}}}}\n"
        );
        let plan = litellm::read_in("c", &text, &litellm::Tables::default(), &|_| None).unwrap();
        let notes = plan.notes.iter().map(ToString::to_string);
        let reached = notes.filter(|note| note.contains("every key that opens"));
        reached.collect::<Vec<_>>()
    };
    for (left_out, at) in [
        (
            "openai/m, api_base: 'http://10.0.0.1/v1/', api_key: k",
            Some("`/openai` reaches `m`"),
        ),
        ("openai/m, api_key: k", Some("`/openai-2` reaches `m`")),
        (
            "house/m, api_base: 'http://10.0.0.1/v1', api_key: k",
            Some("`/openai` reaches `house/m`"),
        ),
        // The default address of the provider, named explicitly.
        (
            "openai/m, api_base: 'https://api.openai.com/v1', api_key: k",
            Some("`/openai-2` reaches `m`"),
        ),
        // Another entry for the model has this address.
        ("openai/m, api_base: 'http://10.0.0.2/v1', api_key: k", None),
        // No other entry has this address.
        ("openai/m, api_base: 'http://10.0.0.3/v1', api_key: k", None),
    ] {
        let notes = notes_with(left_out);
        assert_eq!(
            notes.len(),
            usize::from(at.is_some()),
            "{left_out}: {notes:?}"
        );
        assert!(
            at.is_none_or(|at| notes[0].contains(at)),
            "{left_out}: {notes:?}"
        );
    }
}

/// Imports a file and loads the result.
fn imported(text: &str, folder: &Path) -> Resolved {
    let plan = litellm::read_in("c", text, &litellm::Tables::default(), &|_| None).unwrap();
    let (_, loaded) = write_and_load(&plan, folder);
    loaded.unwrap_or_else(|errors| panic!("{errors}\n{text}\n{:?}", import::prices(&plan)))
}

#[test]
fn a_response_has_the_cost_that_litellm_computes() {
    let golden = include_str!("../../import/litellm-bill.golden");
    let text = golden
        .split("=== ")
        .find_map(|part| part.strip_prefix("config.yaml\n"));
    let folder = tempfile::tempdir().unwrap();
    let config = imported(text.unwrap(), folder.path());
    let Prices::Listed(prices) = &config.prices else {
        panic!("there are no prices");
    };
    let usage = |input, output| Usage {
        input,
        output,
        ..Usage::default()
    };
    let cached = Usage {
        cache_read: 1000,
        ..usage(2000, 100)
    };
    let flex = Usage {
        service_tier: Some(ServiceTier::Flex),
        ..usage(1000, 100)
    };
    let batch = Usage {
        service_tier: Some(ServiceTier::Batch),
        ..usage(1000, 100)
    };
    let audio = MediumTokens {
        input: 900,
        cache_read: 0,
        output: 200,
    };
    let spoken = Usage {
        media: Media {
            audio,
            ..Media::default()
        },
        ..usage(1000, 225)
    };
    let hour = Usage {
        cache_creation: 1000,
        cache_creation_hour: 1000,
        searches: 2,
        ..usage(1000, 100)
    };
    for (provider, model, usage, wanted) in [
        ("openai", "gpt-4o", usage(1000, 100), Some("0.0035")),
        ("openai", "gpt-4o-2024-08-06", cached, Some("0.00475")),
        ("openai", "gpt-4o", flex, Some("0.00175")),
        ("openai", "gpt-4o", batch, None),
        // Another model whose name has the same beginning.
        ("openai", "gpt-4o-mini", usage(1000, 100), None),
        (
            "anthropic",
            "claude-sonnet-4-5-20250929",
            usage(1000, 100),
            Some("0.0045"),
        ),
        (
            "anthropic",
            "claude-sonnet-4-5",
            usage(300_000, 100),
            Some("1.80225"),
        ),
        ("anthropic", "claude-sonnet-4-5", hour, Some("0.0275")),
        (
            "azure",
            "gpt-4.1-2025-04-14",
            usage(1000, 100),
            Some("0.0028"),
        ),
        ("ollama", "llama3", usage(1000, 100), Some("0")),
        (
            "openai",
            "text-embedding-3-small",
            usage(1000, 0),
            Some("0.00002"),
        ),
        (
            "mistral",
            "mistral-large-latest",
            usage(1000, 100),
            Some("0.0012"),
        ),
        (
            "openai",
            "gpt-4o-audio-preview",
            usage(1000, 100),
            Some("0.0035"),
        ),
        ("openai", "gpt-4o-audio-preview", spoken, Some("0.0525")),
        ("openai", "gpt-4o", spoken, None),
        ("openai", "whisper-1", spoken, None),
        ("openai", "gpt-half", usage(1000, 100), None),
    ] {
        let day = "2026-01-01".parse().unwrap();
        let cost = prices.cost(provider, model, day, &usage);
        assert_eq!(
            cost.map(|cost| cost.to_string()).as_deref(),
            wanted,
            "{model} {usage:?}"
        );
    }
}

const FIELDS: [&str; 17] = [
    "input_cost_per_token",
    "output_cost_per_token",
    "output_cost_per_reasoning_token",
    "cache_read_input_token_cost",
    "cache_creation_input_token_cost",
    "cache_creation_input_token_cost_above_1hr",
    "input_cost_per_token_above_200k_tokens",
    "cache_read_input_token_cost_above_272k_tokens_priority",
    "input_cost_per_token_flex",
    "output_cost_per_token_batches",
    "input_cost_per_request",
    "input_cost_per_token_above_0k_tokens",
    "search_context_cost_per_query",
    "input_cost_per_second",
    "input_cost_per_audio_token",
    "cache_read_input_audio_token_cost_flex",
    "output_cost_per_image_token_above_200k_tokens",
];

fn price() -> impl Strategy<Value = String> {
    prop_oneof![
        (0..3_000_000_u32).prop_map(|n| (f64::from(n) * 1e-12).to_string()),
        prop::sample::select(vec![
            "0",
            "-1",
            "1e-20",
            "1e30",
            ".nan",
            "text",
            "[1]",
            "{a: 0.01, b: 0.01}",
            "'1e-6'"
        ])
        .prop_map(str::to_owned),
    ]
}

fn entry() -> impl Strategy<Value = String> {
    let models = prop::sample::select(vec![
        "openai/gpt-4o",
        "openai/GPT-4o",
        "gpt-4o-2024-08-06",
        "openai/*",
        "openai/a*b",
        "openai/models/x",
        "mistral/x",
    ]);
    let fields = prop::collection::btree_map(prop::sample::select(&FIELDS[..]), price(), 0..8);
    (models, fields, any::<bool>()).prop_map(|(model, fields, inside)| {
        let fields: String = fields.iter().map(|(name, price)| format!(", {name}: {price}")).collect();
        let (params, info) = if inside { (fields.as_str(), "") } else { ("", fields.as_str()) };
        format!("  - {{model_name: m, litellm_params: {{model: '{model}', api_key: k{params}}}, model_info: {{id: a{info}}}}}\n")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn check_accepts_all_imported_prices(entries in prop::collection::vec(entry(), 1..6)) {
        let folder = tempfile::tempdir().unwrap();
        imported(&format!("model_list:\n{}", entries.concat()), folder.path());
    }
}
