//! Versions of files, which are compared without reading the files.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// A version of a file, by its metadata.
///
/// Take it before reading the file: then a change during the read is detected afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileStamp {
    /// The file.
    pub(crate) path: PathBuf,
    /// Device, inode, size, and the times of the last change of content and of state.
    state: Option<[i128; 5]>,
}

impl FileStamp {
    /// The version that is there now; an absent file has one as well.
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

    /// A word that differs between versions.
    pub fn mark(&self) -> String {
        match self.state {
            Some(state) => state.map(|number| format!("{number:x}")).join("-"),
            None => "absent".to_owned(),
        }
    }

    /// Whether `other` is a version of the same file, which was changed in place: a file that replaces another is
    /// another file.
    pub(crate) fn is_same_file(&self, other: &Self) -> bool {
        let file = |stamp: &Self| stamp.state.map(|[device, inode, ..]| (device, inode));
        file(self).is_some() && file(self) == file(other)
    }

    /// The version that is there now at the same path.
    #[must_use]
    pub(crate) fn retake(&self) -> Self {
        Self::take(self.path.clone())
    }
}
