//! Where client keys come from: the other trait of the gateway that does IO on behalf of the configuration.
//!
//! A source hands over [`KeySet`]s. What a version of the keys looks like there (a file's time stamp, a number in a
//! database) stays inside its [`Revision`].

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::client_key::{ClientKey, KeyEntry};
use super::store::{KeyStore, StoreError};
use crate::document::{FileStamp, PrefixHash, Problems};
use crate::runtime::background;
use crate::secret::SecretSource;

/// After how many keys other threads get their turn.
const ENTRIES_A_STEP: usize = 4096;

/// Loads client keys from one place.
///
/// The calls block: a configuration is loaded on a thread of its own, never on one that serves.
pub(crate) trait KeySource: Send + Sync {
    /// The place, for people: a path, for instance.
    fn place(&self) -> &Path;

    /// The file that holds the keys, if they are in one: a change of it is a reason to load them again.
    fn file(&self) -> Option<&Path>;

    /// The version that the source holds now, without reading the keys.
    fn current(&self) -> Revision;

    /// Loads the keys, and the secrets in their metadata from `secrets`. What is wrong with single keys goes to
    /// `problems`.
    ///
    /// # Errors
    /// When the source as a whole could not be read.
    fn load(
        &self,
        secrets: &dyn SecretSource,
        problems: &Problems,
    ) -> Result<KeySet<Vec<KeyEntry>>, KeySourceError>;

    /// Loads the keys as [`load`](Self::load) does, as a store of which parts come from `before`, the store that serves.
    /// `None` if this source or this version of it does not allow it: then `load` has the keys, or the reason why there
    /// are none.
    fn load_store(&self, before: Option<&KeyStore>) -> Option<KeySet<KeyStore>>;
}

/// The keys of one version of a source.
pub(crate) struct KeySet<K = LoadedKeys> {
    /// The keys, in the order of the source.
    pub(crate) keys: K,
    /// The version.
    pub(crate) revision: Revision,
    /// The files that the keys' metadata was read from: a change of one is a reason to load again.
    pub(crate) secret_files: Vec<FileStamp>,
}

impl KeySet {
    /// No keys.
    pub(crate) fn empty(revision: Revision) -> Self {
        Self {
            keys: LoadedKeys::Entries(Vec::new()),
            revision,
            secret_files: Vec::new(),
        }
    }
}

impl<K> KeySet<K> {
    /// The same version with its keys in another form.
    pub(crate) fn map<T>(self, form: impl FnOnce(K) -> T) -> KeySet<T> {
        KeySet {
            keys: form(self.keys),
            revision: self.revision,
            secret_files: self.secret_files,
        }
    }
}

/// Keys that were loaded, in the order of their source.
pub(crate) enum LoadedKeys {
    /// The keys one by one.
    Entries(Vec<KeyEntry>),
    /// A store of them that is ready.
    Store(Box<KeyStore>),
}

impl LoadedKeys {
    /// The number of keys.
    pub(crate) fn count(&self) -> usize {
        match self {
            Self::Entries(entries) => entries.len(),
            Self::Store(store) => store.count(),
        }
    }

    /// All keys.
    pub(crate) fn iter(&self) -> Box<dyn Iterator<Item = &ClientKey> + '_> {
        match self {
            Self::Entries(entries) => Box::new(entries.iter().map(|entry| &entry.key)),
            Self::Store(store) => Box::new(store.keys()),
        }
    }

    /// Lets the first `counted` keys have metrics of their own, and no other key.
    pub(crate) fn count_first(&mut self, counted: usize) {
        let entries = match self {
            Self::Entries(entries) => entries,
            Self::Store(store) => return store.count_first(counted),
        };
        for (place, entry) in entries.iter_mut().enumerate().skip(counted) {
            entry.key.counted = false;
            if place.is_multiple_of(ENTRIES_A_STEP) {
                background::yield_to_others();
            }
        }
    }

    /// The store of the keys.
    ///
    /// # Errors
    /// Those of [`KeyStore::build`].
    pub(crate) fn into_store(self) -> Result<KeyStore, StoreError> {
        match self {
            Self::Entries(entries) => KeyStore::build(entries),
            Self::Store(store) => Ok(*store),
        }
    }
}

/// Why a source of keys could not be read. The message is a predicate: it follows the name of the place.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub(crate) struct KeySourceError {
    /// What went wrong.
    pub(crate) source: Box<dyn std::error::Error + Send + Sync>,
    /// Whether the place is not there at all.
    pub(crate) is_absent: bool,
    /// Whether another try may succeed a moment later although nobody changes the source.
    pub(crate) may_pass: bool,
}

/// A version of the keys at their source. Two versions are equal if their marks are.
#[derive(Clone)]
pub(crate) struct Revision(Arc<Version>);

struct Version {
    mark: String,
    /// What a source that is a file needs to recognise a file that was cut off.
    file: Option<(FileStamp, PrefixHash)>,
}

impl Revision {
    /// A version of a key file that was not read.
    pub(super) fn of_stamp(stamp: &FileStamp) -> Self {
        Self(Arc::new(Version {
            mark: stamp.mark(),
            file: None,
        }))
    }

    /// A version of a key file with what it holds.
    pub(super) fn of_file(stamp: FileStamp, content: PrefixHash) -> Self {
        Self(Arc::new(Version {
            mark: stamp.mark(),
            file: Some((stamp, content)),
        }))
    }

    /// The text that identifies the version.
    pub(crate) fn mark(&self) -> &str {
        &self.0.mark
    }

    /// Whether this version is `earlier`, cut off: its file was changed in place and holds only the beginning of what
    /// it held. Never true of a source that replaces its versions as a whole.
    pub(crate) fn is_cut_from(&self, earlier: &Self) -> bool {
        let (Some((stamp, content)), Some((before, all))) = (&self.0.file, &earlier.0.file) else {
            return false;
        };
        stamp.is_same_file(before) && all.was_cut_to(content)
    }
}

impl PartialEq for Revision {
    fn eq(&self, other: &Self) -> bool {
        self.0.mark == other.0.mark
    }
}

impl Eq for Revision {}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Revision({})", self.mark())
    }
}
