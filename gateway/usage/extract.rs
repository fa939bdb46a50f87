//! Extracts usage, model and errors from the JSON documents of a response, as the scanner walks them.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::billing::Billing;
use super::counts::Counts;
use super::errors::Errors;
use super::fields::{self, Branch, Count, Field, MARKERS, Tree};
use super::media::Media;
use super::modality::{Modality, ModalityCounts, Part};
use super::money::Cost;
use super::parts::Parts;
use super::tokens::Usage;
use crate::wire::json::number::whole;
use crate::wire::json::scanner::{Interest, Node};

/// The largest count that is accepted from one response: a thousand times the context of the
/// largest models, and enough for a large batch. A larger one would saturate the counters for good.
const MAX_TOKENS: u64 = 10_000_000_000;

static MARKER_FINDERS: LazyLock<[Finder<'static>; MARKERS.len()]> =
    LazyLock::new(|| MARKERS.map(Finder::new));
static ESCAPE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\\u00"));

/// The usage, model and errors of one response, extracted so far.
pub(super) struct Extractor {
    tree: &'static Tree,
    /// The counts that take precedence, and those used only without them.
    counts: [Counts; 2],
    /// Whether any count was reported, including zeros.
    has_counts: bool,
    /// The model that the response named first.
    pub(super) model: Option<Box<str>>,
    /// The number of malformed counts.
    pub(super) malformed: u64,
    /// The errors that the response reported.
    pub(super) errors: Errors,
    /// Whether the total belongs to earlier counts than those being read.
    total_is_old: bool,
    /// Whether the response reports audio input in seconds.
    has_audio_seconds: bool,
    parts: Parts,
    /// Counts by modality. Boxed, since most responses report none.
    modalities: Option<Box<ModalityCounts>>,
    billing: Billing,
}

impl Default for Extractor {
    fn default() -> Self {
        Self {
            tree: fields::tree(),
            counts: [Counts::default(); 2],
            has_counts: false,
            model: None,
            malformed: 0,
            errors: Errors::default(),
            total_is_old: false,
            has_audio_seconds: false,
            parts: Parts::default(),
            modalities: None,
            billing: Billing::default(),
        }
    }
}

impl Extractor {
    /// Returns whether `document` may contain something new: almost all events of a stream contain
    /// only text.
    // Inlined into the reader of events, which calls it for nearly every event, as is all that it calls.
    #[inline]
    pub(super) fn may_learn_from(&self, document: &[u8]) -> bool {
        self.model.is_none()
            || MARKER_FINDERS
                .iter()
                .any(|marker| marker.find(document).is_some())
            || has_escaped_letter(document)
    }

    /// The usage, if the response reported any counts or a cost.
    pub(super) fn usage(&self) -> Option<Usage> {
        let [primary, fallbacks] = &self.counts;
        let counts = if primary.are_none() {
            fallbacks
        } else {
            primary
        };
        let calls = self.parts.calls();
        let reported_cost = self.billing.reported_cost();
        // Providers bill images without reporting tokens.
        let is_billed = reported_cost.is_some_and(|cost| cost > Cost::default());
        (self.has_counts || is_billed).then(|| {
            let counts = counts.with_calls(&calls);
            let mut usage = counts.usage(self.has_audio_seconds);
            if self.modalities.is_some() || self.has_audio_seconds {
                usage.media = self.media(&usage, counts.listed());
            }
            usage.calls = calls.number;
            usage.other_models = calls.other_models || self.parts.has_called_image_model();
            usage.service_tier = self.billing.service_tier();
            usage.reported_cost = reported_cost;
            usage
        })
    }

    /// The tokens of `usage` that are not text. `listed` is the number of input tokens that lists
    /// split up; 0 if unknown.
    fn media(&self, usage: &Usage, listed: u64) -> Media {
        let mut modalities = self.modalities.as_deref().copied().unwrap_or_default();
        if self.has_audio_seconds {
            let audio = match usage.input.saturating_sub(listed) {
                0 => usage.input,
                unlisted => unlisted,
            };
            modalities.set(Part::Input, Modality::Audio, audio);
        }
        modalities.media_of(usage, listed)
    }

    /// The counts by modality, created on first use.
    fn modalities(&mut self) -> &mut ModalityCounts {
        self.modalities.get_or_insert_default()
    }

    /// Returns the branch of a node.
    pub(super) fn branch(&self, at: Node) -> Option<&'static Branch> {
        self.tree.at(at)
    }

    /// Parses a count. Counts it as malformed if it is invalid.
    fn parse_count(&mut self, written: &[u8]) -> Option<u64> {
        let value = whole(written).filter(|value| *value <= MAX_TOKENS);
        if value.is_none() {
            self.add_malformed();
        }
        value
    }

    /// Records a value that is not a count where one should be.
    fn add_malformed(&mut self) {
        self.malformed = self.malformed.saturating_add(1);
    }

    fn count(&mut self, count: Count, fallback: bool, written: &[u8]) {
        let Some(mut value) = self.parse_count(written) else {
            return;
        };
        self.has_counts = true;
        if count == Count::BilledImages && value > 0 {
            self.modalities().set(Part::Input, Modality::Image, value);
        }
        if fallback && count == Count::Output {
            let Some(all) = self.parts.choice_output(value) else {
                return self.add_malformed();
            };
            value = all;
        }
        let [primary, fallbacks] = &mut self.counts;
        let counts = if fallback { fallbacks } else { primary };
        if value > 0 && std::mem::take(&mut self.total_is_old) {
            counts.clear(Count::Total);
        }
        counts.set(count, value);
    }
}

/// Converts to text, with replacement characters for invalid UTF-8.
fn to_text(text: &[u8]) -> Box<str> {
    match std::str::from_utf8(text) {
        Ok(text) => text.into(),
        Err(_) => String::from_utf8_lossy(text).into(),
    }
}

/// Returns whether `document` contains an escaped ASCII letter: it may be part of a field's name.
#[inline]
fn has_escaped_letter(document: &[u8]) -> bool {
    // Most events contain no escapes.
    memchr::memchr(b'\\', document).is_some()
        && ESCAPE
            .find_iter(document)
            .filter_map(|at| document.get(at + 4))
            .any(|digit| matches!(digit, b'4'..=b'7'))
}

impl Interest for Extractor {
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
            if let Some(modalities) = &mut self.modalities {
                modalities.begin_document();
            }
        }
        let Some(branch) = self.branch(at) else {
            return;
        };
        self.total_is_old |= branch.is_usage;
        match branch.field {
            Some(Field::Error) => self.errors.object_begins(),
            Some(
                Field::Count(_)
                | Field::CallCount(_)
                | Field::Medium(..)
                | Field::EntryTokens
                | Field::ToolSearches
                | Field::ImageModel,
            ) => self.add_malformed(),
            Some(Field::Calls) => self.parts.begin_call(),
            Some(Field::Choices) => self.parts.begin_choice(),
            Some(Field::ByModality(part)) => self.modalities().begin_entry(part),
            _ => {}
        }
    }

    fn was_empty(&mut self, at: Node) {
        let field = self.branch(at).and_then(|branch| branch.field);
        if field == Some(Field::Error) {
            self.errors.object_is_empty();
        }
    }

    fn other_list(&mut self, at: Node) {
        let field = self.branch(at).and_then(|branch| branch.field);
        if field.is_some_and(Field::is_number) {
            self.add_malformed();
        }
    }

    fn begins_list(&mut self, at: Node) {
        match self.branch(at).and_then(|branch| branch.field) {
            Some(Field::Calls) => self.parts.begin_calls(),
            Some(Field::Choices) => self.parts.begin_choices(),
            Some(Field::ByModality(_)) => self.modalities().begin_list(),
            _ => {}
        }
    }

    fn number(&mut self, at: Node, written: &[u8]) {
        let Some(branch) = self.branch(at) else {
            return;
        };
        match branch.field {
            Some(Field::Count(count)) => self.count(count, branch.fallback, written),
            Some(Field::CallCount(count)) => {
                if let Some(value) = self.parse_count(written) {
                    self.parts.call_count(count, value);
                }
            }
            Some(Field::Medium(part, modality)) => {
                // Nearly every response reports 0 here.
                if let Some(value @ 1..) = self.parse_count(written) {
                    self.modalities().set(part, modality, value);
                }
            }
            Some(Field::EntryTokens) => {
                if let Some(value) = self.parse_count(written) {
                    self.modalities().set_tokens(value);
                }
            }
            Some(Field::ToolSearches) => {
                if let Some(value @ 1..) = self.parse_count(written) {
                    self.has_counts = true;
                    let [primary, _] = &mut self.counts;
                    primary.set(Count::Searches, value);
                }
            }
            Some(Field::ImageModel) => {
                if let Some(1..) = self.parse_count(written) {
                    self.parts.call_image_model();
                }
            }
            Some(Field::AudioSeconds) => self.has_audio_seconds |= whole(written) != Some(0),
            Some(Field::ChoiceIndex) => {
                if let Some(number) = whole(written) {
                    self.parts.choice_index(number);
                }
            }
            Some(Field::Error) => self.errors.add(whole(written) != Some(0)),
            Some(field @ (Field::Cost | Field::CostTicks | Field::UpstreamCost)) => {
                let is_cost = self.billing.cost(field, written);
                self.malformed = self.malformed.saturating_add(u64::from(!is_cost));
            }
            _ => {}
        }
    }

    fn text(&mut self, at: Node, text: &[u8]) {
        match self.branch(at).and_then(|branch| branch.field) {
            Some(Field::Model) if self.model.is_none() && !text.is_empty() => {
                self.model = Some(to_text(text));
            }
            Some(Field::Error) => self.errors.add(!text.is_empty()),
            Some(Field::DocumentType) => self.errors.add(text == b"error"),
            Some(Field::CallType) => self.parts.call_type(text),
            Some(Field::EntryModality) => self.modalities().set_modality(text),
            Some(field @ (Field::ServiceTier | Field::Speed)) => self.billing.text(field, text),
            // Some servers write numbers as texts.
            Some(field) if field.is_number() => self.number(at, text),
            _ => {}
        }
    }

    fn truth(&mut self, at: Node, is_true: bool) {
        match self.branch(at).and_then(|branch| branch.field) {
            Some(Field::Error) => self.errors.add(is_true),
            Some(Field::OwnKey) if is_true => self.billing.own_key(),
            Some(field) if field.is_number() => self.add_malformed(),
            _ => {}
        }
    }
}
