//! Versions of files, told from each other without reading them.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// A file and what tells one version of it from another without reading it.
///
/// Taken before the file is read, so that a change while it is being read is seen as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileStamp {
    /// The file.
    pub path: PathBuf,
    /// Device, inode, size, and the times of the last change of content and of state.
    state: Option<[i128; 5]>,
}

impl FileStamp {
    /// Looks at the file; one that isn't there is a version, too.
    pub fn take(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let time =
            |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        let state = std::fs::metadata(&path).ok().map(|file| {
            let modified = time(file.mtime(), file.mtime_nsec());
            let changed = time(file.ctime(), file.ctime_nsec());
            [
                file.dev().into(),
                file.ino().into(),
                file.size().into(),
                modified,
                changed,
            ]
        });
        Self { path, state }
    }

    /// What tells this version from others, in one word.
    pub fn mark(&self) -> String {
        match self.state {
            Some(state) => state.map(|number| format!("{number:x}")).join("-"),
            None => "absent".to_owned(),
        }
    }

    /// Whether `other` is another version of the same file, which was then changed in place: a file
    /// that replaces another is another file.
    pub fn is_same_file(&self, other: &Self) -> bool {
        let file = |stamp: &Self| stamp.state.map(|[device, inode, ..]| (device, inode));
        file(self).is_some() && file(self) == file(other)
    }

    /// Looks again.
    #[must_use]
    pub fn retake(&self) -> Self {
        Self::take(self.path.clone())
    }
}
