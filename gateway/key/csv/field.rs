//! The fields of a table of keys. An error never quotes the field, which may be a key.

use crate::key::client_key::is_key_id;
use crate::key::digest::KeyDigest;
use crate::key::format;

/// A key that a person chose is weak below this length. Of random characters, 22 have about 128 bits.
const WEAK_BELOW: usize = 22;
/// A text of at least this length that begins with `sk-` is a key and not an id.
const KEY_FROM: usize = 20;

/// Reads the id of a key.
pub(super) fn read_id(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("there is no id".into());
    }
    // Ids are written to logs and metrics, so a secret must not become one.
    if is_secret(text) {
        return Err("the id looks like a key or a digest: are they the wrong way round?".into());
    }
    if !is_key_id(text) {
        return Err("an id has 1 to 64 letters, digits and `.`, `_`, `-`, `@`".into());
    }
    Ok(text.to_owned())
}

/// Whether a text in the place of an id is a key or a digest.
fn is_secret(text: &str) -> bool {
    let form = format::inspect(text.as_bytes());
    is_digest(text)
        || bool::from(form.has_prefix & !form.malformed)
        || (text.starts_with("sk-") && text.len() >= KEY_FROM)
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Reads a digest, or a secret, of which it returns the digest; and whether the secret is weak.
pub(super) fn read_secret(text: &str) -> Result<(KeyDigest, bool), String> {
    if text.is_empty() {
        return Err("there is no key, nor a digest of one".into());
    }
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    if is_digest(hex) {
        return Ok((KeyDigest::parse(&format!("sha256:{hex}"))?, false));
    }
    // Taken for a key, a misspelled digest would be hashed again, and the result would never be valid.
    let bare = ["sha256:", "\\x", "0x"]
        .iter()
        .find_map(|begin| text.strip_prefix(begin));
    if bare.is_some_and(|bare| text.starts_with("sha256:") || is_digest(bare)) {
        return Err("a digest is 64 hexadecimal digits, alone or behind `sha256:`".into());
    }
    if text.chars().any(char::is_control) {
        return Err("the key holds a control character: no client can send it".into());
    }
    if format::inspect(text.as_bytes()).malformed.into() {
        let why = "the key begins like one that keygate made and is none: it would never be valid";
        return Err(why.into());
    }
    Ok((KeyDigest::of(text.as_bytes()), text.len() < WEAK_BELOW))
}

/// Reads whether a key is disabled.
pub(super) fn read_disabled(text: &str) -> Result<bool, String> {
    match &*text.to_ascii_lowercase() {
        "" | "f" | "false" | "no" | "0" => Ok(false),
        "t" | "true" | "yes" | "1" => Ok(true),
        _ => Err("disabled: expected true or false".into()),
    }
}
