//! What a response is expected to say of tokens, by its request.
//!
//! Tokens are used when something is made. What a GET brings was made earlier, for another request, and may be asked for
//! again and again: it is never counted, unless a header may make a POST of it at the provider. A response that is made
//! in the background says no tokens to the request that began it, and is counted as unmetered. What comes over a
//! WebSocket, which a GET asks for, is made then: it is none of these.

/// What is expected, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Expected {
    /// Nothing that counts: the response shows what was made earlier.
    Nothing,
    /// Tokens, where the response says any.
    Perhaps,
    /// Tokens: the request had a model read or write something.
    Tokens,
}

/// The last segments of paths on which a model reads or writes, at one provider at least.
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

/// The same behind a colon, as Google has them.
const METHODS: [&str; 4] = [
    "generateContent",
    "streamGenerateContent",
    "rawPredict",
    "streamRawPredict",
];

/// Whether `name` is among `names` to a provider that tells no capital letters from small ones.
fn is_among(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// What is expected of a response to `method` on `target`, a path at the provider, with or without a query.
pub fn expected(method: &str, target: &str) -> Expected {
    let path = target.split('?').next().unwrap_or_default();
    let mut segments = path.trim_end_matches('/').rsplit('/');
    let [last, parent, grandparent] = [(); 3].map(|()| segments.next().unwrap_or_default());
    // Requests that change what is stored, or end what was begun, are answered with all of it.
    let stored = matches!(
        (grandparent, parent),
        ("chat", "completions") | (_, "runs" | "batches")
    );
    // A deployment may be called as a collection is.
    let stored = stored && !is_among(&GENERATING, last);
    if method != "POST" || last == "cancel" || stored {
        return Expected::Nothing;
    }
    let method = last.rsplit_once(':').map(|(_, method)| method);
    let generates = match method {
        Some(method) => is_among(&METHODS, method),
        // A message of a thread is stored and read later.
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
    fn what_was_made_earlier_is_expected_to_say_nothing() {
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
    fn a_model_at_work_is_expected_to_say_what_it_took() {
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
