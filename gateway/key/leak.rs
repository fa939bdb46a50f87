//! Recognizes client keys in texts that are about to be sent to a provider.
//!
//! Looks up nothing in the store. If it did, a response would tell a stranger which guesses are keys, and no guess would
//! count as a failed one. So it recognizes the keys that keygate made, by their form, and the one key that the request
//! presents itself. It does not recognize a key of another make on a route that requires none.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::format::{begins_a_word_in, is_in};
use super::presented::PresentedKey;
use crate::grammar::authorization::credentials_of;

/// Base64 as clients write it, with and without padding.
const FORGIVING: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// The scheme of a name and a password (RFC 7617).
const BASIC: &str = "Basic";

/// Whether `text` holds a client key: a complete one that keygate made, anywhere in it, or the one that is `presented`, as
/// a word of its own.
pub(super) fn holds_key(text: &[u8], presented: Option<&PresentedKey<'_>>) -> bool {
    is_in(text) || presented.is_some_and(|presented| has_word(text, presented.as_bytes()))
}

/// Whether the value of a credential header for a provider may be a client key: it holds one, or a word that begins like
/// one that keygate made. Decodes `Basic` credentials as well.
pub fn is_our_credential(value: &[u8], presented: Option<&PresentedKey<'_>>) -> bool {
    let is_ours = |text: &[u8]| holds_key(text, presented) || begins_a_word_in(text);
    is_ours(value) || basic(value).is_some_and(|credentials| is_ours(&credentials))
}

/// Whether `word` is in `text` without a letter or digit right before or behind it.
fn has_word(text: &[u8], word: &[u8]) -> bool {
    let is_part = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    memchr::memmem::find_iter(text, word).any(|at| {
        let before = at.checked_sub(1).and_then(|before| text.get(before));
        !is_part(before) && !is_part(text.get(at + word.len()))
    })
}

/// The decoded name and password of `Basic` credentials.
fn basic(value: &[u8]) -> Option<Vec<u8>> {
    FORGIVING.decode(credentials_of(value, BASIC)?).ok()
}
