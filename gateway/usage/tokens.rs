//! How many tokens an answer says it took, and where each API says it.
//!
//! One table for all of them, since none uses another's name for something else:
//!
//! | API | input | of it cached | output |
//! |---|---|---|---|
//! | `OpenAI` chat, completions, embeddings, and what is like it | `usage.prompt_tokens` | `prompt_tokens_details.cached_tokens`, written `cache_write_tokens` | `completion_tokens`, reasoning included |
//! | `OpenAI` responses | `usage.input_tokens`; in a stream within `response` | `input_tokens_details.cached_tokens` | `output_tokens`, reasoning included |
//! | Anthropic | `usage.input_tokens`, **without** `cache_read_input_tokens` and `cache_creation_input_tokens`; at a stream's beginning within `message` | | `output_tokens`, of all so far |
//! | Gemini | `usageMetadata.promptTokenCount` and `toolUsePromptTokenCount`; of all so far | `cachedContentTokenCount` | `candidatesTokenCount` **and** `thoughtsTokenCount` |
//! | Cohere | `usage.tokens.input_tokens`; in a stream within `delta`; older `meta.tokens` | | `output_tokens` |
//! | Groq's streams | `x_groq.usage` | | |
//! | Ollama's own API | `prompt_eval_count` | | `eval_count` |
//!
//! What is said again later replaces what was said before: streams count what there is so far.
//!
//! Sources: <https://platform.openai.com/docs/api-reference/chat/object>,
//! <https://docs.anthropic.com/en/api/messages-streaming>, <https://ai.google.dev/api/generate-content#UsageMetadata>,
//! <https://docs.cohere.com/reference/chat>, <https://github.com/ollama/ollama/blob/main/docs/api.md>.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use self::Count::{
    CacheCreation, CacheCreationBeside, CacheRead, CacheReadBeside, Input, InputBeside, Output,
    OutputBeside, Reasoning,
};
use super::scanner::{Interest, Node};

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
}

/// What is counted, as it is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Count {
    Input,
    /// Beside the input, and not in it.
    InputBeside,
    Output,
    OutputBeside,
    CacheRead,
    CacheReadBeside,
    CacheCreationBeside,
    Reasoning,
    CacheCreation,
}

const COUNTS: usize = 9;

/// The most tokens that are believed of one response: a thousand times what the largest models read at once, and what
/// a large batch takes. One larger number would take a counter to its end, where it shows nothing any more.
const MOST: u64 = 10_000_000_000;

/// What stands at a place.
#[derive(Clone, Copy)]
enum Place {
    /// More places.
    Inner(&'static [(&'static str, u8)]),
    /// A count.
    Leaf(Count),
    /// The model's name.
    Model,
}

/// The places, by the number of their node: the names in them, and where these lead.
const PLACES: [Place; 19] = [
    // 0: a document
    Place::Inner(&[
        ("usage", 1),
        ("response", 2),
        ("message", 2),
        ("delta", 3),
        ("meta", 4),
        ("x_groq", 3),
        ("usageMetadata", 5),
        ("model", 9),
        ("modelVersion", 9),
        ("prompt_eval_count", 10),
        ("eval_count", 12),
    ]),
    // 1: usage
    Place::Inner(&[
        ("prompt_tokens", 10),
        ("completion_tokens", 12),
        ("input_tokens", 10),
        ("output_tokens", 12),
        ("cache_read_input_tokens", 15),
        ("cache_creation_input_tokens", 16),
        ("prompt_tokens_details", 6),
        ("input_tokens_details", 6),
        ("completion_tokens_details", 7),
        ("output_tokens_details", 7),
        ("tokens", 8),
    ]),
    // 2: what holds an answer
    Place::Inner(&[("usage", 1), ("model", 9)]),
    // 3: what holds usage
    Place::Inner(&[("usage", 1)]),
    // 4: Cohere's meta
    Place::Inner(&[("tokens", 8)]),
    // 5: Gemini's
    Place::Inner(&[
        ("promptTokenCount", 10),
        ("toolUsePromptTokenCount", 11),
        ("candidatesTokenCount", 12),
        ("thoughtsTokenCount", 13),
        ("cachedContentTokenCount", 14),
    ]),
    // 6: of the input
    Place::Inner(&[("cached_tokens", 14), ("cache_write_tokens", 18)]),
    // 7: of the output
    Place::Inner(&[("reasoning_tokens", 17)]),
    // 8: Cohere's tokens
    Place::Inner(&[("input_tokens", 10), ("output_tokens", 12)]),
    // 9
    Place::Model,
    // 10 and on
    Place::Leaf(Count::Input),
    Place::Leaf(Count::InputBeside),
    Place::Leaf(Count::Output),
    Place::Leaf(Count::OutputBeside),
    Place::Leaf(Count::CacheRead),
    Place::Leaf(Count::CacheReadBeside),
    Place::Leaf(Count::CacheCreationBeside),
    Place::Leaf(Count::Reasoning),
    Place::Leaf(Count::CacheCreation),
];

/// What stands in every text that says a count: a part of the names that lead to one.
static SIGNS: LazyLock<[Finder<'static>; 3]> =
    LazyLock::new(|| ["usage", "meta", "eval_count"].map(Finder::new));

/// What was found so far.
#[derive(Default)]
pub(super) struct Found {
    counts: [Option<u64>; COUNTS],
    /// The model, as the answer names it first.
    pub(super) model: Option<Box<str>>,
    /// Counts that were none.
    pub(super) malformed: u64,
}

impl Found {
    /// Whether a document may say what is not known yet: all but a few events of a stream say nothing but words.
    pub(super) fn may_learn_from(&self, document: &[u8]) -> bool {
        self.model.is_none() || SIGNS.iter().any(|sign| sign.find(document).is_some())
    }

    /// The tokens, if any were said.
    pub(super) fn usage(&self) -> Option<Usage> {
        self.counts.iter().any(Option::is_some).then(|| {
            let count = |count: Count| {
                self.counts
                    .get(count as usize)
                    .copied()
                    .flatten()
                    .unwrap_or(0)
            };
            let sum = |parts: &[Count]| {
                parts
                    .iter()
                    .fold(0, |sum: u64, part| sum.saturating_add(count(*part)))
            };
            Usage {
                input: sum(&[Input, InputBeside, CacheReadBeside, CacheCreationBeside]),
                output: sum(&[Output, OutputBeside]),
                cache_read: sum(&[CacheRead, CacheReadBeside]),
                cache_creation: sum(&[CacheCreation, CacheCreationBeside]),
                reasoning: sum(&[Reasoning, OutputBeside]),
            }
        })
    }
}

impl Interest for Found {
    const ROOT: Node = Node(0);

    fn child(&self, of: Node, name: &[u8]) -> Option<Node> {
        let Place::Inner(names) = PLACES.get(usize::from(of.0))? else {
            return None;
        };
        let found = names.iter().find(|(known, _)| known.as_bytes() == name)?;
        Some(Node(found.1))
    }

    fn number(&mut self, at: Node, value: Option<u64>) {
        let Some(Place::Leaf(count)) = PLACES.get(usize::from(at.0)) else {
            return;
        };
        let sane = value.filter(|value| *value <= MOST);
        match (sane, self.counts.get_mut(*count as usize)) {
            (Some(value), Some(place)) => *place = Some(value),
            _ => self.malformed = self.malformed.saturating_add(1),
        }
    }

    fn text(&mut self, at: Node, text: &[u8]) {
        match PLACES.get(usize::from(at.0)) {
            Some(Place::Model) if self.model.is_none() && !text.is_empty() => {
                self.model = Some(String::from_utf8_lossy(text).into());
            }
            Some(Place::Leaf(_)) => self.malformed = self.malformed.saturating_add(1),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All ways from a place to a count, as the names on them.
    fn ways(from: usize) -> Vec<String> {
        let Place::Inner(names) = PLACES[from] else {
            let is_count = matches!(PLACES[from], Place::Leaf(_));
            return is_count.then(String::new).into_iter().collect();
        };
        let ways = names
            .iter()
            .map(|(name, to)| (name, ways(usize::from(*to))));
        ways.flat_map(|(name, rest)| rest.into_iter().map(move |rest| format!("{name} {rest}")))
            .collect()
    }

    #[test]
    fn no_count_is_said_without_a_sign() {
        let all = ways(0);
        assert!(all.len() > 30, "{all:?}");
        for way in all {
            let told = SIGNS.iter().any(|sign| sign.find(way.as_bytes()).is_some());
            assert!(told, "{way}");
        }
    }

    #[test]
    fn every_name_leads_to_a_place() {
        for place in PLACES {
            if let Place::Inner(names) = place {
                for (name, leads) in names {
                    assert!(PLACES.get(usize::from(*leads)).is_some(), "{name}");
                }
            }
        }
    }
}
