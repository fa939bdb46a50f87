//! The JSON fields in which APIs report tokens of audio, images and video: a part of the table in
//! [`super::tables`].

use super::meaning::Field::{ByModality, EntryModality, EntryTokens, Medium};
use super::meaning::{Count, Field, Row};
use super::sources::{
    COHERE_EMBED, GEMINI, GEMINI_LIVE, INTERACTIONS, LITELLM_USAGE, MISTRAL_AUDIO, OPENAI_CHAT,
    OPENAI_IMAGES, OPENAI_REALTIME, OPENAI_TRANSCRIPTION, OPENROUTER_USAGE, QWEN_REALTIME, VERTEX,
};
use crate::usage::modality::Modality::{Audio, Image, Text, Video};
use crate::usage::modality::Part;

/// Media fields of an object called `usage`. No API has them in a choice.
pub(super) const IN_USAGE: &[Row] = &[
    (
        "prompt_tokens_details.audio_tokens",
        Medium(Part::Input, Audio),
        OPENAI_CHAT,
    ),
    (
        "prompt_tokens_details.image_tokens",
        Medium(Part::Input, Image),
        LITELLM_USAGE,
    ),
    (
        "prompt_tokens_details.video_tokens",
        Medium(Part::Input, Video),
        OPENROUTER_USAGE,
    ),
    (
        "completion_tokens_details.audio_tokens",
        Medium(Part::Output, Audio),
        OPENAI_CHAT,
    ),
    (
        "completion_tokens_details.image_tokens",
        Medium(Part::Output, Image),
        LITELLM_USAGE,
    ),
    (
        "completion_tokens_details.video_tokens",
        Medium(Part::Output, Video),
        LITELLM_USAGE,
    ),
    (
        "input_tokens_details.audio_tokens",
        Medium(Part::Input, Audio),
        LITELLM_USAGE,
    ),
    (
        "input_tokens_details.image_tokens",
        Medium(Part::Input, Image),
        OPENAI_IMAGES,
    ),
    (
        "output_tokens_details.audio_tokens",
        Medium(Part::Output, Audio),
        QWEN_REALTIME,
    ),
    (
        "output_tokens_details.image_tokens",
        Medium(Part::Output, Image),
        OPENAI_IMAGES,
    ),
    (
        "input_token_details.audio_tokens",
        Medium(Part::Input, Audio),
        OPENAI_TRANSCRIPTION,
    ),
    (
        "input_token_details.image_tokens",
        Medium(Part::Input, Image),
        OPENAI_REALTIME,
    ),
    (
        "input_token_details.cached_tokens_details.text_tokens",
        Medium(Part::CacheRead, Text),
        OPENAI_REALTIME,
    ),
    (
        "input_token_details.cached_tokens_details.audio_tokens",
        Medium(Part::CacheRead, Audio),
        OPENAI_REALTIME,
    ),
    (
        "input_token_details.cached_tokens_details.image_tokens",
        Medium(Part::CacheRead, Image),
        OPENAI_REALTIME,
    ),
    (
        "output_token_details.audio_tokens",
        Medium(Part::Output, Audio),
        OPENAI_REALTIME,
    ),
    ("prompt_audio_seconds", Field::AudioSeconds, MISTRAL_AUDIO),
    (
        "billed_units.image_tokens",
        Field::Count(Count::BilledImages),
        COHERE_EMBED,
    ),
    (
        "input_tokens_by_modality",
        ByModality(Part::Input),
        INTERACTIONS,
    ),
    (
        "input_tokens_by_modality.modality",
        EntryModality,
        INTERACTIONS,
    ),
    ("input_tokens_by_modality.tokens", EntryTokens, INTERACTIONS),
    (
        "tool_use_tokens_by_modality",
        ByModality(Part::ToolInput),
        INTERACTIONS,
    ),
    (
        "tool_use_tokens_by_modality.modality",
        EntryModality,
        INTERACTIONS,
    ),
    (
        "tool_use_tokens_by_modality.tokens",
        EntryTokens,
        INTERACTIONS,
    ),
    (
        "cached_tokens_by_modality",
        ByModality(Part::CacheRead),
        INTERACTIONS,
    ),
    (
        "cached_tokens_by_modality.modality",
        EntryModality,
        INTERACTIONS,
    ),
    (
        "cached_tokens_by_modality.tokens",
        EntryTokens,
        INTERACTIONS,
    ),
    (
        "output_tokens_by_modality",
        ByModality(Part::Output),
        INTERACTIONS,
    ),
    (
        "output_tokens_by_modality.modality",
        EntryModality,
        INTERACTIONS,
    ),
    (
        "output_tokens_by_modality.tokens",
        EntryTokens,
        INTERACTIONS,
    ),
    ("inputTokensByModality", ByModality(Part::Input), VERTEX),
    ("inputTokensByModality.modality", EntryModality, VERTEX),
    ("inputTokensByModality.tokens", EntryTokens, VERTEX),
    (
        "toolUseTokensByModality",
        ByModality(Part::ToolInput),
        VERTEX,
    ),
    ("toolUseTokensByModality.modality", EntryModality, VERTEX),
    ("toolUseTokensByModality.tokens", EntryTokens, VERTEX),
    (
        "cachedTokensByModality",
        ByModality(Part::CacheRead),
        VERTEX,
    ),
    ("cachedTokensByModality.modality", EntryModality, VERTEX),
    ("cachedTokensByModality.tokens", EntryTokens, VERTEX),
    ("outputTokensByModality", ByModality(Part::Output), VERTEX),
    ("outputTokensByModality.modality", EntryModality, VERTEX),
    ("outputTokensByModality.tokens", EntryTokens, VERTEX),
];

/// Media fields of Gemini's `usageMetadata`.
pub(super) const IN_METADATA: &[Row] = &[
    ("promptTokensDetails", ByModality(Part::Input), GEMINI),
    ("promptTokensDetails.modality", EntryModality, GEMINI),
    ("promptTokensDetails.tokenCount", EntryTokens, GEMINI),
    (
        "toolUsePromptTokensDetails",
        ByModality(Part::ToolInput),
        GEMINI,
    ),
    ("toolUsePromptTokensDetails.modality", EntryModality, GEMINI),
    ("toolUsePromptTokensDetails.tokenCount", EntryTokens, GEMINI),
    ("cacheTokensDetails", ByModality(Part::CacheRead), GEMINI),
    ("cacheTokensDetails.modality", EntryModality, GEMINI),
    ("cacheTokensDetails.tokenCount", EntryTokens, GEMINI),
    ("candidatesTokensDetails", ByModality(Part::Output), GEMINI),
    ("candidatesTokensDetails.modality", EntryModality, GEMINI),
    ("candidatesTokensDetails.tokenCount", EntryTokens, GEMINI),
    (
        "responseTokensDetails",
        ByModality(Part::Output),
        GEMINI_LIVE,
    ),
    ("responseTokensDetails.modality", EntryModality, GEMINI_LIVE),
    ("responseTokensDetails.tokenCount", EntryTokens, GEMINI_LIVE),
];
