//! Predicts from a request whether its response should report usage.
//!
//! Tokens are used when something is generated. The response to a GET was generated earlier, for
//! another request, and may be fetched repeatedly: it is never counted, unless a header may turn
//! the GET into a POST at the provider. A response generated in the background reports no usage to
//! the request that started it, and counts as unmetered. A WebSocket is opened with a GET, but its
//! responses are generated then: this module does not apply to it.

use memchr::{memchr, memrchr};

/// The expectation, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Expected {
    /// No usage that counts: the response shows something generated earlier.
    Nothing,
    /// Usage counts if the response reports any.
    Perhaps,
    /// Usage: the request made a model read or write something.
    Tokens,
}

/// The last path segments of operations that run a model, at one provider at least.
const GENERATING: [&str; 13] = [
    "completions",
    "messages",
    "responses",
    "embeddings",
    "embed",
    "chat",
    "generate",
    "generate_stream",
    "interactions",
    "converse",
    "converse-stream",
    "invoke",
    "invoke-with-response-stream",
];

/// Google's methods that run a model, which stand behind a colon in the last segment.
const METHODS: [&str; 4] = [
    "generateContent",
    "streamGenerateContent",
    "rawPredict",
    "streamRawPredict",
];

/// The collections whose endpoints run a model and report no usage: images and speech.
const WITHOUT_USAGE: [&str; 2] = ["images", "audio"];

/// Whether a POST to `target`, a path at the provider with or without a query, runs a model whose response may report no
/// usage.
pub(crate) fn runs_without_usage(target: &str) -> bool {
    let query = memchr(b'?', target.as_bytes()).unwrap_or(target.len());
    let path = target.get(..query).unwrap_or_default();
    let mut segments = path.split('/').rev().skip(1);
    segments
        .next()
        .is_some_and(|parent| is_among(&WITHOUT_USAGE, parent))
}

/// Returns whether `name` is in `names`, ignoring ASCII case as some providers do.
fn is_among(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Takes the last segment off a path; an empty one if none is left.
fn take_last<'p>(path: &mut &'p str) -> &'p str {
    let slash = memrchr(b'/', path.as_bytes());
    let (rest, segment) = match slash.and_then(|slash| path.split_at_checked(slash)) {
        Some((rest, segment)) => (rest, segment.get(1..).unwrap_or_default()),
        None => ("", *path),
    };
    *path = rest;
    segment
}

/// The expectation for the response to `method` on `target`, a path at the provider with or without
/// a query.
pub(crate) fn expected(method: &str, target: &str) -> Expected {
    let query = memchr(b'?', target.as_bytes()).unwrap_or(target.len());
    let path = target.get(..query).unwrap_or_default();
    let mut rest = path.trim_end_matches('/');
    let [last, parent, grandparent] = [(); 3].map(|()| take_last(&mut rest));
    // The response to a request that updates or cancels a stored object is the whole object, with
    // its earlier usage.
    let stored = match (grandparent, parent) {
        // OpenAI's ids begin so. A server that takes any path behind its endpoint runs the model.
        ("chat", "completions") => last.starts_with("chatcmpl"),
        (_, "runs" | "batches") => true,
        _ => false,
    };
    // A deployment may have the same name as a collection.
    let stored = stored && !is_among(&GENERATING, last);
    let cancels = last == "cancel" && !is_among(&GENERATING, parent);
    if method != "POST" || cancels || stored {
        return Expected::Nothing;
    }
    let method = last.rsplit_once(':').map(|(_, method)| method);
    let generates = match method {
        Some(method) => is_among(&METHODS, method),
        // A message posted to a thread is stored; a model reads it later.
        None => is_among(&GENERATING, last) && grandparent != "threads",
    };
    if generates {
        Expected::Tokens
    } else {
        Expected::Perhaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_responses_are_not_expected_to_report_usage() {
        for (method, target) in [
            ("GET", "/v1/responses/resp_1"),
            ("GET", "/v1/responses/resp_1?stream=true"),
            ("GET", "/v1/batches/batch_1"),
            ("GET", "/v1/chat/completions"),
            ("HEAD", "/v1/messages"),
            ("DELETE", "/v1/responses/resp_1"),
            ("POST", "/v1/responses/resp_1/cancel"),
            ("POST", "/v1/batches/batch_1/cancel"),
            ("POST", "/v1/chat/completions/chatcmpl-1"),
            ("POST", "/v1/threads/thread_1/runs/run_1"),
        ] {
            assert_eq!(
                expected(method, target),
                Expected::Nothing,
                "{method} {target}"
            );
        }
    }

    #[test]
    fn generating_requests_are_expected_to_report_usage() {
        for target in [
            "/v1/chat/completions",
            "/v1/messages?beta=true",
            "/openai/deployments/d/Chat/Completions",
            "/v1/responses/",
            "/openai/deployments/d/embeddings?api-version=1",
            "/openai/deployments/batches/embeddings",
            "/openai/deployments/runs/chat/completions",
            "/v1beta/models/gemini-3:streamGenerateContent?alt=sse",
            "/v1internal:generateContent",
            "/v1beta/interactions",
            "/v2/chat",
            "/api/generate",
            "/model/x/converse",
        ] {
            assert_eq!(expected("POST", target), Expected::Tokens, "{target}");
        }
        for target in [
            "/v1/messages/count_tokens",
            "/v1/messages/batches",
            "/v1/audio/transcriptions",
            "/v1/threads/thread_1/messages",
            "/v1/threads/thread_1/runs",
            "/v1beta/models/gemini-3:countTokens",
            "/",
            "",
        ] {
            assert_eq!(expected("POST", target), Expected::Perhaps, "{target}");
        }
    }
}
