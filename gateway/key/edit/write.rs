//! The way of every edit into the key file: lock, read, change, read back, and rename.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use toml_edit::DocumentMut;

use super::EditError;
use super::read_back::read_back;
use crate::key::lock;
use crate::regular_file::ReadError;
use crate::secret::{LARGEST_KEYS, Private};

/// Does `change` to the key file at `path`, or leaves the file as it is.
pub(super) fn edit_document(
    path: &Path,
    change: impl FnOnce(&mut DocumentMut) -> Result<(), EditError>,
) -> Result<(), EditError> {
    let _lock = lock::take(path)?;
    let text = match Private::read(path, LARGEST_KEYS) {
        // If others can read it, they cannot any more when it is replaced.
        Ok(file) => file.text,
        Err(ReadError::Absent) => String::new(),
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
    replace(path, folder, &changed)?;
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(EditError::Unconfirmed)
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
fn replace(path: &Path, folder: &Path, text: &str) -> io::Result<()> {
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    prefix.push(".new-");
    clear(folder, &prefix)?;
    let mut new = tempfile::Builder::new()
        .prefix(&prefix)
        .permissions(std::fs::Permissions::from_mode(0o600))
        .tempfile_in(folder)?;
    lock::give_to_owner(new.as_file(), path, folder)?;
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
