//! Whether the gateway on the admin address is the one of a command's configuration. Two gateways on one machine often have
//! the same admin address in their files, and only one of them listens there.

use std::fs;
use std::path::{Path, PathBuf};

use crate::admin::status::Status;

/// Whether the gateway with this status reads the key file at `ours`. Old versions reported the file's name only: then the
/// name decides.
pub(super) fn reads_key_file(status: &Status, ours: &Path) -> bool {
    let theirs = Path::new(&status.key_file.path);
    if theirs.is_relative() {
        return theirs.file_name() == ours.file_name();
    }
    resolved(theirs) == resolved(ours)
}

/// The path without symbolic links and `..`, as far as the system resolves it.
fn resolved(path: &Path) -> PathBuf {
    let whole = fs::canonicalize(path).or_else(|_| std::path::absolute(path));
    whole.unwrap_or_else(|_| path.to_owned())
}
