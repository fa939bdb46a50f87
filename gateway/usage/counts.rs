//! Computes the usage of a response from the counts that it reports.
//!
//! The fields are in [`super::fields`]. The rules:
//!
//! - Streams report cumulative counts, so a repeated count replaces the earlier one. A zero does
//!   not: many APIs send it for "not known yet" or under a second name. `null` is ignored.
//! - Two names of the same count are one count. Cached tokens in `cache_*_input_tokens` are
//!   excluded from an input called `input_tokens`, as at Anthropic, and included in one called
//!   `prompt_tokens`, as everywhere else. A part that is larger than the whole cannot be included in
//!   it, so it is added.
//! - If input and output are less than `total_tokens`, the rest is output: xAI's reasoning,
//!   Gemini's thoughts. A total alone is input: embeddings and rankings are reported like that.
//! - A total belongs to the counts beside it. Once other counts arrive without a total, the old
//!   total is dropped.
//! - Counts per model call and per choice are added up: see [`super::parts`].
//! - A reported cost is what the provider itself bills. If `OpenRouter` used the customer's own key
//!   (`is_byok`), `upstream_inference_cost` is added; otherwise it is a part of the cost, or nothing.
//! - Tokens that are not text are handled in [`super::media`].
//! - Mistral bills audio by `prompt_audio_seconds`; its tokens are in no count but the total.
//!   There, the rest of the total is input, and audio.
//! - `tool_usage` of `OpenAI`'s Responses reports tools that the provider itself called: searches
//!   are counted, and images were drawn by another model, whose tokens are not in these counts.
//! - If a provider bills other numbers than the model read and wrote (Cohere), the billed numbers
//!   count.

use super::fields::{COUNTS, Count};
use super::parts::Calls;
use super::tokens::Usage;

/// The latest reported value of each count; zero if none was reported.
#[derive(Clone, Copy, Default)]
pub(super) struct Counts([u64; COUNTS]);

impl Counts {
    pub(super) fn get(&self, count: Count) -> u64 {
        self.0.get(count as usize).copied().unwrap_or(0)
    }

    pub(super) fn set(&mut self, count: Count, value: u64) {
        if let Some(slot) = self.0.get_mut(count as usize).filter(|_| value > 0) {
            *slot = value;
        }
    }

    pub(super) fn clear(&mut self, count: Count) {
        if let Some(slot) = self.0.get_mut(count as usize) {
            *slot = 0;
        }
    }

    /// Replaces counts by the sums over model calls, where these are larger.
    pub(super) fn with_calls(mut self, calls: &Calls) -> Self {
        for (count, sum) in calls.sums() {
            self.set(count, sum.max(self.get(count)));
        }
        self
    }

    pub(super) fn are_none(&self) -> bool {
        self.0.iter().all(|count| *count == 0)
    }

    /// Computes the usage. `audio_seconds` is whether the response reports audio input in seconds,
    /// so that the rest of the total is input.
    // Inlined into its only caller, which lies in another module: a `Usage` is too large to be copied for nothing.
    #[inline]
    pub(super) fn usage(&self, audio_seconds: bool) -> Usage {
        let thoughts = self.get(Count::Thoughts);
        let usage = Usage {
            input: self.input(),
            output: self.get(Count::Output).saturating_add(thoughts),
            cache_read: self
                .get(Count::CacheRead)
                .max(self.get(Count::SeparateCacheRead)),
            cache_creation: self.get(Count::CacheWrite).max(self.separate_cache_write()),
            reasoning: self.get(Count::Reasoning).max(thoughts),
            cache_creation_hour: self.get(Count::CacheWrite1h),
            searches: self.get(Count::Searches),
            ..Usage::default()
        };
        let images = self.get(Count::BilledImages);
        let input = self.get(Count::BilledInput).saturating_add(images);
        let output = self.get(Count::BilledOutput);
        if input > 0 || output > 0 {
            return replace_by_billed(usage, input, output);
        }
        complete(usage, self.get(Count::Total), audio_seconds)
    }

    /// The input that lists of modalities split up, if reported: without tool results.
    pub(super) fn listed(&self) -> u64 {
        self.get(Count::Input)
    }

    /// All input tokens, if reported.
    fn input(&self) -> u64 {
        let input = match self.get(Count::Input) {
            0 => self.input_and_cache(),
            all => all,
        };
        input.saturating_add(self.get(Count::ToolInput))
    }

    /// `input_tokens` plus the separate cache counts, unless the same count is also reported as
    /// included in the input.
    fn input_and_cache(&self) -> u64 {
        let unless_included =
            |included: Count, separate: u64| if self.get(included) > 0 { 0 } else { separate };
        self.get(Count::UncachedInput)
            .saturating_add(unless_included(
                Count::CacheRead,
                self.get(Count::SeparateCacheRead),
            ))
            .saturating_add(unless_included(
                Count::CacheWrite,
                self.separate_cache_write(),
            ))
    }

    fn separate_cache_write(&self) -> u64 {
        let parts = self
            .get(Count::CacheWrite5m)
            .saturating_add(self.get(Count::CacheWrite1h));
        self.get(Count::SeparateCacheWrite).max(parts)
    }
}

/// Replaces the counts of `usage` by the billed ones.
fn replace_by_billed(usage: Usage, input: u64, output: u64) -> Usage {
    let cache_read = usage.cache_read.min(input);
    Usage {
        input,
        output,
        cache_read,
        cache_creation: usage.cache_creation.min(input - cache_read),
        reasoning: usage.reasoning.min(output),
        ..usage
    }
}

/// Adds to `usage` what is missing compared with `total` or with its parts. The missing tokens are
/// input if the response reports audio input in seconds.
fn complete(mut usage: Usage, total: u64, audio_seconds: bool) -> Usage {
    if usage.input == 0 {
        usage.input = total.saturating_sub(usage.output);
    }
    let cached = usage.cache_read.saturating_add(usage.cache_creation);
    if cached > usage.input {
        usage.input = usage.input.saturating_add(cached);
    }
    if audio_seconds {
        usage.input = usage.input.max(total.saturating_sub(usage.output));
    }
    usage.output = usage.output.max(total.saturating_sub(usage.input));
    if usage.reasoning > usage.output {
        usage.output = usage.output.saturating_add(usage.reasoning);
    }
    usage
}
