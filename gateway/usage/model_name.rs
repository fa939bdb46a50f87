//! Normalizes model names, as responses and price files write them.
//!
//! One model has several names: in upper and lower case, as a resource (`models/gemini-2.5-pro`),
//! prefixed with its maker or host (`openai/gpt-5`). A date suffix is kept: a dated snapshot may
//! cost something else than the model that the plain name stands for (OpenAI's `gpt-4o-2024-05-13`
//! does). A suffix behind a colon (`OpenRouter`'s `:free`) is kept as well.

use std::borrow::Cow;

/// Prefixes before a slash that are not a part of the name: makers as `OpenRouter` names them
/// (<https://openrouter.ai/models>), and providers as `LiteLLM` does
/// (<https://docs.litellm.ai/docs/providers>). Any other prefix, such as an account or the author
/// of a fine-tuned model, is a part of the name.
const PREFIXES: [&str; 31] = [
    "amazon",
    "anthropic",
    "azure",
    "azure_ai",
    "cerebras",
    "cohere",
    "deepseek",
    "deepseek-ai",
    "fireworks_ai",
    "gemini",
    "google",
    "groq",
    "meta-llama",
    "minimax",
    "mistral",
    "mistralai",
    "moonshot",
    "moonshotai",
    "nvidia",
    "nvidia_nim",
    "openai",
    "openrouter",
    "perplexity",
    "qwen",
    "together_ai",
    "vertex_ai",
    "vertex_ai_beta",
    "x-ai",
    "xai",
    "z-ai",
    "zai",
];

/// Google's resource names (<https://ai.google.dev/api/models>): `models/NAME` and, on Vertex AI,
/// `.../publishers/PUBLISHER/models/NAME`.
const MODELS: &str = "models/";
const PUBLISHERS: &str = "publishers/";

/// Returns `name` in lower case and without the parts of a resource name.
pub(crate) fn normal(name: &str) -> Cow<'_, str> {
    let is_lower = !name.bytes().any(|byte| byte.is_ascii_uppercase());
    if is_lower {
        return Cow::Borrowed(without_resource(name));
    }
    Cow::Owned(without_resource(&name.to_ascii_lowercase()).to_owned())
}

fn without_resource(name: &str) -> &str {
    if let Some(rest) = name.strip_prefix(MODELS) {
        return rest;
    }
    let is_path = name.starts_with("projects/") || name.starts_with(PUBLISHERS);
    let published = name
        .find(PUBLISHERS)
        .filter(|_| is_path)
        .and_then(|at| name.get(at + PUBLISHERS.len()..)?.split_once('/'));
    published
        .and_then(|(_, rest)| rest.strip_prefix(MODELS))
        .unwrap_or(name)
}

/// Returns a [normal] name without the prefixes for makers and providers.
pub(super) fn bare(name: &str) -> &str {
    let mut bare = name;
    while let Some((prefix, rest)) = bare.split_once('/') {
        if !PREFIXES.contains(&prefix) {
            break;
        }
        bare = rest;
    }
    bare
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_model_has_one_name_however_it_is_written() {
        for (written, name, without) in [
            ("gpt-5", "gpt-5", "gpt-5"),
            ("GPT-5", "gpt-5", "gpt-5"),
            ("openai/gpt-5", "openai/gpt-5", "gpt-5"),
            ("OpenAI/GPT-5", "openai/gpt-5", "gpt-5"),
            (
                "openrouter/openai/gpt-5",
                "openrouter/openai/gpt-5",
                "gpt-5",
            ),
            ("models/gemini-3.1-pro", "gemini-3.1-pro", "gemini-3.1-pro"),
            (
                "projects/p/locations/l/publishers/google/models/gemini-3.1-pro",
                "gemini-3.1-pro",
                "gemini-3.1-pro",
            ),
            (
                "publishers/anthropic/models/claude-opus-5",
                "claude-opus-5",
                "claude-opus-5",
            ),
            // Fine-tuned models, dates and variants are other models.
            ("unsloth/llama", "unsloth/llama", "unsloth/llama"),
            (
                "accounts/acme/models/gpt-5",
                "accounts/acme/models/gpt-5",
                "accounts/acme/models/gpt-5",
            ),
            ("gpt-5-2025-08-07", "gpt-5-2025-08-07", "gpt-5-2025-08-07"),
            ("deepseek/r1:free", "deepseek/r1:free", "r1:free"),
            ("ft:gpt-5:acme::1", "ft:gpt-5:acme::1", "ft:gpt-5:acme::1"),
            ("", "", ""),
            ("/", "/", "/"),
            ("openai/", "openai/", ""),
        ] {
            assert_eq!(normal(written), name, "{written}");
            assert_eq!(bare(&normal(written)), without, "{written}");
        }
    }
}
