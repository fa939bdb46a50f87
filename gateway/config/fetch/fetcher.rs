//! What every part of a configuration is fetched with.

use std::path::Path;

use crate::document::{FileStamp, Located, Location, Problems, Severity};
use crate::runtime::regular_file::{LARGEST_PEM, read_bytes};
use crate::secret::{Secret, SecretError, SecretRef, SecretSource};

/// Fetches, notes problems, and remembers the files whose changes matter.
pub(super) struct Fetcher<'f> {
    pub(super) secrets: &'f dyn SecretSource,
    pub(super) problems: &'f Problems,
    /// The files, each as it was before it was read.
    pub(super) files: Vec<FileStamp>,
}

impl<'f> Fetcher<'f> {
    pub(super) fn new(secrets: &'f dyn SecretSource, problems: &'f Problems) -> Self {
        Self {
            secrets,
            problems,
            files: Vec::new(),
        }
    }

    pub(super) fn warn(&self, at: &Location, why: impl Into<String>) {
        self.problems.push(at, Severity::Warning, why);
    }

    /// Remembers the file that a secret is in.
    pub(super) fn watch(&mut self, reference: &SecretRef) {
        let path = self.secrets.file(reference);
        self.files.extend(path.map(FileStamp::take));
    }

    /// Fetches a secret that is sent in a header.
    pub(super) fn fetch_secret(&mut self, reference: &SecretRef) -> Result<Secret, SecretError> {
        self.watch(reference);
        self.secrets.fetch(reference)
    }

    /// Reads a PEM file. A failed read weighs as `severity` says, and its problem begins with `field`.
    pub(super) fn pem_file(
        &mut self,
        given: &Located<impl AsRef<Path>>,
        field: &str,
        severity: Severity,
    ) -> Option<Vec<u8>> {
        let path = given.value.as_ref();
        self.files.push(FileStamp::take(path));
        read_bytes(path, LARGEST_PEM)
            .map_err(|error| {
                let why = format!("{field}: {} {error}", path.display());
                self.problems
                    .push_unread(&given.at, severity, error.may_pass(), why);
            })
            .ok()
    }
}
