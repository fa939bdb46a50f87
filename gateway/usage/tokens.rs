//! The usage of one exchange, and the service tiers.

use super::media::Media;
use super::money::Cost;

/// The usage of one exchange, with the meanings of OpenTelemetry's conventions for generative AI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All input tokens, cached or not.
    pub input: u64,
    /// All output tokens, including reasoning.
    pub output: u64,
    /// The input tokens that were read from the provider's cache.
    pub cache_read: u64,
    /// The input tokens that were written into the provider's cache.
    pub cache_creation: u64,
    /// The output tokens that were reasoning.
    pub reasoning: u64,
    /// The part of `cache_creation` that is cached for an hour instead of minutes.
    pub cache_creation_hour: u64,
    /// The tokens that are audio, images and video.
    pub media: Media,
    /// Web searches that the provider made, which are not tokens.
    pub searches: u64,
    /// The service tier that the provider reports, if any.
    pub service_tier: Option<ServiceTier>,
    /// The number of model calls, if the response reports them one by one; else 0.
    pub calls: u64,
    /// Whether a model other than the one that the response names may have been called, with or
    /// without its tokens in these counts.
    pub other_models: bool,
    /// The number of responses that these counts add up; 0 and 1 both mean one.
    pub responses: u64,
    /// The cost that the provider itself reports, in US dollars.
    pub reported_cost: Option<Cost>,
}

impl Usage {
    /// Returns whether there are neither input nor output tokens.
    pub(crate) fn is_empty(&self) -> bool {
        self.input == 0 && self.output == 0
    }

    /// The usage of two responses together. It has no reported cost, since a provider reports the
    /// cost of one response.
    #[must_use]
    pub(crate) fn plus(self, other: &Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            output: self.output.saturating_add(other.output),
            cache_read: self.cache_read.saturating_add(other.cache_read),
            cache_creation: self.cache_creation.saturating_add(other.cache_creation),
            reasoning: self.reasoning.saturating_add(other.reasoning),
            cache_creation_hour: self
                .cache_creation_hour
                .saturating_add(other.cache_creation_hour),
            media: self.media.plus(&other.media),
            searches: self.searches.saturating_add(other.searches),
            service_tier: self
                .service_tier
                .filter(|_| self.service_tier == other.service_tier),
            calls: self.calls.max(1).saturating_add(other.calls.max(1)),
            responses: self.responses.max(1).saturating_add(other.responses.max(1)),
            // Responses of different tiers have no common price.
            other_models: self.other_models
                || other.other_models
                || self.service_tier != other.service_tier,
            reported_cost: None,
        }
    }
}

/// A service tier, which determines prices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceTier {
    /// The default service: `default`, `standard`, `on_demand`.
    Standard,
    /// `flex`: cheaper and slower.
    Flex,
    /// `priority`: dearer and faster.
    Priority,
    /// `batch`.
    Batch,
    /// Anthropic's fast mode, which is reported beside the tier.
    Fast,
    /// A tier that the gateway does not know.
    Other,
}

impl ServiceTier {
    /// The tiers that a price file may have prices for, besides the standard tier, with their names
    /// there.
    pub const PRICED: [(&str, Self); 5] = [
        ("flex", Self::Flex),
        ("priority", Self::Priority),
        ("batch", Self::Batch),
        ("fast", Self::Fast),
        ("other", Self::Other),
    ];

    /// The name in price files and access lines.
    pub fn name(self) -> &'static str {
        let named = Self::PRICED.iter().find(|(_, tier)| *tier == self);
        named.map_or("standard", |(name, _)| name)
    }

    /// Parses the name that a provider reports. Returns `None` for `auto` and the like, which leave
    /// the tier open.
    pub fn named(name: &[u8]) -> Option<Self> {
        Some(match &*name.to_ascii_lowercase() {
            b"" | b"auto" | b"unspecified" | b"traffic_type_unspecified" => return None,
            b"default" | b"standard" | b"on_demand" => Self::Standard,
            b"flex" | b"on_demand_flex" => Self::Flex,
            b"priority" | b"on_demand_priority" => Self::Priority,
            b"batch" => Self::Batch,
            b"fast" => Self::Fast,
            _ => Self::Other,
        })
    }
}
