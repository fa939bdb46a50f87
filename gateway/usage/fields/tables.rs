//! The fields of each object that reports usage, and the paths of these objects.

use super::meaning::Count::{
    BilledInput, BilledOutput, CacheRead, CacheWrite, CacheWrite1h, CacheWrite5m, Input, Output,
    Reasoning, Searches, SeparateCacheRead, SeparateCacheWrite, Thoughts, ToolInput, Total,
    UncachedInput,
};
use super::meaning::Field::Model;
use super::meaning::{Field, Row};
use super::media::{IN_METADATA, IN_USAGE};
use super::sources::{
    ANTHROPIC, ANTHROPIC_FAST, ANTHROPIC_STREAM, CODE_ASSIST, COHERE, COHERE_V1, COMPACTION,
    CONVERSE, CONVERSE_TIER, DEEPSEEK, GEMINI, GEMINI_LIVE, GEMINI_SETUP, GROQ, INTERACTIONS, KIMI,
    LITELLM, MISTRAL, OLLAMA, OPENAI_CHAT, OPENAI_IMAGE_TOOL, OPENAI_REALTIME, OPENAI_RESPONSES,
    OPENAI_STREAM, OPENROUTER, OPENROUTER_COST, OPENROUTER_ERRORS, PERPLEXITY, REALTIME_SESSION,
    TGI, VERTEX, VERTEX_TRAFFIC, VLLM, XAI_COST,
};

/// An object that contains the fields of a table: its path from the root of a document, the table,
/// whether its counts are used only if no others are reported, and the source.
pub(super) type UsageObject = (&'static str, &'static [Row], bool, &'static str);

/// Fields of an object called `usage`.
const USAGE: &[Row] = &[
    ("prompt_tokens", Field::Count(Input), OPENAI_CHAT),
    ("completion_tokens", Field::Count(Output), OPENAI_CHAT),
    ("total_tokens", Field::Count(Total), OPENAI_CHAT),
    (
        "prompt_tokens_details.cached_tokens",
        Field::Count(CacheRead),
        OPENAI_CHAT,
    ),
    (
        "completion_tokens_details.reasoning_tokens",
        Field::Count(Reasoning),
        OPENAI_CHAT,
    ),
    (
        "prompt_tokens_details.cache_write_tokens",
        Field::Count(CacheWrite),
        OPENROUTER,
    ),
    (
        "prompt_tokens_details.cache_creation_tokens",
        Field::Count(CacheWrite),
        LITELLM,
    ),
    (
        "input_tokens",
        Field::Count(UncachedInput),
        OPENAI_RESPONSES,
    ),
    ("output_tokens", Field::Count(Output), OPENAI_RESPONSES),
    (
        "input_tokens_details.cached_tokens",
        Field::Count(CacheRead),
        OPENAI_RESPONSES,
    ),
    (
        "input_tokens_details.cache_write_tokens",
        Field::Count(CacheWrite),
        OPENROUTER,
    ),
    (
        "input_tokens_details.cache_creation_tokens",
        Field::Count(CacheWrite),
        LITELLM,
    ),
    (
        "output_tokens_details.reasoning_tokens",
        Field::Count(Reasoning),
        OPENAI_RESPONSES,
    ),
    (
        "input_token_details.cached_tokens",
        Field::Count(CacheRead),
        OPENAI_REALTIME,
    ),
    (
        "cache_read_input_tokens",
        Field::Count(SeparateCacheRead),
        ANTHROPIC,
    ),
    (
        "cache_creation_input_tokens",
        Field::Count(SeparateCacheWrite),
        ANTHROPIC,
    ),
    (
        "cache_creation.ephemeral_5m_input_tokens",
        Field::Count(CacheWrite5m),
        ANTHROPIC,
    ),
    (
        "cache_creation.ephemeral_1h_input_tokens",
        Field::Count(CacheWrite1h),
        ANTHROPIC,
    ),
    ("inputTokens", Field::Count(UncachedInput), CONVERSE),
    ("outputTokens", Field::Count(Output), CONVERSE),
    ("totalTokens", Field::Count(Total), CONVERSE),
    (
        "cacheReadInputTokens",
        Field::Count(SeparateCacheRead),
        CONVERSE,
    ),
    (
        "cacheWriteInputTokens",
        Field::Count(SeparateCacheWrite),
        CONVERSE,
    ),
    ("total_input_tokens", Field::Count(Input), INTERACTIONS),
    (
        "total_tool_use_tokens",
        Field::Count(ToolInput),
        INTERACTIONS,
    ),
    ("total_output_tokens", Field::Count(Output), INTERACTIONS),
    ("total_thought_tokens", Field::Count(Thoughts), INTERACTIONS),
    ("total_cached_tokens", Field::Count(CacheRead), INTERACTIONS),
    ("totalInputTokens", Field::Count(Input), VERTEX),
    ("totalToolUseTokens", Field::Count(ToolInput), VERTEX),
    ("totalOutputTokens", Field::Count(Output), VERTEX),
    ("totalThoughtTokens", Field::Count(Thoughts), VERTEX),
    ("totalCachedTokens", Field::Count(CacheRead), VERTEX),
    ("cached_tokens", Field::Count(CacheRead), KIMI),
    ("prompt_cache_hit_tokens", Field::Count(CacheRead), DEEPSEEK),
    ("num_cached_tokens", Field::Count(CacheRead), MISTRAL),
    ("reasoning_tokens", Field::Count(Reasoning), PERPLEXITY),
    (
        "server_tool_use.web_search_requests",
        Field::Count(Searches),
        ANTHROPIC,
    ),
    ("num_search_queries", Field::Count(Searches), PERPLEXITY),
    ("iterations", Field::Calls, COMPACTION),
    ("iterations.type", Field::CallType, COMPACTION),
    (
        "iterations.input_tokens",
        Field::CallCount(UncachedInput),
        COMPACTION,
    ),
    (
        "iterations.output_tokens",
        Field::CallCount(Output),
        COMPACTION,
    ),
    (
        "iterations.cache_read_input_tokens",
        Field::CallCount(SeparateCacheRead),
        COMPACTION,
    ),
    (
        "iterations.cache_creation_input_tokens",
        Field::CallCount(SeparateCacheWrite),
        COMPACTION,
    ),
    (
        "iterations.cache_creation.ephemeral_5m_input_tokens",
        Field::CallCount(CacheWrite5m),
        COMPACTION,
    ),
    (
        "iterations.cache_creation.ephemeral_1h_input_tokens",
        Field::CallCount(CacheWrite1h),
        COMPACTION,
    ),
    ("service_tier", Field::ServiceTier, ANTHROPIC),
    ("speed", Field::Speed, ANTHROPIC_FAST),
    ("cost", Field::Cost, OPENROUTER_COST),
    ("is_byok", Field::OwnKey, OPENROUTER_COST),
    (
        "cost_details.upstream_inference_cost",
        Field::UpstreamCost,
        OPENROUTER_COST,
    ),
    ("cost.total_cost", Field::Cost, PERPLEXITY),
    ("cost_in_usd_ticks", Field::CostTicks, XAI_COST),
    ("tokens.input_tokens", Field::Count(Input), COHERE),
    ("tokens.output_tokens", Field::Count(Output), COHERE),
    (
        "billed_units.input_tokens",
        Field::Count(BilledInput),
        COHERE,
    ),
    (
        "billed_units.output_tokens",
        Field::Count(BilledOutput),
        COHERE,
    ),
];

/// Fields of Gemini's `usageMetadata`.
const METADATA: &[Row] = &[
    ("promptTokenCount", Field::Count(Input), GEMINI),
    ("toolUsePromptTokenCount", Field::Count(ToolInput), GEMINI),
    ("candidatesTokenCount", Field::Count(Output), GEMINI),
    ("responseTokenCount", Field::Count(Output), GEMINI_LIVE),
    ("thoughtsTokenCount", Field::Count(Thoughts), GEMINI),
    ("cachedContentTokenCount", Field::Count(CacheRead), GEMINI),
    ("totalTokenCount", Field::Count(Total), GEMINI),
    ("serviceTier", Field::ServiceTier, GEMINI),
    ("trafficType", Field::ServiceTier, VERTEX_TRAFFIC),
];

/// Fields of `tool_usage`, which stands beside the `usage` of a response.
const TOOLS: &[Row] = &[
    (
        "web_search.num_requests",
        Field::ToolSearches,
        OPENAI_RESPONSES,
    ),
    (
        "image_gen.input_tokens",
        Field::ImageModel,
        OPENAI_IMAGE_TOOL,
    ),
    (
        "image_gen.output_tokens",
        Field::ImageModel,
        OPENAI_IMAGE_TOOL,
    ),
];

/// Fields outside of usage objects.
const ROOT: &[Row] = &[
    ("model", Model, OPENAI_CHAT),
    ("modelVersion", Model, GEMINI),
    ("response.model", Model, OPENAI_STREAM),
    ("response.modelVersion", Model, CODE_ASSIST),
    ("message.model", Model, ANTHROPIC_STREAM),
    ("interaction.model", Model, INTERACTIONS),
    ("session.model", Model, REALTIME_SESSION),
    (
        "session.audio.input.transcription.model",
        Field::TranscriptionModel,
        REALTIME_SESSION,
    ),
    (
        "session.input_audio_transcription.model",
        Field::TranscriptionModel,
        REALTIME_SESSION,
    ),
    ("setup.model", Model, GEMINI_SETUP),
    ("service_tier", Field::ServiceTier, OPENAI_CHAT),
    (
        "response.service_tier",
        Field::ServiceTier,
        OPENAI_RESPONSES,
    ),
    ("serviceTier.type", Field::ServiceTier, CONVERSE_TIER),
    ("error", Field::Error, OPENAI_CHAT),
    ("response.error", Field::Error, OPENAI_STREAM),
    ("delta.error", Field::Error, COHERE),
    ("choices.error", Field::Error, OPENROUTER_ERRORS),
    ("type", Field::DocumentType, ANTHROPIC_STREAM),
    ("object", Field::DocumentType, VLLM),
    ("choices", Field::Choices, KIMI),
    ("choices.index", Field::ChoiceIndex, KIMI),
    ("prompt_eval_count", Field::Count(Input), OLLAMA),
    ("eval_count", Field::Count(Output), OLLAMA),
    ("details.generated_tokens", Field::Count(Output), TGI),
    ("details.input_length", Field::Count(Input), TGI),
];

/// The objects that contain the tables above.
pub(super) const USAGE_OBJECTS: &[UsageObject] = &[
    ("", ROOT, false, OPENAI_CHAT),
    ("usage", USAGE, false, OPENAI_CHAT),
    // This row adds the media fields to every `usage` object below, because all of them share one
    // branch.
    ("usage", IN_USAGE, false, OPENAI_CHAT),
    ("response.usage", USAGE, false, OPENAI_STREAM),
    ("tool_usage", TOOLS, false, OPENAI_RESPONSES),
    ("response.tool_usage", TOOLS, false, OPENAI_STREAM),
    ("message.usage", USAGE, false, ANTHROPIC_STREAM),
    ("delta.usage", USAGE, false, COHERE),
    ("meta", USAGE, false, COHERE_V1),
    ("response.meta", USAGE, false, COHERE_V1),
    ("x_groq.usage", USAGE, false, GROQ),
    ("interaction.usage", USAGE, false, INTERACTIONS),
    ("usageMetadata", METADATA, false, GEMINI),
    ("usageMetadata", IN_METADATA, false, GEMINI),
    ("response.usageMetadata", METADATA, false, CODE_ASSIST),
    // The usage of a choice covers only that choice (see `super::parts`), so the root of the same
    // document takes precedence.
    ("choices.usage", USAGE, true, KIMI),
];

/// Arrays whose entries are counted one by one, in addition to those of [`Field::ByModality`].
pub(super) const LISTS: [&str; 2] = ["choices", "usage.iterations"];

/// Texts of which each event that reports a count or an error contains at least one: a part of the
/// path of the field, or `"error"`. (TGI reports `input_length` only beside `generated_tokens`, and
/// searches stand beside tokens.)
pub(in crate::usage) const MARKERS: [&str; 3] = ["oken", "eval_count", "\"error"];

/// The length of the longest name in the table, in bytes.
pub(super) const LONGEST: usize = 32;
