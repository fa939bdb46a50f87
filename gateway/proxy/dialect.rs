//! The body of a refusal, in the error format of the route's provider: each SDK raises an error of its own type, which
//! it chooses by the status, and shows the message that it reads from the body.
//!
//! The body depends on the refusal only: the same refusal has the same bytes.

use std::fmt::{self, Display, Formatter};

use serde_json::{Value, json};

use crate::provider::ErrorFormat;

/// What the body of a refusal says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused<'a> {
    /// The status of the response.
    pub(super) status: u16,
    /// The code for programs.
    pub(super) code: &'a str,
    /// The sentence for people.
    pub(super) message: &'a str,
    /// Whether a budget is spent, whatever the status: the dialects have types of their own for this.
    pub(super) is_budget: bool,
    /// After how many milliseconds the client may try again, if that is known.
    pub(super) retry_in: Option<u64>,
}

/// The body of a refusal.
pub(super) fn body(dialect: ErrorFormat, refused: Refused<'_>) -> String {
    let Refused {
        status,
        code,
        message,
        ..
    } = refused;
    match dialect {
        // https://platform.openai.com/docs/guides/error-codes
        ErrorFormat::OpenAi => json!({
            "error": {"message": message, "type": openai_type(refused), "param": null, "code": code}
        }),
        // https://docs.anthropic.com/en/api/errors
        ErrorFormat::Anthropic => json!({
            "type": "error",
            "error": {"type": anthropic_type(refused), "message": message, "code": code},
        }),
        // https://google.aip.dev/193
        ErrorFormat::Google => json!({"error": {
            "code": status,
            "message": message,
            "status": google_status(refused),
            "details": google_details(refused),
        }}),
        // https://docs.mistral.ai/api
        ErrorFormat::Mistral => json!({
            "object": "error", "message": message, "type": openai_type(refused), "param": null, "code": code,
        }),
        // https://docs.cohere.com/reference/errors
        ErrorFormat::Cohere => json!({"message": message, "code": code}),
        // https://huggingface.co/docs/text-generation-inference/reference/api_reference
        ErrorFormat::HuggingFace => json!({"error": message, "error_type": code}),
    }
    .to_string()
}

/// The header in which clients of the dialect look for the id of a request.
pub(super) fn request_id_header(dialect: ErrorFormat) -> &'static str {
    match dialect {
        ErrorFormat::Anthropic => "request-id",
        _ => "x-request-id",
    }
}

fn openai_type(refused: Refused<'_>) -> &'static str {
    match refused.status {
        _ if refused.is_budget => "insufficient_quota",
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        400..500 => "invalid_request_error",
        _ => "server_error",
    }
}

fn anthropic_type(refused: Refused<'_>) -> &'static str {
    match refused.status {
        _ if refused.is_budget => "billing_error",
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        408 | 504 => "timeout_error",
        429 => "rate_limit_error",
        400..500 => "invalid_request_error",
        503 => "overloaded_error",
        _ => "api_error",
    }
}

/// <https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto>
fn google_status(refused: Refused<'_>) -> &'static str {
    match refused.status {
        // The code for a quota; there is none for payments.
        _ if refused.is_budget => "RESOURCE_EXHAUSTED",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        408 | 504 => "DEADLINE_EXCEEDED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        400..500 => "INVALID_ARGUMENT",
        502 | 503 => "UNAVAILABLE",
        _ => "INTERNAL",
    }
}

/// <https://github.com/googleapis/googleapis/blob/master/google/rpc/error_details.proto>
fn google_details(refused: Refused<'_>) -> Vec<Value> {
    let info = json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": refused.code.to_ascii_uppercase(),
        "domain": "keygate",
    });
    let retry = refused.retry_in.map(|milliseconds| {
        json!({
            "@type": "type.googleapis.com/google.rpc.RetryInfo",
            "retryDelay": Seconds(milliseconds).to_string(),
        })
    });
    [info].into_iter().chain(retry).collect()
}

/// Milliseconds as seconds, in the JSON form of `google.protobuf.Duration`: `12s`, `1.250s`.
struct Seconds(u64);

impl Display for Seconds {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (self.0 / 1000, self.0 % 1000) {
            (seconds, 0) => write!(f, "{seconds}s"),
            (seconds, rest) => write!(f, "{seconds}.{rest:03}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOO_MANY: Refused<'_> = Refused {
        status: 429,
        code: "too_many",
        message: "Slow.",
        is_budget: false,
        retry_in: None,
    };

    #[test]
    fn a_refusal_says_its_message_where_clients_of_the_dialect_read_it() {
        for (dialect, message, kind) in [
            (
                ErrorFormat::OpenAi,
                "/error/message",
                ("/error/type", "rate_limit_error"),
            ),
            (
                ErrorFormat::Anthropic,
                "/error/message",
                ("/error/type", "rate_limit_error"),
            ),
            (
                ErrorFormat::Google,
                "/error/message",
                ("/error/status", "RESOURCE_EXHAUSTED"),
            ),
            (
                ErrorFormat::Mistral,
                "/message",
                ("/type", "rate_limit_error"),
            ),
            (ErrorFormat::Cohere, "/message", ("/code", "too_many")),
            (
                ErrorFormat::HuggingFace,
                "/error",
                ("/error_type", "too_many"),
            ),
        ] {
            let body: Value = serde_json::from_str(&body(dialect, TOO_MANY)).unwrap();
            assert_eq!(body.pointer(message), Some(&json!("Slow.")), "{dialect:?}");
            assert_eq!(body.pointer(kind.0), Some(&json!(kind.1)), "{dialect:?}");
        }
    }

    #[test]
    fn a_spent_budget_has_the_type_that_the_dialect_has_for_it() {
        for (dialect, place, kind) in [
            (ErrorFormat::OpenAi, "/error/type", "insufficient_quota"),
            (ErrorFormat::Anthropic, "/error/type", "billing_error"),
            (ErrorFormat::Google, "/error/status", "RESOURCE_EXHAUSTED"),
            (ErrorFormat::Mistral, "/type", "insufficient_quota"),
        ] {
            for status in [402, 403, 429] {
                let refused = Refused {
                    status,
                    is_budget: true,
                    ..TOO_MANY
                };
                let body: Value = serde_json::from_str(&body(dialect, refused)).unwrap();
                assert_eq!(body.pointer(place), Some(&json!(kind)), "{dialect:?}");
            }
        }
    }

    #[test]
    fn google_gets_the_wait_as_a_duration() {
        for (milliseconds, delay) in [(1, "0.001s"), (12_000, "12s"), (61_050, "61.050s")] {
            let refused = Refused {
                retry_in: Some(milliseconds),
                ..TOO_MANY
            };
            let body: Value = serde_json::from_str(&body(ErrorFormat::Google, refused)).unwrap();
            assert_eq!(
                body["error"]["details"][1],
                json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
            );
        }
    }
}
