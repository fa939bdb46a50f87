//! Where each API says how many tokens a response took: one table, each row with its source.
//!
//! No API uses another's name for something else, so that one table serves all of them, and a gateway in front of
//! several providers may mix them. [`tree`] is the same table as the scanner walks it.

use super::media::{Modality, Part};
use super::media_places::{IN_METADATA, IN_USAGE};

/// What stands at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// A count of tokens.
    Count(Count),
    /// The model's name.
    Model,
    /// What went wrong, if it is an object, or a text or a number that is not empty or zero.
    Error,
    /// What the document is, which may be an error.
    Kind,
    /// The number of a choice in [`Says::Choices`].
    Choice,
    /// The choices of a response, each of which may say its tokens.
    Choices,
    /// The calls of models that a response was made by, each with its tokens.
    Calls,
    /// A count of one of them.
    CallCount(Count),
    /// What one of them was for.
    CallKind,
    /// The tier of service.
    Tier,
    /// How fast it was made, which has a price like a tier.
    Speed,
    /// What it cost, in dollars.
    Cost,
    /// The same in ten-billionths of a dollar.
    CostTicks,
    /// What somebody else bills for it beside that, in dollars, where [`Says::OwnKey`] is true.
    CostElsewhere,
    /// Whether it was made with a key of the customer's own, which somebody else bills.
    OwnKey,
    /// The model that writes down what users say, in a session of the Realtime API.
    Transcriber,
    /// A count of the tokens of one modality.
    Medium(Part, Modality),
    /// A list of such counts, with an entry for each modality.
    ByModality(Part),
    /// The modality of an entry in it.
    EntryModality,
    /// The tokens of an entry in it.
    EntryTokens,
    /// Searches of the web that stand in no object for usage, so that a zero says nothing.
    ToolSearches,
    /// Tokens of the model that draws images, which the one that the response names has called.
    Drawing,
    /// Seconds of audio that went in: its tokens are in no count but the total.
    Heard,
}

impl Says {
    /// Whether it is a number, of tokens or of what they cost.
    pub(super) fn is_number(self) -> bool {
        matches!(
            self,
            Self::Count(_)
                | Self::CallCount(_)
                | Self::Medium(..)
                | Self::EntryTokens
                | Self::ToolSearches
                | Self::Drawing
                | Self::Cost
                | Self::CostTicks
                | Self::CostElsewhere
        )
    }
}

/// What is counted, as it is said. The number is the index in an array of counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Count {
    /// All of the input, cached or not.
    Input,
    /// The input without what [`Count::CacheReadNamed`] and [`Count::CacheWriteNamed`] say.
    InputBesideCache,
    /// Input that is not in either of the above: results of tools that the provider itself called.
    ToolInput,
    Output,
    /// Output that is not in [`Count::Output`].
    Thoughts,
    /// Of the input, read from the cache.
    CacheRead,
    /// The same, in a member that stands beside `input_tokens` and is not in it.
    CacheReadNamed,
    /// Of the input, written into the cache.
    CacheWrite,
    /// The same, in a member that stands beside `input_tokens`.
    CacheWriteNamed,
    /// A part of [`Count::CacheWriteNamed`]: written for five minutes.
    CacheWriteMinutes,
    /// A part of [`Count::CacheWriteNamed`]: written for an hour.
    CacheWriteHour,
    /// Of the output, reasoning.
    Reasoning,
    /// Input and output together.
    Total,
    /// The input that is billed, where that is another number than what the model read.
    BilledInput,
    /// The output that is billed.
    BilledOutput,
    /// Searches of the web, which are no tokens.
    Searches,
    /// What is billed of images that went in, beside [`Count::BilledInput`].
    BilledImages,
}

/// How many [`Count`]s there are.
pub(super) const COUNTS: usize = 17;

/// A path of member names with a dot between them (arrays are passed through), what stands there, and the URL of the
/// document that says so.
pub(super) type Row = (&'static str, Says, &'static str);

/// An object in which a table of rows holds: its path from the root of a document, the table, whether what it says
/// counts only where nothing else says anything, and the source.
type Holder = (&'static str, &'static [Row], bool, &'static str);

use Count::{
    BilledInput, BilledOutput, CacheRead, CacheReadNamed, CacheWrite, CacheWriteHour,
    CacheWriteMinutes, CacheWriteNamed, Input, InputBesideCache, Output, Reasoning, Searches,
    Thoughts, ToolInput, Total,
};
use Says::Model;

pub(super) const OPENAI_CHAT: &str = "https://platform.openai.com/docs/api-reference/chat/object";
const OPENAI_STREAM: &str = "https://platform.openai.com/docs/api-reference/responses-streaming";
const OPENAI_RESPONSES: &str = "https://platform.openai.com/docs/api-reference/responses/object";
const OPENAI_IMAGE_TOOL: &str = "https://platform.openai.com/docs/guides/tools-image-generation";
pub(super) const OPENAI_REALTIME: &str =
    "https://platform.openai.com/docs/api-reference/realtime-server-events/response/done";
const REALTIME_SESSION: &str =
    "https://platform.openai.com/docs/api-reference/realtime-server-events/session/created";
const ANTHROPIC: &str = "https://docs.anthropic.com/en/api/messages";
const ANTHROPIC_FAST: &str = "https://platform.claude.com/docs/en/build-with-claude/fast-mode";
const ANTHROPIC_STREAM: &str = "https://docs.anthropic.com/en/api/messages-streaming";
pub(super) const GEMINI: &str = "https://ai.google.dev/api/generate-content#UsageMetadata";
pub(super) const GEMINI_LIVE: &str = "https://ai.google.dev/api/live#UsageMetadata";
const GEMINI_SETUP: &str = "https://ai.google.dev/api/live#BidiGenerateContentSetup";
pub(super) const INTERACTIONS: &str = "https://ai.google.dev/api/interactions-api";
pub(super) const VERTEX: &str =
    "https://docs.cloud.google.com/gemini-enterprise-agent-platform/reference/rest/v1beta1/Usage";
const VERTEX_TRAFFIC: &str =
    "https://docs.cloud.google.com/vertex-ai/generative-ai/docs/deploy/consumption-options";
const CODE_ASSIST: &str = "https://github.com/google-gemini/gemini-cli/blob/main/packages/core/src/code_assist/converter.ts";
const COMPACTION: &str = "https://platform.claude.com/docs/en/build-with-claude/compaction";
const CONVERSE: &str =
    "https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html";
const CONVERSE_TIER: &str =
    "https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ServiceTier.html";
const COHERE: &str = "https://docs.cohere.com/reference/chat";
const COHERE_V1: &str = "https://docs.cohere.com/v1/reference/chat";
pub(super) const COHERE_EMBED: &str = "https://docs.cohere.com/reference/embed";
const DEEPSEEK: &str = "https://api-docs.deepseek.com/guides/kv_cache";
const GROQ: &str = "https://console.groq.com/docs/api-reference#chat-create";
const KIMI: &str = "https://platform.moonshot.ai/docs/api/chat";
const LITELLM: &str = "https://docs.litellm.ai/docs/completion/prompt_caching";
const MISTRAL: &str = "https://docs.mistral.ai/api/endpoint/chat";
pub(super) const MISTRAL_AUDIO: &str = "https://docs.mistral.ai/api/endpoint/audio/transcriptions";
const OLLAMA: &str = "https://github.com/ollama/ollama/blob/main/docs/api.md";
const OPENROUTER: &str = "https://openrouter.ai/docs/guides/best-practices/prompt-caching";
const OPENROUTER_COST: &str = "https://openrouter.ai/docs/use-cases/usage-accounting";
const OPENROUTER_ERRORS: &str = "https://openrouter.ai/docs/api-reference/errors";
const PERPLEXITY: &str = "https://docs.perplexity.ai/api-reference/chat-completions-post";
const VLLM: &str =
    "https://github.com/vllm-project/vllm/blob/v0.9.2/vllm/entrypoints/openai/protocol.py";
const XAI_COST: &str = "https://docs.x.ai/developers/cost-tracking";
const TGI: &str = "https://huggingface.github.io/text-generation-inference/";

/// What an object called `usage` may hold.
const USAGE: &[Row] = &[
    ("prompt_tokens", Says::Count(Input), OPENAI_CHAT),
    ("completion_tokens", Says::Count(Output), OPENAI_CHAT),
    ("total_tokens", Says::Count(Total), OPENAI_CHAT),
    (
        "prompt_tokens_details.cached_tokens",
        Says::Count(CacheRead),
        OPENAI_CHAT,
    ),
    (
        "completion_tokens_details.reasoning_tokens",
        Says::Count(Reasoning),
        OPENAI_CHAT,
    ),
    (
        "prompt_tokens_details.cache_write_tokens",
        Says::Count(CacheWrite),
        OPENROUTER,
    ),
    (
        "prompt_tokens_details.cache_creation_tokens",
        Says::Count(CacheWrite),
        LITELLM,
    ),
    (
        "input_tokens",
        Says::Count(InputBesideCache),
        OPENAI_RESPONSES,
    ),
    ("output_tokens", Says::Count(Output), OPENAI_RESPONSES),
    (
        "input_tokens_details.cached_tokens",
        Says::Count(CacheRead),
        OPENAI_RESPONSES,
    ),
    (
        "input_tokens_details.cache_write_tokens",
        Says::Count(CacheWrite),
        OPENROUTER,
    ),
    (
        "input_tokens_details.cache_creation_tokens",
        Says::Count(CacheWrite),
        LITELLM,
    ),
    (
        "output_tokens_details.reasoning_tokens",
        Says::Count(Reasoning),
        OPENAI_RESPONSES,
    ),
    (
        "input_token_details.cached_tokens",
        Says::Count(CacheRead),
        OPENAI_REALTIME,
    ),
    (
        "cache_read_input_tokens",
        Says::Count(CacheReadNamed),
        ANTHROPIC,
    ),
    (
        "cache_creation_input_tokens",
        Says::Count(CacheWriteNamed),
        ANTHROPIC,
    ),
    (
        "cache_creation.ephemeral_5m_input_tokens",
        Says::Count(CacheWriteMinutes),
        ANTHROPIC,
    ),
    (
        "cache_creation.ephemeral_1h_input_tokens",
        Says::Count(CacheWriteHour),
        ANTHROPIC,
    ),
    ("inputTokens", Says::Count(InputBesideCache), CONVERSE),
    ("outputTokens", Says::Count(Output), CONVERSE),
    ("totalTokens", Says::Count(Total), CONVERSE),
    (
        "cacheReadInputTokens",
        Says::Count(CacheReadNamed),
        CONVERSE,
    ),
    (
        "cacheWriteInputTokens",
        Says::Count(CacheWriteNamed),
        CONVERSE,
    ),
    ("total_input_tokens", Says::Count(Input), INTERACTIONS),
    (
        "total_tool_use_tokens",
        Says::Count(ToolInput),
        INTERACTIONS,
    ),
    ("total_output_tokens", Says::Count(Output), INTERACTIONS),
    ("total_thought_tokens", Says::Count(Thoughts), INTERACTIONS),
    ("total_cached_tokens", Says::Count(CacheRead), INTERACTIONS),
    ("totalInputTokens", Says::Count(Input), VERTEX),
    ("totalToolUseTokens", Says::Count(ToolInput), VERTEX),
    ("totalOutputTokens", Says::Count(Output), VERTEX),
    ("totalThoughtTokens", Says::Count(Thoughts), VERTEX),
    ("totalCachedTokens", Says::Count(CacheRead), VERTEX),
    ("cached_tokens", Says::Count(CacheRead), KIMI),
    ("prompt_cache_hit_tokens", Says::Count(CacheRead), DEEPSEEK),
    ("num_cached_tokens", Says::Count(CacheRead), MISTRAL),
    ("reasoning_tokens", Says::Count(Reasoning), PERPLEXITY),
    (
        "server_tool_use.web_search_requests",
        Says::Count(Searches),
        ANTHROPIC,
    ),
    ("num_search_queries", Says::Count(Searches), PERPLEXITY),
    ("iterations", Says::Calls, COMPACTION),
    ("iterations.type", Says::CallKind, COMPACTION),
    (
        "iterations.input_tokens",
        Says::CallCount(InputBesideCache),
        COMPACTION,
    ),
    (
        "iterations.output_tokens",
        Says::CallCount(Output),
        COMPACTION,
    ),
    (
        "iterations.cache_read_input_tokens",
        Says::CallCount(CacheReadNamed),
        COMPACTION,
    ),
    (
        "iterations.cache_creation_input_tokens",
        Says::CallCount(CacheWriteNamed),
        COMPACTION,
    ),
    (
        "iterations.cache_creation.ephemeral_5m_input_tokens",
        Says::CallCount(CacheWriteMinutes),
        COMPACTION,
    ),
    (
        "iterations.cache_creation.ephemeral_1h_input_tokens",
        Says::CallCount(CacheWriteHour),
        COMPACTION,
    ),
    ("service_tier", Says::Tier, ANTHROPIC),
    ("speed", Says::Speed, ANTHROPIC_FAST),
    ("cost", Says::Cost, OPENROUTER_COST),
    ("is_byok", Says::OwnKey, OPENROUTER_COST),
    (
        "cost_details.upstream_inference_cost",
        Says::CostElsewhere,
        OPENROUTER_COST,
    ),
    ("cost.total_cost", Says::Cost, PERPLEXITY),
    ("cost_in_usd_ticks", Says::CostTicks, XAI_COST),
    ("tokens.input_tokens", Says::Count(Input), COHERE),
    ("tokens.output_tokens", Says::Count(Output), COHERE),
    (
        "billed_units.input_tokens",
        Says::Count(BilledInput),
        COHERE,
    ),
    (
        "billed_units.output_tokens",
        Says::Count(BilledOutput),
        COHERE,
    ),
];

/// What Gemini's `usageMetadata` may hold.
const METADATA: &[Row] = &[
    ("promptTokenCount", Says::Count(Input), GEMINI),
    ("toolUsePromptTokenCount", Says::Count(ToolInput), GEMINI),
    ("candidatesTokenCount", Says::Count(Output), GEMINI),
    ("responseTokenCount", Says::Count(Output), GEMINI_LIVE),
    ("thoughtsTokenCount", Says::Count(Thoughts), GEMINI),
    ("cachedContentTokenCount", Says::Count(CacheRead), GEMINI),
    ("totalTokenCount", Says::Count(Total), GEMINI),
    ("serviceTier", Says::Tier, GEMINI),
    ("trafficType", Says::Tier, VERTEX_TRAFFIC),
];

/// What the `tool_usage` of a response may hold, which stands beside its `usage`.
const TOOLS: &[Row] = &[
    (
        "web_search.num_requests",
        Says::ToolSearches,
        OPENAI_RESPONSES,
    ),
    ("image_gen.input_tokens", Says::Drawing, OPENAI_IMAGE_TOOL),
    ("image_gen.output_tokens", Says::Drawing, OPENAI_IMAGE_TOOL),
];

/// What stands in no object for usage.
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
        Says::Transcriber,
        REALTIME_SESSION,
    ),
    (
        "session.input_audio_transcription.model",
        Says::Transcriber,
        REALTIME_SESSION,
    ),
    ("setup.model", Model, GEMINI_SETUP),
    ("service_tier", Says::Tier, OPENAI_CHAT),
    ("response.service_tier", Says::Tier, OPENAI_RESPONSES),
    ("serviceTier.type", Says::Tier, CONVERSE_TIER),
    ("error", Says::Error, OPENAI_CHAT),
    ("response.error", Says::Error, OPENAI_STREAM),
    ("delta.error", Says::Error, COHERE),
    ("choices.error", Says::Error, OPENROUTER_ERRORS),
    ("type", Says::Kind, ANTHROPIC_STREAM),
    ("object", Says::Kind, VLLM),
    ("choices", Says::Choices, KIMI),
    ("choices.index", Says::Choice, KIMI),
    ("prompt_eval_count", Says::Count(Input), OLLAMA),
    ("eval_count", Says::Count(Output), OLLAMA),
    ("details.generated_tokens", Says::Count(Output), TGI),
    ("details.input_length", Says::Count(Input), TGI),
];

/// Where these are.
const HOLDERS: &[Holder] = &[
    ("", ROOT, false, OPENAI_CHAT),
    ("usage", USAGE, false, OPENAI_CHAT),
    // In every place of the table above as well, since all of them lead to one branch.
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
    // A choice says only its own output (see `super::parts`): the root of the same document is believed first.
    ("choices.usage", USAGE, true, KIMI),
];

/// The objects that stand in arrays, as those of [`Says::ByModality`] do.
const LISTS: [&str; 2] = ["choices", "usage.iterations"];

/// What stands in every event of a stream that says a count or an error: a part of the path to it, or `"error"`. (TGI
/// says `input_length` beside `generated_tokens` alone, and searches stand beside tokens as well.)
pub(super) const SIGNS: [&str; 3] = ["oken", "eval_count", "\"error"];

/// The longest name in the table, in bytes.
const LONGEST: usize = 32;

mod tree;
pub(super) use tree::{Branch, Tree, tree};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::scanner::Node;

    fn find(path: &str) -> Option<&'static Branch> {
        let mut node = Node(0);
        for name in path.split('.').filter(|name| !name.is_empty()) {
            node = tree().at(node)?.child(name.as_bytes())?;
        }
        tree().at(node)
    }

    fn rows() -> impl Iterator<Item = (String, Says, bool)> {
        HOLDERS.iter().flat_map(|(holder, rows, spare, _)| {
            rows.iter()
                .map(move |(path, says, _)| (format!("{holder}.{path}"), *says, *spare))
        })
    }

    #[test]
    fn every_row_of_the_table_is_found_by_its_path() {
        let mut seen = 0;
        for (path, says, spare) in rows() {
            let branch = find(&path).unwrap();
            assert_eq!((branch.says, branch.spare), (Some(says), spare), "{path}");
            assert!(path.split('.').all(|name| name.len() <= LONGEST), "{path}");
            seen += 1;
        }
        let branches = tree().branches.len();
        assert!(seen > 300 && branches < 255, "{seen} {branches}");
        assert!(find("choices").unwrap().is_list && find("usage.prompt").is_none());
    }

    #[test]
    fn every_source_is_an_address() {
        let of_rows = HOLDERS.iter().flat_map(|(_, rows, _, _)| rows.iter());
        let sources = of_rows.map(|(_, _, source)| *source);
        for source in sources.chain(HOLDERS.iter().map(|(.., source)| *source)) {
            assert!(source.starts_with("https://"), "{source}");
        }
    }

    #[test]
    fn no_count_and_no_error_is_said_without_a_sign() {
        use Says::{ByModality, EntryTokens, Medium};
        let tells = |says| {
            matches!(
                says,
                Says::Count(_) | Says::Error | Medium(..) | ByModality(_) | EntryTokens
            )
        };
        let told = rows().filter(|(_, says, _)| tells(*says));
        let beside = ["input_length", "web_search_requests", "num_search_queries"];
        for (path, _, _) in told.filter(|(path, ..)| !beside.iter().any(|end| path.ends_with(end)))
        {
            let path = path.replace('.', "\"");
            assert!(SIGNS.iter().any(|sign| path.contains(sign)), "{path}");
        }
    }
}
