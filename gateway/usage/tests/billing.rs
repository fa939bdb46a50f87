//! Tests: the meter reads what prices depend on besides token counts, and reported costs.

use serde_json::{Value, json};

use super::{EVENTS, JSON, meter, of_json, stream};
use crate::usage::{Cost, ServiceTier, Usage};

#[test]
fn model_calls_and_one_hour_cache_writes_are_counted() {
    for (kinds, calls, other_models) in [
        (&[][..], 0, false),
        (&["message"], 1, false),
        (&["compaction", "message"], 2, false),
        (&["message", "advisor_message", "message"], 3, true),
    ] {
        let iterations: Vec<Value> = kinds
            .iter()
            .map(|kind| {
                json!({"input_tokens": 7, "output_tokens": 1, "type": kind, "model": "n",
                "cache_creation": {"ephemeral_1h_input_tokens": 2, "ephemeral_5m_input_tokens": 1}})
            })
            .collect();
        let usage = json!({"input_tokens": 7, "output_tokens": 1, "iterations": iterations});
        let usage = of_json(&json!({"model": "m", "usage": usage}));
        assert_eq!((usage.calls, usage.other_models), (calls, other_models));
        let all = calls.max(1);
        assert_eq!(
            (usage.input, usage.output, usage.cache_creation_hour),
            (7 * all + 3 * calls, all, 2 * calls)
        );
    }
}

fn read_usage(media: &[u8], text: &str) -> Usage {
    meter(media, text.as_bytes(), 5).usage().unwrap()
}

#[test]
fn one_hour_cache_writes_searches_and_the_tier_are_read() {
    let anthropic = read_usage(
        JSON,
        r#"{"usage": {"input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": 100,
        "cache_creation": {"ephemeral_5m_input_tokens": 60, "ephemeral_1h_input_tokens": 40},
        "server_tool_use": {"web_search_requests": 3}, "service_tier": "priority"}}"#,
    );
    assert_eq!(
        (
            anthropic.cache_creation,
            anthropic.cache_creation_hour,
            anthropic.searches
        ),
        (100, 40, 3)
    );
    assert_eq!(anthropic.service_tier, Some(ServiceTier::Priority));
}

#[test]
fn service_tiers_are_read() {
    for (speed, tier) in [
        ("fast", ServiceTier::Fast),
        ("standard", ServiceTier::Priority),
    ] {
        let reported = json!({"input_tokens": 1, "service_tier": "priority", "speed": speed});
        let usage = read_usage(JSON, &json!({"usage": reported}).to_string());
        assert_eq!(usage.service_tier, Some(tier));
    }
    for (traffic, tier) in [
        ("ON_DEMAND", Some(ServiceTier::Standard)),
        ("ON_DEMAND_FLEX", Some(ServiceTier::Flex)),
        ("ON_DEMAND_PRIORITY", Some(ServiceTier::Priority)),
        ("PROVISIONED_THROUGHPUT", Some(ServiceTier::Other)),
        ("TRAFFIC_TYPE_UNSPECIFIED", None),
    ] {
        let reported = json!({"promptTokenCount": 1, "trafficType": traffic});
        let usage = read_usage(JSON, &json!({"usageMetadata": reported}).to_string());
        assert_eq!(usage.service_tier, tier, "{traffic}");
    }
    let events = [
        json!({"response": {"service_tier": "auto", "usage": null}}),
        json!({"response": {"service_tier": "flex", "usage": {"input_tokens": 1, "output_tokens": 1}}}),
    ];
    assert_eq!(
        read_usage(EVENTS, &stream(&events)).service_tier,
        Some(ServiceTier::Flex)
    );
}

#[test]
fn reported_costs_are_read() {
    for (cost, billionths) in [("0.00095", 950_000), ("9.5e-05", 95_000), ("0", 0)] {
        let text = format!("{{\"usage\": {{\"prompt_tokens\": 1, \"cost\": {cost}}}}}");
        let cost = read_usage(JSON, &text).reported_cost.map(Cost::billionths);
        assert_eq!(cost, Some(billionths));
    }
    for (usage, cost) in [
        (
            r#""cost": 0.95, "is_byok": false, "cost_details": {"upstream_inference_cost": null}"#,
            "0.95",
        ),
        // The upstream cost is included.
        (
            r#""cost": 0.95, "is_byok": false, "cost_details": {"upstream_inference_cost": 0.9}"#,
            "0.95",
        ),
        (
            r#""cost": 0.95, "cost_details": {"upstream_inference_cost": 19}"#,
            "0.95",
        ),
        // The upstream cost is billed to the customer's own account.
        (
            r#""cost": 0.05, "is_byok": true, "cost_details": {"upstream_inference_cost": 0.9}"#,
            "0.95",
        ),
        (
            r#""cost_details": {"upstream_inference_cost": 0.9}, "is_byok": true, "cost": 0"#,
            "0.9",
        ),
        (r#""cost": 0, "is_byok": true"#, "0"),
        // xAI.
        (r#""cost_in_usd_ticks": 37756000"#, "0.0037756"),
        // Perplexity.
        (
            r#""cost": {"input_tokens_cost": 2e-06, "request_cost": 0.005, "total_cost": 0.006}"#,
            "0.006",
        ),
    ] {
        let text = format!("{{\"usage\": {{\"prompt_tokens\": 1, {usage}}}}}");
        for cut in [1, 7, text.len()] {
            let usage = meter(JSON, text.as_bytes(), cut).usage().unwrap();
            assert_eq!(usage.reported_cost.unwrap().to_string(), cost, "{text}");
        }
    }
    let none = read_usage(JSON, r#"{"usage": {"prompt_tokens": 1, "cost": null}}"#);
    assert_eq!((none.reported_cost, none.service_tier), (None, None));
}

#[test]
fn implausible_costs_are_rejected_and_costs_without_tokens_count() {
    // No response costs that much, and the amount would saturate the counter.
    for lie in ["1e30", "1000000.01", "-1"] {
        let text = format!("{{\"usage\": {{\"prompt_tokens\": 1, \"cost\": {lie}}}}}");
        let lying = meter(JSON, text.as_bytes(), 5);
        assert_eq!(lying.usage().unwrap().reported_cost, None, "{lie}");
        assert_eq!(lying.malformed(), 1, "{lie}");
    }
    // Image responses of xAI report no tokens.
    let billed = of_json(&json!({"data": [], "usage": {"cost_in_usd_ticks": 200_000_000}}));
    assert_eq!(billed.reported_cost.unwrap().to_string(), "0.02");
    assert!(billed.is_empty());
    assert_eq!(meter(JSON, br#"{"usage": {"cost": 0}}"#, 5).usage(), None);
}

#[test]
fn the_tier_of_a_converse_response_is_read() {
    for (tier, expected) in [
        ("flex", ServiceTier::Flex),
        ("reserved", ServiceTier::Other),
    ] {
        let usage =
            json!({"serviceTier": {"type": tier}, "usage": {"inputTokens": 1, "outputTokens": 1}});
        assert_eq!(of_json(&usage).service_tier, Some(expected), "{tier}");
    }
}
