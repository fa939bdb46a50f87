//! The body of a refusal, in the error format of the route's provider: each SDK raises an error of its own type, which
//! it chooses by the status, and shows the message that it reads from the body.
//!
//! The body depends on status, code and message only: the same refusal has the same bytes.

use serde_json::json;

use crate::provider::ErrorFormat;

/// The body of a refusal.
pub(super) fn body(dialect: ErrorFormat, status: u16, code: &str, message: &str) -> String {
    match dialect {
        // https://platform.openai.com/docs/guides/error-codes
        ErrorFormat::OpenAi => json!({
            "error": {"message": message, "type": openai_type(status), "param": null, "code": code}
        }),
        // https://docs.anthropic.com/en/api/errors
        ErrorFormat::Anthropic => json!({
            "type": "error",
            "error": {"type": anthropic_type(status), "message": message, "code": code},
        }),
        // https://google.aip.dev/193
        ErrorFormat::Google => json!({"error": {
            "code": status,
            "message": message,
            "status": google_status(status),
            "details": [{
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": code.to_ascii_uppercase(),
                "domain": "keygate",
            }],
        }}),
        // https://docs.mistral.ai/api
        ErrorFormat::Mistral => json!({
            "object": "error", "message": message, "type": openai_type(status), "param": null, "code": code,
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

fn openai_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        400..500 => "invalid_request_error",
        _ => "server_error",
    }
}

fn anthropic_type(status: u16) -> &'static str {
    match status {
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
fn google_status(status: u16) -> &'static str {
    match status {
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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

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
            let body: Value =
                serde_json::from_str(&body(dialect, 429, "too_many", "Slow.")).unwrap();
            assert_eq!(body.pointer(message), Some(&json!("Slow.")), "{dialect:?}");
            assert_eq!(body.pointer(kind.0), Some(&json!(kind.1)), "{dialect:?}");
        }
    }
}
