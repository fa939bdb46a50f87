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
        let mut hash = Self::with_room_for(text.len());
        for part in text.as_bytes().chunks(CHUNKS_A_STEP * CHUNK) {
            hash.add(part);
            background::yield_to_others();
        }
        hash
    }

    /// The marks of no text, with room for those of a text of so many bytes.
    pub(crate) fn with_room_for(bytes: usize) -> Self {
        Self {
            marks: Vec::with_capacity(bytes / CHUNK),
            length: 0,
        }
    }

    /// Adds a part of the text: a multiple of 16 bytes, unless it is the last part.
    pub(crate) fn add(&mut self, part: &[u8]) {
        self.marks.extend(part.as_chunks().0.iter().map(mark));
        self.length += part.len();
    }

    /// Whether `other` is shorter and has the same beginning. The last bytes of `other`, fewer than 16, are not compared.
    pub(crate) fn was_cut_to(&self, other: &Self) -> bool {
        other.length < self.length && self.marks.starts_with(&other.marks)
    }
}

/// Mixes both halves of a chunk: the middle bits of a product depend on all bits of its factors.
fn mark(chunk: &[u8; CHUNK]) -> u16 {
    let (both, _) = chunk.as_chunks();
    let [first, second] =
        [both.first(), both.get(1)].map(|half| half.map_or(0, |half| u64::from_ne_bytes(*half)));
    let factor = u128::from(first ^ 0x9E37_79B9_7F4A_7C15);
    let product = factor * u128::from(second ^ 0xD1B5_4A32_D192_ED03);
    u16::try_from(product >> 56 & 0xFFFF).unwrap_or_default()
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
