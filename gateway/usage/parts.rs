//! Adds up tokens that a response reports per model call or per choice.
//!
//! Anthropic's `usage.iterations` has an entry for each model call that a request led to.
//! Compaction of the conversation and advisor calls are in no other count and are billed, so the
//! sum of the entries counts (<https://platform.claude.com/docs/en/build-with-claude/compaction>).
//! Each list repeats all entries so far, so lists are not added up: the largest counts.
//!
//! Kimi reports `usage` in each choice. All choices share one prompt, and the output of each is
//! billed: the input counts once and the outputs are added up, as OpenAI does for `n`
//! (<https://platform.openai.com/docs/api-reference/chat/create>). A repeated choice counts once.

use super::fields::Count;

/// The largest number of choices that are counted: OpenAI's maximum for `n`.
const MAX_CHOICES: usize = 128;

/// The counts reported in parts so far.
#[derive(Default)]
pub(super) struct Parts {
    /// The calls of the list read last.
    calls: Calls,
    /// The largest earlier list.
    largest_earlier: Calls,
    /// The output tokens of each choice.
    choices: Vec<u64>,
    /// Whether an image model was called.
    image_model_called: bool,
    /// The index of the choice being read, and the default index of the next one.
    choice: usize,
    next_choice: usize,
}

/// The sums over a list of calls.
#[derive(Clone, Copy, Default)]
pub(super) struct Calls {
    /// The number of calls.
    pub(super) number: u64,
    /// Whether a model other than the one that the response names may have been called.
    pub(super) other_models: bool,
    sums: [u64; SUMMED.len()],
}

/// The counts that are added up.
const SUMMED: [Count; 6] = [
    Count::UncachedInput,
    Count::Output,
    Count::SeparateCacheRead,
    Count::SeparateCacheWrite,
    Count::CacheWrite5m,
    Count::CacheWrite1h,
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
        self.largest_earlier = self.calls();
        self.calls = Calls::default();
    }

    /// A call begins.
    pub(super) fn begin_call(&mut self) {
        self.calls.number = self.calls.number.saturating_add(1);
    }

    /// Reads the type of a call. The model that the response names makes the calls `message` and
    /// `compaction`.
    pub(super) fn call_type(&mut self, name: &[u8]) {
        self.calls.other_models |= ![&b"message"[..], b"compaction"].contains(&name);
    }

    /// Adds a count to the call.
    pub(super) fn call_count(&mut self, count: Count, value: u64) {
        self.calls.add(count, value);
    }

    /// The calls of the largest list.
    pub(super) fn calls(&self) -> Calls {
        if self.largest_earlier.all() > self.calls.all() {
            self.largest_earlier
        } else {
            self.calls
        }
    }

    /// Records that an image model was called.
    pub(super) fn call_image_model(&mut self) {
        self.image_model_called = true;
    }

    /// Returns whether an image model was called.
    pub(super) fn has_called_image_model(&self) -> bool {
        self.image_model_called
    }

    /// A list of choices begins.
    pub(super) fn begin_choices(&mut self) {
        self.next_choice = 0;
    }

    /// A choice begins. Its index is its position unless it has an index of its own.
    pub(super) fn begin_choice(&mut self) {
        self.choice = self.next_choice;
        self.next_choice = self.next_choice.saturating_add(1);
    }

    /// Sets the index of the choice.
    pub(super) fn choice_index(&mut self, index: u64) {
        self.choice = usize::try_from(index).unwrap_or(MAX_CHOICES);
    }

    /// Sets the output tokens of the choice and returns the sum over all choices. A zero replaces
    /// nothing. Returns `None` if the index is too large.
    pub(super) fn choice_output(&mut self, output: u64) -> Option<u64> {
        if self.choice >= MAX_CHOICES {
            return None;
        }
        if self.choice >= self.choices.len() {
            self.choices.resize(self.choice + 1, 0);
        }
        let slot = self.choices.get_mut(self.choice)?;
        if output > 0 {
            *slot = output;
        }
        let all = self.choices.iter();
        Some(all.fold(0, |all, choice| all.saturating_add(*choice)))
    }
}
