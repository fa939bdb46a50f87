//! Suggestions for misspelt names.

use strsim::levenshtein;

/// The candidate that is closest to `word`, if one is close enough for `word` to be a typing error: at most a third of
/// its letters differ, or one.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .map(|candidate| (levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
