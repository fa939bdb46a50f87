//! The cost of responses with audio, images and video, compared with the providers' price pages.

use serde_json::{Value, json};

use crate::support::command::{keygate, text as printed};
use crate::support::gateway::{simple, tokens};
use crate::support::provider::echo_json as echo;
use crate::support::websocket::{connect, take_turn, taking_turns, text};
use crate::support::{Gateway, KEY, Provider, Scene};

const UNPRICED: &str = "keygate_unpriced_answers_total{provider=\"p\",route=\"r\"}";

/// From the price pages of OpenAI and Google, in 2026.
const PRICES: &str = r#"
[[price]]
model = "gpt-realtime"
input = "4.00"
cache_read = "0.40"
output = "16.00"
audio_input = "32.00"
audio_cache_read = "0.40"
audio_output = "64.00"
image_input = "5.00"
image_cache_read = "0.50"

[[price]]
model = "gpt-audio"
input = "2.50"
output = "10.00"
audio_input = "32.00"
audio_output = "64.00"

[[price]]
model = "gemini-2.5-flash"
input = "0.30"
cache_read = "0.03"
output = "2.50"
audio_input = "1.00"
audio_cache_read = "0.10"

[[price]]
model = "gemini-2.5-flash-image"
input = "0.30"
output = "2.50"
image_output = "30.00"

[[price]]
model = ["text-only", "gpt-4o"]
input = "2.50"
cache_read = "1.25"
output = "10.00"
"#;

fn gateway(provider: &Provider, route: &str) -> Gateway {
    let usage = "\n[usage]\nprices = \"prices.toml\"\n";
    let config = simple(&provider.url(), "", route) + usage;
    let scene = Scene::new(&config).key("alice", "secret", "");
    scene.write("prices.toml", PRICES);
    scene.start()
}

/// The costs that `keygate usage` computes from the access lines.
fn recomputed_cost(gateway: &Gateway, lines: &[Value]) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let scene = &gateway.scene;
    scene.write("log.json", &lines);
    let path = |name: &str| scene.path(name).display().to_string();
    let (prices, log) = (path("prices.toml"), path("log.json"));
    let output = keygate(&["usage", "--json", "--prices", &prices, &log]);
    let sums: Value = serde_json::from_str(printed(&output.stdout)).unwrap();
    sums[0]["cost"]["USD"].as_str().unwrap_or("none").to_owned()
}

#[test]
fn a_realtime_session_costs_what_its_text_its_audio_and_its_images_cost() {
    let spoken = json!({"type": "response.done", "response": {"id": "resp_1", "usage": {
        "total_tokens": 1300, "input_tokens": 1000, "output_tokens": 300,
        "input_token_details": {"text_tokens": 400, "audio_tokens": 500, "image_tokens": 100,
            "cached_tokens": 300,
            "cached_tokens_details": {"text_tokens": 200, "audio_tokens": 100, "image_tokens": 0}},
        "output_token_details": {"text_tokens": 50, "audio_tokens": 250}}}});
    let written = json!({"type": "response.done", "response": {"id": "resp_2", "usage": {
        "total_tokens": 15, "input_tokens": 10, "output_tokens": 5,
        "input_token_details": {"text_tokens": 10, "audio_tokens": 0, "cached_tokens": 0},
        "output_token_details": {"text_tokens": 5, "audio_tokens": 0}}}});
    let turns = vec![text(&spoken.to_string()), text(&written.to_string())];
    let provider = taking_turns("", turns.clone());
    let gateway = gateway(&provider, "websocket = true");
    let mut client = connect(&gateway, "/p/v1/realtime?model=gpt-realtime", "");
    turns.iter().for_each(|turn| take_turn(&mut client, turn));
    drop(client);
    let line = &gateway.access_lines(1)[0];
    // 200 x 4 + 200 x 0.40 + 400 x 32 + 100 x 0.40 + 100 x 5 + 50 x 16 + 250 x 64, and 10 x 4 + 5 x 16, in millionths.
    assert_eq!(line["cost"], "0.03114", "{line}");
    for (name, count) in [
        ("input_audio_tokens", 500),
        ("cache_read_audio_tokens", 100),
        ("output_audio_tokens", 250),
        ("input_image_tokens", 100),
    ] {
        assert_eq!(line[name], count, "{name} in {line}");
    }
    assert!(line.get("cache_read_image_tokens").is_none(), "{line}");
    let kinds = ["input_audio", "cache_read_audio", "output_audio"];
    let counted = kinds.map(|kind| tokens(&gateway, kind));
    assert_eq!(counted, [500, 100, 250]);
    assert_eq!(
        recomputed_cost(&gateway, std::slice::from_ref(line)),
        "0.03114"
    );
}

#[test]
fn a_chat_completion_with_audio_costs_what_its_text_and_its_audio_cost() {
    let provider = echo();
    let gateway = gateway(&provider, "");
    let spoken = json!({"model": "gpt-audio", "usage": {"prompt_tokens": 120, "completion_tokens": 230,
        "total_tokens": 350,
        "prompt_tokens_details": {"cached_tokens": 0, "text_tokens": 20, "audio_tokens": 100, "image_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 180, "text_tokens": 50}}});
    for path in ["/p/v1/chat/completions", "/p/streamed/v1/chat/completions"] {
        gateway.request("POST", path, &KEY, spoken.to_string().as_bytes());
    }
    let lines = gateway.access_lines(2);
    for line in &lines {
        // 20 x 2.50 + 100 x 32 + 50 x 10 + 180 x 64
        assert_eq!(line["cost"], "0.01527", "{line}");
    }
    assert_eq!(recomputed_cost(&gateway, &lines), "0.03054");
}

#[test]
fn a_gemini_response_costs_what_its_modalities_cost_in_any_order() {
    let provider = echo();
    let gateway = gateway(&provider, "");
    let entry = |modality: &str, count: u32, turned: bool| {
        if turned {
            format!("{{\"tokenCount\":{count},\"modality\":\"{modality}\"}}")
        } else {
            format!("{{\"modality\":\"{modality}\",\"tokenCount\":{count}}}")
        }
    };
    let body = |turned: bool| {
        let list = |name: &str, entries: &[(&str, u32)]| {
            let mut entries: Vec<String> = entries
                .iter()
                .map(|(modality, count)| entry(modality, *count, turned))
                .collect();
            if turned {
                entries.reverse();
            }
            format!("\"{name}\":[{}]", entries.join(","))
        };
        let mut members = vec![
            "\"promptTokenCount\":1000".to_owned(),
            "\"cachedContentTokenCount\":400".to_owned(),
            "\"candidatesTokenCount\":100".to_owned(),
            "\"thoughtsTokenCount\":50".to_owned(),
            "\"toolUsePromptTokenCount\":10".to_owned(),
            "\"totalTokenCount\":1160".to_owned(),
            list(
                "promptTokensDetails",
                &[
                    ("TEXT", 200),
                    ("IMAGE", 258),
                    ("AUDIO", 500),
                    ("DOCUMENT", 42),
                ],
            ),
            list("cacheTokensDetails", &[("AUDIO", 300), ("TEXT", 100)]),
            list("candidatesTokensDetails", &[("TEXT", 100)]),
            list("toolUsePromptTokensDetails", &[("TEXT", 10)]),
        ];
        if turned {
            members.reverse();
        }
        let members = members.join(",");
        format!("{{\"modelVersion\":\"gemini-2.5-flash\",\"usageMetadata\":{{{members}}}}}")
    };
    for turned in [false, true] {
        for path in [
            "/p/m:generateContent",
            "/p/streamed/m:streamGenerateContent",
        ] {
            gateway.request("POST", path, &KEY, body(turned).as_bytes());
        }
    }
    let drawn = json!({"modelVersion": "gemini-2.5-flash-image", "usageMetadata": {"promptTokenCount": 100,
        "candidatesTokenCount": 1300, "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290},
        {"modality": "TEXT", "tokenCount": 10}]}});
    gateway.request(
        "POST",
        "/p/m:generateContent",
        &KEY,
        drawn.to_string().as_bytes(),
    );
    let lines = gateway.access_lines(5);
    for line in &lines[..4] {
        // 200 x 1.00 + 300 x 0.10 + 100 x 0.03 + 410 x 0.30 + 150 x 2.50
        assert_eq!(line["cost"], "0.000731", "{line}");
        assert_eq!(line["input_audio_tokens"], 500, "{line}");
    }
    // 100 x 0.30 + 10 x 2.50 + 1290 x 30
    assert_eq!(lines[4]["cost"], "0.038755", "{}", lines[4]);
    assert_eq!(recomputed_cost(&gateway, &lines), "0.041679");
}

#[test]
fn audio_without_a_price_has_no_cost_and_input_images_cost_as_text() {
    let provider = echo();
    let gateway = gateway(&provider, "");
    let cases = [
        (json!({"audio_tokens": 1}), None),
        (
            json!({"image_tokens": 600, "video_tokens": 100, "cached_tokens": 100}),
            Some("0.002475"),
        ),
        (
            json!({"audio_tokens": 0, "cached_tokens": 0}),
            Some("0.0026"),
        ),
    ];
    for (number, (details, cost)) in cases.into_iter().enumerate() {
        let body = json!({"model": "text-only",
            "usage": {"prompt_tokens": 1000, "completion_tokens": 10, "prompt_tokens_details": details}});
        gateway.request(
            "POST",
            "/p/v1/chat/completions",
            &KEY,
            body.to_string().as_bytes(),
        );
        let line = &gateway.access_lines(number + 1)[number];
        assert_eq!(line.get("cost").and_then(Value::as_str), cost, "{line}");
    }
    assert_eq!(gateway.count(UNPRICED), 1);
}

#[test]
fn usage_that_is_incomplete_or_billed_otherwise_has_no_cost_and_a_reason_in_the_line() {
    let provider = echo();
    let gateway = gateway(&provider, "");
    let entry = |modality: &str, count: u32| json!({"modality": modality, "tokenCount": count});
    let usage = json!({"input_tokens": 1000, "output_tokens": 10, "total_tokens": 1010});
    let cases = [
        // Gemini's Live API leaves the last message out of the details.
        (
            json!({"modelVersion": "gemini-2.5-flash", "usageMetadata": {"promptTokenCount": 1108,
                "candidatesTokenCount": 20, "promptTokensDetails": [entry("TEXT", 395), entry("AUDIO", 511)]}}),
            None,
            ("media_unclear", json!(true)),
        ),
        // OpenAI's Responses that called another model, or searched the web.
        (
            json!({"model": "gpt-4o", "usage": usage, "tool_usage": {"web_search": {"num_requests": 0},
                "image_gen": {"input_tokens": 30, "output_tokens": 196, "total_tokens": 226}}}),
            None,
            ("other_models", json!(true)),
        ),
        (
            json!({"model": "gpt-4o", "usage": usage, "tool_usage": {"web_search": {"num_requests": 2},
                "image_gen": {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}}}),
            None,
            ("searches", json!(2)),
        ),
        // Mistral's transcriptions, which are billed by the second.
        (
            json!({"model": "text-only", "usage": {"prompt_audio_seconds": 203, "prompt_tokens": 4,
                "total_tokens": 3264, "completion_tokens": 635}}),
            None,
            ("input_audio_tokens", json!(2625)),
        ),
        // 20 x 2.50 + 80 x 32 + 38 x 10 + 47 x 64
        (
            json!({"model": "gpt-audio", "usage": {"total_tokens": 185, "input_tokens": 100, "output_tokens": 85,
                "input_tokens_details": {"text_tokens": 20, "audio_tokens": 80},
                "output_tokens_details": {"reasoning_tokens": 38, "text_tokens": 0, "audio_tokens": 47}}}),
            Some("0.005998"),
            ("output_audio_tokens", json!(47)),
        ),
    ];
    let mut seen = 0;
    for (body, cost, (name, value)) in cases {
        for path in ["/p/v1/responses", "/p/streamed/v1/responses"] {
            gateway.request("POST", path, &KEY, body.to_string().as_bytes());
            seen += 1;
            let line = &gateway.access_lines(seen)[seen - 1];
            assert_eq!(line.get("cost").and_then(Value::as_str), cost, "{line}");
            assert_eq!(line[name], value, "{line}");
        }
    }
    assert_eq!(gateway.count(UNPRICED), 8);
    assert_eq!(
        recomputed_cost(&gateway, &gateway.access_lines(seen)),
        "0.011996"
    );
}
