//! Tests: the meter reads usage in every field and form that is known.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::tables::{responses, streams};
use super::{EVENTS, JSON, meter, read, stream, usage};

#[test]
fn usage_is_found_in_every_known_form() {
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
fn counts_are_found_in_any_number_format_and_with_escaped_names() {
    let expected = Some(usage([10, 5, 0, 0, 0]));
    for text in [
        r#"{"model":"m","usage":{"prompt_tokens":10.0,"completion_tokens":5.0,"total_tokens":15.0}}"#,
        r#"{"model":"m","usage":{"prompt_tokens":1e1,"completion_tokens":0.5E1}}"#,
        r#"{"model":"m","us\u0061ge":{"prompt\u005ftokens":10,"c\u006fmpletion_t\u006fkens":5}}"#,
        r#"{"model":"m","us\u0061ge":{"pr\u006fmpt_t\u006Fkens":10,"\u0063ompletion_t\u006fkens":5}}"#,
    ] {
        for cut in [1, 3, text.len()] {
            assert_eq!(read(JSON, text, cut), expected, "{text}");
        }
        // The meter scans an event in full only if it may contain usage.
        let stream = format!("data: {{\"model\":\"m\"}}\n\ndata: {text}\n\n");
        assert_eq!(read(EVENTS, &stream, stream.len()), expected, "{text}");
    }
    let named = meter(JSON, br#"{"model":"mod\u00e8le \ud83d\ude00 \"x\""}"#, 3);
    assert_eq!(named.model(), Some("mod\u{e8}le \u{1f600} \"x\""));
}

#[test]
fn an_error_in_a_choice_counts() {
    let failed = json!({"model": "m", "choices": [{"error": {"code": 502, "message": "x"}}]});
    let well = json!({"model": "m", "choices": [{"error": null, "index": 0}]});
    let errors = |document: &Value| meter(JSON, document.to_string().as_bytes(), 5).errors();
    assert_eq!((errors(&failed), errors(&well)), (1, 0));
    let stream = stream(&[well, failed]);
    assert_eq!(meter(EVENTS, stream.as_bytes(), 5).errors(), 1);
}

/// The parts of a response's usage, each of which may come in a document of its own.
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
    fn usage_does_not_depend_on_order_repetition_or_chunks(
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
        let lines = shuffled.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
        prop_assert_eq!(read(b"application/x-ndjson", &lines, cut), whole);
        prop_assert_eq!(read(JSON, &Value::from(shuffled).to_string(), cut), whole);
    }

    #[test]
    fn parts_are_never_more_than_the_whole(counts in prop::collection::vec(0_u64..50, 12)) {
        let names = ["prompt_tokens", "input_tokens", "completion_tokens", "output_tokens", "total_tokens",
            "cached_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "reasoning_tokens",
            "total_thought_tokens", "total_tool_use_tokens", "cacheWriteInputTokens"];
        let reported: serde_json::Map<String, Value> =
            names.iter().zip(counts).map(|(name, count)| ((*name).to_owned(), count.into())).collect();
        let usage = read(JSON, &json!({"usage": reported}).to_string(), 9).unwrap();
        prop_assert!(usage.cache_read + usage.cache_creation <= usage.input, "{:?}", usage);
        prop_assert!(usage.reasoning <= usage.output, "{:?}", usage);
    }
}
