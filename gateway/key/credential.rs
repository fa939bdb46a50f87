//! Whether a credential that is about to go to a provider is a key of this gateway.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::detect::holds_key;
use super::format::has_word_with_prefix;
use super::presented::PresentedKey;
use crate::grammar::authorization::credentials_of;

/// Base64 as clients write it, with and without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// The scheme of a name and a password (RFC 7617).
const BASIC: &str = "Basic";

/// Whether the value of a credential header may be a key of this gateway: it holds a whole key, or a word that begins
/// like one that keygate made. Decodes `Basic` credentials as well.
pub(crate) fn is_our_credential(value: &[u8], presented: Option<&PresentedKey<'_>>) -> bool {
    let presented = presented.map(PresentedKey::as_bytes);
    let is_ours = |text: &[u8]| holds_key(text, presented) || has_word_with_prefix(text);
    is_ours(value) || decode_basic(value).is_some_and(|credentials| is_ours(&credentials))
}

/// The decoded name and password of `Basic` credentials.
fn decode_basic(value: &[u8]) -> Option<Vec<u8>> {
    LENIENT.decode(credentials_of(value, BASIC)?).ok()
}
