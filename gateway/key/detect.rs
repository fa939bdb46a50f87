//! Whether a text holds a key of this gateway.
//!
//! Nothing here looks a key up in the store. If it did, a response would depend on which keys exist, and a client could
//! try guesses that count as no failed key. So this module recognizes the keys that keygate made, by their format, and
//! the one key that the request presents. It does not recognize an imported key of another format on a route that
//! requires no key.

use super::format::contains_key;

/// Whether `text` holds a key: a whole key that keygate made, anywhere in it, or the `presented` key as a word of its
/// own.
pub(super) fn holds_key(text: &[u8], presented: Option<&[u8]>) -> bool {
    contains_key(text) || presented.is_some_and(|presented| has_word(text, presented))
}

/// Whether `word` occurs in `text` without a letter or digit directly before or after it.
fn has_word(text: &[u8], word: &[u8]) -> bool {
    let is_part = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    memchr::memmem::find_iter(text, word).any(|at| {
        let before = at.checked_sub(1).and_then(|before| text.get(before));
        !is_part(before) && !is_part(text.get(at + word.len()))
    })
}
