//! Files that are nobody else's business: key files and files of secrets. They are read only as their
//! owner left them, and by nobody's detour.
//!
//! Files of systemd's credentials are not read here: systemd guards their folder, and marks in their
//! mode the access that it gives by other means.

use std::fs::{self, File, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::links;
use crate::regular_file::{self, ReadError};

/// The largest key file, in bytes: more than ten million keys.
pub const LARGEST_KEYS: u64 = 4 << 30;
/// How often a file may be replaced while it is being opened.
const TRIES: usize = 100;

/// The content of a private file.
pub struct Private {
    /// Its text.
    pub text: String,
    /// Set if others may read it: what to do about that.
    pub exposed: Option<String>,
}

impl Private {
    /// Reads `path` likewise, or the file that a link there leads to, where nobody but root and this user could have laid
    /// the link.
    pub fn read_linked(path: &Path, largest: u64) -> Result<Self, ReadError> {
        Self::read(&links::follow(path)?, largest)
    }

    /// Reads `path`: a file, not a link to one, of this user or of root, that nobody else may write, and of at most
    /// `largest` bytes.
    pub fn read(path: &Path, largest: u64) -> Result<Self, ReadError> {
        let (file, about) = open(path)?;
        let us = rustix::process::geteuid().as_raw();
        // Root reads for others: `sudo keygate check` of a service that runs as a user of its own.
        if us != 0 && ![us, 0].contains(&about.uid()) {
            let owner = about.uid();
            let why =
                format!("belongs to user {owner}, not to user {us} who reads it, nor to root");
            return Err(ReadError::Unfit(why));
        }
        let mode = about.permissions().mode() & 0o777;
        let cure = format!("(mode {mode:04o}): chmod 600 {}", path.display());
        if mode & 0o022 != 0 {
            return Err(ReadError::Unfit(format!("can be written by others {cure}")));
        }
        let exposed = (mode & 0o077 != 0).then(|| format!("can be read by others {cure}"));
        let text = regular_file::text_of(&file, about.len(), largest)?;
        Ok(Self { text, exposed })
    }
}

/// Opens the file that stands at `path` itself.
fn open(path: &Path) -> Result<(File, Metadata), ReadError> {
    for _ in 0..TRIES {
        let found = fs::symlink_metadata(path)?;
        if found.is_symlink() {
            let target = fs::read_link(path).unwrap_or_else(|_| PathBuf::from("nowhere"));
            return Err(ReadError::Unfit(format!(
                "is a symbolic link, which anybody may have laid: name the file itself, {}",
                target.display()
            )));
        }
        regular_file::regular(&found)?;
        let (file, about) = regular_file::open(path)?;
        // Else it was replaced in between, by an edit or by somebody's trick.
        if (found.dev(), found.ino()) == (about.dev(), about.ino()) {
            return Ok((file, about));
        }
    }
    Err(ReadError::Unfit(
        "is being replaced without a pause".to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_any_size_is_no_reason_to_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let file = File::create(&path).unwrap();
        file.set_permissions(fs::Permissions::from_mode(0o600))
            .unwrap();
        for size in [LARGEST_KEYS + 1, 8 << 40] {
            // The largest that file systems take.
            if file.set_len(size).is_ok() {
                let refused = Private::read(&path, LARGEST_KEYS)
                    .err()
                    .unwrap()
                    .to_string();
                assert!(refused.contains("of at most 4096 MiB"), "{refused}");
            }
        }
    }

    #[test]
    fn what_others_could_read_or_write_or_lay_there_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        assert!(matches!(
            Private::read(&path, LARGEST_KEYS),
            Err(ReadError::Absent)
        ));
        fs::write(&path, "s").unwrap();
        for (mode, exposed) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let file = Private::read(&path, LARGEST_KEYS).unwrap();
            assert_eq!((file.exposed.is_some(), &*file.text), (exposed, "s"));
        }
        let refusal = |path: &Path| match Private::read(path, LARGEST_KEYS) {
            Err(ReadError::Unfit(why)) => why,
            _ => panic!("{} was read", path.display()),
        };
        for mode in [0o620, 0o602, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(refusal(&path).contains("can be written by others"));
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(refusal(&link).contains("is a symbolic link"));
        assert_eq!(refusal(folder.path()), "is not a regular file");
        fs::write(&path, [0xff]).unwrap();
        assert_eq!(refusal(&path), "is not text");
    }
}
