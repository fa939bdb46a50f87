//! How many tokens a response took, from the counts that it says.
//!
//! The places are in [`super::places`]. What is made of them:
//!
//! - Streams say what there is so far, so that a count that is said again replaces the one before. A zero does not: many
//!   write it for "not known yet", or under a second name. `null` says nothing.
//! - Two names of one thing are one. Cached tokens called `cache_*_input_tokens` stand beside an input called
//!   `input_tokens`, as at Anthropic, and are within one called `prompt_tokens`, as at everybody else's. A part that is
//!   larger than the whole cannot be in it, and stands beside it.
//! - Where input and output are less than `total_tokens`, the rest came out: xAI's reasoning, Gemini's thoughts. A total
//!   alone went in: that is how embeddings and rankings are counted.
//! - A total is of the counts that stand beside it. Once other counts are said without one, it is of older ones, and
//!   says nothing any more.
//! - What is said call by call or choice by choice is added up: see [`super::parts`].
//! - What a provider says that it cost is what it bills itself. Where `OpenRouter` takes a key of the customer's own
//!   (`is_byok`), what that key's provider bills is added; else `upstream_inference_cost` is a part of the cost, or
//!   nothing.
//! - What of them is no text is in [`super::media`].
//! - Mistral bills audio by `prompt_audio_seconds`; its tokens are in none of its counts but the total. There, what is
//!   missing went in, and is audio.
//! - What tools took that the provider itself called (`tool_usage` of `OpenAI`'s Responses) stands beside the usage:
//!   searches are counted, and images were drawn by another model, whose tokens are not in these counts.
//! - Where other numbers are billed than the model read and wrote (Cohere), those count.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::Cost;
use super::errors::Errors;
use super::media::{Media, Modality, Part, Split};
use super::parts::Parts;
use super::places::{self, Branch, COUNTS, Count, SIGNS, Says, Tree};
use super::terms::Terms;
use crate::wire::json::number::whole;
use crate::wire::json::scanner::{Interest, Node};

/// The tokens of one exchange, with the meanings that OpenTelemetry's conventions for generative AI give them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All tokens that went in, from the cache or not.
    pub input: u64,
    /// All tokens that came out, reasoning included.
    pub output: u64,
    /// Of the input, what was read from the provider's cache.
    pub cache_read: u64,
    /// Of the input, what was written into it.
    pub cache_creation: u64,
    /// Of the output, what was reasoning.
    pub reasoning: u64,
    /// Of what was written into the cache, what is kept there for an hour and not for minutes.
    pub cache_creation_hour: u64,
    /// Of the tokens, those of audio, images and video.
    pub media: Media,
    /// Searches of the web that the provider made; these are no tokens.
    pub searches: u64,
    /// The tier that the provider says it served the request in; `None` where it says none.
    pub service_tier: Option<ServiceTier>,
    /// The calls of models that these tokens are of, where the response says them one by one; else 0.
    pub calls: u64,
    /// Whether other models than the one that the response names may have been called as well, be their tokens in these
    /// counts or not.
    pub other_models: bool,
    /// The responses that these tokens are of; 0 as well as 1 where they are of one.
    pub responses: u64,
    /// What the provider itself says that it cost, in US dollars.
    pub reported_cost: Option<Cost>,
}

impl Usage {
    /// Whether no tokens are in it.
    pub fn is_empty(&self) -> bool {
        self.input == 0 && self.output == 0
    }

    /// Two responses together. The cost that a provider names for one of them is not in it.
    #[must_use]
    pub fn plus(self, other: &Self) -> Self {
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
            // Of different tiers, there is no price for both together either.
            other_models: self.other_models
                || other.other_models
                || self.service_tier != other.service_tier,
            reported_cost: None,
        }
    }
}

/// A tier of service, by which prices differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceTier {
    /// What is served where nothing else was asked for: `default`, `standard`, `on_demand`.
    Standard,
    /// `flex`: cheaper and slower.
    Flex,
    /// `priority`: dearer and faster.
    Priority,
    /// `batch`.
    Batch,
    /// Anthropic's fast mode, which is said beside the tier.
    Fast,
    /// One that is not known here.
    Other,
}

impl ServiceTier {
    /// Those that prices may be given for beside the standard, by their names there.
    pub const PRICED: [(&str, Self); 5] = [
        ("flex", Self::Flex),
        ("priority", Self::Priority),
        ("batch", Self::Batch),
        ("fast", Self::Fast),
        ("other", Self::Other),
    ];

    /// Its name in price files and access lines.
    pub fn name(self) -> &'static str {
        let named = Self::PRICED.iter().find(|(_, tier)| *tier == self);
        named.map_or("standard", |(name, _)| name)
    }

    /// The tier of this name; `None` for `auto`, which leaves it open.
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

/// The most tokens that are believed of one response: a thousand times what the largest models read at once, and what
/// a large batch takes. One larger number would take a counter to its end, where it shows nothing any more.
const MOST: u64 = 10_000_000_000;

static FINDERS: LazyLock<[Finder<'static>; SIGNS.len()]> = LazyLock::new(|| SIGNS.map(Finder::new));
static ESCAPE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\\u00"));

/// The counts of one rank, as they were said last; zero where none was.
#[derive(Clone, Copy, Default)]
struct Counts([u64; COUNTS]);

impl Counts {
    fn get(&self, count: Count) -> u64 {
        self.0.get(count as usize).copied().unwrap_or(0)
    }

    fn set(&mut self, count: Count, value: u64) {
        if let Some(place) = self.0.get_mut(count as usize).filter(|_| value > 0) {
            *place = value;
        }
    }

    fn forget(&mut self, count: Count) {
        if let Some(place) = self.0.get_mut(count as usize) {
            *place = 0;
        }
    }

    /// These, with the sums of calls where they are larger.
    fn with_calls(mut self, parts: &Parts) -> Self {
        for (count, sum) in parts.calls().sums() {
            self.set(count, sum.max(self.get(count)));
        }
        self
    }

    fn are_none(&self) -> bool {
        self.0.iter().all(|count| *count == 0)
    }

    /// The tokens; `heard` where what is missing in the total is audio that went in.
    fn usage(&self, heard: bool) -> Usage {
        let thoughts = self.get(Count::Thoughts);
        let usage = Usage {
            input: self.input(),
            output: self.get(Count::Output).saturating_add(thoughts),
            cache_read: self
                .get(Count::CacheRead)
                .max(self.get(Count::CacheReadNamed)),
            cache_creation: self.get(Count::CacheWrite).max(self.written_named()),
            reasoning: self.get(Count::Reasoning).max(thoughts),
            cache_creation_hour: self.get(Count::CacheWriteHour),
            searches: self.get(Count::Searches),
            ..Usage::default()
        };
        let images = self.get(Count::BilledImages);
        let input = self.get(Count::BilledInput).saturating_add(images);
        let output = self.get(Count::BilledOutput);
        if input > 0 || output > 0 {
            return billed(usage, input, output);
        }
        completed(usage, self.get(Count::Total), heard)
    }

    /// What lists of modalities say the parts of, where it is said: the input without what tools brought.
    fn listed(&self) -> u64 {
        self.get(Count::Input)
    }

    /// All of the input, where it is said.
    fn input(&self) -> u64 {
        let said = match self.get(Count::Input) {
            0 => self.input_and_cache(),
            all => all,
        };
        said.saturating_add(self.get(Count::ToolInput))
    }

    /// What is called `input_tokens`, and what stands beside it: not what is said once more to be a part of it.
    fn input_and_cache(&self) -> u64 {
        let beside = |within: Count, named: u64| if self.get(within) > 0 { 0 } else { named };
        self.get(Count::InputBesideCache)
            .saturating_add(beside(Count::CacheRead, self.get(Count::CacheReadNamed)))
            .saturating_add(beside(Count::CacheWrite, self.written_named()))
    }

    fn written_named(&self) -> u64 {
        let parts = self
            .get(Count::CacheWriteMinutes)
            .saturating_add(self.get(Count::CacheWriteHour));
        self.get(Count::CacheWriteNamed).max(parts)
    }
}

/// `usage` with what is billed in the place of what was read and written.
fn billed(usage: Usage, input: u64, output: u64) -> Usage {
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

/// `usage` with what is missing in it by `total`, or by its parts; that went in where it is audio that was `heard`.
fn completed(mut usage: Usage, total: u64, heard: bool) -> Usage {
    if usage.input == 0 {
        usage.input = total.saturating_sub(usage.output);
    }
    let cached = usage.cache_read.saturating_add(usage.cache_creation);
    if cached > usage.input {
        usage.input = usage.input.saturating_add(cached);
    }
    if heard {
        usage.input = usage.input.max(total.saturating_sub(usage.output));
    }
    usage.output = usage.output.max(total.saturating_sub(usage.input));
    if usage.reasoning > usage.output {
        usage.output = usage.output.saturating_add(usage.reasoning);
    }
    usage
}

/// What was found so far.
pub(super) struct Found {
    tree: &'static Tree,
    /// What is believed first, and what only where that says nothing.
    counts: [Counts; 2],
    /// Whether any count was said, be it zero.
    said: bool,
    /// The model, as the response names it first.
    pub(super) model: Option<Box<str>>,
    /// Counts that were none.
    pub(super) malformed: u64,
    /// Errors that were said.
    pub(super) errors: Errors,
    /// Whether the total stood beside other counts than those that are being read.
    total_is_old: bool,
    /// Whether audio went in that is said in seconds.
    heard: bool,
    parts: Parts,
    /// The counts by modality: of most responses there are none.
    split: Option<Box<Split>>,
    terms: Terms,
}

impl Default for Found {
    fn default() -> Self {
        Self {
            tree: places::tree(),
            counts: [Counts::default(); 2],
            said: false,
            model: None,
            malformed: 0,
            errors: Errors::default(),
            total_is_old: false,
            heard: false,
            parts: Parts::default(),
            split: None,
            terms: Terms::default(),
        }
    }
}

impl Found {
    /// Whether a document may say what is not known yet: all but a few events of a stream say nothing but words.
    pub(super) fn may_learn_from(&self, document: &[u8]) -> bool {
        self.model.is_none()
            || FINDERS.iter().any(|sign| sign.find(document).is_some())
            || has_escaped_letter(document)
    }

    /// The tokens, if any were said, or what they cost.
    pub(super) fn usage(&self) -> Option<Usage> {
        let [first, spare] = &self.counts;
        let counts = if first.are_none() { spare } else { first };
        let calls = self.parts.calls();
        let reported_cost = self.terms.reported_cost();
        // Images are billed without a word about tokens.
        let is_billed = reported_cost.is_some_and(|cost| cost > Cost::default());
        (self.said || is_billed).then(|| {
            let counts = counts.with_calls(&self.parts);
            let mut usage = counts.usage(self.heard);
            if self.split.is_some() || self.heard {
                usage.media = self.media(&usage, counts.listed());
            }
            usage.calls = calls.number;
            usage.other_models = calls.other_models || self.parts.has_drawn();
            usage.service_tier = self.terms.service_tier();
            usage.reported_cost = reported_cost;
            usage
        })
    }

    /// What of `usage` is no text, whose input is said to be so much where it is said.
    fn media(&self, usage: &Usage, said: u64) -> Media {
        let mut split = self.split.as_deref().copied().unwrap_or_default();
        if self.heard {
            let audio = match usage.input.saturating_sub(said) {
                0 => usage.input,
                beside => beside,
            };
            split.set(Part::Input, Modality::Audio, audio);
        }
        split.of(usage, said)
    }

    /// The counts by modality.
    fn split(&mut self) -> &mut Split {
        self.split.get_or_insert_default()
    }

    /// What stands at a node.
    pub(super) fn branch(&self, at: Node) -> Option<&'static Branch> {
        self.tree.at(at)
    }

    /// A count as it is written, if it is one.
    fn counted(&mut self, written: &[u8]) -> Option<u64> {
        let value = whole(written).filter(|value| *value <= MOST);
        if value.is_none() {
            self.is_malformed();
        }
        value
    }

    /// There is something else than a count where one should be.
    fn is_malformed(&mut self) {
        self.malformed = self.malformed.saturating_add(1);
    }

    fn count(&mut self, count: Count, spare: bool, written: &[u8]) {
        let Some(mut value) = self.counted(written) else {
            return;
        };
        self.said = true;
        if count == Count::BilledImages && value > 0 {
            self.split().set(Part::Input, Modality::Image, value);
        }
        if spare && count == Count::Output {
            let Some(all) = self.parts.choice_output(value) else {
                return self.is_malformed();
            };
            value = all;
        }
        let [first, other] = &mut self.counts;
        let rank = if spare { other } else { first };
        if value > 0 && std::mem::take(&mut self.total_is_old) {
            rank.forget(Count::Total);
        }
        rank.set(count, value);
    }
}

/// A text as it is, or with signs for what is no UTF-8.
fn readable(text: &[u8]) -> Box<str> {
    match std::str::from_utf8(text) {
        Ok(text) => text.into(),
        Err(_) => String::from_utf8_lossy(text).into(),
    }
}

/// Whether there is an ASCII letter in `document` that is written as an escape: a name may be hidden in it.
fn has_escaped_letter(document: &[u8]) -> bool {
    // Most texts of most events have no escape at all.
    memchr::memchr(b'\\', document).is_some()
        && ESCAPE
            .find_iter(document)
            .filter_map(|at| document.get(at + 4))
            .any(|digit| matches!(digit, b'4'..=b'7'))
}

impl Interest for Found {
    const ROOT: Node = Node(0);

    fn child(&self, of: Node, name: &[u8]) -> Option<Node> {
        self.branch(of)?.child(name)
    }

    fn is_list(&self, at: Node) -> bool {
        self.branch(at).is_some_and(|branch| branch.is_list)
    }

    fn begins(&mut self, at: Node) {
        if at == Self::ROOT {
            self.errors.document_begins();
            if let Some(split) = &mut self.split {
                split.begin_document();
            }
        }
        let Some(branch) = self.branch(at) else {
            return;
        };
        self.total_is_old |= branch.is_usage;
        match branch.says {
            Some(Says::Error) => self.errors.object_begins(),
            Some(
                Says::Count(_)
                | Says::CallCount(_)
                | Says::Medium(..)
                | Says::EntryTokens
                | Says::ToolSearches
                | Says::Drawing,
            ) => self.is_malformed(),
            Some(Says::Calls) => self.parts.begin_call(),
            Some(Says::Choices) => self.parts.begin_choice(),
            Some(Says::ByModality(part)) => self.split().begin_entry(part),
            _ => {}
        }
    }

    fn was_empty(&mut self, at: Node) {
        let says = self.branch(at).and_then(|branch| branch.says);
        if says == Some(Says::Error) {
            self.errors.object_is_empty();
        }
    }

    fn other_list(&mut self, at: Node) {
        let says = self.branch(at).and_then(|branch| branch.says);
        if says.is_some_and(Says::is_number) {
            self.is_malformed();
        }
    }

    fn begins_list(&mut self, at: Node) {
        match self.branch(at).and_then(|branch| branch.says) {
            Some(Says::Calls) => self.parts.begin_calls(),
            Some(Says::Choices) => self.parts.begin_choices(),
            Some(Says::ByModality(_)) => self.split().begin_list(),
            _ => {}
        }
    }

    fn number(&mut self, at: Node, written: &[u8]) {
        let Some(branch) = self.branch(at) else {
            return;
        };
        match branch.says {
            Some(Says::Count(count)) => self.count(count, branch.spare, written),
            Some(Says::CallCount(count)) => {
                if let Some(value) = self.counted(written) {
                    self.parts.call_count(count, value);
                }
            }
            Some(Says::Medium(part, modality)) => {
                // Nearly everybody says 0 here.
                if let Some(value @ 1..) = self.counted(written) {
                    self.split().set(part, modality, value);
                }
            }
            Some(Says::EntryTokens) => {
                if let Some(value) = self.counted(written) {
                    self.split().tokens(value);
                }
            }
            Some(Says::ToolSearches) => {
                if let Some(value @ 1..) = self.counted(written) {
                    self.said = true;
                    let [first, _] = &mut self.counts;
                    first.set(Count::Searches, value);
                }
            }
            Some(Says::Drawing) => {
                if let Some(1..) = self.counted(written) {
                    self.parts.draw();
                }
            }
            Some(Says::Heard) => self.heard |= whole(written) != Some(0),
            Some(Says::Choice) => {
                if let Some(number) = whole(written) {
                    self.parts.choice_number(number);
                }
            }
            Some(Says::Error) => self.errors.add(whole(written) != Some(0)),
            Some(says @ (Says::Cost | Says::CostTicks | Says::CostElsewhere)) => {
                let is_cost = self.terms.cost(says, written);
                self.malformed = self.malformed.saturating_add(u64::from(!is_cost));
            }
            _ => {}
        }
    }

    fn text(&mut self, at: Node, text: &[u8]) {
        match self.branch(at).and_then(|branch| branch.says) {
            Some(Says::Model) if self.model.is_none() && !text.is_empty() => {
                self.model = Some(readable(text));
            }
            Some(Says::Error) => self.errors.add(!text.is_empty()),
            Some(Says::Kind) => self.errors.add(text == b"error"),
            Some(Says::CallKind) => self.parts.call_kind(text),
            Some(Says::EntryModality) => self.split().modality(text),
            Some(says @ (Says::Tier | Says::Speed)) => self.terms.text(says, text),
            // Some write numbers as texts.
            Some(says) if says.is_number() => self.number(at, text),
            _ => {}
        }
    }

    fn truth(&mut self, at: Node, is_true: bool) {
        match self.branch(at).and_then(|branch| branch.says) {
            Some(Says::Error) => self.errors.add(is_true),
            Some(Says::OwnKey) if is_true => self.terms.own_key(),
            Some(says) if says.is_number() => self.is_malformed(),
            _ => {}
        }
    }
}
