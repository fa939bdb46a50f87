//! Where secrets are fetched: one of the two traits of the gateway that do IO on behalf of the configuration.
//!
//! Knows how a [`SecretRef`] becomes a [`Secret`]; knows nothing of who uses it, or of what is done when it is missing.

use std::path::PathBuf;

use zeroize::Zeroizing;

use super::reference::{SecretError, SecretRef};
use super::value::Secret;
use super::{credential, env, file};

/// Fetches secrets by their references.
///
/// The calls block: a configuration is loaded on a thread of its own, never on one that serves.
pub(crate) trait SecretSource: Send + Sync {
    /// The file that holds the secret, if it is in one: a change of it is a reason to fetch the secret again.
    fn file(&self, reference: &SecretRef) -> Option<PathBuf>;

    /// Reads the text behind `reference` unchanged: a private key in PEM, for instance.
    ///
    /// # Errors
    /// When the text is missing, unreadable or not a text. The error names the reference and never holds the value.
    fn read(&self, reference: &SecretRef) -> Result<Zeroizing<String>, SecretError>;

    /// Fetches a secret that is sent in a header.
    ///
    /// # Errors
    /// As [`read`](Self::read), and when the text cannot stand in a header.
    fn fetch(&self, reference: &SecretRef) -> Result<Secret, SecretError> {
        let mut value = self.read(reference)?;
        Secret::new(std::mem::take(&mut *value))
            .map_err(|why| SecretError::Unusable(format!("{reference} {why}")))
    }
}

/// The secrets of this machine: environment variables, files, systemd credentials, and values written inline.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LocalSecrets;

impl SecretSource for LocalSecrets {
    fn file(&self, reference: &SecretRef) -> Option<PathBuf> {
        match reference {
            SecretRef::File(path) => Some(path.clone()),
            SecretRef::Credential(name) => credential::path(name).ok(),
            SecretRef::Env(_) | SecretRef::Inline(_) => None,
        }
    }

    fn read(&self, reference: &SecretRef) -> Result<Zeroizing<String>, SecretError> {
        match reference {
            SecretRef::Env(name) => env::read(name),
            SecretRef::File(path) => file::read(path),
            SecretRef::Credential(name) => credential::read(name),
            SecretRef::Inline(value) => Ok(value.clone()),
        }
        .map(Zeroizing::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_source_is_missing_and_an_empty_one_unusable() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let reference = SecretRef::File(path.clone());
        assert!(matches!(
            LocalSecrets.fetch(&reference).err(),
            Some(SecretError::Missing(_))
        ));
        std::fs::write(&path, "\n").unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, private).unwrap();
        assert!(matches!(
            LocalSecrets.fetch(&reference).err(),
            Some(SecretError::Unusable(_))
        ));
        std::fs::write(&path, "sk-1\n").unwrap();
        let fetched = LocalSecrets.fetch(&reference).ok().unwrap();
        assert_eq!(fetched.expose(), "sk-1");
    }

    #[test]
    fn only_secrets_in_files_have_a_file_to_watch() {
        let file = SecretRef::File("/run/t".into());
        assert_eq!(LocalSecrets.file(&file), Some("/run/t".into()));
        assert_eq!(LocalSecrets.file(&SecretRef::Env("T".to_owned())), None);
        assert_eq!(LocalSecrets.file(&SecretRef::Inline("t".to_owned())), None);
    }
}
