//! Token counts by medium: audio, images and video, which have prices of their own.

/// The tokens of one exchange that are not text. They are included in the counts of [`Usage`](super::Usage).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Media {
    /// Audio tokens.
    pub audio: MediumTokens,
    /// Image tokens.
    pub image: MediumTokens,
    /// Video tokens, without those of the soundtrack.
    pub video: MediumTokens,
    /// Whether the split is ambiguous: these counts contradict those of [`Usage`](super::Usage), or do not say
    /// which cached tokens they are.
    pub unclear: bool,
}

/// The tokens of one medium.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MediumTokens {
    /// All input tokens, cached or not.
    pub input: u64,
    /// The input tokens that were read from the provider's cache.
    pub cache_read: u64,
    /// All output tokens.
    pub output: u64,
}

impl MediumTokens {
    /// The sums, saturating.
    #[must_use]
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            cache_read: self.cache_read.saturating_add(other.cache_read),
            output: self.output.saturating_add(other.output),
        }
    }

    /// Returns whether all counts are zero.
    pub(crate) fn is_none(self) -> bool {
        self == Self::default()
    }
}

impl Media {
    /// The media of two responses together.
    #[must_use]
    pub(crate) fn plus(self, other: &Self) -> Self {
        Self {
            audio: self.audio.plus(other.audio),
            image: self.image.plus(other.image),
            video: self.video.plus(other.video),
            unclear: self.unclear || other.unclear,
        }
    }

    /// Each count with its token type in metrics. The field in access lines is the same name
    /// followed by `_tokens`.
    pub(crate) fn by_type(&self) -> [(&'static str, u64); 9] {
        let Self {
            audio,
            image,
            video,
            ..
        } = self;
        [
            ("input_audio", audio.input),
            ("cache_read_audio", audio.cache_read),
            ("output_audio", audio.output),
            ("input_image", image.input),
            ("cache_read_image", image.cache_read),
            ("output_image", image.output),
            ("input_video", video.input),
            ("cache_read_video", video.cache_read),
            ("output_video", video.output),
        ]
    }

    /// The sums over all three media.
    pub(super) fn all(&self) -> MediumTokens {
        self.audio.plus(self.image).plus(self.video)
    }
}
