//! The metadata of a key: secrets by their names. Most keys have none, and then it takes one pointer.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::secret::{Secret, SecretError};

/// A secret, or why it could not be read.
type Entry = Result<Secret, SecretError>;

/// Secrets that belong to a key, by name. Copies share them.
#[derive(Clone, Default)]
pub struct KeyMetadata(Option<Arc<BTreeMap<String, Entry>>>);

impl KeyMetadata {
    /// The entry `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&Entry> {
        self.0.as_ref()?.get(name)
    }

    /// Whether there is an entry `name`.
    pub(crate) fn contains_key(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// All entries in the order of their names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Entry)> {
        self.0.iter().flat_map(|entries| entries.iter())
    }

    /// All names in their order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &String> {
        self.iter().map(|(name, _)| name)
    }
}

impl FromIterator<(String, Entry)> for KeyMetadata {
    fn from_iter<I: IntoIterator<Item = (String, Entry)>>(entries: I) -> Self {
        let entries: BTreeMap<_, _> = entries.into_iter().collect();
        Self((!entries.is_empty()).then(|| Arc::new(entries)))
    }
}
