//! Whether the ledger can be written where the configuration says.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Finding, Verdict, ok};
use crate::runtime::folder::folder_of;

/// What each `SQLite` database begins with: <https://www.sqlite.org/fileformat.html#magic_header_string>.
const MAGIC: &[u8] = b"SQLite format 3\0";
/// What `SQLite` puts behind the name of a database for the files beside it: <https://www.sqlite.org/wal.html>.
const BESIDE: [&str; 3] = ["", "-wal", "-shm"];

/// What is wrong, what to do about it, and how much it matters.
type Obstacle = (Verdict, String, String);

/// The finding about the ledger at `path`.
pub(super) fn ledger(path: &Path) -> Finding {
    let name = path.display();
    match folder(folder_of(path)).or_else(|| files(path)) {
        None => ok("ledger", format!("{name} can be written")),
        Some((verdict, what, cure)) => ok("ledger", format!("{name}: {what}")).but(verdict, cure),
    }
}

/// Why no file can be made in the folder.
fn folder(folder: &Path) -> Option<Obstacle> {
    let name = folder.display();
    let fail = |what: String, cure: String| Some((Verdict::Fail, what, cure));
    match fs::metadata(folder) {
        Ok(found) if !found.is_dir() => {
            return fail(
                format!("{name} is no folder"),
                "give ledger.store a path in a folder".to_owned(),
            );
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return fail(
                format!("the folder {name} is not there"),
                format!("install -d -o keygate -g keygate -m 0700 {name}"),
            );
        }
        Err(error) => return fail(format!("{name}: {error}"), access(folder)),
    }
    let error = tempfile::tempfile_in(folder).err()?;
    let cure = match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => {
            "its file system is mounted read-only: StateDirectory= or ReadWritePaths= in the unit"
                .to_owned()
        }
        _ => access(folder),
    };
    fail(format!("no file can be made in {name}: {error}"), cure)
}

fn access(path: &Path) -> String {
    format!(
        "it has to belong to the user that keygate runs as: chown keygate: {}",
        path.display()
    )
}

/// Why the files that are there already cannot be used.
fn files(path: &Path) -> Option<Obstacle> {
    let owner = fs::metadata(folder_of(path)).ok()?.uid();
    let all = BESIDE.iter().map(|end| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    });
    // The database itself comes first, and its content is looked at last.
    all.filter_map(|file| Some((fs::metadata(&file).ok()?, file)))
        .find_map(|(found, file)| unusable(&file, &found, owner))
        .or_else(|| foreign(path))
}

/// Why a file cannot be written, or not by the `owner` of its folder.
fn unusable(file: &Path, found: &Metadata, owner: u32) -> Option<Obstacle> {
    let name = file.display();
    if !found.is_file() {
        let what = format!("{name} is no regular file");
        let cure = "give ledger.store the path of a file, or of none that is there".to_owned();
        return Some((Verdict::Fail, what, cure));
    }
    if let Err(error) = OpenOptions::new().write(true).open(file) {
        let what = format!("{name} cannot be written: {error}");
        return Some((Verdict::Fail, what, access(file)));
    }
    // Root may write everything, so that only the owners show what the service may.
    let is_root = rustix::process::geteuid().is_root();
    (is_root && found.uid() != owner).then(|| {
        let what = format!(
            "{name} belongs to user {}, and its folder to user {owner}",
            found.uid()
        );
        (Verdict::Warn, what, access(file))
    })
}

/// Why a file that can be written is no ledger. One that is empty becomes one.
fn foreign(path: &Path) -> Option<Obstacle> {
    let mut begins = Vec::new();
    let limit = u64::try_from(MAGIC.len()).unwrap_or(u64::MAX);
    File::open(path)
        .ok()?
        .take(limit)
        .read_to_end(&mut begins)
        .ok()?;
    (!begins.is_empty() && begins != MAGIC).then(|| {
        let cure = "give ledger.store the path of a file of its own".to_owned();
        (Verdict::Fail, "this is no SQLite database".to_owned(), cure)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// The verdict, and what was found with its cure.
    fn found(path: &Path) -> (Verdict, String) {
        let finding = ledger(path);
        let cure = finding.cure.unwrap_or_default();
        (finding.verdict, format!("{} -> {cure}", finding.found))
    }

    fn expect(path: &Path, verdict: Verdict, expected: &str) {
        let (given, said) = found(path);
        assert!(given == verdict && said.contains(expected), "{said}");
    }

    #[test]
    fn a_ledger_that_can_be_written_is_fine_before_its_first_start_and_after() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        expect(&path, Verdict::Ok, "can be written");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        for content in [&b""[..], b"SQLite format 3\0more"] {
            fs::write(&path, content).unwrap();
            fs::write(folder.path().join("ledger.db-wal"), "any").unwrap();
            expect(&path, Verdict::Ok, "can be written");
            assert_eq!(fs::read(&path).unwrap(), content);
        }
    }

    #[test]
    fn each_reason_why_a_ledger_cannot_be_written_is_told_with_its_cure() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let missing = at("missing/ledger.db");
        expect(
            &missing,
            Verdict::Fail,
            "missing is not there -> install -d -o keygate",
        );
        fs::write(at("file"), "text").unwrap();
        expect(&at("file/ledger.db"), Verdict::Fail, "");
        expect(
            &at("file"),
            Verdict::Fail,
            "this is no SQLite database -> give",
        );
        fs::create_dir(at("ledger.db-shm")).unwrap();
        expect(
            &at("ledger.db"),
            Verdict::Fail,
            "ledger.db-shm is no regular file",
        );
        expect(
            Path::new("/proc/ledger.db"),
            Verdict::Fail,
            "no file can be made in /proc",
        );
    }

    #[test]
    fn what_another_user_owns_is_found_by_root_and_by_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        fs::write(&path, "").unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(4711), None).unwrap();
            expect(
                &path,
                Verdict::Warn,
                "belongs to user 4711, and its folder to user 0 -> it has to",
            );
        } else {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
            expect(&path, Verdict::Fail, "cannot be written: Permission denied");
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o500)).unwrap();
            expect(&path, Verdict::Fail, "no file can be made in");
        }
    }
}
