//! `file:PATH`: secrets in files that only their owner, or a group of the gateway's, may read.

use std::path::Path;

use super::private::Private;
use super::reference::SecretError;
use crate::runtime::regular_file::ReadError;

/// The largest token, private key in PEM or other secret, in bytes.
pub(super) const LARGEST: u64 = 64 << 10;

/// The text of the file at `path`. A file that others can read is refused.
pub(super) fn read(path: &Path) -> Result<String, SecretError> {
    match Private::read_linked(path, LARGEST) {
        Ok(Private {
            exposed: Some(why), ..
        }) => Err(SecretError::Unusable(format!("{} {why}", path.display()))),
        Ok(file) => Ok(file.text),
        Err(error) => Err(error_of(path, &error)),
    }
}

/// What `error` means for the secret in the file at `path`.
pub(super) fn error_of(path: &Path, error: &ReadError) -> SecretError {
    let why = format!("{} {error}", path.display());
    match error {
        ReadError::Unfit(_) => SecretError::Unusable(why),
        _ if error.may_pass() => SecretError::Unread(why),
        _ => SecretError::Missing(why),
    }
}
