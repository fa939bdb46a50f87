//! The way of every edit into the key file: lock, read, change, read back, and rename.

use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use toml_edit::DocumentMut;

use super::EditError;
use super::read_back::read_back;
use crate::key::lock;
use crate::runtime::regular_file::ReadError;
use crate::secret::{LARGEST_KEYS, Private};

/// The mode of a key file that its owner alone may read and write.
const OWNER_EDITS: u32 = 0o600;
const GROUP_READS: u32 = 0o040;

/// Does `change` to the key file at `path`, or leaves the file as it is.
pub(super) fn edit_document(
    path: &Path,
    change: impl FnOnce(&mut DocumentMut) -> Result<(), EditError>,
) -> Result<(), EditError> {
    let _lock = lock::take(path)?;
    let (text, mode) = match Private::read(path, LARGEST_KEYS) {
        // If others can read it, they cannot any more when it is replaced. A group that may goes on reading it: perhaps
        // the gateway does by that group alone.
        Ok(file) if file.exposed.is_none() => (file.text, mode_of(path)? & GROUP_READS),
        Ok(file) => (file.text, 0),
        Err(ReadError::Absent) => (String::new(), 0),
        Err(ReadError::Io(error)) => return Err(error.into()),
        Err(ReadError::Unfit(why)) => return Err(EditError::Invalid(format!("it {why}"))),
    };
    let mut document = parse(&text)?;
    change(&mut document)?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let changed = document.to_string();
    read_back(path, &text, &changed)?;
    replace(path, folder, &changed, mode | OWNER_EDITS)?;
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(EditError::Unconfirmed)
}

fn mode_of(path: &Path) -> io::Result<u32> {
    Ok(std::fs::metadata(path)?.permissions().mode())
}

fn parse(text: &str) -> Result<DocumentMut, EditError> {
    text.parse().map_err(|error: toml_edit::TomlError| {
        let before = error
            .span()
            .and_then(|span| text.get(..span.start))
            .unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        EditError::Invalid(format!(
            "line {line} is not valid TOML: {}",
            error.message()
        ))
    })
}

/// Writes beside the file, syncs, and renames over it: after a crash it is the old one or the new.
/// The owner stays; a new file gets its folder's, so that root can make keys for the service's user.
fn replace(path: &Path, folder: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    prefix.push(".new-");
    clear(folder, &prefix)?;
    let mut new = tempfile::Builder::new()
        .prefix(&prefix)
        .permissions(Permissions::from_mode(OWNER_EDITS))
        .tempfile_in(folder)?;
    lock::give_to_owner(new.as_file(), path, folder)?;
    // Once it is of the file's group, and not of this user's.
    new.as_file()
        .set_permissions(Permissions::from_mode(mode))?;
    new.write_all(text.as_bytes())?;
    new.as_file().sync_all()?;
    new.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Takes away the unfinished files of editors that were killed: whoever holds the lock is the only one
/// that is at work.
fn clear(folder: &Path, prefix: &OsString) -> io::Result<()> {
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

#[cfg(test)]
mod tests {
    use super::super::add;
    use super::super::tests::new_key;
    use super::*;

    #[test]
    fn a_group_that_may_read_the_file_goes_on_reading_it_and_nobody_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        for (id, mode, then) in [
            ("a", 0o600, 0o600),
            ("b", 0o640, 0o640),
            ("c", 0o440, 0o640),
            ("d", 0o644, 0o600),
            ("e", 0o400, 0o600),
        ] {
            add(&path, &[new_key(&format!("{id}0"))]).unwrap();
            let own = rustix::process::getegid().as_raw();
            std::os::unix::fs::chown(&path, None, Some(own)).unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            add(&path, &[new_key(id)]).unwrap();
            assert_eq!(mode_of(&path).unwrap() & 0o777, then, "{mode:o}");
        }
    }

    #[test]
    fn what_a_killed_editor_left_is_taken_away_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        for left in [
            ".keys.toml.new-AbCdEf",
            ".other-keys.toml.new-x",
            "keys.new",
        ] {
            std::fs::write(folder.path().join(left), "half").unwrap();
        }
        add(&path, &[new_key("a")]).unwrap();
        let mut left: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let expected = [
            ".other-keys.toml.new-x",
            "keys.new",
            "keys.toml",
            "keys.toml.lock",
        ];
        assert_eq!(left, expected);
    }
}
