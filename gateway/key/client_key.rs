//! A client key as keygate knows it: its id, labels, metadata and validity, and never the key itself.

use std::sync::Arc;

use jiff::Timestamp;

use super::digest::KeyDigest;
use super::labels::Labels;
use super::metadata::KeyMetadata;
use crate::limit::of_key::KeyLimits;
use crate::limit::slot::KeySlot;
use crate::secret::Secret;

/// The greatest length of an id, in bytes.
pub(super) const MAX_ID_LENGTH: usize = 64;

/// A client key, without its secret and its digests.
#[derive(Clone)]
pub struct ClientKey {
    /// The immutable name of the key, its label in logs and metrics.
    pub id: Arc<str>,
    /// The labels that a route's selector compares.
    pub labels: Labels,
    /// Secrets that belong to this key by name, such as a provider token of its own; an error where one could not be
    /// read.
    pub metadata: KeyMetadata,
    /// The key is not valid before this time.
    pub not_before: Option<Timestamp>,
    /// The key is not valid from this time on.
    pub expires: Option<Timestamp>,
    /// A disabled key is never valid.
    pub disabled: bool,
    /// Whether the key has metric series of its own; the other keys share one label.
    pub counted: bool,
    /// The limits that the key's entry sets; `None` if it sets none.
    pub limits: Option<Arc<KeyLimits>>,
    /// The place of what the key has used of its limits. Empty in a copy of the key.
    pub(crate) slot: KeySlot,
}

impl ClientKey {
    /// An enabled key without labels, metadata, limits and end.
    pub fn new(id: Arc<str>) -> Self {
        Self {
            id,
            labels: Labels::default(),
            metadata: KeyMetadata::default(),
            not_before: None,
            expires: None,
            disabled: false,
            counted: true,
            limits: None,
            slot: KeySlot::default(),
        }
    }

    /// The metadata entry `name`, if the key has it and its secret could be read.
    pub(crate) fn metadata(&self, name: &str) -> Option<&Secret> {
        self.metadata.get(name)?.as_ref().ok()
    }
}

/// A key with its digests, as a source of keys (the key file) returns it.
#[derive(Clone)]
pub struct KeyEntry {
    /// The key.
    pub key: ClientKey,
    /// The digests of its secrets, each with the end of its own validity; two while a rotation overlaps.
    pub digests: Vec<(KeyDigest, Option<Timestamp>)>,
}

/// Whether `id` is a valid key id: 1 to 64 letters, digits, `.`, `_`, `-`, `@`.
pub(crate) fn is_key_id(id: &str) -> bool {
    (1..=MAX_ID_LENGTH).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-@".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::TABLES_A_CHUNK;

    #[test]
    fn a_page_of_keys_fits_two_pages_of_memory() {
        // The allocator's next size above 8 KiB is 10 KiB: 32 bytes more for each key. A page has two counts as well.
        let counts = 2 * size_of::<usize>();
        assert!(size_of::<ClientKey>() * TABLES_A_CHUNK + counts <= 8192);
    }
}
