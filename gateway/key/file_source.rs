//! The key file as a source of keys.

use std::path::{Path, PathBuf};

use memchr::memmem;

use super::client_key::KeyEntry;
use super::file::KeyFile;
use super::plain_file;
use super::source::{KeySet, KeySource, KeySourceError, Revision};
use super::store::KeyStore;
use super::window::Window;
use crate::document::{Document, FileStamp, Location, PrefixHash, Problems, Severity};
use crate::runtime::background;
use crate::runtime::folder::base_of;
use crate::runtime::regular_file::ReadError;
use crate::secret::{LARGEST_KEYS, Private, PrivateFile, SecretSource};

/// A key file.
#[derive(Clone, Debug)]
pub(crate) struct KeyFileSource {
    path: PathBuf,
}

impl KeyFileSource {
    /// The key file at `path`, which need not be there yet.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Notes that others can read the file. An example that comes with keygate can be read by everybody, and nothing
    /// is lost by that: only keys that are valid and secrets in the file make it more than a warning. A reload takes
    /// the file over all the same: a key may be revoked in it.
    fn note_exposure(&self, why: String, holds_something: bool, problems: &Problems) {
        let severity = if holds_something {
            Severity::Strict
        } else {
            Severity::Warning
        };
        let whole = Location::of_file(&self.path);
        problems.push(&whole, severity, why);
    }
}

impl KeySource for KeyFileSource {
    fn place(&self) -> &Path {
        &self.path
    }

    fn file(&self) -> Option<&Path> {
        Some(&self.path)
    }

    fn current(&self) -> Revision {
        Revision::of_stamp(&FileStamp::take(&self.path))
    }

    fn load(
        &self,
        secrets: &dyn SecretSource,
        problems: &Problems,
    ) -> Result<KeySet<Vec<KeyEntry>>, KeySourceError> {
        background::lower_priority();
        // Before the file is read: a change in between is seen as one.
        let stamp = FileStamp::take(&self.path);
        let Private { text, exposed } =
            Private::read(&self.path, LARGEST_KEYS).map_err(|error| KeySourceError {
                is_absent: matches!(error, ReadError::Absent),
                may_pass: error.may_pass(),
                source: error.into(),
            })?;
        let holds_secrets =
            exposed.is_some() && memmem::find(text.as_bytes(), b"inline:").is_some();
        let revision = Revision::of_file(stamp, PrefixHash::of(&text));
        let folder = base_of(&self.path);
        let document = Document::new(&self.path, text);
        let file = KeyFile::read(&document, folder, secrets, problems);
        if let Some(why) = exposed {
            let has_valid_key = file.entries.iter().any(|entry| !entry.key.disabled);
            self.note_exposure(why, has_valid_key || holds_secrets, problems);
        }
        Ok(KeySet {
            keys: file.entries,
            revision,
            secret_files: file.secret_files,
        })
    }

    fn load_store(&self, before: Option<&KeyStore>) -> Option<KeySet<KeyStore>> {
        let stamp = FileStamp::take(&self.path);
        let PrivateFile {
            file,
            size,
            exposed,
        } = PrivateFile::open(&self.path).ok()?;
        // What an exposed file holds decides how bad that is.
        if exposed.is_some() {
            return None;
        }
        let window = Window::new(file, size, LARGEST_KEYS);
        let (store, hash) = plain_file::load(window, before)?;
        Some(KeySet {
            keys: store,
            revision: Revision::of_file(stamp, hash),
            secret_files: Vec::new(),
        })
    }
}
