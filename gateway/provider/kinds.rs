//! The kinds of providers, as a table: a new kind is a new entry.

use super::kind::{Bearer, ErrorFormat, Kind};
use super::placeholder::Placeholder;

/// An API compatible with `OpenAI`'s, from which the entries of the other kinds start.
const COMPATIBLE: Kind = Kind {
    name: "",
    origin: None,
    endpoint: false,
    base_path: "",
    mounts: &[],
    default_endpoint: "/v1/chat/completions",
    default_query: &[],
    placeholders: &[],
    probe: Some("/models"),
    auth_header: "authorization",
    auth_prefix: "Bearer ",
    bearer: None,
    tokenless: false,
    default_headers: &[],
    account_headers: &["openai-organization", "openai-project"],
    websocket: false,
    reports_cost: Some(false),
    telemetry: None,
    error_format: ErrorFormat::OpenAi,
};

/// All kinds. Addresses and headers are those of the providers' own references, which are linked here.
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
        mounts: &[
            ("/openai", ""),
            ("/deployments", "/openai"),
            ("/v1", "/openai"),
        ],
        default_endpoint: "/openai/deployments/{deployment}/chat/completions",
        probe: Some("/openai/models?api-version={api_version}"),
        default_query: &[("/openai/deployments/", "api-version", "{api_version}")],
        placeholders: &[
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
        // Entra ID's access tokens are JSON Web Tokens.
        bearer: Some(Bearer {
            prefixes: &["eyJ"],
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
            prefixes: &["sk-ant-oat"],
            feature: Some(("anthropic-beta", "oauth-2025-04-20")),
        }),
        default_headers: &[("anthropic-version", "2023-06-01")],
        account_headers: &["anthropic-organization-id", "anthropic-workspace-id"],
        error_format: ErrorFormat::Anthropic,
        ..COMPATIBLE
    },
    // https://ai.google.dev/api
    Kind {
        name: "gemini",
        telemetry: Some("gcp.gemini"),
        origin: Some("https://generativelanguage.googleapis.com"),
        base_path: "/{api_version}",
        mounts: &[("/upload", ""), ("/download", ""), ("/ws", "")],
        default_endpoint: "/{api_version}/models/{model}:generateContent",
        placeholders: &[
            Placeholder {
                name: "api_version",
                default: Some("v1beta"),
                needed: false,
            },
            // The model is part of the path: without one, there is no default endpoint.
            Placeholder {
                name: "model",
                default: None,
                needed: false,
            },
        ],
        auth_header: "x-goog-api-key",
        auth_prefix: "",
        bearer: Some(Bearer {
            prefixes: &["ya29."],
            feature: None,
        }),
        account_headers: &[],
        websocket: true,
        error_format: ErrorFormat::Google,
        ..COMPATIBLE
    },
    // https://docs.mistral.ai/api
    Kind {
        name: "mistral",
        telemetry: Some("mistral_ai"),
        origin: Some("https://api.mistral.ai"),
        base_path: "/v1",
        websocket: true,
        error_format: ErrorFormat::Mistral,
        ..COMPATIBLE
    },
    // https://huggingface.co/docs/inference-providers
    Kind {
        name: "huggingface",
        // Its list of models needs no token.
        probe: None,
        origin: Some("https://router.huggingface.co"),
        base_path: "/v1",
        // The paths of its old API, api-inference.huggingface.co/models/{id}.
        mounts: &[("/models/", "/hf-inference"), ("/hf-inference", "")],
        error_format: ErrorFormat::HuggingFace,
        ..COMPATIBLE
    },
    Kind {
        name: "custom",
        // Perplexity and xAI are reached as custom providers, and report it.
        reports_cost: None,
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
        mounts: &[("/compatibility", "")],
        default_endpoint: "/v2/chat",
        account_headers: &[],
        error_format: ErrorFormat::Cohere,
        ..COMPATIBLE
    },
    // https://api-docs.deepseek.com
    Kind {
        name: "deepseek",
        telemetry: Some("deepseek"),
        origin: Some("https://api.deepseek.com"),
        base_path: "/v1",
        mounts: &[("/beta", ""), ("/anthropic", "")],
        ..COMPATIBLE
    },
    // https://openrouter.ai/docs/api-reference/overview
    Kind {
        name: "openrouter",
        // https://openrouter.ai/docs/use-cases/usage-accounting
        reports_cost: Some(true),
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
        mounts: &[("/api", "")],
        tokenless: true,
        ..COMPATIBLE
    },
];

impl Kind {
    /// The kind of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entries_of_the_table_are_consistent() {
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
                for rest in text.split('{').skip(1) {
                    let placeholder = rest.split('}').next().unwrap();
                    assert!(
                        kind.placeholder(placeholder).is_some(),
                        "{name}: {placeholder}"
                    );
                }
            }
        }
    }
}
