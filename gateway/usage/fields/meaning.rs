//! The meanings of the JSON fields that the meter reads.

use crate::usage::modality::{Modality, Part};

/// The meaning of a JSON field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::usage) enum Field {
    /// A count of tokens.
    Count(Count),
    /// The model's name.
    Model,
    /// An error, if it is an object with members, a text or number that is not empty or zero, or
    /// `true`.
    Error,
    /// The type of the document, which may be `error`.
    DocumentType,
    /// The index of a choice in [`Field::Choices`].
    ChoiceIndex,
    /// The choices of a response, each of which may report its usage.
    Choices,
    /// The model calls that produced a response, each with its tokens.
    Calls,
    /// A count of one call.
    CallCount(Count),
    /// The type of one call.
    CallType,
    /// The service tier.
    ServiceTier,
    /// The speed, which has prices of its own, like a tier.
    Speed,
    /// The cost in dollars.
    Cost,
    /// The cost in ten-billionths of a dollar.
    CostTicks,
    /// The cost that the upstream provider bills in addition, in dollars, if [`Field::OwnKey`] is
    /// true.
    UpstreamCost,
    /// Whether the request used the customer's own key at the upstream provider, which bills for
    /// it.
    OwnKey,
    /// The model that transcribes what users speak, in a session of the Realtime API.
    TranscriptionModel,
    /// A token count of one modality.
    Medium(Part, Modality),
    /// A list of token counts with an entry for each modality.
    ByModality(Part),
    /// The modality of such an entry.
    EntryModality,
    /// The tokens of such an entry.
    EntryTokens,
    /// Web searches that are reported outside of any usage object. A zero there does not mean that
    /// usage was reported.
    ToolSearches,
    /// Tokens of an image model that the model named in the response has called.
    ImageModel,
    /// Seconds of audio input, whose tokens are included in no count but the total.
    AudioSeconds,
}

impl Field {
    /// Returns whether the field is a number of tokens or a cost.
    pub(in crate::usage) fn is_number(self) -> bool {
        matches!(
            self,
            Self::Count(_)
                | Self::CallCount(_)
                | Self::Medium(..)
                | Self::EntryTokens
                | Self::ToolSearches
                | Self::ImageModel
                | Self::Cost
                | Self::CostTicks
                | Self::UpstreamCost
        )
    }
}

/// A count as APIs report it. The discriminant is its index in an array of counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::usage) enum Count {
    /// All input tokens, cached or not.
    Input,
    /// Input tokens without [`Count::SeparateCacheRead`] and [`Count::SeparateCacheWrite`].
    UncachedInput,
    /// Input tokens included in neither of the above: results of tools that the provider itself
    /// called.
    ToolInput,
    Output,
    /// Output tokens that are not included in [`Count::Output`].
    Thoughts,
    /// Tokens read from the cache, included in the input.
    CacheRead,
    /// Tokens read from the cache, in a field beside `input_tokens` and not included there.
    SeparateCacheRead,
    /// Tokens written into the cache, included in the input.
    CacheWrite,
    /// Tokens written into the cache, in a field beside `input_tokens` and not included there.
    SeparateCacheWrite,
    /// The part of [`Count::SeparateCacheWrite`] that is cached for five minutes.
    CacheWrite5m,
    /// The part of [`Count::SeparateCacheWrite`] that is cached for an hour.
    CacheWrite1h,
    /// Reasoning tokens, included in the output.
    Reasoning,
    /// Input and output together.
    Total,
    /// The billed input, where it differs from what the model read.
    BilledInput,
    /// The billed output, where it differs from what the model wrote.
    BilledOutput,
    /// Web searches, which are not tokens.
    Searches,
    /// Billed image input, in addition to [`Count::BilledInput`].
    BilledImages,
}

/// The number of [`Count`]s.
pub(in crate::usage) const COUNTS: usize = 17;

/// A path of member names separated by dots (arrays are passed through), its meaning, and the URL
/// of the document that specifies it.
pub(in crate::usage) type Row = (&'static str, Field, &'static str);
