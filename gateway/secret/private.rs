//! Reads private files: key files and files of secrets. Their owner and mode must keep others out, and no link of
//! somebody else may lead to them.
//!
//! systemd credentials are not read here: systemd guards their folder, and the access lists that it sets show in their
//! mode.

use std::fs::{self, File, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::{getegid, geteuid, getgroups};

use super::links;
use crate::runtime::folder::folder_of;
use crate::runtime::regular_file::{self, ReadError};

/// The largest key file, in bytes: more than ten million keys.
pub(crate) const LARGEST_KEYS: u64 = 4 << 30;
/// The bits of a mode for those who are neither the owner nor in the group.
const OTHERS: u32 = 0o007;
/// The group's bits for more than reading.
const BEYOND_READING: u32 = 0o030;
/// How often a file may be replaced while it is being opened.
const TRIES: usize = 100;

/// The content of a private file.
pub(crate) struct Private {
    /// The text.
    pub(crate) text: String,
    /// What to do about it, if others may read the file.
    pub(crate) exposed: Option<String>,
}

impl Private {
    /// Reads `path` as [`read`](Self::read) does, or the target of a link there, if nobody but root and this user can have
    /// created the link.
    pub(crate) fn read_linked(path: &Path, largest: u64) -> Result<Self, ReadError> {
        Self::read(&links::follow(path)?, largest)
    }

    /// Reads `path`: a file, not a link to one, of this user or of root, that nobody else may write, and of at most
    /// `largest` bytes. A group of this process may read it too (mode 0640 or 0440): Kubernetes' `fsGroup` and
    /// `install -g` hand files over in that way.
    pub(crate) fn read(path: &Path, largest: u64) -> Result<Self, ReadError> {
        let PrivateFile {
            file,
            size,
            exposed,
        } = PrivateFile::open(path)?;
        let text = regular_file::text_of(&file, size, largest)?;
        Ok(Self { text, exposed })
    }
}

/// An open private file.
pub(crate) struct PrivateFile {
    /// The file, to be read from its beginning.
    pub(crate) file: File,
    /// Its length by its metadata, in bytes.
    pub(crate) size: u64,
    /// What to do about it, if others may read the file.
    pub(crate) exposed: Option<String>,
}

impl PrivateFile {
    /// Opens `path`, on the conditions of [`Private::read`].
    pub(crate) fn open(path: &Path) -> Result<Self, ReadError> {
        let (file, about) = open(path)?;
        let us = geteuid().as_raw();
        // Root may read any file: `sudo keygate check` checks a service that runs as a user of its own.
        if us != 0 && ![us, 0].contains(&about.uid()) {
            let owner = about.uid();
            let why =
                format!("belongs to user {owner}, not to user {us} who reads it, nor to root");
            return Err(ReadError::Unfit(why));
        }
        let mode = about.permissions().mode() & 0o777;
        let mut cure = format!("(mode {mode:04o}): chmod 600 {}", path.display());
        if mode & 0o022 != 0 {
            return Err(ReadError::Unfit(format!("can be written by others {cure}")));
        }
        if mode & OTHERS == 0 {
            cure += ", or chgrp it to a group that the gateway runs with";
        }
        let is_exposed = mode & 0o077 != 0 && !only_own_group_reads(&file, &about, path);
        let exposed = is_exposed.then(|| format!("can be read by others {cure}"));
        Ok(Self {
            file,
            size: about.len(),
            exposed,
        })
    }
}

/// Whether only the owner and a group of this process can read the file.
fn only_own_group_reads(file: &File, about: &Metadata, path: &Path) -> bool {
    about.permissions().mode() & (OTHERS | BEYOND_READING) == 0
        && is_own_group(about, path)
        && has_no_access_list(file)
}

fn is_own_group(about: &Metadata, path: &Path) -> bool {
    let group = about.gid();
    let is_own = || {
        let mut supplementary = getgroups().unwrap_or_default().into_iter();
        getegid().as_raw() == group || supplementary.any(|own| own.as_raw() == group)
    };
    if !geteuid().is_root() {
        return is_own();
    }
    // Root reads on behalf of the service, whose group owns the folder as well. Root's own groups count only for root's
    // files: the user of the service need not be in them.
    let folder = fs::metadata(folder_of(path));
    folder.is_ok_and(|folder| folder.gid() == group) || about.uid() == 0 && is_own()
}

/// Whether the mode says everything: with a POSIX access list, the group's bits are those of everybody in the list.
fn has_no_access_list(file: &File) -> bool {
    // Too short for any list, but not empty: with an empty buffer, the call succeeds.
    let mut beginning = [0; 1];
    let read = rustix::fs::fgetxattr(file, "system.posix_acl_access", &mut beginning);
    matches!(read, Err(Errno::NODATA | Errno::OPNOTSUPP))
}

/// Opens the file at `path`, which must not be a link.
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
        // Otherwise it was replaced in between, by an edit or by an attacker: try again.
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
    use std::os::unix::fs::chown;

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
    fn a_file_of_this_folder_is_in_it() {
        assert_eq!(folder_of(Path::new("keys.toml")), Path::new("."));
        assert_eq!(
            folder_of(Path::new("/etc/k/keys.toml")),
            Path::new("/etc/k")
        );
    }

    fn is_exposed(path: &Path, mode: u32) -> bool {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let file = Private::read(path, LARGEST_KEYS).unwrap();
        assert_eq!(&*file.text, "s");
        file.exposed.is_some()
    }

    #[test]
    fn a_group_of_the_process_may_read_and_any_other_group_may_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "s").unwrap();
        chown(&path, None, Some(getegid().as_raw())).unwrap();
        for (mode, exposed) in [(0o640, false), (0o440, false), (0o650, true), (0o644, true)] {
            assert_eq!(is_exposed(&path, mode), exposed, "{mode:o}");
        }
        // A list of others who may read, which the mode shows as the group's bits.
        let mut list = 2_u32.to_le_bytes().to_vec();
        let entries = [
            (1, 6, u32::MAX),
            (2, 4, 54_321),
            (4, 4, u32::MAX),
            (16, 4, u32::MAX),
            (32, 0, u32::MAX),
        ];
        for (tag, permission, id) in entries {
            list.extend([u16::to_le_bytes(tag), u16::to_le_bytes(permission)].concat());
            list.extend(u32::to_le_bytes(id));
        }
        let name = "system.posix_acl_access";
        // Not every file system has them.
        if rustix::fs::setxattr(&path, name, &list, rustix::fs::XattrFlags::empty()).is_ok() {
            assert!(is_exposed(&path, 0o640));
            rustix::fs::removexattr(&path, name).unwrap();
            assert!(!is_exposed(&path, 0o640));
        }
        // Only root can give a file to a group that it is not in.
        if chown(&path, None, Some(54_321)).is_err() {
            return;
        }
        assert!(is_exposed(&path, 0o640) && is_exposed(&path, 0o440));
        // That of the folder, as which the service runs that root looks after.
        chown(folder.path(), None, Some(54_321)).unwrap();
        assert!(!is_exposed(&path, 0o640) && is_exposed(&path, 0o644));
        // Root's own group is none of a service's, whose user the file belongs to.
        chown(&path, Some(54_321), Some(getegid().as_raw())).unwrap();
        assert!(is_exposed(&path, 0o640) && is_exposed(&path, 0o440));
        chown(folder.path(), None, Some(getegid().as_raw())).unwrap();
        assert!(!is_exposed(&path, 0o640));
    }

    #[test]
    fn files_that_others_can_read_write_or_replace_are_reported() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        assert!(matches!(
            Private::read(&path, LARGEST_KEYS),
            Err(ReadError::Absent)
        ));
        fs::write(&path, "s").unwrap();
        for (mode, exposed) in [(0o600, false), (0o400, false), (0o644, true), (0o604, true)] {
            assert_eq!(is_exposed(&path, mode), exposed, "{mode:o}");
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
