//! Tests: what is read from a request's body is what its API takes, or more, wherever the bytes are cut.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

const JSON: &[u8] = b"application/json";

/// What a body asks for, without its bytes.
fn asked<R>(body: &[u8], cut: usize, read: impl FnOnce(Asked<'_>) -> R) -> R {
    let mut reader = RequestReader::of(JSON, b"");
    for piece in body.chunks(cut.max(1)) {
        reader.feed(piece);
    }
    let asked = reader.asked();
    assert_eq!(asked.bytes, body.len() as u64);
    read(Asked { bytes: 0, ..asked })
}

/// What nothing is asked for in.
const NOTHING: Asked<'static> = Asked {
    model: None,
    two_models: false,
    output_cap: None,
    outputs: 1,
    stream: false,
    background: false,
    service_tier: None,
    media: false,
    by_reference: false,
    bytes: 0,
    is_readable: true,
};

fn assert_asked(body: &str, expected: &Asked<'_>) {
    for cut in 1..=body.len() {
        asked(body.as_bytes(), cut, |found| {
            assert_eq!(found, *expected, "{body} in pieces of {cut}");
        });
        let (before, after) = body.as_bytes().split_at(cut);
        let mut reader = RequestReader::of(JSON, b"");
        reader.feed(before);
        reader.feed(b"");
        reader.feed(after);
        let found = Asked {
            bytes: 0,
            ..reader.asked()
        };
        assert_eq!(found, *expected, "{body} cut at {cut}");
    }
}

fn cap(body: &str) -> Option<u64> {
    asked(body.as_bytes(), 1000, |asked| {
        assert!(asked.is_readable, "{body}");
        asked.output_cap
    })
}

fn outputs(body: &str) -> u64 {
    asked(body.as_bytes(), 1000, |asked| {
        assert!(asked.is_readable, "{body}");
        asked.outputs
    })
}

fn is_readable(body: &[u8]) -> bool {
    let whole = asked(body, usize::MAX, |asked| asked.is_readable);
    let in_bytes = asked(body, 1, |asked| asked.is_readable);
    assert_eq!(whole, in_bytes, "{}", String::from_utf8_lossy(body));
    whole
}

#[test]
fn a_request_of_each_makers_api_is_read_wherever_it_is_cut() {
    for (body, expected) in [
        (
            json!({"model": "gpt-5", "messages": [{"role": "user", "content": "max_tokens: 9"}], "stream": true,
                "max_completion_tokens": 300, "n": 2, "service_tier": "priority",
                "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object",
                    "properties": {"max_tokens": {"type": "integer", "default": 7}}}}}]}),
            Asked {
                model: Some("gpt-5"),
                output_cap: Some(300),
                outputs: 2,
                stream: true,
                service_tier: Some("priority"),
                ..NOTHING
            },
        ),
        (
            json!({"model": "gpt-5", "input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
                "max_output_tokens": 64, "background": true, "previous_response_id": "resp_1"}),
            Asked {
                model: Some("gpt-5"),
                output_cap: Some(64),
                background: true,
                by_reference: true,
                ..NOTHING
            },
        ),
        (
            json!({"model": "claude-opus-5", "max_tokens": 2048, "system": [{"type": "text", "text": "s"}],
                "thinking": {"type": "enabled", "budget_tokens": 1024}, "speed": "fast",
                "messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}]}]}],
                "tools": [{"name": "f", "input_schema": {"type": "object"}}, {"type": "bash_20250124", "name": "bash"}]}),
            Asked {
                model: Some("claude-opus-5"),
                output_cap: Some(2048),
                service_tier: Some("fast"),
                media: true,
                ..NOTHING
            },
        ),
        (
            json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}],
                "generationConfig": {"maxOutputTokens": 100, "candidateCount": 3, "thinkingConfig": {"thinkingBudget": 50}}}),
            Asked {
                output_cap: Some(100),
                outputs: 3,
                ..NOTHING
            },
        ),
        (
            json!({"contents": [{"parts": [{"file_data": {"file_uri": "https://a/b"}}]}],
                "generation_config": {"max_output_tokens": 10}}),
            Asked {
                output_cap: Some(10),
                by_reference: true,
                ..NOTHING
            },
        ),
    ] {
        assert_asked(&body.to_string(), &expected);
    }
}

#[test]
fn a_request_of_each_api_for_open_models_is_read_wherever_it_is_cut() {
    for (body, expected) in [
        (
            json!({"messages": [{"role": "user", "content": [{"text": "hi"}]}], "inferenceConfig": {"maxTokens": 12},
                "additionalModelRequestFields": {"max_tokens": 15}}),
            Asked {
                output_cap: Some(15),
                ..NOTHING
            },
        ),
        (
            json!({"model": "llama4", "prompt": "hi", "options": {"num_predict": 20, "num_ctx": 4096}, "stream": false}),
            Asked {
                model: Some("llama4"),
                output_cap: Some(20),
                ..NOTHING
            },
        ),
        (
            json!({"inputs": "hi", "parameters": {"max_new_tokens": 30, "best_of": 4, "details": true}}),
            Asked {
                output_cap: Some(30),
                outputs: 4,
                ..NOTHING
            },
        ),
        (
            json!({"model": "qwen3-max", "messages": [], "max_tokens": 10, "enable_thinking": true, "thinking_budget": 500}),
            Asked {
                model: Some("qwen3-max"),
                output_cap: Some(510),
                ..NOTHING
            },
        ),
        (
            json!({"model": "command-a", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5,
                "documents": [{"data": {"text": "t"}}]}),
            Asked {
                model: Some("command-a"),
                output_cap: Some(5),
                ..NOTHING
            },
        ),
        (
            json!({"model": "a/b", "models": ["a/b", "c/d"], "messages": []}),
            Asked {
                model: Some("a/b"),
                two_models: true,
                ..NOTHING
            },
        ),
    ] {
        assert_asked(&body.to_string(), &expected);
    }
}

#[test]
fn a_cap_is_never_less_than_a_provider_could_read() {
    for (body, expected) in [
        (r#"{"max_tokens": 16}"#, Some(16)),
        (r#"{"max\u005ftokens": 16}"#, Some(16)),
        (
            r#"{"max_tokens": 1, "max_completion_tokens": 20}"#,
            Some(20),
        ),
        (r#"{"max_tokens": 20, "max_tokens": 1}"#, Some(20)),
        (
            r#"{"max_tokens": 1, "options": {"num_predict": 20}}"#,
            Some(20),
        ),
        (r#"{"max_tokens": "16"}"#, Some(16)),
        (r#"{"max_tokens": 16.0}"#, Some(16)),
        (r#"{"max_tokens": 1e3}"#, Some(1000)),
        (r#"{"max_tokens": 18446744073709551616}"#, Some(u64::MAX)),
        (r#"{"max_tokens": 1e999999}"#, Some(u64::MAX)),
        (
            r#"{"max_tokens": 16, "max_completion_tokens": null}"#,
            Some(16),
        ),
        (
            r#"{"generationConfig": {"max_output_tokens": 2, "maxOutputTokens": 3}}"#,
            Some(3),
        ),
        (r#"{"max_tokens": 5, "thinking_budget": 7}"#, Some(12)),
        // Without a limit, or of an unknown one.
        ("{}", None),
        (r#"{"max_tokens": null}"#, None),
        (r#"{"max_tokens": 0}"#, None),
        (r#"{"max_tokens": 0.4}"#, None),
        (r#"{"max_tokens": -1}"#, None),
        (r#"{"max_tokens": "-1"}"#, None),
        (r#"{"max_tokens": ""}"#, None),
        (r#"{"max_tokens": "many"}"#, None),
        (r#"{"max_tokens": true}"#, None),
        (r#"{"max_tokens": [16]}"#, None),
        (r#"{"max_tokens": {"a": 16}}"#, None),
        (
            r#"{"max_tokens": 16, "options": {"num_predict": -1}}"#,
            None,
        ),
        (r#"{"max_tokens": 16, "max_tokens": null}"#, None),
        (r#"{"max_tokens": null, "max_tokens": 16}"#, None),
        (
            r#"{"generationConfig": {"maxOutputTokens": 3}, "generationConfig": {}}"#,
            None,
        ),
        (
            r#"{"generationConfig": {"maxOutputTokens": 3}, "generation_config": null}"#,
            None,
        ),
        (
            r#"{"parameters": {"max_new_tokens": 3}, "parameters": []}"#,
            None,
        ),
        (r#"{"max_tokens": 5, "enable_thinking": true}"#, None),
        (r#"{"max_tokens": 5, "thinking_budget": -1}"#, None),
        // Members of other objects are no caps.
        (r#"{"metadata": {"max_tokens": 16}}"#, None),
        (r#"{"messages": [{"max_tokens": 16}]}"#, None),
        (r#"{"generationConfig": {"max_tokens": 16}}"#, None),
    ] {
        assert_eq!(cap(body), expected, "{body}");
    }
    for (written, least) in [("16.5", 17), ("16.2", 17), ("1.5", 2), ("1999e-3", 2)] {
        let found = cap(&format!("{{\"max_tokens\": {written}}}"));
        assert!(
            found.is_some_and(|cap| (least..=least + 1).contains(&cap)),
            "{written}"
        );
    }
}

#[test]
fn a_cap_that_an_api_does_not_have_is_none_there() {
    let at = |body: &str, path: &str| {
        let mut reader = RequestReader::of(JSON, b"");
        reader.feed(body.as_bytes());
        reader.asked_at(path).output_cap
    };
    let chat = "/v1/chat/completions";
    assert_eq!(at(r#"{"max_tokens": 5}"#, chat), Some(5));
    assert_eq!(at(r#"{"max_tokens": 5, "num_predict": 9}"#, chat), Some(9));
    assert_eq!(at(r#"{"num_predict": 5}"#, chat), None);
    assert_eq!(at(r#"{"max_tokens": null, "num_predict": 5}"#, chat), None);
    assert_eq!(at(r#"{"max_tokens": 5, "num_predict": -1}"#, chat), None);
    assert_eq!(at(r#"{"max_tokens": 5}"#, "/v1/responses"), None);
    assert_eq!(at(r#"{"num_predict": 5}"#, "/unknown"), Some(5));
}

#[test]
fn outputs_are_the_largest_count_times_the_prompts() {
    for (body, expected) in [
        ("{}", 1),
        (r#"{"n": 3}"#, 3),
        (r#"{"n": "3"}"#, 3),
        (r#"{"n": 0}"#, 1),
        (r#"{"n": null}"#, 1),
        (r#"{"n": 2, "best_of": 5}"#, 5),
        (r#"{"n": 5, "n": 1}"#, 5),
        (r#"{"generationConfig": {"candidate_count": 4}}"#, 4),
        (r#"{"parameters": {"num_return_sequences": 4, "n": 2}}"#, 4),
        (
            r#"{"n": 18446744073709551615, "best_of": 1e30, "prompt": ["a", "b"]}"#,
            u64::MAX,
        ),
        (r#"{"prompt": "a", "n": 2}"#, 2),
        (r#"{"prompt": ["a", "b", "c"], "n": 2}"#, 6),
        (r#"{"prompt": [1, 2, 3]}"#, 1),
        (r#"{"prompt": [[1, 2], [3], [4, 5]]}"#, 3),
        (r#"{"prompt": []}"#, 1),
        (r#"{"inputs": ["a", "b"]}"#, 2),
        (r#"{"instances": [{"content": "a"}, {"content": "b"}]}"#, 2),
    ] {
        assert_eq!(outputs(body), expected, "{body}");
    }
    for body in [
        r#"{"n": -1}"#,
        r#"{"n": "x"}"#,
        r#"{"n": [2]}"#,
        r#"{"n": {}}"#,
        r#"{"n": true}"#,
    ] {
        assert!(!is_readable(body.as_bytes()), "{body}");
    }
}

#[test]
fn different_models_are_two_and_the_same_one_twice_is_one() {
    for (body, model, two) in [
        (r#"{"model": "a"}"#, Some("a"), false),
        (r#"{"model": "a", "model": "a"}"#, Some("a"), false),
        (r#"{"model": "a", "model": "A"}"#, Some("a"), true),
        (r#"{"model": "a", "\u006dodel": "b"}"#, Some("a"), true),
        (r#"{"model": "a", "model": null}"#, Some("a"), true),
        (r#"{"model": null, "model": "a"}"#, Some("a"), true),
        (r#"{"models": ["a", "b"]}"#, Some("a"), true),
        (r#"{"model": "a", "models": ["a"]}"#, Some("a"), false),
        (r#"{"model": null}"#, None, false),
        (
            r#"{"metadata": {"model": "b"}, "model": "a\"\u00e8"}"#,
            Some("a\"\u{e8}"),
            false,
        ),
    ] {
        for cut in [1, 7, 1000] {
            asked(body.as_bytes(), cut, |asked| {
                let found = (asked.model, asked.two_models, asked.is_readable);
                assert_eq!(found, (model, two, true), "{body}");
            });
        }
    }
}

#[test]
fn a_body_that_a_parser_may_read_otherwise_is_not_readable() {
    let deep = format!(r#"{{"messages": {}{}}}"#, "[".repeat(12), "]".repeat(12));
    let long_model = format!(r#"{{"model": "{}"}}"#, "m".repeat(TEXT));
    let long_cap = format!(r#"{{"max_tokens": 16.{}e5}}"#, "0".repeat(TEXT));
    for body in [
        "",
        " ",
        "{",
        "[]",
        "1",
        "null",
        "\"a\"",
        "model=a",
        r#"[{"model": "a"}]"#,
        r#"{"model": "a"} {"model": "b"}"#,
        r#"{"model": "a"}1"#,
        r#"{"model": "a"}"b""#,
        r#"{"model": "a"},"#,
        "{}\0",
        r#"{"model": "a""#,
        r#"{"model": "a", max_tokens: 1}"#,
        r#"{"model": 'a'}"#,
        r#"{"a": NaN}"#,
        r#"{"a": 1 /* b */}"#,
        // Some parsers take these names in any case, and the last of several counts.
        r#"{"max_tokens": 1, "MAX_TOKENS": 100}"#,
        r#"{"Max_Tokens": 1}"#,
        r#"{"Model": "a"}"#,
        "{\"max_to\u{212a}ens\": 100}",
        r#"{"generationconfig": {}}"#,
        r#"{"messages": [{"Content": []}]}"#,
        // Half a character before a name.
        r#"{"\ud800max_tokens": 16}"#,
        r#"{"max_tokens\udBff": 16}"#,
        r#"{"model": ["a"]}"#,
        r#"{"model": 1}"#,
        &deep,
        &long_model,
        &long_cap,
    ] {
        assert!(!is_readable(body.as_bytes()), "{body}");
    }
    let wide: Vec<u8> = r#"{"model": "a"}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(!is_readable(&wide));
    assert!(!is_readable(b"{\"model\": \"\xff\"}"));
    for body in [
        "{}",
        "\u{feff}{}",
        " \r\n\t{ } \n",
        r#"{"a": "\ud800", "messages": [{"content": "half \ud83d"}]}"#,
        r#"{"a": [[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]], "A": {"MODEL": "x"}}"#,
    ] {
        assert!(is_readable(body.as_bytes()), "{body}");
    }
    let long_text = format!(
        r#"{{"messages": [{{"content": "{}"}}]}}"#,
        "x".repeat(10_000)
    );
    assert!(is_readable(long_text.as_bytes()));
}

#[test]
fn only_plain_json_is_read_whatever_it_is_called() {
    let of = |content_type: &str, encoding: &str| {
        let mut reader = RequestReader::of(content_type.as_bytes(), encoding.as_bytes());
        reader.feed(br#"{"model": "a"}"#);
        assert_eq!(reader.asked().bytes, 14);
        reader.asked().is_readable
    };
    for (content_type, encoding) in [
        ("application/json", ""),
        ("Application/JSON; charset=UTF-8", "identity"),
        ("application/json;charset=\"utf-8\"", ""),
        ("application/vnd.api+json", ""),
        ("text/plain", ""),
        ("", ""),
    ] {
        assert!(of(content_type, encoding), "{content_type} {encoding}");
    }
    for (content_type, encoding) in [
        ("application/json", "gzip"),
        ("application/json", "identity, gzip"),
        ("application/json; charset=utf-16", ""),
        ("application/json; Charset = Shift_JIS", ""),
        ("multipart/form-data; boundary=x", ""),
        ("application/x-www-form-urlencoded", ""),
        ("application/x-ndjson", ""),
        ("application/octet-stream", ""),
        ("audio/mpeg", ""),
    ] {
        assert!(!of(content_type, encoding), "{content_type} {encoding}");
    }
}

#[test]
fn what_is_not_in_the_body_is_known_by_what_refers_to_it() {
    let of = |body: &Value| {
        asked(body.to_string().as_bytes(), 3, |asked| {
            assert!(asked.is_readable, "{body}");
            (asked.by_reference, asked.media)
        })
    };
    let part = |part: Value| json!({"messages": [{"role": "user", "content": [part]}]});
    for body in [
        json!({"previous_response_id": "r"}),
        json!({"conversation": {"id": "c"}}),
        json!({"conversation": "c"}),
        json!({"prompt": {"id": "p"}}),
        json!({"cachedContent": "cachedContents/1"}),
        json!({"mcp_servers": [{"url": "u"}]}),
        json!({"web_search_options": {}}),
        json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
        json!({"tools": [{"type": "function"}, {"type": "code_interpreter", "container": {"type": "auto"}}]}),
        json!({"tools": [{"type": "file_search"}]}),
        json!({"tools": [{"type": "mcp"}]}),
        json!({"tools": [{"type": "a tool of the future"}]}),
        json!({"tools": [{"google_search": {}}]}),
        json!({"tools": {"googleSearch": {}}}),
        json!({"input": [{"type": "item_reference", "id": "i"}]}),
        json!({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]}),
        json!({"contents": {"parts": {"fileData": {"fileUri": "u"}}}}),
        part(json!({"type": "image_url", "image_url": {"url": "https://a/b.png"}})),
        part(json!({"type": "input_image", "image_url": "https://a/b.png"})),
        part(json!({"type": "image", "source": {"type": "url", "url": "https://a/b.png"}})),
        part(json!({"type": "document", "source": {"type": "file", "file_id": "f"}})),
        part(json!({"type": "file", "file": {"file_id": "f"}})),
        part(json!({"document": {"source": {"s3Location": {"uri": "s3://a"}}}})),
    ] {
        assert!(of(&body).0, "{body}");
    }
    for body in [
        part(json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}})),
        part(json!({"type": "input_audio", "input_audio": {"data": "AA==", "format": "mp3"}})),
        json!({"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": "AA=="}}]}]}),
        json!({"messages": [{"role": "user", "content": "hi", "images": ["AA=="]}]}),
    ] {
        assert_eq!(of(&body), (false, true), "{body}");
    }
    for body in [
        json!({}),
        json!({"previous_response_id": null, "conversation": null, "mcp_servers": [], "tools": [], "enable_search": false}),
        json!({"tools": [{"type": "function", "function": {"name": "web_search", "parameters": {"type": "web_search"}}}]}),
        json!({"tools": [{"functionDeclarations": [{"name": "googleSearch"}]}]}),
        part(json!({"type": "text", "text": "https://a/b.png file_id"})),
        part(
            json!({"type": "tool_use", "id": "t", "name": "n", "input": {"url": "https://a", "file_id": "f"}}),
        ),
    ] {
        assert_eq!(of(&body), (false, false), "{body}");
    }
}

#[test]
fn a_standard_tier_hides_no_dearer_one() {
    for (body, tier) in [
        (
            r#"{"service_tier": "priority", "service_tier": "auto"}"#,
            Some("priority"),
        ),
        (
            r#"{"service_tier": "default", "speed": "fast"}"#,
            Some("fast"),
        ),
        (
            r#"{"speed": "fast", "service_tier": "standard_only"}"#,
            Some("standard_only"),
        ),
        (r#"{"serviceTier": {"type": "flex"}}"#, Some("flex")),
        (r#"{"service_tier": null}"#, None),
    ] {
        asked(body.as_bytes(), 2, |asked| {
            assert_eq!(asked.service_tier, tier, "{body}");
        });
    }
}

/// A value as it may stand where a number should be.
fn amount() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (1_u64..100_000).prop_map(Value::from),
        1 => (1_u64..1000).prop_map(|number| Value::from(number.to_string())),
        1 => Just(Value::Null),
        1 => (-5_i64..1).prop_map(Value::from),
    ]
}

/// A body whose members come in any order, among others that mean nothing.
fn body() -> impl Strategy<Value = Value> {
    let cap = prop::sample::select(vec![
        "max_tokens",
        "max_completion_tokens",
        "max_output_tokens",
        "num_predict",
    ]);
    let other = prop::sample::select(vec!["metadata", "stop", "x", "messages", "tools", "input"]);
    let text = "[a-z\"\\\\{}\\[\\]:, \u{e9}\u{1f600}]{0,20}";
    let any = prop_oneof![
        text.prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text.prop_map(|text| json!([{"content": text, "role": "user"}])),
        (text, 1..50)
            .prop_map(|(text, number)| json!({"max_tokens": number, "model": text, "n": [number]})),
    ];
    let caps = prop::collection::btree_map(cap, amount(), 0..3);
    let others = prop::collection::btree_map(other, any, 0..5);
    let model = prop::option::of("[a-z0-9/:.\u{e9}-]{1,30}");
    let n = prop::option::of(1_u64..20);
    let config = prop::option::of(amount());
    (caps, others, model, n, config).prop_map(|(caps, others, model, n, config)| {
        let members = caps.into_iter().chain(others);
        let mut body: Map<String, Value> = members
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        body.extend(model.map(|model| ("model".to_owned(), model.into())));
        body.extend(n.map(|n| ("n".to_owned(), n.into())));
        let config = config.map(|cap| json!({"topP": 1, "maxOutputTokens": cap}));
        body.extend(config.map(|config| ("generationConfig".to_owned(), config)));
        Value::Object(body)
    })
}

/// The cap of a body, the way a person would read it.
fn expected_cap(body: &Value) -> Option<u64> {
    let names = [
        "max_tokens",
        "max_completion_tokens",
        "max_output_tokens",
        "num_predict",
    ];
    let values = names.iter().filter_map(|name| body.get(name));
    let nested = body.pointer("/generationConfig/maxOutputTokens");
    let values = values.chain(nested).filter(|value| !value.is_null());
    let mut largest = None;
    for value in values {
        let number = value.as_i64().or_else(|| value.as_str()?.parse().ok())?;
        largest = largest.max(Some(u64::try_from(number).ok().filter(|cap| *cap > 0)?));
    }
    largest
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_read_is_what_a_parser_reads(body in body(), cut in 1_usize..40, pretty in any::<bool>()) {
        let text = if pretty { format!("{body:#}") } else { body.to_string() };
        asked(text.as_bytes(), cut, |asked| {
            prop_assert!(asked.is_readable, "{}", text);
            prop_assert_eq!(asked.model, body.get("model").and_then(Value::as_str), "{}", text);
            prop_assert_eq!(asked.outputs, body.get("n").and_then(Value::as_u64).unwrap_or(1), "{}", text);
            prop_assert_eq!(asked.output_cap, expected_cap(&body), "{}", text);
            Ok(())
        })?;
    }

    #[test]
    fn no_bytes_are_a_reason_to_panic_and_no_cut_changes_what_is_read(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "\\{[\\{\\}\\[\\]\":,\\\\ 0-9a-z]{0,100}".prop_map(String::into_bytes),
            body().prop_map(|body| body.to_string().replace("max_", "\\u006dax_").into_bytes()),
        ],
        broken in any::<prop::sample::Index>(),
        by in any::<u8>(),
        cut in 1_usize..20,
    ) {
        let mut bytes = bytes;
        if !bytes.is_empty() {
            let at = broken.index(bytes.len());
            bytes[at] = by;
        }
        let read = |cut| asked(&bytes, cut, |asked| format!("{asked:?}"));
        prop_assert_eq!(read(cut), read(usize::MAX));
    }

    #[test]
    fn every_json_object_is_readable(bytes in "\\{[\\{\\}\\[\\]\":,\\\\ 1a]{0,12}\\}") {
        // The scanner is lenient: it reads other texts as well.
        if let Ok(Value::Object(_)) = serde_json::from_str(&bytes) {
            prop_assert!(is_readable(bytes.as_bytes()), "{}", bytes);
        }
    }
}
