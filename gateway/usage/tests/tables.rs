//! Test data: responses and streams of all providers, with the counts that the meter should find.

use serde_json::{Value, json};

/// Whole responses: what each shows, the document, and the expected counts.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn responses() -> Vec<(&'static str, Value, [u64; 5])> {
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
            "a part of the input, repeated",
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

/// Streams: what each shows, the events, and the expected counts.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn streams() -> Vec<(&'static str, Vec<Value>, [u64; 5])> {
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
            "the same, repeated and with a cache",
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
