//! `credential:NAME`: secrets that systemd hands to the service, in a folder that `$CREDENTIALS_DIRECTORY` names.
//!
//! systemd guards the folder, and its access lists show in the mode of the files: the mode is not checked here.

use std::path::{Path, PathBuf};

use super::file::{LARGEST, error_of};
use super::reference::SecretError;
use crate::runtime::regular_file;

/// The text of the credential `name`.
pub(super) fn read(name: &str) -> Result<String, SecretError> {
    let path = path(name)?;
    regular_file::read_text(&path, LARGEST).map_err(|error| error_of(&path, &error))
}

/// The file of the credential `name`.
pub(super) fn path(name: &str) -> Result<PathBuf, SecretError> {
    match std::env::var_os("CREDENTIALS_DIRECTORY") {
        Some(folder) => Ok(Path::new(&folder).join(name)),
        None => Err(SecretError::Missing(format!(
            "credential:{name} needs systemd: $CREDENTIALS_DIRECTORY is not set \
             (LoadCredential={name}:PATH in the unit sets it)"
        ))),
    }
}
