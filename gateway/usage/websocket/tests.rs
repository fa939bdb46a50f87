//! Tests: the meter counts each response of a WebSocket, wherever its messages are cut.

use proptest::prelude::*;

use super::*;
use crate::wire::websocket::tests::frame;

/// What a meter reports about a connection: the tokens and the model of each response that ended,
/// the counts, and the number of unmetered responses.
type Read = (Vec<Ended>, WebSocketCounts, u64);
type Ended = (Option<(u64, u64)>, Option<String>);

fn text(message: &str) -> Vec<u8> {
    frame(0x81, message.as_bytes(), None)
}

fn take(meter: &mut WebSocketMeter, bytes: &[u8], cut: usize) -> Vec<Ended> {
    let mut seen = Vec::new();
    for chunk in bytes.chunks(cut) {
        meter.read_provider(chunk, |response| {
            let tokens = response.usage.map(|usage| (usage.input, usage.output));
            seen.push((tokens, response.model.map(str::to_owned)));
        });
    }
    seen
}

fn read(target: &str, messages: &[&str], cut: usize) -> Read {
    let bytes: Vec<u8> = messages.iter().flat_map(|message| text(message)).collect();
    let mut meter = WebSocketMeter::new(target);
    let seen = take(&mut meter, &bytes, cut);
    assert!(!meter.is_unreadable());
    (seen, meter.counts(), meter.counts().unmetered())
}

fn has_usage(input: u64, output: u64, model: &str) -> Ended {
    (Some((input, output)), Some(model.to_owned()))
}

const REALTIME: [&str; 7] = [
    r#"{"type":"session.created","session":{"type":"realtime","model":"gpt-realtime","audio":{"input":{"transcription":{"model":"gpt-4o-transcribe"}}}}}"#,
    r#"{"type":"response.created","response":{"id":"resp_1","status":"in_progress","usage":null}}"#,
    r#"{"type":"response.output_audio.delta","delta":"UklGR\u0041=="}"#,
    r#"{"type":"rate_limits.updated","rate_limits":[{"name":"tokens","limit":50000,"remaining":49950}]}"#,
    r#"{"type":"conversation.item.input_audio_transcription.completed","transcript":"hi","usage":{"type":"tokens","total_tokens":22,"input_tokens":13,"output_tokens":9}}"#,
    r#"{"type":"response.done","response":{"id":"resp_1","status":"completed","usage":{"total_tokens":253,"input_tokens":132,"output_tokens":121,"input_token_details":{"cached_tokens":64}}}}"#,
    r#"{"type":"response.done","response":{"id":"resp_2","status":"cancelled","usage":{"total_tokens":15,"input_tokens":10,"output_tokens":5}}}"#,
];

const RESPONSES: [&str; 6] = [
    r#"{"type":"codex.rate_limits","plan_type":"pro"}"#,
    r#"{"type":"response.created","response":{"id":"resp_1","model":"gpt-5.5","usage":null}}"#,
    // The total so far of an unfinished response is not counted.
    r#"{"type":"response.in_progress","response":{"model":"gpt-5.5","usage":{"input_tokens":1000,"output_tokens":1}}}"#,
    r#"{"type":"response.output_text.delta","delta":"{\"usage\":{\"input_tokens\":7}}"}"#,
    r#"{"type":"response.completed","response":{"id":"resp_1","model":"gpt-5.5-2026","usage":{"input_tokens":1000,"output_tokens":500}}}"#,
    r#"{"type":"response.completed","response":{"id":"resp_2","model":"gpt-5.5-2026","usage":{"input_tokens":0,"output_tokens":0}}}"#,
];

const SILENT: &str = r#"{"type":"response.completed","response":{"id":"resp_1","usage":null}}"#;

const WORD: &str = r#"{"type":"conversation.item.input_audio_transcription.delta","delta":"hi"}"#;
const SECONDS: &str = r#"{"type":"conversation.item.input_audio_transcription.completed","usage":{"type":"duration","seconds":1.5}}"#;

const GEMINI: [&str; 4] = [
    r#"{"setupComplete":{}}"#,
    r#"{"serverContent":{"modelTurn":{"parts":[{"text":"hi"}]}}}"#,
    r#"{"serverContent":{"turnComplete":true},"usageMetadata":{"promptTokenCount":143,"responseTokenCount":19,"totalTokenCount":162}}"#,
    r#"{"serverContent":{"turnComplete":true},"usageMetadata":{"promptTokenCount":181,"responseTokenCount":24,"totalTokenCount":205}}"#,
];

#[test]
fn usage_is_read_per_response_wherever_the_bytes_are_cut() {
    for cut in (1..40).chain([usize::MAX]) {
        let (seen, counts, unmetered) = read("/v1/realtime?model=requested", &REALTIME, cut);
        let expected = [
            has_usage(13, 9, "gpt-4o-transcribe"),
            has_usage(132, 121, "gpt-realtime"),
            has_usage(10, 5, "gpt-realtime"),
        ];
        assert_eq!((&*seen, counts.responses, unmetered), (&expected[..], 3, 0));
        let (seen, counts, unmetered) = read("/v1/responses", &RESPONSES, cut);
        // An empty response, which warms up the connection.
        let expected = [
            has_usage(1000, 500, "gpt-5.5-2026"),
            has_usage(0, 0, "gpt-5.5-2026"),
        ];
        assert_eq!((&*seen, counts.responses, unmetered), (&expected[..], 2, 0));
        let (seen, counts, unmetered) = read("/ws/x?alt=json", &GEMINI, cut);
        let expected = [(Some((143, 19)), None), (Some((181, 24)), None)];
        assert_eq!((&*seen, counts.responses, unmetered), (&expected[..], 2, 0));
    }
}

#[test]
fn a_response_without_tokens_and_one_that_did_not_end_are_unmetered() {
    for (messages, unmetered) in [
        (&REALTIME[..1], 0),
        (&REALTIME[..3], 1),
        (&RESPONSES[..4], 1),
        (&[REALTIME[1], RESPONSES[1], REALTIME[6]], 1),
        // A transcription beside a response is not a response.
        (&[REALTIME[1], REALTIME[2], SECONDS], 1),
        (&[REALTIME[1], REALTIME[2], SECONDS, REALTIME[5]], 0),
        (&[REALTIME[1], REALTIME[2], SECONDS, SILENT], 1),
        (&[WORD, SECONDS], 0),
        (&[REALTIME[1], SILENT], 0),
        (&[REALTIME[1], RESPONSES[2], SILENT], 0),
        (&[REALTIME[1], RESPONSES[3], SILENT], 1),
        (&[RESPONSES[3], REALTIME[5], SILENT], 0),
        (&[r#"{"type":"transcription.text.delta","text":"hi"}"#], 1),
        (
            &[
                r#"{"type":"transcription.text.delta","text":"hi"}"#,
                r#"{"type":"transcription.done","model":"voxtral","usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}"#,
            ],
            0,
        ),
        // Messages of an unknown form after a first one.
        (&["hello"], 0),
        (&["hello", "RIFF"], 1),
        (&GEMINI[..2], 1),
        (&GEMINI[..3], 0),
    ] {
        assert_eq!(
            read("/v1/responses", messages, 5).2,
            unmetered,
            "{messages:?}"
        );
    }
}

#[test]
fn errors_and_malformed_counts_are_counted() {
    let messages = [
        r#"{"type":"error","status":400,"error":{"type":"invalid_request_error"}}"#,
        r#"{"type":"response.failed","response":{"error":{"code":"server_error"},"usage":null}}"#,
        r#"{"type":"response.completed","response":{"error":null,"usage":{"input_tokens":-1,"output_tokens":5}}}"#,
    ];
    let (seen, counts, unmetered) = read("/v1/responses", &messages, 3);
    assert_eq!((counts.errors, counts.malformed), (2, 1));
    assert_eq!(seen, [(None, None), (Some((0, 5)), None)]);
    assert_eq!(unmetered, 0);
}

/// The model of a response that does not name one, after these messages of the client.
fn model(target: &str, client: &[&str]) -> Option<String> {
    let mut meter = WebSocketMeter::new(target);
    for message in client {
        let bytes = frame(0x82, message.as_bytes(), Some([0x12, 0x34, 0x56, 0x78]));
        bytes.chunks(3).for_each(|chunk| meter.read_client(chunk));
    }
    take(&mut meter, &text(GEMINI[2]), 100).remove(0).1
}

#[test]
fn the_requested_model_is_used_if_the_provider_names_none() {
    let setup = r#"{"setup":{"model":"models/gemini-live"}}"#;
    let create = r#"{"type":"response.create","model":"gpt-5.5","input":[]}"#;
    for (target, client, expected) in [
        ("/v1/realtime?a=1&model=m", &[][..], Some("m")),
        ("/openai/realtime?deployment=d", &[], Some("d")),
        ("/v1/realtime?model=", &[], None),
        ("/v1/realtime?model=gpt%2D4o%2d%61", &[], Some("gpt-4o-a")),
        ("/v1/realtime?x%25=1&%6Dodel=a%2Fb", &[], Some("a/b")),
        ("/v1/realtime?model=a%", &[], Some("a%")),
        ("/v1/realtime?model=%4&a", &[], Some("%4")),
        ("/v1/realtime?model=%zz%+1%2", &[], Some("%zz%+1%2")),
        ("/v1/realtime?model=%ff", &[], Some("%ff")),
        ("/v1/realtime?model=mod%C3%A8le", &[], Some("mod\u{e8}le")),
        (
            &format!("/v1/realtime?model={}", "m".repeat(129)),
            &[],
            None,
        ),
        (
            &format!("/v1/realtime?model={}", "%6d".repeat(128)),
            &[],
            Some(&"m".repeat(128)),
        ),
        ("/ws/bidi", &[setup], Some("gemini-live")),
        ("/v1/responses", &["{}", create], Some("gpt-5.5")),
        ("/v1/responses", &[], None),
    ] {
        assert_eq!(model(target, client).as_deref(), expected, "{target}");
    }
}

#[test]
fn an_unreadable_message_is_reported_and_later_responses_count() {
    let mut meter = WebSocketMeter::new("/v1/responses");
    let compressed = frame(0xc1, b"\xaa\x56\x4a", None);
    let bytes = [compressed, text(RESPONSES[4])].concat();
    assert_eq!(take(&mut meter, &bytes, 1).len(), 1);
    assert!(meter.is_unreadable());
}

#[test]
fn a_connection_takes_little_memory() {
    assert!(
        size_of::<WebSocketMeter>() < 1500,
        "{}",
        size_of::<WebSocketMeter>()
    );
}

proptest! {
    /// The messages of a conversation, in any fragments and with pings between them, give the same
    /// counts.
    #[test]
    fn any_fragments_and_any_control_frames_between_them_give_the_same_counts(
        picked in prop::collection::vec((0..17_usize, 1..90_usize, any::<bool>()), 0..12),
        cut in 1..300_usize,
    ) {
        let all = [&REALTIME[..], &RESPONSES, &GEMINI].concat();
        let messages: Vec<&str> = picked.iter().map(|(at, ..)| all[*at]).collect();
        let mut bytes = Vec::new();
        for (message, (_, size, pings)) in messages.iter().zip(&picked) {
            let fragments = message.as_bytes().chunks(*size);
            let last = fragments.len() - 1;
            for (at, fragment) in fragments.enumerate() {
                let opcode = u8::from(at == 0);
                let end = if at == last { 0x80 } else { 0 };
                bytes.extend(frame(opcode | end, fragment, None));
                if *pings {
                    bytes.extend(frame(0x89, b"{\"usage\":{\"input_tokens\":1}}", None));
                }
            }
        }
        let mut meter = WebSocketMeter::new("/v1/realtime");
        let seen = take(&mut meter, &bytes, cut);
        let expected = read("/v1/realtime", &messages, usize::MAX);
        prop_assert_eq!((seen, meter.counts(), meter.counts().unmetered()), expected);
    }
}
