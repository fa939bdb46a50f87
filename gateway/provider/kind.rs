//! The kinds of providers, as a table: adding a kind is adding an entry.

use super::paths::{Values, filled};

/// What a kind of provider is like where its configuration does not say otherwise.
///
/// Texts may hold blanks, `{deployment}`, which the configuration fills in: see [`Placeholder`].
#[derive(Debug)]
pub struct Kind {
    /// The name in `kind = "..."`.
    pub name: &'static str,
    /// Where its API is; a kind without one needs `base_url`, or `endpoint`.
    pub origin: Option<&'static str>,
    /// Whether each customer has an origin of its own, which `endpoint` names.
    pub endpoint: bool,
    /// What stands before every path there. Clients may leave it out.
    pub base_path: &'static str,
    /// Paths that begin so stand behind something else than the base path. With a slash at its end, a
    /// beginning takes only what goes on.
    pub elsewhere: &'static [(&'static str, &'static str)],
    /// Where a request to a route's bare prefix goes.
    pub default_endpoint: &'static str,
    /// Parameters that paths which begin so need, put in where the client has left them out.
    pub default_query: &'static [(&'static str, &'static str, &'static str)],
    /// The blanks.
    pub blanks: &'static [Placeholder],
    /// What is cheap to ask for and given to a good token only; behind the base path.
    pub probe: Option<&'static str>,
    /// The header that its token goes in, in lower case.
    pub auth_header: &'static str,
    /// What stands before the token.
    pub auth_prefix: &'static str,
    /// Tokens that go elsewhere.
    pub bearer: Option<Bearer>,
    /// Whether it may be without a token.
    pub tokenless: bool,
    /// Headers of requests, put in where the client has left them out.
    pub default_headers: &'static [(&'static str, &'static str)],
    /// Headers of responses that tell about the account, which is not the client's.
    pub account_headers: &'static [&'static str],
    /// Whether its API has `WebSocket`s.
    pub websocket: bool,
    /// What OpenTelemetry's conventions call it, if they know it.
    pub telemetry: Option<&'static str>,
    /// The shape of its errors, and so of our refusals.
    pub dialect: Dialect,
}

/// A part of an address that the configuration fills in: `deployment`, `api_version` or `model`.
#[derive(Clone, Copy, Debug)]
pub struct Placeholder {
    /// Its name in the configuration, and between braces in the table.
    pub name: &'static str,
    /// What it is where the configuration leaves it out.
    pub default: Option<&'static str>,
    /// Whether it must be filled in.
    pub needed: bool,
}

/// Access tokens as OAuth 2 has them go as `Authorization: Bearer`, also where an API has a header of its
/// own for keys.
#[derive(Clone, Copy, Debug)]
pub struct Bearer {
    /// TokenPlacement such tokens begin.
    pub beginnings: &'static [&'static str],
    /// What must be among the values of a header beside them.
    pub feature: Option<(&'static str, &'static str)>,
}

impl Bearer {
    /// Whether `token` is such a one.
    pub fn takes(&self, token: &[u8]) -> bool {
        let mut beginnings = self.beginnings.iter();
        beginnings.any(|beginning| token.starts_with(beginning.as_bytes()))
    }
}

/// The shape of an API's errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
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

/// What is called compatible with `OpenAI`'s API, and where the others begin from.
const COMPATIBLE: Kind = Kind {
    name: "",
    origin: None,
    endpoint: false,
    base_path: "",
    elsewhere: &[],
    default_endpoint: "/v1/chat/completions",
    default_query: &[],
    blanks: &[],
    probe: Some("/models"),
    auth_header: "authorization",
    auth_prefix: "Bearer ",
    bearer: None,
    tokenless: false,
    default_headers: &[],
    account_headers: &["openai-organization", "openai-project"],
    websocket: false,
    telemetry: None,
    dialect: Dialect::OpenAi,
};

/// Every kind there is. Addresses and headers are those of the providers' own references, named here.
pub const KINDS: &[Kind] = &[
    // https://platform.openai.com/docs/api-reference
    Kind {
        name: "openai",
        telemetry: Some("openai"),
        origin: Some("https://api.openai.com"),
        base_path: "/v1",
        websocket: true,
        ..COMPATIBLE
    },
    // https://learn.microsoft.com/azure/ai-services/openai/reference
    Kind {
        name: "azure-openai",
        telemetry: Some("azure.ai.openai"),
        endpoint: true,
        base_path: "/openai/deployments/{deployment}",
        elsewhere: &[
            ("/openai", ""),
            ("/deployments", "/openai"),
            ("/v1", "/openai"),
        ],
        default_endpoint: "/openai/deployments/{deployment}/chat/completions",
        probe: Some("/openai/models?api-version={api_version}"),
        default_query: &[("/openai/deployments/", "api-version", "{api_version}")],
        blanks: &[
            Placeholder {
                name: "deployment",
                default: None,
                needed: true,
            },
            // The newest version that is not a preview.
            Placeholder {
                name: "api_version",
                default: Some("2024-10-21"),
                needed: false,
            },
        ],
        auth_header: "api-key",
        auth_prefix: "",
        // Entra ID's are JSON Web Tokens.
        bearer: Some(Bearer {
            beginnings: &["eyJ"],
            feature: None,
        }),
        websocket: true,
        ..COMPATIBLE
    },
    // https://docs.anthropic.com/en/api/overview
    Kind {
        name: "anthropic",
        telemetry: Some("anthropic"),
        origin: Some("https://api.anthropic.com"),
        base_path: "/v1",
        default_endpoint: "/v1/messages",
        auth_header: "x-api-key",
        auth_prefix: "",
        bearer: Some(Bearer {
            beginnings: &["sk-ant-oat"],
            feature: Some(("anthropic-beta", "oauth-2025-04-20")),
        }),
        default_headers: &[("anthropic-version", "2023-06-01")],
        account_headers: &["anthropic-organization-id", "anthropic-workspace-id"],
        dialect: Dialect::Anthropic,
        ..COMPATIBLE
    },
    // https://ai.google.dev/api
    Kind {
        name: "gemini",
        telemetry: Some("gcp.gemini"),
        origin: Some("https://generativelanguage.googleapis.com"),
        base_path: "/{api_version}",
        elsewhere: &[("/upload", ""), ("/download", ""), ("/ws", "")],
        default_endpoint: "/{api_version}/models/{model}:generateContent",
        blanks: &[
            Placeholder {
                name: "api_version",
                default: Some("v1beta"),
                needed: false,
            },
            // Without one, a bare prefix leads nowhere: the model stands in the path.
            Placeholder {
                name: "model",
                default: None,
                needed: false,
            },
        ],
        auth_header: "x-goog-api-key",
        auth_prefix: "",
        bearer: Some(Bearer {
            beginnings: &["ya29."],
            feature: None,
        }),
        account_headers: &[],
        websocket: true,
        dialect: Dialect::Google,
        ..COMPATIBLE
    },
    // https://docs.mistral.ai/api
    Kind {
        name: "mistral",
        telemetry: Some("mistral_ai"),
        origin: Some("https://api.mistral.ai"),
        base_path: "/v1",
        websocket: true,
        dialect: Dialect::Mistral,
        ..COMPATIBLE
    },
    // https://huggingface.co/docs/inference-providers
    Kind {
        name: "huggingface",
        // Its list of models is for everybody.
        probe: None,
        origin: Some("https://router.huggingface.co"),
        base_path: "/v1",
        // What has been at api-inference.huggingface.co/models/{id}.
        elsewhere: &[("/models/", "/hf-inference"), ("/hf-inference", "")],
        dialect: Dialect::HuggingFace,
        ..COMPATIBLE
    },
    Kind {
        name: "custom",
        ..COMPATIBLE
    },
    // https://console.groq.com/docs/api-reference
    Kind {
        name: "groq",
        telemetry: Some("groq"),
        origin: Some("https://api.groq.com"),
        base_path: "/openai/v1",
        default_endpoint: "/openai/v1/chat/completions",
        ..COMPATIBLE
    },
    // https://docs.cohere.com/reference
    Kind {
        name: "cohere",
        telemetry: Some("cohere"),
        probe: Some("/v1/models"),
        origin: Some("https://api.cohere.com"),
        base_path: "/v2",
        elsewhere: &[("/compatibility", "")],
        default_endpoint: "/v2/chat",
        account_headers: &[],
        dialect: Dialect::Cohere,
        ..COMPATIBLE
    },
    // https://api-docs.deepseek.com
    Kind {
        name: "deepseek",
        telemetry: Some("deepseek"),
        origin: Some("https://api.deepseek.com"),
        base_path: "/v1",
        elsewhere: &[("/beta", ""), ("/anthropic", "")],
        ..COMPATIBLE
    },
    // https://openrouter.ai/docs/api-reference/overview
    Kind {
        name: "openrouter",
        probe: Some("/key"),
        origin: Some("https://openrouter.ai"),
        base_path: "/api/v1",
        default_endpoint: "/api/v1/chat/completions",
        ..COMPATIBLE
    },
    // https://docs.ollama.com/api
    Kind {
        name: "ollama",
        origin: Some("http://127.0.0.1:11434"),
        base_path: "/v1",
        elsewhere: &[("/api", "")],
        tokenless: true,
        ..COMPATIBLE
    },
];

impl Kind {
    /// The kind of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.name == name)
    }

    /// Its base URL, where it has one for everybody.
    pub fn own_url(&self, blanks: &Values<'_>) -> Option<String> {
        Some(format!("{}{}", self.origin?, self.own_path(blanks)?))
    }

    /// Its base path.
    pub fn own_path(&self, blanks: &Values<'_>) -> Option<String> {
        filled(self.base_path, blanks)
    }

    /// Whether its streams tell what they took only where `stream_options` ask them to.
    pub fn takes_stream_options(&self) -> bool {
        matches!(self.dialect, Dialect::OpenAi | Dialect::HuggingFace)
    }

    /// The blank of this name.
    pub fn blank(&self, name: &str) -> Option<&'static Placeholder> {
        self.blanks.iter().find(|blank| blank.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entries_of_the_table_hold_together() {
        for kind in KINDS {
            let name = kind.name;
            let same = KINDS.iter().filter(|other| other.name == name).count();
            assert_eq!(same, 1, "{name}");
            assert!(kind.default_endpoint.starts_with('/'), "{name}");
            assert!(!kind.base_path.ends_with('/'), "{name}");
            assert!(!(kind.endpoint && kind.origin.is_some()), "{name}");
            let lower = kind.auth_header.to_ascii_lowercase();
            assert_eq!(kind.auth_header, lower, "{name}");
            let values = kind.default_query.iter().map(|(_, _, value)| *value);
            for text in values.chain([kind.base_path, kind.default_endpoint]) {
                for blank in text.split('{').skip(1) {
                    let blank = blank.split('}').next().unwrap();
                    assert!(kind.blank(blank).is_some(), "{name}: {blank}");
                }
            }
        }
    }
}
