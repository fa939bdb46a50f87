//! A small provider for `keygate demo` and for tests: JSON and SSE as OpenAI has them, on loopback, behind a token.
//!
//! Its responses contain the credential that it received, to show that it was not the client's.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use pingora::http::ResponseHeader;
use pingora_core::Result;
use pingora_core::apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream};
use pingora_core::protocols::http::ServerSession;
use pingora_core::server::ShutdownWatch;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The largest body that it keeps, in bytes. The rest is read and dropped.
const MAX_BODY: usize = 8 << 20;
/// The name of its model.
const MODEL: &str = "sandbox-1";
/// The length of its embeddings.
const DIMENSIONS: usize = 8;

/// A provider that accepts one token.
pub struct Sandbox {
    token: String,
    pace: Duration,
}

/// A request as far as the sandbox reads it.
struct Request {
    method: String,
    path: String,
    /// The value of `Authorization`.
    credential: Option<String>,
    /// The names of all headers.
    headers: Vec<String>,
    body: Value,
}

impl Request {
    /// The model that the request names, whatever it is.
    fn model(&self) -> &str {
        let named = self.body.get("model").and_then(Value::as_str);
        named.unwrap_or(MODEL)
    }

    /// Whether the body has `true` at a JSON pointer.
    fn is(&self, pointer: &str) -> bool {
        self.body.pointer(pointer) == Some(&Value::Bool(true))
    }
}

impl Sandbox {
    /// Accepts `Authorization: Bearer` with `token`, and waits for `pace` between the events of a stream.
    pub fn new(token: String, pace: Duration) -> Self {
        Self { token, pace }
    }

    async fn serve(&self, session: &mut ServerSession) -> Result<()> {
        let request = read(session).await?;
        if request.credential.as_deref() != Some(&format!("Bearer {}", self.token)) {
            let error = error(
                "Incorrect API key provided to the sandbox.",
                "invalid_api_key",
            );
            return write_json(session, 401, &error).await;
        }
        let (status, response) = match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/v1/chat/completions") => {
                if request.is("/stream") {
                    return self.stream(session, &request).await;
                }
                (200, completion(&request))
            }
            // The lab tests access with a bare GET.
            ("GET" | "HEAD", "/v1/chat/completions") => (
                200,
                json!({"object": "sandbox", "sandbox": received(&request)}),
            ),
            ("POST", "/v1/embeddings") => (200, embeddings(&request)),
            ("GET", "/v1/models") => (200, json!({"object": "list", "data": [model()]})),
            ("GET", "/v1/models/sandbox-1") => (200, model()),
            _ => (
                404,
                error(
                    "The sandbox has chat/completions, embeddings and models.",
                    "not_found",
                ),
            ),
        };
        write_json(session, status, &response).await
    }

    async fn stream(&self, session: &mut ServerSession, request: &Request) -> Result<()> {
        let mut head = ResponseHeader::build(200, Some(4))?;
        head.insert_header(CONTENT_TYPE, "text/event-stream; charset=utf-8")?;
        head.insert_header(CACHE_CONTROL, "no-cache")?;
        session.write_response_header(Box::new(head)).await?;
        let text = reply(request);
        let with_usage = request.is("/stream_options/include_usage");
        let chunk = |choices: Value, usage: Value| {
            let mut chunk = json!({
                "id": "chatcmpl-sandbox", "object": "chat.completion.chunk", "created": 1_764_000_000,
                "model": request.model(), "choices": choices,
            });
            // As in OpenAI's API, the member is there only if the request wants usage.
            if let Some(map) = chunk.as_object_mut().filter(|_| with_usage) {
                map.insert("usage".to_owned(), usage);
            }
            chunk
        };
        let delta = |delta: Value, finish: Value| {
            chunk(
                json!([{"index": 0, "delta": delta, "finish_reason": finish}]),
                Value::Null,
            )
        };
        let mut events = vec![delta(
            json!({"role": "assistant", "content": ""}),
            Value::Null,
        )];
        events.extend(
            text.split_inclusive(' ')
                .map(|word| delta(json!({"content": word}), Value::Null)),
        );
        events.push(delta(json!({}), json!("stop")));
        if with_usage {
            events.push(chunk(json!([]), usage(request, &text)));
        }
        for event in events {
            session
                .write_response_body(Bytes::from(format!("data: {event}\n\n")), false)
                .await?;
            tokio::time::sleep(self.pace).await;
        }
        session
            .write_response_body(Bytes::from_static(b"data: [DONE]\n\n"), true)
            .await
    }
}

async fn read(session: &mut ServerSession) -> Result<Request> {
    let mut body = Vec::new();
    while let Some(chunk) = session.read_request_body().await? {
        if body.len() + chunk.len() <= MAX_BODY {
            body.extend_from_slice(&chunk);
        }
    }
    let head = session.req_header();
    let credential = head
        .headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    Ok(Request {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        credential: credential.map(str::to_owned),
        headers: head.headers.keys().map(ToString::to_string).collect(),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    })
}

async fn write_json(session: &mut ServerSession, status: u16, response: &Value) -> Result<()> {
    let body = Bytes::from(response.to_string());
    let mut head = ResponseHeader::build(status, Some(4))?;
    head.insert_header(CONTENT_TYPE, "application/json")?;
    head.insert_header(CONTENT_LENGTH, body.len())?;
    session.write_response_header(Box::new(head)).await?;
    if session.req_header().method == http::Method::HEAD {
        return Ok(());
    }
    session.write_response_body(body, true).await
}

fn error(message: &str, code: &str) -> Value {
    json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": code}})
}

fn received(request: &Request) -> Value {
    json!({"authorization": request.credential, "headers": request.headers})
}

/// The text of the last message, or of `inputs` as in Hugging Face's old API.
fn question(request: &Request) -> &str {
    let last = request
        .body
        .get("messages")
        .and_then(Value::as_array)
        .and_then(|all| all.last());
    last.and_then(|message| message.get("content")?.as_str())
        .or_else(|| request.body.get("inputs")?.as_str())
        .unwrap_or_default()
}

fn reply(request: &Request) -> String {
    format!(
        "Hello from the sandbox. The credential that reached me was \"{}\". You said: {}",
        request.credential.as_deref().unwrap_or("none"),
        question(request),
    )
}

/// Counts one token a word, so that sums can be checked by hand.
fn usage(request: &Request, text: &str) -> Value {
    let input = question(request).split_whitespace().count();
    let output = text.split_whitespace().count();
    json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output})
}

fn completion(request: &Request) -> Value {
    let text = reply(request);
    json!({
        "id": "chatcmpl-sandbox", "object": "chat.completion", "created": 1_764_000_000, "model": request.model(),
        "choices": [{
            "index": 0, "finish_reason": "stop", "logprobs": null,
            "message": {"role": "assistant", "content": text, "refusal": null},
        }],
        "usage": usage(request, &text),
        "sandbox": received(request),
    })
}

fn embeddings(request: &Request) -> Value {
    let inputs: Vec<&str> = match request.body.get("input") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let words: usize = inputs
        .iter()
        .map(|text| text.split_whitespace().count())
        .sum();
    let data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(i, text)| json!({"object": "embedding", "index": i, "embedding": vector(text)}))
        .collect();
    json!({
        "object": "list", "data": data, "model": request.model(),
        "usage": {"prompt_tokens": words, "total_tokens": words},
    })
}

/// A vector that depends on nothing but the text.
fn vector(text: &str) -> Vec<f64> {
    (0..DIMENSIONS)
        .map(|i| {
            let hash = Sha256::digest(format!("{i}{text}"));
            let word = hash
                .first_chunk()
                .map_or(0, |word| u32::from_le_bytes(*word));
            f64::from(word) / f64::from(u32::MAX)
        })
        .collect()
}

fn model() -> Value {
    json!({"id": MODEL, "object": "model", "created": 1_764_000_000, "owned_by": "keygate"})
}

#[async_trait]
impl HttpServerApp for Sandbox {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        if !session.read_request().await.ok()? {
            return None;
        }
        session.set_keepalive(if *shutdown.borrow() { None } else { Some(60) });
        self.serve(&mut session).await.ok()?;
        let settings = HttpPersistentSettings::for_session(&session);
        let reusable = session.finish().await.ok().flatten()?;
        Some(ReusedHttpStream::from_reusable_stream(reusable, settings))
    }
}
