//! Tests: what the meter makes of what providers say, in every place and form that is known.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Cost, Meter, ServiceTier, Usage};

pub(super) const JSON: &[u8] = b"application/json";
pub(super) const EVENTS: &[u8] = b"text/event-stream";

pub(super) fn usage([input, output, cache_read, cache_creation, reasoning]: [u64; 5]) -> Usage {
    Usage {
        input,
        output,
        cache_read,
        cache_creation,
        reasoning,
        ..Usage::default()
    }
}

pub(super) fn stream(documents: &[Value]) -> String {
    let events = documents.iter().map(|event| format!("data: {event}\n\n"));
    events.collect()
}

pub(super) fn meter(media: &[u8], body: &[u8], cut: usize) -> Meter {
    let mut meter = Meter::of(media, b"").unwrap();
    for chunk in body.chunks(cut) {
        meter.feed(chunk);
    }
    meter
}

pub(super) fn read(media: &[u8], body: &str, cut: usize) -> Option<Usage> {
    let said = meter(media, body.as_bytes(), cut).usage();
    said.map(|said| {
        let Usage {
            input,
            output,
            cache_read,
            cache_creation,
            reasoning,
            ..
        } = said;
        usage([input, output, cache_read, cache_creation, reasoning])
    })
}

/// Whole responses, by what they show, and what is to be counted of them.
#[expect(clippy::too_many_lines, reason = "a table")]
fn responses() -> Vec<(&'static str, Value, [u64; 5])> {
    let of = |name, usage: Value, counts| (name, json!({"model": "m", "usage": usage}), counts);
    vec![
        of(
            "zeros under other names, before",
            json!({"prompt_tokens": 0, "completion_tokens": 0, "prompt_tokens_details": {"cached_tokens": 0},
                "input_tokens": 38829, "output_tokens": 477, "input_tokens_details": {"cached_tokens": 38272},
                "total_tokens": 39306}),
            [38829, 477, 38272, 0, 0],
        ),
        of(
            "zeros under other names, behind",
            json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
                "prompt_tokens_details": {"cached_tokens": 8}, "input_tokens": 0, "output_tokens": 0,
                "input_tokens_details": {"cached_tokens": 0}}),
            [10, 5, 8, 0, 0],
        ),
        of(
            "the same under two names",
            json!({"prompt_tokens": 2000, "completion_tokens": 5, "input_tokens": 2000, "output_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 1800}, "cache_read_input_tokens": 1800}),
            [2000, 5, 1800, 0, 0],
        ),
        of(
            "cached beside an input without it",
            json!({"input_tokens": 200, "cache_read_input_tokens": 1700, "cache_creation_input_tokens": 100,
                "output_tokens": 5}),
            [2000, 5, 1700, 100, 0],
        ),
        of(
            "written in parts",
            json!({"input_tokens": 200, "output_tokens": 5,
                "cache_creation": {"ephemeral_5m_input_tokens": 70, "ephemeral_1h_input_tokens": 30}}),
            [300, 5, 0, 100, 0],
        ),
        of(
            "cached within a prompt, as LiteLLM says it",
            json!({"completion_tokens": 5, "prompt_tokens": 2000, "total_tokens": 2005,
                "prompt_tokens_details": {"cached_tokens": 0, "cache_creation_tokens": 1800},
                "cache_creation_input_tokens": 1800, "cache_read_input_tokens": 0}),
            [2000, 5, 0, 1800, 0],
        ),
        of(
            "a part of the input, said twice",
            json!({"input_tokens": 2000, "input_tokens_details": {"cached_tokens": 1800}, "output_tokens": 5,
                "cache_read_input_tokens": 1800}),
            [2000, 5, 1800, 0, 0],
        ),
        of(
            "more cached than the prompt holds",
            json!({"prompt_tokens": 25, "completion_tokens": 5, "cache_read_input_tokens": 100}),
            [125, 5, 100, 0, 0],
        ),
        of(
            "xAI: reasoning outside of the completion",
            json!({"prompt_tokens": 10120, "completion_tokens": 1499, "total_tokens": 14428,
                "prompt_tokens_details": {"cached_tokens": 128},
                "completion_tokens_details": {"reasoning_tokens": 2809}}),
            [10120, 4308, 128, 0, 2809],
        ),
        of(
            "reasoning outside of the completion, without a total",
            json!({"prompt_tokens": 33, "completion_tokens": 7163, "reasoning_tokens": 95305}),
            [33, 102_468, 0, 0, 95305],
        ),
        of(
            "Gemini for OpenAI's clients: thoughts in the total alone",
            json!({"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 530}),
            [10, 520, 0, 0, 0],
        ),
        of(
            "a total alone went in",
            json!({"total_tokens": 15}),
            [15, 0, 0, 0, 0],
        ),
        of(
            "a total without an input",
            json!({"completion_tokens": 5, "total_tokens": 15}),
            [10, 5, 0, 0, 0],
        ),
        of(
            "Cohere bills less than it reads",
            json!({"billed_units": {"input_tokens": 431.0, "output_tokens": 20.0},
                "tokens": {"input_tokens": 2190.0, "output_tokens": 25.0}, "cached_tokens": 400}),
            [431, 20, 400, 0, 0],
        ),
        of(
            "Cohere's embeddings of words and images",
            json!({"billed_units": {"input_tokens": 2, "image_tokens": 512, "images": 1}}),
            [514, 0, 0, 0, 0],
        ),
        of(
            "Mistral: audio in the total alone",
            json!({"prompt_audio_seconds": 203, "prompt_tokens": 4, "total_tokens": 3264, "completion_tokens": 635}),
            [2629, 635, 0, 0, 0],
        ),
        of(
            "Mistral: cached audio",
            json!({"prompt_audio_seconds": 5, "prompt_tokens": 5, "total_tokens": 404, "completion_tokens": 24,
                "prompt_tokens_details": {"cached_tokens": 368}}),
            [380, 24, 368, 0, 0],
        ),
        of(
            "Mistral: no audio",
            json!({"prompt_audio_seconds": {}, "prompt_tokens": 8, "total_tokens": 99, "completion_tokens": 91}),
            [8, 91, 0, 0, 0],
        ),
        of(
            "Kimi",
            json!({"prompt_tokens": 10, "completion_tokens": 5, "cached_tokens": 8}),
            [10, 5, 8, 0, 0],
        ),
        of(
            "DeepSeek",
            json!({"prompt_tokens": 10, "completion_tokens": 5, "prompt_cache_hit_tokens": 8,
                "prompt_cache_miss_tokens": 2}),
            [10, 5, 8, 0, 0],
        ),
        of(
            "Mistral",
            json!({"prompt_tokens": 10, "completion_tokens": 5, "num_cached_tokens": 8}),
            [10, 5, 8, 0, 0],
        ),
        of(
            "Interactions",
            json!({"total_input_tokens": 10, "total_output_tokens": 5, "total_thought_tokens": 3,
                "total_cached_tokens": 4, "total_tool_use_tokens": 2, "total_tokens": 20}),
            [12, 8, 4, 0, 3],
        ),
        of(
            "Converse",
            json!({"inputTokens": 10, "outputTokens": 5, "totalTokens": 115, "cacheReadInputTokens": 70,
                "cacheWriteInputTokens": 30}),
            [110, 5, 70, 30, 0],
        ),
        of(
            "texts",
            json!({"prompt_tokens": "10", "completion_tokens": "5.0"}),
            [10, 5, 0, 0, 0],
        ),
        (
            "TGI",
            json!([{"generated_text": "a", "details": {"generated_tokens": 5, "prefill": []}}]),
            [0, 5, 0, 0, 0],
        ),
        (
            "Code Assist",
            json!({"response": {"usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5,
                "thoughtsTokenCount": 3, "totalTokenCount": 18}, "modelVersion": "m"}}),
            [10, 8, 0, 0, 3],
        ),
        (
            "usage in a choice",
            json!({"model": "m", "choices": [{"usage": {"prompt_tokens": 10, "completion_tokens": 5}}]}),
            [10, 5, 0, 0, 0],
        ),
        (
            "usage in a choice and at the root",
            json!({"usage": {"prompt_tokens": 10, "completion_tokens": 5},
                "choices": [{"usage": {"prompt_tokens": 99, "completion_tokens": 99}}]}),
            [10, 5, 0, 0, 0],
        ),
        (
            "Cohere's older API",
            json!({"meta": {"billed_units": {"input_tokens": 10, "output_tokens": 5},
                "tokens": {"input_tokens": 12, "output_tokens": 7}}}),
            [10, 5, 0, 0, 0],
        ),
    ]
}

/// Streams, likewise.
#[expect(clippy::too_many_lines, reason = "a table")]
fn streams() -> Vec<(&'static str, Vec<Value>, [u64; 5])> {
    let start =
        |usage: Value| json!({"type": "message_start", "message": {"model": "c", "usage": usage}});
    let delta = |usage: Value| json!({"type": "message_delta", "delta": {}, "usage": usage});
    let chunk = |usage: Value| json!({"model": "m", "choices": [], "usage": usage});
    vec![
        (
            "zeros at the beginning",
            vec![
                start(json!({"input_tokens": 0, "output_tokens": 0})),
                delta(json!({"input_tokens": 11, "output_tokens": 5})),
            ],
            [11, 5, 0, 0, 0],
        ),
        (
            "zeros at the end",
            vec![
                start(
                    json!({"input_tokens": 25, "cache_read_input_tokens": 100, "output_tokens": 1}),
                ),
                delta(
                    json!({"input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 15}),
                ),
            ],
            [125, 15, 100, 0, 0],
        ),
        (
            "nothing at the end",
            vec![
                start(
                    json!({"input_tokens": 25, "cache_read_input_tokens": 7, "output_tokens": 0}),
                ),
                delta(
                    json!({"input_tokens": null, "cache_read_input_tokens": null, "output_tokens": 15}),
                ),
            ],
            [32, 15, 7, 0, 0],
        ),
        (
            "a better count of the input at the end",
            vec![
                start(json!({"input_tokens": 30, "output_tokens": 0})),
                delta(json!({"input_tokens": 25, "output_tokens": 15})),
            ],
            [25, 15, 0, 0, 0],
        ),
        (
            "a better count at the end, and a total that is of an older one",
            vec![
                chunk(json!({"prompt_tokens": 30, "completion_tokens": 20, "total_tokens": 50})),
                chunk(json!({"prompt_tokens": 25, "completion_tokens": 15})),
                chunk(json!({"prompt_tokens": 0, "completion_tokens": 0})),
            ],
            [25, 15, 0, 0, 0],
        ),
        (
            "a total before the parts that it is of",
            vec![
                chunk(json!({"prompt_tokens": 10, "total_tokens": 10})),
                chunk(json!({"total_tokens": 530, "prompt_tokens": 10, "completion_tokens": 20})),
            ],
            [10, 520, 0, 0, 0],
        ),
        (
            "Anthropic's compaction, which is not in what stands beside it",
            vec![
                start(json!({"input_tokens": 23000, "output_tokens": 1, "iterations": []})),
                delta(
                    json!({"input_tokens": 23000, "output_tokens": 1000, "iterations": [
                    {"type": "compaction", "input_tokens": 180_000, "output_tokens": 3500},
                    {"type": "message", "input_tokens": 23000, "output_tokens": 1000}]}),
                ),
            ],
            [203_000, 4500, 0, 0, 0],
        ),
        (
            "the same, said twice and with a cache",
            vec![
                delta(
                    json!({"input_tokens": 20, "output_tokens": 5, "cache_read_input_tokens": 100,
                    "iterations": [
                    {"type": "compaction", "input_tokens": 7, "output_tokens": 3, "cache_read_input_tokens": 1000},
                    {"type": "message", "input_tokens": 20, "output_tokens": 5, "cache_read_input_tokens": 100}]}),
                ),
                delta(
                    json!({"input_tokens": 20, "output_tokens": 6, "cache_read_input_tokens": 100,
                    "iterations": [
                    {"type": "compaction", "input_tokens": 7, "output_tokens": 3, "cache_read_input_tokens": 1000},
                    {"type": "message", "input_tokens": 20, "output_tokens": 6, "cache_read_input_tokens": 100}]}),
                ),
                delta(json!({"input_tokens": 0, "output_tokens": 0, "iterations": null})),
            ],
            [1127, 9, 1100, 0, 0],
        ),
        (
            "Kimi, two choices",
            vec![
                json!({"model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop",
                    "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}}]}),
                json!({"model": "m", "choices": [{"index": 1, "delta": {}, "finish_reason": "stop",
                    "usage": {"prompt_tokens": 10, "completion_tokens": 7, "total_tokens": 17}}]}),
                json!({"model": "m", "choices": [{"index": 1, "usage":
                    {"prompt_tokens": 10, "completion_tokens": 7, "total_tokens": 17}}]}),
            ],
            [10, 12, 0, 0, 0],
        ),
        (
            "a last chunk of zeros, and one without",
            vec![
                chunk(json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15})),
                chunk(json!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0})),
                chunk(json!(null)),
            ],
            [10, 5, 0, 0, 0],
        ),
        (
            "so far, in each chunk",
            vec![
                chunk(json!({"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11})),
                chunk(json!({"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12})),
            ],
            [10, 2, 0, 0, 0],
        ),
        (
            "Interactions",
            vec![
                json!({"event_type": "interaction.start", "interaction": {"id": "x"}}),
                json!({"event_type": "interaction.complete", "interaction": {"model": "m",
                    "usage": {"total_input_tokens": 10, "total_output_tokens": 5, "total_tokens": 15}}}),
            ],
            [10, 5, 0, 0, 0],
        ),
        (
            "Kimi",
            vec![
                json!({"model": "m", "choices": [{"delta": {"content": "a"}}]}),
                json!({"model": "m", "choices": [{"delta": {}, "finish_reason": "stop",
                    "usage": {"prompt_tokens": 10, "completion_tokens": 5}}]}),
            ],
            [10, 5, 0, 0, 0],
        ),
    ]
}

#[test]
fn what_is_billed_is_what_is_counted() {
    for (name, document, counts) in responses() {
        let text = document.to_string();
        for cut in [1, 7, text.len()] {
            assert_eq!(read(JSON, &text, cut), Some(usage(counts)), "{name}");
        }
        assert_eq!(
            read(EVENTS, &stream(&[document]), 5),
            Some(usage(counts)),
            "{name}"
        );
    }
    for (name, documents, counts) in streams() {
        let text = stream(&documents);
        for cut in [1, 7, text.len()] {
            assert_eq!(read(EVENTS, &text, cut), Some(usage(counts)), "{name}");
        }
    }
}

#[test]
fn a_count_is_found_however_it_and_its_name_are_written() {
    let said = Some(usage([10, 5, 0, 0, 0]));
    for text in [
        r#"{"model":"m","usage":{"prompt_tokens":10.0,"completion_tokens":5.0,"total_tokens":15.0}}"#,
        r#"{"model":"m","usage":{"prompt_tokens":1e1,"completion_tokens":0.5E1}}"#,
        r#"{"model":"m","us\u0061ge":{"prompt\u005ftokens":10,"c\u006fmpletion_t\u006fkens":5}}"#,
        r#"{"model":"m","us\u0061ge":{"pr\u006fmpt_t\u006Fkens":10,"\u0063ompletion_t\u006fkens":5}}"#,
    ] {
        for cut in [1, 3, text.len()] {
            assert_eq!(read(JSON, text, cut), said, "{text}");
        }
        // An event is looked at closely only where it may say something.
        let stream = format!("data: {{\"model\":\"m\"}}\n\ndata: {text}\n\n");
        assert_eq!(read(EVENTS, &stream, stream.len()), said, "{text}");
    }
    let named = meter(JSON, br#"{"model":"mod\u00e8le \ud83d\ude00 \"x\""}"#, 3);
    assert_eq!(named.model(), Some("mod\u{e8}le \u{1f600} \"x\""));
}

/// The usage of a JSON response.
fn of_json(document: &Value) -> Usage {
    let text = document.to_string();
    meter(JSON, text.as_bytes(), 5).usage().unwrap()
}

#[test]
fn calls_of_other_models_and_for_an_hour_are_known_as_such() {
    for (kinds, calls, other_models) in [
        (&[][..], 0, false),
        (&["message"], 1, false),
        (&["compaction", "message"], 2, false),
        (&["message", "advisor_message", "message"], 3, true),
    ] {
        let iterations = kinds.iter().map(|kind| {
            json!({"input_tokens": 7, "output_tokens": 1, "type": kind, "model": "n",
                "cache_creation": {"ephemeral_1h_input_tokens": 2, "ephemeral_5m_input_tokens": 1}})
        });
        let iterations: Vec<Value> = iterations.collect();
        let usage = json!({"input_tokens": 7, "output_tokens": 1, "iterations": iterations});
        let said = of_json(&json!({"model": "m", "usage": usage}));
        assert_eq!((said.calls, said.other_models), (calls, other_models));
        let all = calls.max(1);
        assert_eq!(
            (said.input, said.output, said.cache_creation_hour),
            (7 * all + 3 * calls, all, 2 * calls)
        );
    }
}

#[test]
fn what_prices_need_beside_the_tokens_is_read() {
    let of = |media: &[u8], text: &str| meter(media, text.as_bytes(), 5).usage().unwrap();
    let anthropic = of(
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
    for (speed, tier) in [
        ("fast", ServiceTier::Fast),
        ("standard", ServiceTier::Priority),
    ] {
        let usage = json!({"input_tokens": 1, "service_tier": "priority", "speed": speed});
        let said = of(JSON, &json!({"usage": usage}).to_string());
        assert_eq!(said.service_tier, Some(tier));
    }
    for (traffic, tier) in [
        ("ON_DEMAND", Some(ServiceTier::Standard)),
        ("ON_DEMAND_FLEX", Some(ServiceTier::Flex)),
        ("ON_DEMAND_PRIORITY", Some(ServiceTier::Priority)),
        ("PROVISIONED_THROUGHPUT", Some(ServiceTier::Other)),
        ("TRAFFIC_TYPE_UNSPECIFIED", None),
    ] {
        let usage = json!({"promptTokenCount": 1, "trafficType": traffic});
        let said = of(JSON, &json!({"usageMetadata": usage}).to_string());
        assert_eq!(said.service_tier, tier, "{traffic}");
    }
    let events = [
        json!({"response": {"service_tier": "auto", "usage": null}}),
        json!({"response": {"service_tier": "flex", "usage": {"input_tokens": 1, "output_tokens": 1}}}),
    ];
    assert_eq!(
        of(EVENTS, &stream(&events)).service_tier,
        Some(ServiceTier::Flex)
    );
    for (cost, billionths) in [("0.00095", 950_000), ("9.5e-05", 95_000), ("0", 0)] {
        let text = format!("{{\"usage\": {{\"prompt_tokens\": 1, \"cost\": {cost}}}}}");
        let cost = of(JSON, &text).reported_cost.map(Cost::billionths);
        assert_eq!(cost, Some(billionths));
    }
    for (usage, cost) in [
        (
            r#""cost": 0.95, "is_byok": false, "cost_details": {"upstream_inference_cost": null}"#,
            "0.95",
        ),
        // A part of it.
        (
            r#""cost": 0.95, "is_byok": false, "cost_details": {"upstream_inference_cost": 0.9}"#,
            "0.95",
        ),
        (
            r#""cost": 0.95, "cost_details": {"upstream_inference_cost": 19}"#,
            "0.95",
        ),
        // What the customer's own account is billed.
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
            let said = meter(JSON, text.as_bytes(), cut).usage().unwrap();
            assert_eq!(said.reported_cost.unwrap().to_string(), cost, "{text}");
        }
    }
    let none = of(JSON, r#"{"usage": {"prompt_tokens": 1, "cost": null}}"#);
    assert_eq!((none.reported_cost, none.service_tier), (None, None));
}

#[test]
fn a_cost_that_is_no_bill_is_not_believed_and_one_without_tokens_is() {
    // Nobody pays so much at once, and a counter would show nothing any more.
    for lie in ["1e30", "1000000.01", "-1"] {
        let text = format!("{{\"usage\": {{\"prompt_tokens\": 1, \"cost\": {lie}}}}}");
        let lying = meter(JSON, text.as_bytes(), 5);
        assert_eq!(lying.usage().unwrap().reported_cost, None, "{lie}");
        assert_eq!(lying.malformed(), 1, "{lie}");
    }
    // Images of xAI's have no tokens.
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
        let said =
            json!({"serviceTier": {"type": tier}, "usage": {"inputTokens": 1, "outputTokens": 1}});
        assert_eq!(of_json(&said).service_tier, Some(expected), "{tier}");
    }
}

#[test]
fn an_error_of_a_choice_is_one() {
    let failed = json!({"model": "m", "choices": [{"error": {"code": 502, "message": "x"}}]});
    let well = json!({"model": "m", "choices": [{"error": null, "index": 0}]});
    let errors = |document: &Value| meter(JSON, document.to_string().as_bytes(), 5).errors();
    assert_eq!((errors(&failed), errors(&well)), (1, 0));
    let stream = stream(&[well, failed]);
    assert_eq!(meter(EVENTS, stream.as_bytes(), 5).errors(), 1);
}

/// The parts of what a response says, each of which may come in a document of its own.
fn documents() -> impl Strategy<Value = Vec<Value>> {
    let count = 1_u64..1000;
    (count.clone(), count.clone(), count.clone(), count, any::<bool>()).prop_map(
        |(input, cached, output, reasoning, named)| {
            let first = if named {
                json!({"input_tokens": input, "cache_read_input_tokens": cached})
            } else {
                json!({"prompt_tokens": input + cached, "prompt_tokens_details": {"cached_tokens": cached}})
            };
            let second = json!({"output_tokens": output + reasoning,
                "output_tokens_details": {"reasoning_tokens": reasoning}});
            let total = json!({"total_tokens": input + cached + output + reasoning});
            let zeros = json!({"prompt_tokens": 0, "input_tokens": 0, "output_tokens": 0, "total_tokens": 0,
                "cache_read_input_tokens": 0, "completion_tokens": null});
            let calls = json!({"iterations": [
                {"type": "compaction", "input_tokens": cached, "output_tokens": reasoning},
                {"type": "message", "input_tokens": input, "output_tokens": output}]});
            let fewer = json!({"iterations": [{"type": "message", "input_tokens": 1, "output_tokens": 1}]});
            let usages = [first, second, total, zeros, calls, fewer];
            usages.into_iter().map(|usage| json!({"usage": usage})).collect()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_any_doubling_and_any_cut_give_the_same_count(
        (documents, shuffled) in documents().prop_flat_map(|documents| {
            let twice: Vec<Value> = documents.iter().chain(&documents).cloned().collect();
            (Just(documents), Just(twice).prop_shuffle())
        }),
        cut in 1_usize..40,
        crlf in any::<bool>(),
    ) {
        let plain = stream(&documents);
        let other = stream(&shuffled);
        let other = if crlf { other.replace('\n', "\r\n") } else { other };
        let whole = read(EVENTS, &plain, plain.len());
        prop_assert!(whole.is_some());
        prop_assert_eq!(read(EVENTS, &other, cut), whole);
        let lines: Vec<String> = shuffled.iter().map(Value::to_string).collect();
        let lines = lines.join("\n");
        prop_assert_eq!(read(b"application/x-ndjson", &lines, cut), whole);
        prop_assert_eq!(read(JSON, &Value::from(shuffled).to_string(), cut), whole);
    }

    #[test]
    fn parts_are_never_more_than_the_whole(counts in prop::collection::vec(0_u64..50, 12)) {
        let names = ["prompt_tokens", "input_tokens", "completion_tokens", "output_tokens", "total_tokens",
            "cached_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "reasoning_tokens",
            "total_thought_tokens", "total_tool_use_tokens", "cacheWriteInputTokens"];
        let said: serde_json::Map<String, Value> =
            names.iter().zip(counts).map(|(name, count)| ((*name).to_owned(), count.into())).collect();
        let usage = read(JSON, &json!({"usage": said}).to_string(), 9).unwrap();
        prop_assert!(usage.cache_read + usage.cache_creation <= usage.input, "{:?}", usage);
        prop_assert!(usage.reasoning <= usage.output, "{:?}", usage);
    }
}
