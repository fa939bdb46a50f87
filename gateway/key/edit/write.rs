//! The steps of every edit of the key file: lock, read, change, read back, replace.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use toml_edit::{DocumentMut, TomlError};

use super::error::EditError;
use super::read_back::read_back;
use crate::key::lock;
use crate::runtime::regular_file::ReadError;
use crate::runtime::replace::{replace, sync_folder_of};
use crate::secret::{LARGEST_KEYS, Private};

/// The mode of a key file that only its owner may read and write.
const OWNER_EDITS: u32 = 0o600;
const GROUP_READS: u32 = 0o040;

/// Applies `change` to the key file at `path`, or leaves the file as it is.
pub(super) fn edit_document(
    path: &Path,
    change: impl FnOnce(&mut DocumentMut) -> Result<(), EditError>,
) -> Result<(), EditError> {
    let _lock = lock::take(path)?;
    let (text, group) = match Private::read(path, LARGEST_KEYS) {
        // A file that others can read becomes private. A group that may read it keeps that right: the gateway may read
        // the file by that group alone.
        Ok(file) if file.exposed.is_none() => (file.text, mode_of(path)? & GROUP_READS),
        Ok(file) => (file.text, 0),
        Err(ReadError::Absent) => (String::new(), 0),
        Err(ReadError::Io(error)) => return Err(error.into()),
        Err(ReadError::Unfit(why)) => return Err(EditError::Unfit(why)),
    };
    let mut document = parse(&text)?;
    change(&mut document)?;
    let changed = document.to_string();
    read_back(path, &text, &changed).map_err(EditError::Refused)?;
    replace(path, &changed, group | OWNER_EDITS)?;
    sync_folder_of(path).map_err(EditError::Unconfirmed)
}

fn mode_of(path: &Path) -> io::Result<u32> {
    Ok(std::fs::metadata(path)?.permissions().mode())
}

fn parse(text: &str) -> Result<DocumentMut, EditError> {
    text.parse().map_err(|error: TomlError| {
        let before = error
            .span()
            .and_then(|span| text.get(..span.start))
            .unwrap_or_default();
        EditError::Syntax {
            line: before.matches('\n').count() + 1,
            source: Box::new(error),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::super::add::add;
    use super::super::tests::new_key;
    use super::*;

    #[test]
    fn after_an_edit_the_group_may_still_read_the_file_and_others_may_not() {
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
    fn the_unfinished_file_of_a_killed_editor_is_removed_and_no_other() {
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
