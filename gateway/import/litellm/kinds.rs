//! `LiteLLM`'s providers: what stands before a model's name, and which kind of provider here that is.

/// A provider, as `LiteLLM` has it.
pub(super) struct Known {
    /// What stands before a model.
    pub prefix: &'static str,
    /// The kind of provider here.
    pub kind: &'static str,
    /// The environment variable with its token; empty for none.
    pub token: &'static str,
    /// Its base URL, where the kind has none.
    pub base_url: Option<&'static str>,
}

const fn of_kind(prefix: &'static str, kind: &'static str, token: &'static str) -> Known {
    Known {
        prefix,
        kind,
        token,
        base_url: None,
    }
}

/// One whose API is like `OpenAI`'s, at an address of its own.
const fn like_openai(prefix: &'static str, token: &'static str, base_url: &'static str) -> Known {
    Known {
        prefix,
        kind: "custom",
        token,
        base_url: Some(base_url),
    }
}

/// All of them. Addresses are those of the providers' own references.
const ALL: [Known; 25] = [
    of_kind("openai", "openai", "OPENAI_API_KEY"),
    of_kind("text-completion-openai", "openai", "OPENAI_API_KEY"),
    of_kind("azure", "azure-openai", "AZURE_API_KEY"),
    of_kind("anthropic", "anthropic", "ANTHROPIC_API_KEY"),
    of_kind("gemini", "gemini", "GEMINI_API_KEY"),
    of_kind("mistral", "mistral", "MISTRAL_API_KEY"),
    of_kind("huggingface", "huggingface", "HF_TOKEN"),
    of_kind("groq", "groq", "GROQ_API_KEY"),
    of_kind("cohere", "cohere", "COHERE_API_KEY"),
    of_kind("cohere_chat", "cohere", "COHERE_API_KEY"),
    of_kind("deepseek", "deepseek", "DEEPSEEK_API_KEY"),
    of_kind("openrouter", "openrouter", "OPENROUTER_API_KEY"),
    of_kind("ollama", "ollama", ""),
    of_kind("ollama_chat", "ollama", ""),
    of_kind("hosted_vllm", "custom", "HOSTED_VLLM_API_KEY"),
    of_kind("openai_like", "custom", "OPENAI_LIKE_API_KEY"),
    like_openai(
        "together_ai",
        "TOGETHERAI_API_KEY",
        "https://api.together.xyz/v1",
    ),
    like_openai("cerebras", "CEREBRAS_API_KEY", "https://api.cerebras.ai/v1"),
    like_openai("xai", "XAI_API_KEY", "https://api.x.ai/v1"),
    like_openai(
        "fireworks_ai",
        "FIREWORKS_API_KEY",
        "https://api.fireworks.ai/inference/v1",
    ),
    like_openai(
        "perplexity",
        "PERPLEXITYAI_API_KEY",
        "https://api.perplexity.ai",
    ),
    like_openai(
        "nvidia_nim",
        "NVIDIA_NIM_API_KEY",
        "https://integrate.api.nvidia.com/v1",
    ),
    like_openai("moonshot", "MOONSHOT_API_KEY", "https://api.moonshot.ai/v1"),
    like_openai("zai", "ZAI_API_KEY", "https://api.z.ai/api/paas/v4"),
    like_openai(
        "zhipu",
        "ZHIPUAI_API_KEY",
        "https://open.bigmodel.cn/api/paas/v4",
    ),
];

/// Beginnings of models that `LiteLLM` knows without a prefix.
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

impl Known {
    /// The one of this prefix.
    fn of(prefix: &str) -> Option<&'static Self> {
        ALL.iter().find(|known| known.prefix == prefix)
    }

    /// The provider of a model, and the model as it calls it.
    pub(super) fn of_model(full: &str) -> Option<(&'static Self, &str)> {
        if let Some((prefix, model)) = full.split_once('/') {
            let known = Self::of(prefix)?;
            // Says by which API, not which model.
            return Some((known, model.strip_prefix("responses/").unwrap_or(model)));
        }
        let guess = GUESSES
            .iter()
            .find(|(_, beginnings)| beginnings.iter().any(|begin| full.starts_with(begin)));
        let (prefix, _) = guess?;
        Some((Self::of(prefix)?, full))
    }

    /// What is taken for something like `OpenAI`, at an address of its own.
    pub(super) fn unknown() -> Self {
        of_kind("openai", "custom", "")
    }

    /// The environment variables that move it to another address.
    pub(super) fn address_variables(&self) -> Vec<String> {
        let token = self.token.trim_end_matches("_API_KEY");
        let stems = [
            self.prefix.to_ascii_uppercase().replace('-', "_"),
            token.trim_end_matches("_TOKEN").to_owned(),
            self.prefix.replace("_chat", "").to_ascii_uppercase(),
        ];
        let stems = stems.iter().filter(|stem| !stem.is_empty());
        stems
            .flat_map(|stem| [format!("{stem}_API_BASE"), format!("{stem}_BASE_URL")])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{BaseUrl, Kind};

    #[test]
    fn the_entries_of_the_table_hold_together() {
        for known in &ALL {
            assert!(Kind::named(known.kind).is_some(), "{}", known.prefix);
            let url = known.base_url.map(BaseUrl::parse);
            assert!(url.is_none_or(|url| url.is_ok_and(|url| url.tls)));
            let same = ALL.iter().filter(|other| other.prefix == known.prefix);
            assert_eq!(same.count(), 1, "{}", known.prefix);
        }
    }

    #[test]
    fn a_model_has_one_provider() {
        let of = |full| Known::of_model(full).map(|(known, model)| (known.prefix, model));
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
        let of = |full| Known::of_model(full).unwrap().0.address_variables();
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
        ] {
            assert!(of(full).iter().any(|name| name == variable), "{variable}");
        }
    }
}
