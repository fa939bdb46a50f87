//! The folder that a file is in, by the file's path alone: nothing here reads the file system.

use std::path::Path;

/// The folder that relative paths in the file at `path` start from; empty if `path` is a bare file name.
pub(crate) fn base_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

/// The folder of the file at `path`, for system calls; `.` if `path` is a bare file name.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_file_name_is_in_the_current_folder() {
        for (path, base, folder) in [
            ("keys.toml", "", "."),
            ("./keys.toml", ".", "."),
            ("/etc/keygate/keys.toml", "/etc/keygate", "/etc/keygate"),
            ("/", "", "."),
        ] {
            let path = Path::new(path);
            assert_eq!(base_of(path), Path::new(base), "{path:?}");
            assert_eq!(folder_of(path), Path::new(folder), "{path:?}");
        }
    }
}
