//! Which tokens of a response are no text: those of audio, images and video, which have prices of their own.
//!
//! Two forms are in use. `OpenAI`, and what is like it, says named counts (`audio_tokens`) in an object of details. Google
//! says lists (`promptTokensDetails`) with an entry for each modality, whose members come in any order. What is made of
//! them:
//!
//! - These counts are parts of the input, of what was read from the cache, and of the output. Text, documents and what
//!   has no modality are the rest: they have the price of the input or the output.
//! - A count that is said again replaces the one before; a zero replaces nothing. The entries of one list that are of one
//!   modality are added up.
//! - Parts that do not fit into the whole, cached tokens of which the response does not say how many are audio, and a list
//!   of the input that leaves some of it out, leave open what has which price: [`Media::unclear`]. Gemini's Live API leaves
//!   out what was spoken last. What a list of the output leaves out is text.

use super::Usage;

/// Of the tokens of one exchange, those that are no text. All of them are in the counts of [`Usage`] as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Media {
    /// Those of audio.
    pub audio: MediumTokens,
    /// Those of images.
    pub image: MediumTokens,
    /// Those of video, without its sound.
    pub video: MediumTokens,
    /// Whether the response leaves open which of its tokens are of what: the counts above do not fit into those of
    /// [`Usage`], or do not say which of the cached tokens they are.
    pub unclear: bool,
}

/// The tokens of one medium.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MediumTokens {
    /// All that went in, from the cache or not.
    pub input: u64,
    /// Of these, what was read from the provider's cache.
    pub cache_read: u64,
    /// All that came out.
    pub output: u64,
}

impl MediumTokens {
    /// The sums, each of which stops at the largest number.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            cache_read: self.cache_read.saturating_add(other.cache_read),
            output: self.output.saturating_add(other.output),
        }
    }

    /// Whether there are none.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }
}

impl Media {
    /// The media of two responses together.
    #[must_use]
    pub fn plus(self, other: &Self) -> Self {
        Self {
            audio: self.audio.plus(other.audio),
            image: self.image.plus(other.image),
            video: self.video.plus(other.video),
            unclear: self.unclear || other.unclear,
        }
    }

    /// Each count, by its name among the types of tokens in metrics; access lines have the same names with `_tokens`
    /// behind them.
    pub fn by_type(&self) -> [(&'static str, u64); 9] {
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

    /// All three media together.
    fn all(&self) -> MediumTokens {
        self.audio.plus(self.image).plus(self.video)
    }

    /// Whether these leave open which tokens of `usage` they are, of whose cached ones so many are said to be text.
    fn is_unclear_in(&self, usage: &Usage, cached_text: u64) -> bool {
        let all = self.all();
        let is_inside = |tokens: &MediumTokens| tokens.cache_read <= tokens.input;
        let fits = all.input <= usage.input
            && all.cache_read <= usage.cache_read
            && all.output.saturating_add(usage.reasoning) <= usage.output
            && [self.audio, self.image, self.video].iter().all(is_inside);
        // What else went through the cache may be of these.
        let told = all.cache_read.saturating_add(cached_text);
        let untold = usage.cache_read > told || usage.cache_creation > 0;
        !fits || untold && all.input > all.cache_read
    }
}

/// What a count of a modality is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Part {
    /// The input.
    Input,
    /// The input that is counted beside [`Part::Input`]: results of tools that the provider itself called.
    ToolInput,
    /// What was read from the cache.
    CacheRead,
    /// The output.
    Output,
}

/// How many [`Part`]s there are.
const PARTS: usize = 4;

/// What tokens are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Modality {
    /// Text, and what costs the same.
    Text,
    Audio,
    Image,
    Video,
    /// One that is not known here.
    Foreign,
}

/// How many [`Modality`]s are known.
const MODALITIES: usize = 4;

impl Modality {
    /// By the names that Google has for them
    /// (<https://ai.google.dev/api/generate-content#Modality>).
    fn named(name: &[u8]) -> Self {
        match &*name.to_ascii_lowercase() {
            // The pages of a document are billed like text.
            b"text" | b"document" | b"" | b"modality_unspecified" => Self::Text,
            b"audio" => Self::Audio,
            b"image" => Self::Image,
            b"video" => Self::Video,
            _ => Self::Foreign,
        }
    }
}

/// The counts by modality, as far as they were said.
#[derive(Clone, Copy, Default)]
pub(super) struct Split {
    counts: [[u64; MODALITIES]; PARTS],
    /// Whether there is any count that is not zero.
    said: bool,
    /// Whether tokens of a modality were said that is not known here.
    foreign: bool,
    /// Whether there was a list of what went in.
    listed: bool,
    entry: Entry,
}

/// The entry of a list that is being read. Its `part` is `None` outside of lists.
#[derive(Clone, Copy, Default)]
struct Entry {
    part: Option<Part>,
    /// Its modality, where it has said one.
    modality: Option<Modality>,
    /// Its tokens, where it has said any.
    tokens: u64,
    /// The modalities of the entries before it.
    seen: [bool; MODALITIES],
}

impl Split {
    /// A count of one modality. A zero replaces nothing.
    pub(super) fn set(&mut self, part: Part, modality: Modality, tokens: u64) {
        if let Some(place) = self.place(part, modality).filter(|_| tokens > 0) {
            *place = tokens;
            self.said = true;
        }
    }

    /// A document begins: no list goes on.
    pub(super) fn begin_document(&mut self) {
        self.entry.part = None;
    }

    /// A list begins, with an entry for each modality.
    pub(super) fn begin_list(&mut self) {
        self.entry.part = None;
    }

    /// An entry of a list of these parts begins.
    pub(super) fn begin_entry(&mut self, part: Part) {
        let goes_on = self.entry.part == Some(part);
        self.entry = Entry {
            part: Some(part),
            seen: if goes_on {
                self.entry.seen
            } else {
                [false; MODALITIES]
            },
            ..Entry::default()
        };
    }

    /// The modality of the entry.
    pub(super) fn modality(&mut self, name: &[u8]) {
        self.entry.modality = Some(Modality::named(name));
        self.end_entry();
    }

    /// The tokens of the entry.
    pub(super) fn tokens(&mut self, tokens: u64) {
        self.entry.tokens = tokens;
        self.end_entry();
    }

    /// Takes the entry, once it has said both.
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
        self.said = true;
        self.foreign |= modality == Modality::Foreign;
        self.listed |= part == Part::Input;
        let seen = self.entry.seen.get_mut(modality as usize);
        let again = seen.is_some_and(|seen| std::mem::replace(seen, true));
        if let Some(place) = self.place(part, modality) {
            let before = if again { *place } else { 0 };
            *place = before.saturating_add(tokens);
        }
    }

    /// What is no text of the tokens of `usage`, of whose input lists say the parts of so many (0: it is not known of how
    /// many).
    pub(super) fn of(&self, usage: &Usage, listed: u64) -> Media {
        if !self.said {
            // As of nearly every response.
            return Media::default();
        }
        let mut media = Media {
            audio: self.tokens_of(Modality::Audio),
            image: self.tokens_of(Modality::Image),
            video: self.tokens_of(Modality::Video),
            unclear: self.foreign,
        };
        if !media.all().is_none() {
            let cached_text = self.get(Part::CacheRead, Modality::Text);
            media.unclear |= self.listed && self.input() < listed;
            media.unclear |= media.is_unclear_in(usage, cached_text);
        }
        media
    }

    /// All of the input that is of a modality that is known.
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

    fn place(&mut self, part: Part, modality: Modality) -> Option<&mut u64> {
        let of_part = self.counts.get_mut(part as usize)?;
        of_part.get_mut(modality as usize)
    }
}

#[cfg(test)]
mod tests;
