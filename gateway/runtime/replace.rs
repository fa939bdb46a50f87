//! Replacing a file as a whole: after a crash, it is either the old file or the new one.
//!
//! Knows nothing of what the file holds. The caller holds a lock that excludes other writers of the file.

use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::folder::folder_of;

/// The mode of the new file until it has its owner: only the user that writes it may read it.
const PRIVATE: u32 = 0o600;

/// Writes `text` to a new file beside `path`, syncs it, and renames it over `path`.
///
/// The new file keeps the owner of the old one. If there is none, it gets the folder's owner, so that root can write
/// files for the user of a service. Unfinished files of writers that were killed are removed first.
///
/// # Errors
/// The file could not be written or renamed; `path` is unchanged.
pub(crate) fn replace(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let folder = folder_of(path);
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    prefix.push(".new-");
    remove_unfinished(folder, &prefix)?;
    let mut new = tempfile::Builder::new()
        .prefix(&prefix)
        .permissions(Permissions::from_mode(PRIVATE))
        .tempfile_in(folder)?;
    give_to_owner(new.as_file(), path)?;
    // After the change of owner: the mode may let the group read, which until then is this user's group.
    new.as_file()
        .set_permissions(Permissions::from_mode(mode))?;
    new.write_all(text.as_bytes())?;
    new.as_file().sync_all()?;
    new.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Waits until the disk has recorded a [`replace`] of `path`: until then, a crash may restore the old file.
///
/// # Errors
/// The disk did not confirm it.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

/// Gives `file`, which was created beside `path`, to the owner of `path`, or to the folder's owner if there is no such
/// file.
///
/// # Errors
/// The owner could not be read or changed.
pub(crate) fn give_to_owner(file: &File, path: &Path) -> io::Result<()> {
    let owner = std::fs::metadata(path).or_else(|_| std::fs::metadata(folder_of(path)))?;
    let current = file.metadata()?;
    if (owner.uid(), owner.gid()) != (current.uid(), current.gid()) {
        match std::os::unix::fs::fchown(file, Some(owner.uid()), Some(owner.gid())) {
            // Only root can change owners. A new file in a folder of another user then stays this user's.
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied || path.exists() => {
                return Err(error);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Removes the files with this prefix: the caller's lock guarantees that no other writer is at work on them.
fn remove_unfinished(folder: &Path, prefix: &OsString) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name
            .as_encoded_bytes()
            .starts_with(prefix.as_encoded_bytes())
        {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
