//! The documents that specify the fields.

pub(super) const OPENAI_CHAT: &str = "https://platform.openai.com/docs/api-reference/chat/object";
pub(super) const OPENAI_STREAM: &str =
    "https://platform.openai.com/docs/api-reference/responses-streaming";
pub(super) const OPENAI_RESPONSES: &str =
    "https://platform.openai.com/docs/api-reference/responses/object";
pub(super) const OPENAI_IMAGE_TOOL: &str =
    "https://platform.openai.com/docs/guides/tools-image-generation";
pub(super) const OPENAI_REALTIME: &str =
    "https://platform.openai.com/docs/api-reference/realtime-server-events/response/done";
pub(super) const REALTIME_SESSION: &str =
    "https://platform.openai.com/docs/api-reference/realtime-server-events/session/created";
pub(super) const ANTHROPIC: &str = "https://docs.anthropic.com/en/api/messages";
pub(super) const ANTHROPIC_FAST: &str =
    "https://platform.claude.com/docs/en/build-with-claude/fast-mode";
pub(super) const ANTHROPIC_STREAM: &str = "https://docs.anthropic.com/en/api/messages-streaming";
pub(super) const GEMINI: &str = "https://ai.google.dev/api/generate-content#UsageMetadata";
pub(super) const GEMINI_LIVE: &str = "https://ai.google.dev/api/live#UsageMetadata";
pub(super) const GEMINI_SETUP: &str = "https://ai.google.dev/api/live#BidiGenerateContentSetup";
pub(super) const INTERACTIONS: &str = "https://ai.google.dev/api/interactions-api";
pub(super) const VERTEX: &str =
    "https://docs.cloud.google.com/gemini-enterprise-agent-platform/reference/rest/v1beta1/Usage";
pub(super) const VERTEX_TRAFFIC: &str =
    "https://docs.cloud.google.com/vertex-ai/generative-ai/docs/deploy/consumption-options";
pub(super) const CODE_ASSIST: &str = "https://github.com/google-gemini/gemini-cli/blob/main/packages/core/src/code_assist/converter.ts";
pub(super) const COMPACTION: &str =
    "https://platform.claude.com/docs/en/build-with-claude/compaction";
pub(super) const CONVERSE: &str =
    "https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html";
pub(super) const CONVERSE_TIER: &str =
    "https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ServiceTier.html";
pub(super) const COHERE: &str = "https://docs.cohere.com/reference/chat";
pub(super) const COHERE_V1: &str = "https://docs.cohere.com/v1/reference/chat";
pub(super) const COHERE_EMBED: &str = "https://docs.cohere.com/reference/embed";
pub(super) const DEEPSEEK: &str = "https://api-docs.deepseek.com/guides/kv_cache";
pub(super) const GROQ: &str = "https://console.groq.com/docs/api-reference#chat-create";
pub(super) const KIMI: &str = "https://platform.moonshot.ai/docs/api/chat";
pub(super) const LITELLM: &str = "https://docs.litellm.ai/docs/completion/prompt_caching";
pub(super) const MISTRAL: &str = "https://docs.mistral.ai/api/endpoint/chat";
pub(super) const MISTRAL_AUDIO: &str = "https://docs.mistral.ai/api/endpoint/audio/transcriptions";
pub(super) const OLLAMA: &str = "https://github.com/ollama/ollama/blob/main/docs/api.md";
pub(super) const OPENROUTER: &str =
    "https://openrouter.ai/docs/guides/best-practices/prompt-caching";
pub(super) const OPENROUTER_COST: &str = "https://openrouter.ai/docs/use-cases/usage-accounting";
pub(super) const OPENROUTER_ERRORS: &str = "https://openrouter.ai/docs/api-reference/errors";
pub(super) const PERPLEXITY: &str =
    "https://docs.perplexity.ai/api-reference/chat-completions-post";
pub(super) const VLLM: &str =
    "https://github.com/vllm-project/vllm/blob/v0.9.2/vllm/entrypoints/openai/protocol.py";
pub(super) const XAI_COST: &str = "https://docs.x.ai/developers/cost-tracking";
pub(super) const TGI: &str = "https://huggingface.github.io/text-generation-inference/";
pub(super) const OPENAI_IMAGES: &str =
    "https://platform.openai.com/docs/api-reference/images/object";
pub(super) const OPENAI_TRANSCRIPTION: &str =
    "https://platform.openai.com/docs/api-reference/audio/json-object";
pub(super) const LITELLM_USAGE: &str = "https://docs.litellm.ai/docs/completion/usage";
pub(super) const QWEN_REALTIME: &str =
    "https://www.alibabacloud.com/help/en/model-studio/qwen-tts-realtime-server-events";
pub(super) const OPENROUTER_USAGE: &str =
    "https://openrouter.ai/docs/client-sdks/typescript/models/batchobjectprompttokensdetails";
