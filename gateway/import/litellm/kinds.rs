//! Finds the provider of a model's name.

use crate::import::litellm::known::KnownProvider;
use crate::import::litellm::table::ALL;

/// Prefixes of model names for which `LiteLLM` needs no provider prefix.
const GUESSES: [(&str, &[&str]); 4] = [
    ("anthropic", &["claude"]),
    ("gemini", &["gemini"]),
    ("cohere", &["command"]),
    (
        "openai",
        &[
            "gpt-",
            "o1",
            "o3",
            "o4",
            "chatgpt-",
            "text-embedding-",
            "dall-e",
            "whisper",
            "tts",
        ],
    ),
];

impl KnownProvider {
    /// The provider with this prefix.
    fn of(prefix: &str) -> Option<&'static Self> {
        ALL.iter().find(|known| known.prefix == prefix)
    }

    /// The provider of a model, and the model's name there.
    pub(super) fn of_model(full: &str) -> Option<(&'static Self, &str)> {
        if let Some((prefix, model)) = full.split_once('/') {
            let known = Self::of(prefix)?;
            // `responses/` selects an API, not a model.
            return Some((known, model.strip_prefix("responses/").unwrap_or(model)));
        }
        let guess = GUESSES
            .iter()
            .find(|(_, beginnings)| beginnings.iter().any(|begin| full.starts_with(begin)));
        let (prefix, _) = guess?;
        Some((Self::of(prefix)?, full))
    }

    /// The providers that a prefixed model name reaches without any address.
    pub(super) fn of_anybody() -> impl Iterator<Item = &'static Self> {
        ALL.iter()
            .filter(|known| known.kind != "custom" || known.base_url.is_some())
    }

    /// The environment variables that override the provider's address.
    pub(super) fn address_variables(&self) -> Vec<String> {
        let of_tokens = self.tokens.iter().map(|token| {
            let token = token.trim_end_matches("_API_KEY");
            token.trim_end_matches("_TOKEN").to_owned()
        });
        let mut stems = vec![
            self.prefix.to_ascii_uppercase().replace('-', "_"),
            self.prefix.replace("_chat", "").to_ascii_uppercase(),
        ];
        stems.extend(of_tokens);
        stems
            .iter()
            .flat_map(|stem| [format!("{stem}_API_BASE"), format!("{stem}_BASE_URL")])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_has_one_provider() {
        let of = |full| KnownProvider::of_model(full).map(|(known, model)| (known.prefix, model));
        assert_eq!(of("openai/gpt-5"), Some(("openai", "gpt-5")));
        assert_eq!(of("openai/responses/gpt-5"), Some(("openai", "gpt-5")));
        assert_eq!(of("xai/grok-4"), Some(("xai", "grok-4")));
        assert_eq!(of("gpt-5"), Some(("openai", "gpt-5")));
        assert_eq!(of("claude-4"), Some(("anthropic", "claude-4")));
        for unknown in ["tomorrow/gpt-5", "gpt-5/x", "qwen", "*", ""] {
            assert_eq!(of(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn variables_move_a_provider() {
        let of = |full| KnownProvider::of_model(full).unwrap().0.address_variables();
        for (full, variable) in [
            ("openai/x", "OPENAI_BASE_URL"),
            ("openai/x", "OPENAI_API_BASE"),
            ("text-completion-openai/x", "OPENAI_BASE_URL"),
            ("huggingface/x", "HF_API_BASE"),
            ("huggingface/x", "HUGGINGFACE_API_BASE"),
            ("cohere_chat/x", "COHERE_API_BASE"),
            ("ollama_chat/x", "OLLAMA_API_BASE"),
            ("together_ai/x", "TOGETHER_AI_API_BASE"),
            ("together_ai/x", "TOGETHERAI_API_BASE"),
            ("meta_llama/x", "LLAMA_API_BASE"),
            ("friendliai/x", "FRIENDLI_API_BASE"),
        ] {
            assert!(of(full).iter().any(|name| name == variable), "{variable}");
        }
    }
}
