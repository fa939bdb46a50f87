//! An access line: the fields that `keygate usage` sums up.

use serde::Deserialize;

use crate::usage::{
    Cost, CostSource, Media, MediumTokens, PriceList, ServiceTier, Usage as Tokens,
};

/// The fields of an access line that are summed up.
#[derive(Deserialize)]
pub(super) struct AccessLine {
    pub(super) time: String,
    // Required: it distinguishes an access line from other JSON.
    pub(super) request_id: String,
    pub(super) key: Option<String>,
    pub(super) route: Option<String>,
    pub(super) provider: Option<String>,
    pub(super) model: Option<String>,
    pub(super) refused_by: Option<String>,
    #[serde(default)]
    pub(super) aborted: bool,
    pub(super) input_tokens: Option<u64>,
    pub(super) output_tokens: Option<u64>,
    pub(super) cache_read_tokens: Option<u64>,
    pub(super) cache_creation_tokens: Option<u64>,
    pub(super) reasoning_tokens: Option<u64>,
    cache_creation_1h_tokens: Option<u64>,
    input_audio_tokens: Option<u64>,
    cache_read_audio_tokens: Option<u64>,
    output_audio_tokens: Option<u64>,
    input_image_tokens: Option<u64>,
    cache_read_image_tokens: Option<u64>,
    output_image_tokens: Option<u64>,
    input_video_tokens: Option<u64>,
    cache_read_video_tokens: Option<u64>,
    output_video_tokens: Option<u64>,
    media_unclear: Option<bool>,
    searches: Option<u64>,
    model_calls: Option<u64>,
    /// The number of responses over a WebSocket.
    responses: Option<u64>,
    #[serde(default)]
    other_models: bool,
    service_tier: Option<String>,
    #[serde(default)]
    pub(super) estimated: bool,
    cost: Option<String>,
    currency: Option<String>,
    cost_source: Option<String>,
}

impl AccessLine {
    pub(super) fn usage(&self) -> Option<Tokens> {
        let metered = self.input_tokens.is_some() || self.output_tokens.is_some();
        metered.then(|| Tokens {
            input: self.input_tokens.unwrap_or_default(),
            output: self.output_tokens.unwrap_or_default(),
            cache_read: self.cache_read_tokens.unwrap_or_default(),
            cache_creation: self.cache_creation_tokens.unwrap_or_default(),
            reasoning: self.reasoning_tokens.unwrap_or_default(),
            cache_creation_hour: self.cache_creation_1h_tokens.unwrap_or_default(),
            media: self.media(),
            searches: self.searches.unwrap_or_default(),
            calls: self.model_calls.unwrap_or_default(),
            other_models: self.other_models,
            // Responses that reported no tokens have no cost, and are not among the calls.
            responses: self
                .responses
                .map_or(0, |_| self.model_calls.unwrap_or_default()),
            service_tier: self.tier(),
            reported_cost: None,
        })
    }

    /// The tokens of audio, images and video.
    pub(super) fn media(&self) -> Media {
        let tokens = |[input, cache_read, output]: [Option<u64>; 3]| MediumTokens {
            input: input.unwrap_or_default(),
            cache_read: cache_read.unwrap_or_default(),
            output: output.unwrap_or_default(),
        };
        Media {
            audio: tokens([
                self.input_audio_tokens,
                self.cache_read_audio_tokens,
                self.output_audio_tokens,
            ]),
            image: tokens([
                self.input_image_tokens,
                self.cache_read_image_tokens,
                self.output_image_tokens,
            ]),
            video: tokens([
                self.input_video_tokens,
                self.cache_read_video_tokens,
                self.output_video_tokens,
            ]),
            unclear: self.media_unclear.unwrap_or_default(),
        }
    }

    fn tier(&self) -> Option<ServiceTier> {
        ServiceTier::named(self.service_tier.as_ref()?.as_bytes())
    }

    /// Whether the provider reported the cost itself: then no price file is more precise.
    fn is_reported(&self) -> bool {
        self.cost_source.as_deref() == Some(CostSource::Provider.name())
    }

    /// The currency and the cost of the request, if known: by `prices` if given, unless the provider reported the cost.
    pub(super) fn cost(&self, prices: Option<&PriceList>) -> Option<(String, Cost)> {
        let Some(prices) = prices.filter(|_| !self.is_reported()) else {
            let cost = self.cost.as_ref()?.parse().ok()?;
            return Some((self.currency.clone().unwrap_or_default(), cost));
        };
        let day = self.time.get(..10)?.parse().ok()?;
        let provider = self.provider.as_deref().unwrap_or_default();
        let model = self.model.as_deref().unwrap_or_default();
        let cost = prices.cost(provider, model, day, &self.usage()?)?;
        Some((prices.currency.to_string(), cost))
    }
}
