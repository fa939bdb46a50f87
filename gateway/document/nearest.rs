//! Suggestions for misspelt names.

use strsim::levenshtein;

/// The candidate that is closest to `word`, if one is close enough for `word` to be a typing error: at most a third of
/// its letters differ, or one. Of several that are equally close, the first in alphabetical order, so that the order of
/// `candidates` does not matter.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .map(|candidate| (levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1))
        .min()
        .map(|(_, candidate)| candidate)
}
