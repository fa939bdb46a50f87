//! Follows symbolic links to files of secrets, if nobody but root and the reader can have created them.
//!
//! An attacker who can put a link in the place of a secret makes the gateway send another file of the reader's to a
//! provider. So each link must belong to root or to the reader, and so must each folder on the way, in which nobody else
//! may replace anything. A path that is not a link itself is not checked here.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use crate::runtime::regular_file::ReadError;

/// The most links in a path. Linux follows 40 as well.
const MOST_LINKS: usize = 40;

/// The target of the link at `path`, as a path without links; `path` itself if it is not a link.
pub(super) fn follow(path: &Path) -> Result<PathBuf, ReadError> {
    if !fs::symlink_metadata(path)?.is_symlink() {
        return Ok(path.to_owned());
    }
    let absolute = std::path::absolute(path)?;
    let mut walk = Walk {
        reader: rustix::process::geteuid().as_raw(),
        reached: PathBuf::from("/"),
        ahead: VecDeque::new(),
        links: 0,
    };
    walk.turn_to(&absolute);
    while let Some(name) = walk.ahead.pop_front() {
        walk.step(&name)?;
    }
    Ok(walk.reached)
}

/// Resolves a path, name by name.
struct Walk {
    /// The user who reads.
    reader: u32,
    /// What was resolved so far: a path without links.
    reached: PathBuf,
    /// The names that are still to resolve.
    ahead: VecDeque<OsString>,
    links: usize,
}

impl Walk {
    /// Puts the names of `path` before those that are still to resolve.
    fn turn_to(&mut self, path: &Path) {
        if path.is_absolute() {
            self.reached = PathBuf::from("/");
        }
        let mut names: VecDeque<_> = path
            .components()
            .filter_map(|component| match component {
                Component::Normal(name) => Some(name.to_owned()),
                Component::ParentDir => Some("..".into()),
                _ => None,
            })
            .collect();
        names.append(&mut self.ahead);
        self.ahead = names;
    }

    fn step(&mut self, name: &OsString) -> Result<(), ReadError> {
        if name == ".." {
            self.reached.pop();
            return Ok(());
        }
        self.judge(&fs::metadata(&self.reached)?, "folder")?;
        self.reached.push(name);
        let found = fs::symlink_metadata(&self.reached)?;
        if !found.is_symlink() {
            return Ok(());
        }
        self.links += 1;
        if self.links > MOST_LINKS {
            let why = "leads through too many symbolic links, perhaps in a circle";
            return Err(ReadError::Unfit(why.to_owned()));
        }
        self.judge(&found, "link")?;
        let target = fs::read_link(&self.reached)?;
        self.reached.pop();
        self.turn_to(&target);
        Ok(())
    }

    /// Refuses the folder or link that was reached if somebody else could replace it. In a folder with the sticky bit,
    /// such as /tmp, nobody else can replace what belongs to root or the reader.
    fn judge(&self, about: &Metadata, what: &str) -> Result<(), ReadError> {
        let (place, owner) = (self.reached.display(), about.uid());
        if ![0, self.reader].contains(&owner) {
            let cure = if self.reader == 0 {
                ": if keygate serves as that user, run this as that user".to_owned()
            } else {
                format!(" nor to user {} who reads it", self.reader)
            };
            return Err(ReadError::Unfit(format!(
                "leads through the {what} {place}, which belongs to user {owner}, not to root{cure}"
            )));
        }
        let mode = about.permissions().mode() & 0o7777;
        if about.is_dir() && mode & 0o022 != 0 && mode & 0o1000 == 0 {
            return Err(ReadError::Unfit(format!(
                "leads through the {what} {place}, which others can write (mode {mode:04o}), so that anybody may have \
                 laid the link: chmod go-w {place}"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use super::*;

    fn refusal(path: &Path) -> String {
        match follow(path) {
            Err(ReadError::Unfit(why)) => why,
            other => panic!("{}: {other:?}", path.display()),
        }
    }

    #[test]
    fn a_link_is_followed_to_the_file_itself_through_links_of_folders() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        fs::create_dir_all(root.join("archive/x")).unwrap();
        fs::create_dir_all(root.join("live/x")).unwrap();
        fs::write(root.join("archive/x/key1"), "k").unwrap();
        symlink("../../archive/x/key1", root.join("live/x/key")).unwrap();
        symlink(root.join("live"), root.join("current")).unwrap();
        symlink("current/x/key", root.join("key")).unwrap();
        let file = root.join("archive/x/key1");
        for path in [
            "key",
            "live/x/key",
            "current/x/key",
            "live/x/../x/./key",
            "archive/x/key1",
        ] {
            assert_eq!(follow(&root.join(path)).unwrap(), file, "{path}");
        }
        let sticky = fs::Permissions::from_mode(0o1777);
        fs::set_permissions(root.join("live"), sticky).unwrap();
        assert_eq!(follow(&root.join("key")).unwrap(), file);
        let writable = fs::Permissions::from_mode(0o777);
        fs::set_permissions(root.join("live"), writable).unwrap();
        assert!(refusal(&root.join("key")).contains("live, which others can write (mode 0777)"));
        assert!(matches!(follow(&root.join("none")), Err(ReadError::Absent)));
    }

    #[test]
    fn links_and_folders_of_another_user_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        fs::create_dir(root.join("theirs")).unwrap();
        fs::write(root.join("theirs/key"), "k").unwrap();
        symlink("theirs/key", root.join("key")).unwrap();
        let somebody = Some(54_321);
        // Only root can give a file away.
        if chown(root.join("theirs"), somebody, None).is_err() {
            return;
        }
        assert!(refusal(&root.join("key")).contains("theirs, which belongs to user 54321"));
        chown(root.join("theirs"), Some(0), None).unwrap();
        std::os::unix::fs::lchown(root.join("key"), somebody, None).unwrap();
        assert!(refusal(&root.join("key")).contains("the link "));
    }

    #[test]
    fn a_circle_ends() {
        let folder = tempfile::tempdir().unwrap();
        symlink("two", folder.path().join("one")).unwrap();
        symlink("one", folder.path().join("two")).unwrap();
        assert!(refusal(&folder.path().join("one")).contains("too many symbolic links"));
    }
}
