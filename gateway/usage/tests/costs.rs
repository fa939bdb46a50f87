//! Tests: what responses cost, compared with invoices and price pages.

use std::path::Path;

use crate::document::{Document, Problems};
use crate::usage::{Meter, PriceList};

pub(super) fn list(text: &str) -> PriceList {
    let document = Document::new(Path::new("prices.toml"), text.to_owned());
    let problems = Problems::default();
    let list = PriceList::read(&document, &problems);
    let problems = problems.into_sorted();
    assert!(problems.is_empty(), "{text}\n{problems:?}");
    list
}

/// The cost of a JSON response by a price file.
fn cost(prices: &PriceList, body: &str) -> Option<String> {
    let mut meter = Meter::of(b"application/json", b"").unwrap();
    meter.feed(body.as_bytes());
    let day = "2026-11-27".parse().unwrap();
    let model = meter.model().unwrap_or_default();
    let cost = prices.cost("p", model, day, &meter.usage().unwrap());
    cost.map(|cost| cost.to_string())
}

const INVOICED_PRICES: &str = r#"
[[price]]
model = "gemini-3.1-pro*"
input = "2.00"
cache_read = "0.20"
output = "12.00"
[[price.tier]]
above = 200_000
input = "4.00"
cache_read = "0.40"
output = "18.00"

[[price]]
model = "claude-opus-5"
input = "5"
cache_read = "0.50"
cache_creation = "6.25"
cache_creation_1h = "10"
output = "25"
per_search = "0.01"

[[price]]
model = "gpt-5"
input = "1.25"
cache_read = "0.125"
output = "10"
[[price.tier]]
service = ["flex", "batch"]
input = "0.625"
cache_read = "0.0625"
output = "5"
"#;

/// Responses and what was billed for them, from public reports (synaplan#1319, `req_llm`#369,
/// pi#5603).
#[test]
fn costs_equal_those_on_invoices() {
    let prices = list(INVOICED_PRICES);
    for (body, billed) in [
        (
            r#"{"modelVersion": "gemini-3.1-pro-preview", "usageMetadata":
            {"promptTokenCount": 250000, "candidatesTokenCount": 1000, "totalTokenCount": 251000}}"#,
            Some("1.018"),
        ),
        (
            r#"{"modelVersion": "models/gemini-3.1-pro", "usageMetadata":
            {"promptTokenCount": 200000, "candidatesTokenCount": 1000, "totalTokenCount": 201000}}"#,
            Some("0.412"),
        ),
        (
            r#"{"model": "claude-opus-5", "usage": {"input_tokens": 0, "output_tokens": 0,
            "cache_creation_input_tokens": 344139, "cache_creation": {"ephemeral_5m_input_tokens": 0,
            "ephemeral_1h_input_tokens": 344139}, "service_tier": "standard"}}"#,
            Some("3.44139"),
        ),
        (
            r#"{"model": "claude-opus-5", "usage": {"input_tokens": 0, "output_tokens": 0,
            "cache_creation_input_tokens": 344139}}"#,
            Some("2.15086875"),
        ),
        (
            r#"{"model": "claude-opus-5", "usage": {"input_tokens": 1000, "output_tokens": 100,
            "server_tool_use": {"web_search_requests": 3}}}"#,
            Some("0.0375"),
        ),
        (
            r#"{"model": "gpt-5", "service_tier": "flex", "usage": {"prompt_tokens": 1000000}}"#,
            Some("0.625"),
        ),
        (
            r#"{"model": "openai/GPT-5", "service_tier": "default", "usage": {"prompt_tokens": 1000000}}"#,
            Some("1.25"),
        ),
        // The price of another service or snapshot does not apply.
        (
            r#"{"model": "gpt-5", "service_tier": "priority", "usage": {"prompt_tokens": 1000000}}"#,
            None,
        ),
        (
            r#"{"model": "gpt-5-2025-08-07", "usage": {"prompt_tokens": 1000000}}"#,
            None,
        ),
    ] {
        assert_eq!(cost(&prices, body).as_deref(), billed, "{body}");
    }
}

/// By the price page of OpenAI.
#[test]
fn audio_and_image_costs_equal_those_on_price_pages() {
    let prices = list(
        r#"
[[price]]
model = "gpt-4o-transcribe"
input = "2.50"
output = "10.00"
audio_input = "6.00"

[[price]]
model = "gpt-image-1.5"
input = "5.00"
output = "10.00"
image_input = "8.00"
image_output = "32.00"

[[price]]
model = "gpt-5"
input = "1.25"
output = "10"
"#,
    );
    for (body, billed) in [
        // 4 at 2.50, 10 at 6 and 45 at 10.
        (
            r#"{"model": "gpt-4o-transcribe", "text": "hi", "usage": {"type": "tokens", "input_tokens": 14,
            "input_token_details": {"text_tokens": 4, "audio_tokens": 10}, "output_tokens": 45, "total_tokens": 59}}"#,
            Some("0.00052"),
        ),
        // 10 at 5, 40 at 8, 8 at 10 and 4160 at 32.
        (
            r#"{"model": "gpt-image-1.5", "usage": {"total_tokens": 4218, "input_tokens": 50, "output_tokens": 4168,
            "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
            "output_tokens_details": {"text_tokens": 8, "image_tokens": 4160}}}"#,
            Some("0.13357"),
        ),
        // The price file has no price for audio and none for image output.
        (
            r#"{"model": "gpt-5", "usage": {"prompt_tokens": 10, "prompt_tokens_details": {"audio_tokens": 1}}}"#,
            None,
        ),
        (
            r#"{"model": "gpt-5", "usage": {"prompt_tokens": 10, "completion_tokens": 9,
            "completion_tokens_details": {"image_tokens": 9}}}"#,
            None,
        ),
        // Image input costs the same as text.
        (
            r#"{"model": "gpt-5", "usage": {"prompt_tokens": 1000000, "prompt_tokens_details": {"image_tokens": 900}}}"#,
            Some("1.25"),
        ),
    ] {
        assert_eq!(cost(&prices, body).as_deref(), billed, "{body}");
    }
}

/// The form in which each response of OpenAI's Responses API reports tools beside its usage.
#[test]
fn provider_tools_are_priced_or_make_the_cost_unknown() {
    let prices = list(
        r#"
[[price]]
model = "searching"
input = "1"
per_search = "0.01"

[[price]]
model = "plain"
input = "1"
"#,
    );
    let tools = |searches: u64, drawn: u64| {
        format!(
            r#""tool_usage": {{"image_gen": {{"input_tokens": 0, "input_tokens_details": {{"image_tokens": 0,
            "text_tokens": 0}}, "output_tokens": {drawn}, "output_tokens_details": {{"image_tokens": {drawn},
            "text_tokens": 0}}, "total_tokens": {drawn}}}, "web_search": {{"num_requests": {searches}}}}}"#
        )
    };
    for (model, searches, drawn, paid) in [
        ("searching", 0, 0, Some("0.001")),
        ("searching", 3, 0, Some("0.031")),
        ("searching", 3, 196, None),
        ("plain", 0, 0, Some("0.001")),
        ("plain", 1, 0, None),
        ("plain", 0, 196, None),
    ] {
        let tools = tools(searches, drawn);
        let usage = r#""usage": {"input_tokens": 1000, "output_tokens": 43, "total_tokens": 1043}"#;
        for members in [format!("{tools}, {usage}"), format!("{usage}, {tools}")] {
            let body = format!(r#"{{"model": "{model}", {members}}}"#);
            assert_eq!(cost(&prices, &body).as_deref(), paid, "{body}");
            let within = format!(r#"{{"type": "response.completed", "response": {body}}}"#);
            assert_eq!(cost(&prices, &within).as_deref(), paid, "{within}");
        }
    }
    // The first event of a stream reports no tokens yet.
    let begun = format!(
        r#"{{"response": {{"model": "plain", "usage": null, {}}}}}"#,
        tools(0, 0)
    );
    let mut meter = Meter::of(b"application/json", b"").unwrap();
    meter.feed(begun.as_bytes());
    assert_eq!((meter.usage(), meter.malformed()), (None, 0));
}
