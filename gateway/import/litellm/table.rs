//! The table of `LiteLLM`'s providers. To support another provider, add an entry.
//!
//! An address is the one to which `LiteLLM` sends requests by default (its
//! `get_llm_provider_logic.py`, `constants.py` and `llms/openai_like/providers.json`), and also the
//! one in the provider's own reference, whose URL is above the entry. Providers whose API is not
//! like `OpenAI`'s, or that need signed requests, are not in the table.

use crate::import::litellm::known::KnownProvider;

const fn of_kind(
    prefix: &'static str,
    kind: &'static str,
    tokens: &'static [&'static str],
) -> KnownProvider {
    KnownProvider {
        prefix,
        kind,
        tokens,
        base_url: None,
        keyless: false,
    }
}

/// A provider with an API like `OpenAI`'s, at an address of its own.
const fn like_openai(
    prefix: &'static str,
    tokens: &'static [&'static str],
    base_url: &'static str,
) -> KnownProvider {
    KnownProvider {
        base_url: Some(base_url),
        ..of_kind(prefix, "custom", tokens)
    }
}

/// A server that people run themselves: the entry names the address, and `LiteLLM` sends requests
/// without a key if there is none.
const fn own_server(prefix: &'static str, tokens: &'static [&'static str]) -> KnownProvider {
    KnownProvider {
        keyless: true,
        ..of_kind(prefix, "custom", tokens)
    }
}

/// All providers. The first environment variable that is set provides the token.
pub(super) const ALL: &[KnownProvider] = &[
    of_kind("openai", "openai", &["OPENAI_API_KEY"]),
    of_kind("text-completion-openai", "openai", &["OPENAI_API_KEY"]),
    of_kind(
        "azure",
        "azure-openai",
        &["AZURE_API_KEY", "AZURE_OPENAI_API_KEY"],
    ),
    of_kind("anthropic", "anthropic", &["ANTHROPIC_API_KEY"]),
    of_kind("gemini", "gemini", &["GEMINI_API_KEY", "GOOGLE_API_KEY"]),
    of_kind("mistral", "mistral", &["MISTRAL_API_KEY"]),
    of_kind(
        "huggingface",
        "huggingface",
        &["HF_TOKEN", "HUGGINGFACE_API_KEY"],
    ),
    of_kind("groq", "groq", &["GROQ_API_KEY"]),
    of_kind("cohere", "cohere", &["COHERE_API_KEY", "CO_API_KEY"]),
    of_kind("cohere_chat", "cohere", &["COHERE_API_KEY", "CO_API_KEY"]),
    of_kind("deepseek", "deepseek", &["DEEPSEEK_API_KEY"]),
    of_kind(
        "openrouter",
        "openrouter",
        &["OPENROUTER_API_KEY", "OR_API_KEY"],
    ),
    of_kind("ollama", "ollama", &[]),
    of_kind("ollama_chat", "ollama", &[]),
    own_server("hosted_vllm", &["HOSTED_VLLM_API_KEY"]),
    own_server("lm_studio", &["LM_STUDIO_API_KEY"]),
    own_server("llamafile", &["LLAMAFILE_API_KEY"]),
    own_server("docker_model_runner", &["DOCKER_MODEL_RUNNER_API_KEY"]),
    own_server("xinference", &["XINFERENCE_API_KEY"]),
    own_server("infinity", &["INFINITY_API_KEY"]),
    // These providers need a key, or do not document that they need none.
    of_kind("openai_like", "custom", &["OPENAI_LIKE_API_KEY"]),
    of_kind("custom_openai", "custom", &["OPENAI_API_KEY"]),
    of_kind("litellm_proxy", "custom", &["LITELLM_PROXY_API_KEY"]),
    // https://docs.together.ai/docs/openai-api-compatibility
    like_openai(
        "together_ai",
        &[
            "TOGETHERAI_API_KEY",
            "TOGETHER_API_KEY",
            "TOGETHER_AI_API_KEY",
            "TOGETHER_AI_TOKEN",
        ],
        "https://api.together.xyz/v1",
    ),
    // https://inference-docs.cerebras.ai/resources/openai
    like_openai(
        "cerebras",
        &["CEREBRAS_API_KEY"],
        "https://api.cerebras.ai/v1",
    ),
    // https://docs.x.ai/docs/api-reference
    like_openai("xai", &["XAI_API_KEY"], "https://api.x.ai/v1"),
    // https://docs.fireworks.ai/tools-sdks/openai-compatibility
    like_openai(
        "fireworks_ai",
        &[
            "FIREWORKS_API_KEY",
            "FIREWORKS_AI_API_KEY",
            "FIREWORKSAI_API_KEY",
            "FIREWORKS_AI_TOKEN",
        ],
        "https://api.fireworks.ai/inference/v1",
    ),
    // https://docs.perplexity.ai/guides/chat-completions-guide
    like_openai(
        "perplexity",
        &["PERPLEXITYAI_API_KEY", "PERPLEXITY_API_KEY"],
        "https://api.perplexity.ai",
    ),
    // https://docs.api.nvidia.com/nim/reference/llm-apis
    like_openai(
        "nvidia_nim",
        &["NVIDIA_NIM_API_KEY"],
        "https://integrate.api.nvidia.com/v1",
    ),
    // https://platform.moonshot.ai/docs/api/chat
    like_openai(
        "moonshot",
        &["MOONSHOT_API_KEY"],
        "https://api.moonshot.ai/v1",
    ),
    // https://docs.z.ai/api-reference/introduction
    like_openai("zai", &["ZAI_API_KEY"], "https://api.z.ai/api/paas/v4"),
    // https://docs.bigmodel.cn/cn/api/introduction
    like_openai(
        "zhipu",
        &["ZHIPUAI_API_KEY"],
        "https://open.bigmodel.cn/api/paas/v4",
    ),
    // https://deepinfra.com/docs/openai_api
    like_openai(
        "deepinfra",
        &["DEEPINFRA_API_KEY"],
        "https://api.deepinfra.com/v1/openai",
    ),
    // https://docs.sambanova.ai/cloud/api-reference
    like_openai(
        "sambanova",
        &["SAMBANOVA_API_KEY"],
        "https://api.sambanova.ai/v1",
    ),
    // https://www.alibabacloud.com/help/en/model-studio/compatibility-of-openai-with-dashscope
    like_openai(
        "dashscope",
        &["DASHSCOPE_API_KEY"],
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
    ),
    // https://www.volcengine.com/docs/82379
    like_openai(
        "volcengine",
        &["VOLCENGINE_API_KEY"],
        "https://ark.cn-beijing.volces.com/api/v3",
    ),
    // https://docs.mistral.ai/capabilities/code_generation
    like_openai(
        "codestral",
        &["CODESTRAL_API_KEY"],
        "https://codestral.mistral.ai/v1",
    ),
    // https://friendli.ai/docs/openapi/serverless/chat-completions
    like_openai(
        "friendliai",
        &["FRIENDLIAI_API_KEY", "FRIENDLI_TOKEN"],
        "https://api.friendli.ai/serverless/v1",
    ),
    // https://llama.developer.meta.com/docs/features/compatibility
    like_openai(
        "meta_llama",
        &["LLAMA_API_KEY"],
        "https://api.llama.com/compat/v1",
    ),
    // https://docs.studio.nebius.com/inference/api
    like_openai(
        "nebius",
        &["NEBIUS_API_KEY"],
        "https://api.studio.nebius.ai/v1",
    ),
    // https://docs.nscale.com/docs/inference/chat
    like_openai(
        "nscale",
        &["NSCALE_API_KEY"],
        "https://inference.api.nscale.com/v1",
    ),
    // https://featherless.ai/docs/api-overview-and-common-options
    like_openai(
        "featherless_ai",
        &["FEATHERLESS_AI_API_KEY"],
        "https://api.featherless.ai/v1",
    ),
    // https://docs.hyperbolic.xyz/docs/rest-api
    like_openai(
        "hyperbolic",
        &["HYPERBOLIC_API_KEY"],
        "https://api.hyperbolic.xyz/v1",
    ),
    // https://docs.lambda.ai/public-cloud/lambda-inference-api
    like_openai("lambda_ai", &["LAMBDA_API_KEY"], "https://api.lambda.ai/v1"),
    // https://docs.inceptionlabs.ai/get-started/get-started
    like_openai(
        "inception",
        &["INCEPTION_API_KEY"],
        "https://api.inceptionlabs.ai/v1",
    ),
    // https://docs.morphllm.com/api-reference/introduction
    like_openai("morph", &["MORPH_API_KEY"], "https://api.morphllm.com/v1"),
    // https://vercel.com/docs/ai-gateway/openai-compat
    like_openai(
        "vercel_ai_gateway",
        &["VERCEL_AI_GATEWAY_API_KEY", "VERCEL_OIDC_TOKEN"],
        "https://ai-gateway.vercel.sh/v1",
    ),
    // https://docs.wandb.ai/guides/inference/api-reference
    like_openai(
        "wandb",
        &["WANDB_API_KEY"],
        "https://api.inference.wandb.ai/v1",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Kind;

    use crate::origin::BaseUrl;

    #[test]
    fn the_entries_of_the_table_hold_together() {
        for known in ALL {
            let prefix = known.prefix;
            assert!(Kind::named(known.kind).is_some(), "{prefix}");
            let url = known.base_url.map(BaseUrl::parse);
            assert!(
                url.is_none_or(|url| url.is_ok_and(|url| url.tls)),
                "{prefix}"
            );
            let same = ALL.iter().filter(|other| other.prefix == prefix);
            assert_eq!(same.count(), 1, "{prefix}");
            let tokenless = Kind::named(known.kind).unwrap().tokenless;
            assert_eq!(known.tokens.is_empty(), tokenless, "{prefix}");
            assert!(!(known.keyless && known.base_url.is_some()), "{prefix}");
        }
    }
}
