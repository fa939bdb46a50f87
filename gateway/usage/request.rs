//! Reads from a request's body what it asks for, as its pieces come, so that a limit can reserve the right amount before
//! the last piece goes up. Nothing of the body is changed, and nothing is kept but the names of a model and a tier.
//!
//! A body may say one thing in several ways, and which of them a provider takes is its own affair. So what is read here is
//! never less than what any of them could take:
//!
//! - Of several caps, the largest counts; of several counts of outputs, too. A cap as a text (`"16"`) counts like the
//!   number: a provider reads it so, or refuses it. A fraction is rounded up.
//! - A cap that is zero, negative, or no number (`-1` is "without a limit" for llama.cpp and Ollama, `0` for Gemini) takes
//!   all others away, and so do `null` beside a number of the same name and a second object of the same name that holds
//!   caps: the last one may count. `null` alone is no cap, as if it were missing.
//! - A body is not readable if a parser may read another thing than the scanner: it is no single JSON object, or a name of
//!   interest is written in other upper and lower case, or a value is nested too deep or cut off.
//!
//! Thinking is within the cap at Anthropic (`budget_tokens`), Gemini (`thinkingBudget`) and `OpenAI`. The
//! `thinking_budget` of Qwen's API is added to it, and `enable_thinking` without one is without a cap.

mod places;
#[cfg(test)]
mod tests;

use self::places::{Place, caps_at};
use super::tokens::ServiceTier;
use crate::grammar::media::MediaType;
use crate::wire::json::number::{scaled, whole};
use crate::wire::json::scanner::{Interest, Node, Scanner, TEXT};

/// What a request asks for, as far as its body has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "these are answers to independent questions"
)]
pub struct Asked<'r> {
    /// The model that the body names first, as it is written.
    pub model: Option<&'r str>,
    /// Whether the body names different models: which of them the provider takes is unknown.
    pub two_models: bool,
    /// The most tokens of one output: the largest cap. `None` without one that is sure to hold.
    pub output_cap: Option<u64>,
    /// The number of outputs that the provider makes, at least 1. `n` and `best_of` are alternatives of which the larger
    /// counts (<https://platform.openai.com/docs/api-reference/completions/create>); each prompt of a list has so many.
    pub outputs: u64,
    /// Whether the response is to be a stream.
    pub stream: bool,
    /// Whether the response is made in the background: it reports no usage to this request.
    pub background: bool,
    /// The service tier, as it is written; Anthropic's `speed` counts as one.
    pub service_tier: Option<&'r str>,
    /// Whether there is audio, an image, a video or a document in the body: its bytes do not bound its tokens.
    pub media: bool,
    /// Whether the request refers to what is not in the body: stored content, files, addresses, or tools that the provider
    /// itself calls. The bytes of the body do not bound its tokens.
    pub by_reference: bool,
    /// The bytes of the body so far.
    pub bytes: u64,
    /// Whether the body has ended, and all above is read from it. Otherwise only `bytes` is sure.
    pub is_readable: bool,
}

/// The reader of one request's body.
pub struct RequestReader {
    bytes: u64,
    state: State,
    scanner: Scanner,
    found: Found,
}

/// What is known of the body's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing but white space and a byte order mark has come.
    Before,
    /// It is an object.
    Object,
    /// It is not read.
    Unreadable,
}

impl RequestReader {
    /// A reader for a body with these `content-type` and `content-encoding` headers; an empty one is one that is missing.
    pub fn of(content_type: &[u8], content_encoding: &[u8]) -> Self {
        let encoding = content_encoding.trim_ascii();
        let is_plain = encoding.is_empty() || encoding.eq_ignore_ascii_case(b"identity");
        let is_read = is_plain && may_be_json(content_type) && is_utf8(content_type);
        Self {
            bytes: 0,
            state: if is_read {
                State::Before
            } else {
                State::Unreadable
            },
            scanner: Scanner::of_one_document(),
            found: Found::default(),
        }
    }

    /// Reads the next piece.
    pub fn feed(&mut self, piece: &[u8]) {
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(length);
        let mut rest = piece;
        while let (State::Before, Some((byte, after))) = (self.state, rest.split_first()) {
            match byte {
                b'{' => self.state = State::Object,
                // A byte order mark.
                b' ' | b'\t' | b'\r' | b'\n' | 0xef | 0xbb | 0xbf => rest = after,
                _ => self.state = State::Unreadable,
            }
        }
        if self.state == State::Object {
            self.scanner.feed(rest, &mut self.found);
        }
    }

    /// What the body asks for so far. Asked before the body has ended, it is not readable. A cap that any provider takes
    /// counts: with `{"num_predict": 1}`, a provider that does not know this name has no cap.
    pub fn asked(&self) -> Asked<'_> {
        self.asked_with(u64::MAX)
    }

    /// The same for a request to `path`, a path at the provider: without a cap if there is none that the API has there.
    /// Caps of other names can raise it, because a provider may take them as well.
    pub fn asked_at(&self, path: &str) -> Asked<'_> {
        self.asked_with(caps_at(path))
    }

    /// The same with a cap only if one of `caps` is there, by [`Place::bit`].
    fn asked_with(&self, caps: u64) -> Asked<'_> {
        let Self { scanner, found, .. } = self;
        let is_read = self.state == State::Object && scanner.has_ended();
        let has_null_model = found.nulls & Place::Model.bit() != 0;
        Asked {
            model: found.model.as_deref(),
            two_models: found.two_models || has_null_model && found.model.is_some(),
            output_cap: found.output_cap(caps),
            outputs: found.all_outputs(),
            stream: found.stream,
            background: found.background,
            service_tier: found.tier.as_deref(),
            media: found.media,
            by_reference: found.by_reference,
            bytes: self.bytes,
            is_readable: is_read && !scanner.is_unclear() && !found.is_unclear,
        }
    }
}

/// Whether a body of this type may be JSON. Many providers do not look at the type.
fn may_be_json(content_type: &[u8]) -> bool {
    const TYPES: [&[u8]; 4] = [b"", b"application/json", b"text/json", b"text/plain"];
    let media = MediaType::of(content_type);
    TYPES.iter().any(|known| media.is(known)) || media.ends_with(b"+json")
}

/// Whether the type declares no other characters than UTF-8: in some, a byte of a character looks like a quote.
fn is_utf8(content_type: &[u8]) -> bool {
    let lower = content_type.to_ascii_lowercase();
    let mut parameters = lower.split(|byte| *byte == b';').skip(1);
    parameters.all(|parameter| {
        let Some(charset) = parameter.trim_ascii().strip_prefix(b"charset") else {
            return true;
        };
        let charset: Vec<u8> = charset
            .iter()
            .copied()
            .filter(|byte| !b"=\" \t".contains(byte))
            .collect();
        matches!(&*charset, b"utf-8" | b"utf8" | b"us-ascii" | b"ascii")
    })
}

/// What the scanner has found.
#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "these are answers to independent questions"
)]
struct Found {
    model: Option<Box<str>>,
    two_models: bool,
    /// The largest cap.
    cap: u64,
    /// The caps that were numbers, by [`Place::bit`].
    numbers: u64,
    /// The places of caps and models where there was `null`.
    nulls: u64,
    /// The objects with caps that there were.
    holders: u64,
    /// Whether a cap may be one without a limit.
    is_uncapped: bool,
    /// The largest budget of thinking that is added to the cap.
    thinking_budget: Option<u64>,
    thinks: bool,
    outputs: u64,
    /// The prompts that are texts or objects.
    prompts: u64,
    /// The arrays of prompts, and those in them, which are prompts of token numbers.
    prompt_lists: u64,
    stream: bool,
    background: bool,
    tier: Option<Box<str>>,
    media: bool,
    by_reference: bool,
    is_unclear: bool,
}

impl Found {
    /// The largest cap, if one of `caps` is there and none is without a limit.
    fn output_cap(&self, caps: u64) -> Option<u64> {
        let has_cap = self.numbers & caps != 0;
        let is_sure = has_cap && !self.is_uncapped && self.numbers & self.nulls == 0;
        match (self.thinks, self.thinking_budget) {
            _ if !is_sure => None,
            (true, None) => None,
            (_, budget) => Some(self.cap.saturating_add(budget.unwrap_or(0))),
        }
    }

    fn all_outputs(&self) -> u64 {
        let lists = self.prompt_lists.saturating_sub(1);
        let prompts = self.prompts.saturating_add(lists);
        self.outputs.max(1).saturating_mul(prompts.max(1))
    }

    /// A number, or a text where a number should be.
    fn amount(&mut self, at: Place, written: &[u8]) {
        self.is_unclear |= written.len() >= TEXT;
        let amount = at_least(written);
        match at {
            Place::Outputs => match amount {
                Some(outputs) => self.outputs = self.outputs.max(outputs),
                None => self.is_unclear = true,
            },
            Place::ThinkingBudget => match amount {
                Some(budget) => self.thinking_budget = self.thinking_budget.max(Some(budget)),
                None => self.is_uncapped = true,
            },
            _ => match amount {
                Some(cap @ 1..) if is_one_or_more(written) => {
                    self.cap = self.cap.max(cap);
                    self.numbers |= at.bit();
                }
                _ => self.is_uncapped = true,
            },
        }
    }

    /// A value that is no number where a number should be.
    fn no_amount(&mut self, at: Place) {
        match at {
            Place::Outputs => self.is_unclear = true,
            Place::ThinkingBudget => self.is_uncapped = true,
            _ if at.is_cap() => self.is_uncapped = true,
            _ => {}
        }
    }

    /// A value of any kind at a place.
    fn any(&mut self, at: Place) {
        if at.holds_caps() {
            self.is_uncapped |= self.holders & at.bit() != 0;
            self.holders |= at.bit();
        }
        self.is_unclear |= at == Place::Alike;
    }

    fn name_model(&mut self, name: &[u8]) {
        let Some(name) = kept(name) else {
            self.is_unclear = true;
            return;
        };
        match &self.model {
            None => self.model = Some(name.into()),
            Some(model) => self.two_models |= **model != *name,
        }
    }

    /// A tier. The standard one replaces no other.
    fn name_tier(&mut self, name: &[u8]) {
        let tier = ServiceTier::named(name);
        let is_standard = tier.is_none_or(|tier| tier == ServiceTier::Standard);
        match kept(name) {
            Some(name) if self.tier.is_none() || !is_standard => self.tier = Some(name.into()),
            Some(_) => {}
            None => self.is_unclear = true,
        }
    }

    /// An element or value that is neither text nor `null`, `true` or `false`.
    fn thing(&mut self, at: Place) {
        match at {
            Place::Media => self.media = true,
            Place::Reference => self.by_reference = true,
            Place::Model | Place::Models => self.is_unclear = true,
            _ => {}
        }
    }
}

/// A text that is whole and UTF-8.
fn kept(text: &[u8]) -> Option<&str> {
    let whole = Some(text).filter(|text| text.len() < TEXT);
    whole.and_then(|text| std::str::from_utf8(text).ok())
}

/// The number, rounded up by up to two. `None` if it is negative or no number; `u64::MAX` if it is too large.
fn at_least(written: &[u8]) -> Option<u64> {
    whole(written).or_else(|| {
        let rounded = scaled(written, 0)?;
        Some(u64::try_from(rounded.saturating_add(1)).unwrap_or(u64::MAX))
    })
}

/// Whether a number is at least 1, if its fraction is dropped as well.
fn is_one_or_more(written: &[u8]) -> bool {
    whole(written).map_or_else(
        || scaled(written, 0).is_some_and(|rounded| rounded > 1),
        |value| value > 0,
    )
}

/// Whether content of this `type` is a reference, and whether its tokens are not bounded by its bytes.
fn content_type(name: &[u8]) -> (bool, bool) {
    const MEDIA: [&[u8]; 8] = [
        b"image",
        b"audio",
        b"video",
        b"file",
        b"document",
        b"input_",
        b"base64",
        b"media",
    ];
    const REFERENCES: [&[u8]; 3] = [b"item_reference", b"container_upload", b"compaction"];
    let is_media = MEDIA.iter().any(|start| name.starts_with(start)) && name != b"input_text";
    (REFERENCES.contains(&name), is_media)
}

/// Whether the provider itself calls a tool of this `type`, unlike the client's own functions and those that a client runs
/// (<https://docs.claude.com/en/docs/agents-and-tools/tool-use/overview>,
/// <https://platform.openai.com/docs/guides/tools>). One that is not known counts as called by the provider.
fn is_called_by_provider(name: &[u8]) -> bool {
    const CLIENT: [&[u8]; 6] = [
        b"function",
        b"custom",
        b"local_shell",
        b"apply_patch",
        b"computer",
        b"computer_use_preview",
    ];
    const CLIENT_VERSIONS: [&[u8]; 4] = [b"bash_", b"text_editor_", b"computer_2", b"memory_"];
    let is_version = CLIENT_VERSIONS.iter().any(|start| name.starts_with(start));
    !CLIENT.contains(&name) && !is_version
}

impl Interest for Found {
    const ROOT: Node = Place::Root.node();

    fn child(&self, of: Node, name: &[u8]) -> Option<Node> {
        Place::of(of).member(name).map(Place::node)
    }

    fn is_list(&self, at: Node) -> bool {
        Place::of(at).is_list()
    }

    fn reads_text(&self, at: Node) -> bool {
        // Nearly all of a body is the text of its messages.
        Place::of(at) != Place::Content
    }

    fn begins(&mut self, at: Node) {
        let at = Place::of(at);
        self.any(at);
        self.no_amount(at);
        self.thing(at);
        match at {
            Place::Prompt => {
                self.by_reference = true;
                self.prompts = self.prompts.saturating_add(1);
            }
            Place::Inputs => self.prompts = self.prompts.saturating_add(1),
            _ => {}
        }
    }

    fn begins_list(&mut self, at: Node) {
        let at = Place::of(at);
        if matches!(at, Place::Prompt | Place::Inputs) {
            self.prompt_lists = self.prompt_lists.saturating_add(1);
        }
    }

    fn other_list(&mut self, at: Node) {
        let at = Place::of(at);
        self.any(at);
        self.no_amount(at);
        self.thing(at);
    }

    fn number(&mut self, at: Node, written: &[u8]) {
        let at = Place::of(at);
        self.any(at);
        self.thing(at);
        match at {
            Place::Outputs | Place::ThinkingBudget => self.amount(at, written),
            _ if at.is_cap() => self.amount(at, written),
            Place::Stream => self.stream |= whole(written) != Some(0),
            Place::Background => self.background |= whole(written) != Some(0),
            Place::Thinking => self.thinks |= whole(written) != Some(0),
            _ => {}
        }
    }

    fn text(&mut self, at: Node, text: &[u8]) {
        let at = Place::of(at);
        self.any(at);
        match at {
            Place::Model | Place::Models => self.name_model(text),
            Place::Tier => self.name_tier(text),
            Place::Outputs | Place::ThinkingBudget => self.amount(at, text),
            _ if at.is_cap() => self.amount(at, text),
            Place::Prompt | Place::Inputs => self.prompts = self.prompts.saturating_add(1),
            Place::Stream => self.stream |= text.eq_ignore_ascii_case(b"true"),
            // A lenient provider reads most texts as true.
            Place::Background => self.background |= !text.is_empty(),
            Place::Thinking => self.thinks |= !text.is_empty(),
            Place::Media => self.media |= !text.is_empty(),
            Place::Reference => self.by_reference |= !text.is_empty(),
            Place::Url => {
                let scheme = text.get(..5).unwrap_or_default();
                let is_data = scheme.eq_ignore_ascii_case(b"data:");
                self.media |= is_data;
                self.by_reference |= !is_data && !text.is_empty();
            }
            Place::ContentType => {
                let (is_reference, is_media) = content_type(text);
                self.by_reference |= is_reference;
                self.media |= is_media;
            }
            Place::ToolType => self.by_reference |= is_called_by_provider(text),
            _ => {}
        }
    }

    fn truth(&mut self, at: Node, is_true: bool) {
        let at = Place::of(at);
        self.any(at);
        self.no_amount(at);
        match at {
            Place::Stream => self.stream |= is_true,
            Place::Background => self.background |= is_true,
            Place::Thinking => self.thinks |= is_true,
            Place::Reference => self.by_reference |= is_true,
            Place::Media => self.media |= is_true,
            Place::Model => self.is_unclear = true,
            _ => {}
        }
    }

    fn null(&mut self, at: Node) {
        let at = Place::of(at);
        self.any(at);
        self.is_uncapped |= at == Place::ThinkingBudget;
        if at.is_cap() || at == Place::Model {
            self.nulls |= at.bit();
        }
    }
}
