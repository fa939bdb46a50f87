//! Whether the gateway that answers on the admin address is that of a command's configuration: two gateways on one
//! machine often have the same admin address in their files, and only one of them listens there.

use std::fs;
use std::path::{Path, PathBuf};

use crate::admin::status::Status;

/// Whether the gateway reads the key file at `ours`. One of a version that did not tell the whole path is believed.
pub(super) fn reads_key_file(status: &Status, ours: &Path) -> bool {
    let theirs = Path::new(&status.key_file.path);
    if theirs.is_relative() {
        return theirs.file_name() == ours.file_name();
    }
    resolved(theirs) == resolved(ours)
}

/// The path without links and `..`, as far as the system tells.
fn resolved(path: &Path) -> PathBuf {
    let whole = fs::canonicalize(path).or_else(|_| std::path::absolute(path));
    whole.unwrap_or_else(|_| path.to_owned())
}
