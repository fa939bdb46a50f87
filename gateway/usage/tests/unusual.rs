//! Tests: the meter reads values that no API documents and some servers write, and very many
//! choices.

use serde_json::{Value, json};

use super::{EVENTS, JSON, meter, read, stream, usage};

#[test]
fn an_empty_error_object_is_no_error() {
    for (text, errors) in [
        (r#"{"error": {}}"#, 0),
        (r#"{"error": { }, "model": "m"}"#, 0),
        (r#"{"error": []}"#, 0),
        (r#"{"error": false, "choices": [{"error": {}}]}"#, 0),
        (r#"{"error": {"code": 1}}"#, 1),
        (r#"{"error": true}"#, 1),
        // An empty object does not cancel an error beside it.
        (r#"{"error": {"code": 1}, "choices": [{"error": {}}]}"#, 1),
        (r#"{"choices": [{"error": {}}, {"error": {"code": 1}}]}"#, 1),
        (r#"{"type": "error", "error": {}}"#, 1),
        // The empty object is a member of the error.
        (r#"{"error": {"details": {}}}"#, 1),
        (r#"{"error": {"message": "cut o"#, 1),
    ] {
        let events = format!("data: {text}\n\ndata: {{\"error\": {{}}}}\n\n");
        let lines = format!("{text}\n{{\"error\": {{}}}}\n");
        for cut in [1, 5, text.len()] {
            assert_eq!(meter(JSON, text.as_bytes(), cut).errors(), errors, "{text}");
            assert_eq!(
                meter(EVENTS, events.as_bytes(), cut).errors(),
                errors,
                "{text}"
            );
            if text.ends_with('}') {
                assert_eq!(
                    meter(JSON, lines.as_bytes(), cut).errors(),
                    errors,
                    "{text}"
                );
            }
        }
    }
}

#[test]
fn counts_that_are_not_numbers_are_malformed() {
    for (count, malformed) in [
        ("true", 1),
        ("false", 1),
        ("{}", 1),
        (r#"{"value": 10}"#, 1),
        ("[]", 1),
        ("[10, 11]", 1),
        ("\"\"", 1),
        ("null", 0),
        ("10", 0),
    ] {
        for usage in [
            format!(r#"{{"prompt_tokens": {count}, "completion_tokens": 5}}"#),
            format!(r#"{{"prompt_tokens_details": {{"cached_tokens": {count}}}}}"#),
            format!(r#"{{"iterations": [{{"input_tokens": {count}}}]}}"#),
        ] {
            let text = format!(r#"{{"model": "m", "usage": {usage}}}"#);
            for cut in [1, 7, text.len()] {
                let read = meter(JSON, text.as_bytes(), cut);
                assert_eq!(read.malformed(), malformed, "{text}");
                assert_eq!(read.model(), Some("m"));
            }
        }
    }
    let costs = br#"{"usage": {"cost": true, "is_byok": false, "cost_in_usd_ticks": [1]}}"#;
    assert_eq!(meter(JSON, costs, 4).malformed(), 2);
}

#[test]
fn choices_are_added_up_to_a_limit_and_more_are_malformed() {
    let choice = |index: u64| json!({"model": "m", "choices": [{"index": index, "usage": {"prompt_tokens": 10, "completion_tokens": 2}}]});
    let documents: Vec<Value> = (0..128).chain([9, 0]).map(choice).collect();
    let text = stream(&documents);
    assert_eq!(read(EVENTS, &text, 50), Some(usage([10, 256, 0, 0, 0])));
    assert_eq!(meter(EVENTS, text.as_bytes(), 50).malformed(), 0);
    let most = meter(
        EVENTS,
        stream(&[choice(0), choice(128), choice(u64::MAX)]).as_bytes(),
        50,
    );
    assert_eq!((most.usage().unwrap().output, most.malformed()), (2, 2));
    let whole: Vec<Value> = (0..20)
        .map(|_| json!({"usage": {"completion_tokens": 3}}))
        .collect();
    assert_eq!(
        read(JSON, &json!({"choices": whole}).to_string(), 9),
        Some(usage([0, 60, 0, 0, 0]))
    );
}
