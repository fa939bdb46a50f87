//! What single fields of a table of keys may hold. Nothing of a field is part of a complaint.

use crate::key::client_key::is_key_id;
use crate::key::digest::KeyDigest;
use crate::key::format;

/// A key that a person chose is weak below this length: nobody guesses 128 random bits.
const WEAK_BELOW: usize = 22;
/// What begins with `sk-` and is this long is a key, and no name.
const NO_NAME_FROM: usize = 20;

/// The id of a key.
pub(super) fn read_id(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("there is no id".into());
    }
    // Whatever is an id is in logs and metrics.
    if is_secret(text) {
        return Err("the id looks like a key or a digest: are they the wrong way round?".into());
    }
    if !is_key_id(text) {
        return Err("an id has 1 to 64 letters, digits and `.`, `_`, `-`, `@`".into());
    }
    Ok(text.to_owned())
}

/// Whether a text that is to be an id is rather a key, or a digest.
fn is_secret(text: &str) -> bool {
    let form = format::inspect(text.as_bytes());
    is_digest(text)
        || bool::from(form.has_prefix & !form.malformed)
        || (text.starts_with("sk-") && text.len() >= NO_NAME_FROM)
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The digest of a secret, or that it is; and whether the secret is weak.
pub(super) fn read_secret(text: &str) -> Result<(KeyDigest, bool), String> {
    if text.is_empty() {
        return Err("there is no key, nor a digest of one".into());
    }
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    if is_digest(hex) {
        return Ok((KeyDigest::parse(&format!("sha256:{hex}"))?, false));
    }
    // The digest of a digest opens nothing.
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
        let why = "the key begins like one that keygate made and is none: it would open nothing";
        return Err(why.into());
    }
    Ok((KeyDigest::of(text.as_bytes()), text.len() < WEAK_BELOW))
}

/// Whether a key is disabled.
pub(super) fn read_disabled(text: &str) -> Result<bool, String> {
    match &*text.to_ascii_lowercase() {
        "" | "f" | "false" | "no" | "0" => Ok(false),
        "t" | "true" | "yes" | "1" => Ok(true),
        _ => Err("disabled: expected true or false".into()),
    }
}
