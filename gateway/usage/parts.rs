//! Tokens that a response says in parts: call by call of a model, or choice by choice.
//!
//! Anthropic's `usage.iterations` has an entry for each call that a request led to. What compacts the conversation, and
//! what an advisor is asked, is in no other count, and is billed: the sum of the entries counts
//! (<https://platform.claude.com/docs/en/build-with-claude/compaction>). Each list says all entries so far, so that
//! lists are not added up: the largest counts.
//!
//! Kimi says `usage` in each choice. All choices are made of one prompt, and what is made is billed for each: the input
//! counts once, the output of all choices together, as OpenAI has it for `n`
//! (<https://platform.openai.com/docs/api-reference/chat/create>). A choice that is said again counts once.

use super::places::Count;

/// The most choices that a response may have: as many as OpenAI takes for `n`.
const CHOICES: usize = 128;

/// What was said in parts so far.
#[derive(Default)]
pub(super) struct Parts {
    /// The calls of the list that was said last.
    calls: Calls,
    /// The largest list before.
    before: Calls,
    /// The output of each choice.
    choices: Vec<u64>,
    /// Whether a model that draws images was called.
    drawn: bool,
    /// The choice that is being read, and the place in the list of the next.
    choice: usize,
    next: usize,
}

/// The sums over a list of calls.
#[derive(Clone, Copy, Default)]
pub(super) struct Calls {
    /// How many there are.
    pub(super) number: u64,
    /// Whether another model may have been called than the response names.
    pub(super) other_models: bool,
    sums: [u64; SUMMED.len()],
}

/// What is summed up.
const SUMMED: [Count; 6] = [
    Count::InputBesideCache,
    Count::Output,
    Count::CacheReadNamed,
    Count::CacheWriteNamed,
    Count::CacheWriteMinutes,
    Count::CacheWriteHour,
];

impl Calls {
    fn add(&mut self, count: Count, value: u64) {
        let mut sums = SUMMED.iter().zip(&mut self.sums);
        if let Some((_, sum)) = sums.find(|(summed, _)| **summed == count) {
            *sum = sum.saturating_add(value);
        }
    }

    fn all(&self) -> u64 {
        self.sums
            .iter()
            .fold(0, |all, sum| all.saturating_add(*sum))
    }

    /// The sum of each count.
    pub(super) fn sums(&self) -> impl Iterator<Item = (Count, u64)> {
        SUMMED.into_iter().zip(self.sums)
    }
}

impl Parts {
    /// A list of calls begins.
    pub(super) fn begin_calls(&mut self) {
        self.before = self.calls();
        self.calls = Calls::default();
    }

    /// A call in it begins.
    pub(super) fn begin_call(&mut self) {
        self.calls.number = self.calls.number.saturating_add(1);
    }

    /// What it was for: the model that the response names answered (`message`) or compacted the conversation.
    pub(super) fn call_kind(&mut self, kind: &[u8]) {
        self.calls.other_models |= ![&b"message"[..], b"compaction"].contains(&kind);
    }

    /// A count of it.
    pub(super) fn call_count(&mut self, count: Count, value: u64) {
        self.calls.add(count, value);
    }

    /// The calls of the largest list.
    pub(super) fn calls(&self) -> Calls {
        if self.before.all() > self.calls.all() {
            self.before
        } else {
            self.calls
        }
    }

    /// A model that draws images was called.
    pub(super) fn draw(&mut self) {
        self.drawn = true;
    }

    /// Whether one was.
    pub(super) fn has_drawn(&self) -> bool {
        self.drawn
    }

    /// A list of choices begins.
    pub(super) fn begin_choices(&mut self) {
        self.next = 0;
    }

    /// A choice in it begins. It is the one of its place, unless it says another number.
    pub(super) fn begin_choice(&mut self) {
        self.choice = self.next;
        self.next = self.next.saturating_add(1);
    }

    /// The number of the choice.
    pub(super) fn choice_number(&mut self, number: u64) {
        self.choice = usize::try_from(number).unwrap_or(CHOICES);
    }

    /// The output of the choice; gives that of all choices so far. A zero replaces nothing. `None` where there are more
    /// choices than a response may have.
    pub(super) fn choice_output(&mut self, output: u64) -> Option<u64> {
        if self.choice >= CHOICES {
            return None;
        }
        if self.choice >= self.choices.len() {
            self.choices.resize(self.choice + 1, 0);
        }
        let place = self.choices.get_mut(self.choice)?;
        if output > 0 {
            *place = output;
        }
        let all = self.choices.iter();
        Some(all.fold(0, |all, choice| all.saturating_add(*choice)))
    }
}
