//! Recognises a text that holds only the beginning of an earlier one: a file that a full disk cut off, or that is read
//! while it is being written.

use crate::runtime::background;

/// The bytes that one mark stands for.
const CHUNK: usize = 16;

/// After how many chunks other threads get their turn.
const CHUNKS_A_STEP: usize = 4096;

/// Marks of the chunks of a text, an eighth of its length in all. The text cannot be recovered from them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PrefixHash {
    marks: Vec<u16>,
    length: usize,
}

impl PrefixHash {
    /// The marks of `text`.
    pub(crate) fn of(text: &str) -> Self {
        let chunks = text.as_bytes().chunks_exact(CHUNK);
        let marks = chunks.enumerate().map(|(place, chunk)| {
            if place.is_multiple_of(CHUNKS_A_STEP) {
                background::yield_to_others();
            }
            mark(chunk)
        });
        Self {
            marks: marks.collect(),
            length: text.len(),
        }
    }

    /// Whether `other` is shorter and has the same beginning. The last bytes of `other`, fewer than 16, are not compared.
    pub(crate) fn was_cut_to(&self, other: &Self) -> bool {
        other.length < self.length && self.marks.starts_with(&other.marks)
    }
}

fn mark(chunk: &[u8]) -> u16 {
    let mix = |mixed: u64, byte: &u8| {
        (mixed ^ u64::from(*byte))
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .rotate_left(29)
    };
    (chunk.iter().fold(0, mix) >> 48) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_was_cut_anywhere_is_recognised_and_a_changed_one_is_not() {
        let lines: Vec<_> = (0..200).map(|i| format!("line {i}\n")).collect();
        let text = lines.concat();
        let whole = PrefixHash::of(&text);
        for end in 0..text.len() {
            assert!(whole.was_cut_to(&PrefixHash::of(&text[..end])), "{end}");
        }
        assert!(!whole.was_cut_to(&whole));
        assert!(!whole.was_cut_to(&PrefixHash::of(&text.replacen("line 3\n", "", 1))));
        assert!(!whole.was_cut_to(&PrefixHash::of(&format!("{text}more"))));
        assert!(!PrefixHash::of("").was_cut_to(&whole));
    }
}
