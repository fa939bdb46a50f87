//! Tests: the tokens of each medium are read in every field and form that is known.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::usage::{Media, MediumTokens, Meter, Usage};

const JSON: &[u8] = b"application/json";
const EVENTS: &[u8] = b"text/event-stream";

fn usage(media: &[u8], body: &str, cut: usize) -> Usage {
    let mut meter = Meter::of(media, b"").unwrap();
    for chunk in body.as_bytes().chunks(cut) {
        meter.feed(chunk);
    }
    assert_eq!(meter.malformed(), 0, "{body}");
    meter.usage().unwrap_or_default()
}

fn media(document: &Value) -> Media {
    usage(JSON, &document.to_string(), 7).media
}

fn tokens([input, cache_read, output]: [u64; 3]) -> MediumTokens {
    MediumTokens {
        input,
        cache_read,
        output,
    }
}

/// Reverses the members of each list entry in the document.
fn turned(document: &str) -> String {
    let mut parts = document.split("{\"modality\":");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let (members, rest) = part.split_once('}').unwrap();
        match members.split_once(',') {
            Some((modality, tokens)) => {
                text + "{" + tokens + ",\"modality\":" + modality + "}" + rest
            }
            None => text + "{\"modality\":" + members + "}" + rest,
        }
    })
}

/// Responses with audio, images and video: what each shows, the document, and the expected counts.
#[expect(clippy::too_many_lines, reason = "a table")]
fn responses() -> Vec<(&'static str, Value, [[u64; 3]; 3])> {
    let of = |name, usage: Value, counts| (name, json!({"model": "m", "usage": usage}), counts);
    let none = [0; 3];
    vec![
        of(
            "OpenAI's chat",
            json!({"prompt_tokens": 120, "completion_tokens": 230, "total_tokens": 350,
                "prompt_tokens_details": {"cached_tokens": 0, "text_tokens": 20, "audio_tokens": 100},
                "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 180, "text_tokens": 50}}),
            [[100, 0, 180], none, none],
        ),
        of(
            "Realtime",
            json!({"total_tokens": 1300, "input_tokens": 1000, "output_tokens": 300,
                "input_token_details": {"text_tokens": 400, "audio_tokens": 500, "image_tokens": 100,
                    "cached_tokens": 300,
                    "cached_tokens_details": {"text_tokens": 200, "audio_tokens": 90, "image_tokens": 10}},
                "output_token_details": {"text_tokens": 50, "audio_tokens": 250}}),
            [[500, 90, 250], [100, 10, 0], none],
        ),
        of(
            "Realtime as Qwen and LiteLLM say it",
            json!({"total_tokens": 185, "input_tokens": 100, "output_tokens": 85,
                "input_tokens_details": {"text_tokens": 20, "audio_tokens": 80, "cached_tokens": 0},
                "output_tokens_details": {"text_tokens": 0, "reasoning_tokens": 38, "audio_tokens": 47}}),
            [[80, 0, 47], none, none],
        ),
        of(
            "a transcription",
            json!({"type": "tokens", "input_tokens": 14, "output_tokens": 45, "total_tokens": 59,
                "input_token_details": {"text_tokens": 4, "audio_tokens": 10}}),
            [[10, 0, 0], none, none],
        ),
        of(
            "Images",
            json!({"total_tokens": 100, "input_tokens": 50, "output_tokens": 50,
                "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
                "output_tokens_details": {"text_tokens": 8, "image_tokens": 42}}),
            [none, [40, 0, 42], none],
        ),
        of(
            "LiteLLM and OpenRouter",
            json!({"prompt_tokens": 100, "completion_tokens": 100,
                "prompt_tokens_details": {"audio_tokens": null, "image_tokens": 30, "video_tokens": 20},
                "completion_tokens_details": {"image_tokens": 90, "video_tokens": 7}}),
            [none, [30, 0, 90], [20, 0, 7]],
        ),
        of(
            "Interactions",
            json!({"total_input_tokens": 100, "total_output_tokens": 50, "total_cached_tokens": 30,
                "total_tool_use_tokens": 9, "total_tokens": 159,
                "input_tokens_by_modality": [{"modality": "text", "tokens": 10}, {"modality": "audio", "tokens": 90}],
                "cached_tokens_by_modality": [{"modality": "audio", "tokens": 30}],
                "tool_use_tokens_by_modality": [{"tokens": 9, "modality": "image"}],
                "output_tokens_by_modality": [{"modality": "audio", "tokens": 50}]}),
            [[90, 30, 50], [9, 0, 0], none],
        ),
        of(
            "Interactions on Vertex",
            json!({"totalInputTokens": 100, "totalOutputTokens": 50, "totalCachedTokens": 30,
                "totalToolUseTokens": 9,
                "inputTokensByModality": [{"modality": "VIDEO", "tokens": 90}, {"modality": "TEXT", "tokens": 10}],
                "cachedTokensByModality": [{"modality": "VIDEO", "tokens": 25}, {"modality": "TEXT", "tokens": 5}],
                "toolUseTokensByModality": [{"tokens": 9, "modality": "TEXT"}],
                "outputTokensByModality": [{"modality": "IMAGE", "tokens": 50}]}),
            [none, [0, 0, 50], [90, 25, 0]],
        ),
        of(
            "Mistral's audio, with its tokens",
            json!({"prompt_audio_seconds": 12, "prompt_tokens": 3, "total_tokens": 419, "completion_tokens": 41,
                "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 375}, "service_tier": "standard"}),
            [[375, 0, 0], none, none],
        ),
        of(
            "Mistral's audio, whose tokens are in the total alone",
            json!({"prompt_audio_seconds": 203, "prompt_tokens": 4, "total_tokens": 3264, "completion_tokens": 635}),
            [[2625, 0, 0], none, none],
        ),
        of(
            "Mistral's audio, without a total",
            json!({"prompt_tokens": 8, "completion_tokens": 4, "prompt_audio_seconds": 3.5}),
            [[8, 0, 0], none, none],
        ),
        of(
            "Mistral's text",
            json!({"prompt_tokens": 13, "completion_tokens": 7, "total_tokens": 20, "prompt_audio_seconds": 0}),
            [none; 3],
        ),
        of(
            "Cohere's embeddings",
            json!({"billed_units": {"input_tokens": 2, "image_tokens": 512, "images": 1}}),
            [none, [512, 0, 0], none],
        ),
        (
            "Gemini",
            json!({"modelVersion": "m", "usageMetadata": {"promptTokenCount": 1000, "cachedContentTokenCount": 400,
                "candidatesTokenCount": 100, "thoughtsTokenCount": 50, "toolUsePromptTokenCount": 10,
                "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 200},
                    {"modality": "IMAGE", "tokenCount": 258}, {"tokenCount": 500, "modality": "AUDIO"},
                    {"modality": "DOCUMENT", "tokenCount": 42}],
                "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 300}, {"modality": "DOCUMENT", "tokenCount": 40},
                    {"modality": "TEXT", "tokenCount": 60}],
                "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 90}, {"modality": "TEXT", "tokenCount": 10}],
                "toolUsePromptTokensDetails": [{"modality": "AUDIO", "tokenCount": 10}]}}),
            [[510, 300, 0], [258, 0, 90], none],
        ),
        (
            "Gemini Live",
            json!({"usageMetadata": {"promptTokenCount": 300, "responseTokenCount": 60, "totalTokenCount": 360,
                "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 40}, {"modality": "VIDEO", "tokenCount": 260}],
                "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 60}]}}),
            [[40, 0, 60], none, [260, 0, 0]],
        ),
        (
            "Code Assist, two entries of one modality, one of none, and zeros",
            json!({"response": {"usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 5,
                "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 40}, {"modality": "AUDIO", "tokenCount": 60},
                    {"tokenCount": 7}, {"modality": "IMAGE"}, {"modality": "IMAGE", "tokenCount": 0}, {}],
                "candidatesTokensDetails": [{"modality": "MODALITY_UNSPECIFIED", "tokenCount": 5}]}}}),
            [[100, 0, 0], none, none],
        ),
    ]
}

#[test]
fn tokens_of_each_medium_are_found_in_every_known_form() {
    for (name, document, [audio, image, video]) in responses() {
        let expected = Media {
            audio: tokens(audio),
            image: tokens(image),
            video: tokens(video),
            unclear: false,
        };
        let text = document.to_string();
        let other_way = turned(&text);
        let events = format!("data: {{\"model\": \"m\"}}\n\ndata: {text}\n\ndata: {other_way}\n\n");
        for cut in (1..40).chain([text.len()]) {
            assert_eq!(usage(JSON, &text, cut).media, expected, "{name}");
            assert_eq!(usage(JSON, &other_way, cut).media, expected, "{name}");
            assert_eq!(usage(EVENTS, &events, cut).media, expected, "{name}");
        }
    }
}

#[test]
fn an_ambiguous_split_by_modality_is_unclear() {
    let unclear = |usage: Value| media(&json!({"usage": usage})).unclear;
    for (why, usage) in [
        (
            "more audio than input",
            json!({"prompt_tokens": 10, "prompt_tokens_details": {"audio_tokens": 11}}),
        ),
        (
            "more audio and images than output",
            json!({"prompt_tokens": 10, "completion_tokens": 9,
                "completion_tokens_details": {"audio_tokens": 5, "image_tokens": 5}}),
        ),
        (
            "more audio than output without reasoning",
            json!({"prompt_tokens": 10, "completion_tokens": 9,
                "completion_tokens_details": {"audio_tokens": 5, "reasoning_tokens": 5}}),
        ),
        (
            "cached tokens, of which some may be of audio",
            json!({"prompt_tokens": 10, "prompt_tokens_details": {"audio_tokens": 5, "cached_tokens": 1}}),
        ),
        (
            "the same, where only some have a modality",
            json!({"input_tokens": 10, "input_token_details": {"audio_tokens": 5, "cached_tokens": 4,
                "cached_tokens_details": {"text_tokens": 1, "audio_tokens": 2}}}),
        ),
        (
            "more cached audio than audio",
            json!({"input_tokens": 10, "input_token_details": {"audio_tokens": 1, "cached_tokens": 4,
                "cached_tokens_details": {"text_tokens": 2, "audio_tokens": 2}}}),
        ),
        (
            "some written into the cache",
            json!({"prompt_tokens": 10, "prompt_tokens_details": {"audio_tokens": 1, "cache_write_tokens": 1}}),
        ),
        (
            "a modality that nobody knows",
            json!({"total_input_tokens": 10, "input_tokens_by_modality": [{"modality": "smell", "tokens": 1}]}),
        ),
    ] {
        assert!(unclear(usage), "{why}");
    }
    for (why, usage) in [
        (
            "all text",
            json!({"prompt_tokens": 10, "prompt_tokens_details": {"audio_tokens": 0, "cached_tokens": 5}}),
        ),
        (
            "all of the audio is cached",
            json!({"input_tokens": 10, "input_token_details": {"audio_tokens": 5, "cached_tokens": 7,
                "cached_tokens_details": {"audio_tokens": 5}}}),
        ),
        (
            "none of a modality that nobody knows",
            json!({"total_input_tokens": 10, "input_tokens_by_modality": [{"modality": "smell", "tokens": 0}]}),
        ),
    ] {
        assert!(!unclear(usage), "{why}");
    }
}

/// From two turns of Gemini's Live API, and from gemini-2.5-flash-image for a picture with words.
#[test]
fn tokens_missing_from_lists_are_unclear_in_the_input_and_text_in_the_output() {
    let unclear = |usage: Value| media(&json!({"usageMetadata": usage})).unclear;
    let entry = |modality: &str, tokens: u64| json!({"modality": modality, "tokenCount": tokens});
    let spoken = |all: u64, listed: Vec<Value>| {
        json!({"promptTokenCount": all, "responseTokenCount": 42, "totalTokenCount": all + 42,
            "promptTokensDetails": listed, "responseTokensDetails": [entry("AUDIO", 42)]})
    };
    assert!(unclear(spoken(162, vec![entry("TEXT", 139)])));
    let both = || vec![entry("TEXT", 395), entry("AUDIO", 511)];
    assert!(unclear(spoken(1108, both())));
    assert!(!unclear(spoken(906, both())));
    assert!(!unclear(spoken(906, Vec::new())));
    // Tool results are in a list of their own, or in none.
    let mut with_tools = spoken(906, both());
    with_tools["toolUsePromptTokenCount"] = 20.into();
    assert!(!unclear(with_tools));
    assert!(!unclear(
        json!({"promptTokenCount": 12, "candidatesTokenCount": 1307,
            "promptTokensDetails": [entry("TEXT", 12)], "candidatesTokensDetails": [entry("IMAGE", 1290)]})
    ));
    // Everything is text, whatever a list leaves out.
    assert!(!unclear(
        json!({"promptTokenCount": 162, "candidatesTokenCount": 42, "promptTokensDetails": [entry("TEXT", 139)]})
    ));
}

#[test]
fn media_of_two_responses_are_added_up() {
    let one = Media {
        audio: tokens([1, 2, 3]),
        image: tokens([4, 5, 6]),
        video: tokens([7, 8, u64::MAX]),
        unclear: false,
    };
    let both = one.plus(&Media {
        unclear: true,
        ..one
    });
    assert_eq!(both.audio, tokens([2, 4, 6]));
    assert_eq!(both.image, tokens([8, 10, 12]));
    assert_eq!(both.video, tokens([14, 16, u64::MAX]));
    assert!(both.unclear && !one.plus(&one).unclear);
    let usage = Usage {
        media: one,
        ..Usage::default()
    };
    assert_eq!(usage.plus(&usage).media, one.plus(&one));
}

/// Documents that report parts of one response, and its expected media.
fn documents() -> impl Strategy<Value = (Vec<Value>, Media)> {
    let count = || 1_u64..1000;
    (proptest::array::uniform9(count()), any::<bool>()).prop_map(
        |([text, audio, cached, image, video, more_video, spoken, drawn, tools], reversed)| {
            let entry = |modality: &str, tokens: u64| json!({"modality": modality, "tokenCount": tokens});
            let mut list = vec![
                entry("TEXT", text),
                entry("VIDEO", video),
                entry("IMAGE", image),
                entry("VIDEO", more_video),
                entry("HOLOGRAM", 0),
            ];
            if reversed {
                list.reverse();
            }
            let input = text + audio + cached + image + video + more_video;
            let documents = vec![
                json!({"usage": {"input_tokens": input, "output_tokens": spoken + drawn + text}}),
                json!({"usage": {"input_token_details": {"audio_tokens": audio + cached,
                    "cached_tokens": cached + text,
                    "cached_tokens_details": {"audio_tokens": cached, "text_tokens": text}}}}),
                json!({"usage": {"output_token_details": {"audio_tokens": spoken}}}),
                json!({"usage": {"prompt_tokens_details": {"audio_tokens": 0, "image_tokens": null},
                    "completion_tokens_details": {"audio_tokens": 0}}}),
                json!({"usageMetadata": {"promptTokensDetails": list}}),
                json!({"usageMetadata": {"candidatesTokensDetails": [entry("IMAGE", drawn)],
                    "toolUsePromptTokensDetails": [entry("AUDIO", tools)], "toolUsePromptTokenCount": tools}}),
            ];
            let media = Media {
                audio: tokens([audio + cached + tools, cached, spoken]),
                image: tokens([image, 0, drawn]),
                video: tokens([video + more_video, 0, 0]),
                unclear: false,
            };
            (documents, media)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn media_do_not_depend_on_order_repetition_or_chunks(
        (shuffled, expected) in documents().prop_flat_map(|(documents, media)| {
            let twice: Vec<Value> = documents.iter().chain(&documents).cloned().collect();
            (Just(twice).prop_shuffle(), Just(media))
        }),
        cut in 1_usize..40,
        other_way in any::<bool>(),
    ) {
        let turn = |text: String| if other_way { turned(&text) } else { text };
        let events = shuffled
            .iter()
            .map(|event| format!("data: {event}\n\n"))
            .collect::<Vec<_>>()
            .concat();
        prop_assert_eq!(usage(EVENTS, &turn(events), cut).media, expected);
        let list = turn(Value::from(shuffled).to_string());
        prop_assert_eq!(usage(JSON, &list, cut).media, expected);
    }

    #[test]
    fn media_counts_never_overflow(
        counts in prop::collection::vec(prop_oneof![0_u64..50, Just(10_000_000_000)], 8),
    ) {
        let document = json!({"usage": {"prompt_tokens": counts[0], "completion_tokens": counts[1],
            "input_token_details": {"audio_tokens": counts[2], "image_tokens": counts[3], "cached_tokens": counts[4],
                "cached_tokens_details": {"audio_tokens": counts[5]}},
            "output_token_details": {"audio_tokens": counts[6]},
            "completion_tokens_details": {"reasoning_tokens": counts[7]}}});
        let usage = usage(JSON, &document.to_string(), 11);
        let Media { audio, image, unclear, .. } = usage.media;
        prop_assert!(unclear || audio.input + image.input <= usage.input, "{:?}", usage);
        prop_assert!(unclear || audio.cache_read <= usage.cache_read.min(audio.input), "{:?}", usage);
        prop_assert!(unclear || audio.output + usage.reasoning <= usage.output, "{:?}", usage);
    }
}
