//! The tokens of audio, images and video in a response, which have prices of their own.
//!
//! Providers report them in two forms. `OpenAI` and compatible APIs have named counts
//! (`audio_tokens`) in an object of details. Google has lists (`promptTokensDetails`) with an entry
//! for each modality, whose members come in any order. The rules:
//!
//! - These counts are parts of the input, of the tokens read from the cache, and of the output. The
//!   rest is text, documents and tokens without a modality, at the price of the input or the output.
//! - A repeated count replaces the earlier one; a zero replaces nothing. Entries of the same
//!   modality in one list are added up.
//! - Three cases make the split ambiguous ([`Media::unclear`]): parts that are larger than the
//!   whole, cached tokens without a count of the audio among them, and a list that covers only a part
//!   of the input, as in Gemini's Live API, which leaves out the last spoken turn. Output that a list
//!   leaves out is text.

use super::media::{Media, MediumTokens};
use super::tokens::Usage;

/// The total that a count of a modality is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Part {
    /// Input tokens.
    Input,
    /// Input tokens counted beside [`Part::Input`]: results of tools that the provider itself
    /// called.
    ToolInput,
    /// Input tokens read from the cache.
    CacheRead,
    /// Output tokens.
    Output,
}

/// The number of [`Part`]s.
const PARTS: usize = 4;

/// The modality of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Modality {
    /// Text, and everything that costs the same.
    Text,
    Audio,
    Image,
    Video,
    /// A modality that the gateway does not know.
    Unknown,
}

/// The number of known modalities.
const MODALITIES: usize = 4;

impl Modality {
    /// Parses Google's names (<https://ai.google.dev/api/generate-content#Modality>), ignoring
    /// case.
    fn parse(name: &[u8]) -> Self {
        match &*name.to_ascii_lowercase() {
            // The pages of a document are billed like text.
            b"text" | b"document" | b"" | b"modality_unspecified" => Self::Text,
            b"audio" => Self::Audio,
            b"image" => Self::Image,
            b"video" => Self::Video,
            _ => Self::Unknown,
        }
    }
}

/// The counts by modality that a response has reported so far.
#[derive(Clone, Copy, Default)]
pub(super) struct ModalityCounts {
    counts: [[u64; MODALITIES]; PARTS],
    /// Whether any count is not zero.
    is_reported: bool,
    /// Whether tokens of an unknown modality were reported.
    has_unknown: bool,
    /// Whether the response has a list for the input.
    has_input_list: bool,
    entry: Entry,
}

/// The list entry being read. `part` is `None` outside of lists.
#[derive(Clone, Copy, Default)]
struct Entry {
    part: Option<Part>,
    /// The modality, once it was read.
    modality: Option<Modality>,
    /// The number of tokens, once it was read.
    tokens: u64,
    /// The modalities of earlier entries in the same list.
    seen: [bool; MODALITIES],
}

impl ModalityCounts {
    /// Sets the count of one modality. A zero replaces nothing.
    pub(super) fn set(&mut self, part: Part, modality: Modality, tokens: u64) {
        if let Some(slot) = self.slot(part, modality).filter(|_| tokens > 0) {
            *slot = tokens;
            self.is_reported = true;
        }
    }

    /// A document begins, and with it no list continues.
    pub(super) fn begin_document(&mut self) {
        self.entry.part = None;
    }

    /// A list begins, with an entry for each modality.
    pub(super) fn begin_list(&mut self) {
        self.entry.part = None;
    }

    /// An entry of a list for `part` begins.
    pub(super) fn begin_entry(&mut self, part: Part) {
        let continues = self.entry.part == Some(part);
        self.entry = Entry {
            part: Some(part),
            seen: if continues {
                self.entry.seen
            } else {
                [false; MODALITIES]
            },
            ..Entry::default()
        };
    }

    /// Sets the modality of the entry.
    pub(super) fn set_modality(&mut self, name: &[u8]) {
        self.entry.modality = Some(Modality::parse(name));
        self.end_entry();
    }

    /// Sets the tokens of the entry.
    pub(super) fn set_tokens(&mut self, tokens: u64) {
        self.entry.tokens = tokens;
        self.end_entry();
    }

    /// Adds the entry to the counts once both members were read.
    fn end_entry(&mut self) {
        let Entry {
            part: Some(part),
            modality: Some(modality),
            tokens: tokens @ 1..,
            ..
        } = self.entry
        else {
            return;
        };
        (self.entry.modality, self.entry.tokens) = (None, 0);
        self.is_reported = true;
        self.has_unknown |= modality == Modality::Unknown;
        self.has_input_list |= part == Part::Input;
        let seen = self.entry.seen.get_mut(modality as usize);
        let repeated = seen.is_some_and(|seen| std::mem::replace(seen, true));
        if let Some(slot) = self.slot(part, modality) {
            let before = if repeated { *slot } else { 0 };
            *slot = before.saturating_add(tokens);
        }
    }

    /// The tokens of `usage` that are not text. `listed` is the number of input tokens that lists
    /// split up; 0 if unknown.
    pub(super) fn media_of(&self, usage: &Usage, listed: u64) -> Media {
        if !self.is_reported {
            // Most responses report no modality.
            return Media::default();
        }
        let mut media = Media {
            audio: self.tokens_of(Modality::Audio),
            image: self.tokens_of(Modality::Image),
            video: self.tokens_of(Modality::Video),
            unclear: self.has_unknown,
        };
        if !media.all().is_none() {
            let cached_text = self.get(Part::CacheRead, Modality::Text);
            media.unclear |= self.has_input_list && self.input() < listed;
            media.unclear |= is_unclear(&media, usage, cached_text);
        }
        media
    }

    /// All input tokens of known modalities.
    fn input(&self) -> u64 {
        let of_input = self.counts.get(Part::Input as usize).into_iter();
        of_input.flatten().copied().fold(0, u64::saturating_add)
    }

    fn tokens_of(&self, modality: Modality) -> MediumTokens {
        let tools = self.get(Part::ToolInput, modality);
        MediumTokens {
            input: self.get(Part::Input, modality).saturating_add(tools),
            cache_read: self.get(Part::CacheRead, modality),
            output: self.get(Part::Output, modality),
        }
    }

    fn get(&self, part: Part, modality: Modality) -> u64 {
        let of_part = self.counts.get(part as usize);
        let count = of_part.and_then(|counts| counts.get(modality as usize));
        count.copied().unwrap_or(0)
    }

    fn slot(&mut self, part: Part, modality: Modality) -> Option<&mut u64> {
        let of_part = self.counts.get_mut(part as usize)?;
        of_part.get_mut(modality as usize)
    }
}

/// Returns whether the counts of `media` leave open which tokens of `usage` they are. `cached_text`
/// is the number of cached tokens reported as text.
fn is_unclear(media: &Media, usage: &Usage, cached_text: u64) -> bool {
    let all = media.all();
    let is_inside = |tokens: &MediumTokens| tokens.cache_read <= tokens.input;
    let fits = all.input <= usage.input
        && all.cache_read <= usage.cache_read
        && all.output.saturating_add(usage.reasoning) <= usage.output
        && [media.audio, media.image, media.video]
            .iter()
            .all(is_inside);
    // Cached tokens of no reported modality may belong to these media.
    let known = all.cache_read.saturating_add(cached_text);
    let is_partial = usage.cache_read > known || usage.cache_creation > 0;
    !fits || is_partial && all.input > all.cache_read
}
