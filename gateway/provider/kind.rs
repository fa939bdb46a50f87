//! What a kind of provider is like where its configuration does not say otherwise. The kinds themselves are a table, in
//! `kinds`.

use super::placeholder::{Placeholder, Values, fill};

/// What a kind of provider is like where its configuration does not say otherwise.
///
/// Paths may hold placeholders such as `{deployment}`: see [`Placeholder`].
#[derive(Debug)]
pub struct Kind {
    /// The name in `kind = "..."`.
    pub name: &'static str,
    /// Scheme and host of its API. A kind without one needs `base_url`, or `endpoint`.
    pub origin: Option<&'static str>,
    /// Whether each customer has an origin of its own, which the setting `endpoint` names.
    pub endpoint: bool,
    /// The path in front of every path of the API. Clients may leave it out.
    pub(crate) base_path: &'static str,
    /// `(prefix, base)`: paths under `prefix` are joined to `base`, not to `base_path`. A prefix that ends in `/` matches
    /// longer paths only.
    pub(crate) mounts: &'static [(&'static str, &'static str)],
    /// The path for a request to a route's bare prefix.
    pub(crate) default_endpoint: &'static str,
    /// `(prefix, name, value)`: the parameter that paths under `prefix` need, added where the client left it out.
    pub(crate) default_query: &'static [(&'static str, &'static str, &'static str)],
    /// The placeholders in its paths.
    pub(crate) placeholders: &'static [Placeholder],
    /// A path that is cheap to GET and responds only to a valid token; joined like a client's path.
    pub(crate) probe: Option<&'static str>,
    /// The header for the token, in lower case.
    pub(crate) auth_header: &'static str,
    /// The text in front of the token, such as `Bearer `.
    pub(crate) auth_prefix: &'static str,
    /// The tokens that are sent as `Authorization: Bearer` instead.
    pub(crate) bearer: Option<Bearer>,
    /// Whether it works without a token.
    pub(crate) tokenless: bool,
    /// Headers of requests, set where the client left them out.
    pub(crate) default_headers: &'static [(&'static str, &'static str)],
    /// Headers of responses that describe the account. They are removed: the account is not the client's.
    pub(crate) account_headers: &'static [&'static str],
    /// Whether its API has `WebSocket`s.
    pub(crate) websocket: bool,
    /// Whether its responses hold their own cost; `None`: unknown, it may be any of several providers.
    pub(crate) reports_cost: Option<bool>,
    /// Its `gen_ai.provider.name` in OpenTelemetry's conventions, if they have one.
    pub(crate) telemetry: Option<&'static str>,
    /// The shape of its errors, which the gateway's refusals have as well.
    pub(crate) error_format: ErrorFormat,
}

/// Access tokens (OAuth 2), which are sent as `Authorization: Bearer` also where an API has a header of its own for keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bearer {
    /// What such tokens begin with.
    pub(crate) prefixes: &'static [&'static str],
    /// A value that the named header must contain when such a token is sent.
    pub(crate) feature: Option<(&'static str, &'static str)>,
}

impl Bearer {
    /// Whether `token` is such an access token.
    pub(crate) fn takes(&self, token: &[u8]) -> bool {
        let mut prefixes = self.prefixes.iter();
        prefixes.any(|prefix| token.starts_with(prefix.as_bytes()))
    }
}

/// The shape of an API's errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorFormat {
    /// `{"error": {"message", "type", "param", "code"}}`
    OpenAi,
    /// `{"type": "error", "error": {"type", "message"}}`
    Anthropic,
    /// `{"error": {"code", "message", "status", "details"}}`
    Google,
    /// `{"object": "error", "message", "type", "param", "code"}`
    Mistral,
    /// `{"message"}`
    Cohere,
    /// `{"error", "error_type"}`
    HuggingFace,
}

impl Kind {
    /// Its base URL, if all customers share one.
    pub(crate) fn own_url(&self, values: &Values<'_>) -> Option<String> {
        Some(format!("{}{}", self.origin?, self.own_path(values)?))
    }

    /// Its base path; `None` if a placeholder in it has no value.
    pub fn own_path(&self, values: &Values<'_>) -> Option<String> {
        fill(self.base_path, values)
    }

    /// Whether its streams report usage only if the request sets that in `stream_options`.
    pub(crate) fn takes_stream_options(&self) -> bool {
        matches!(
            self.error_format,
            ErrorFormat::OpenAi | ErrorFormat::HuggingFace
        )
    }

    /// The placeholder of this name.
    pub fn placeholder(&self, name: &str) -> Option<&'static Placeholder> {
        self.placeholders.iter().find(|it| it.name == name)
    }
}
