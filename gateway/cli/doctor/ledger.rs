//! Whether the ledger can be written where the configuration says.

use std::fs::{self, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Finding, Verdict, ok};
use crate::ledger::{LedgerError, examine};
use crate::runtime::folder::folder_of;

/// What `SQLite` puts behind the name of a database for the files beside it: <https://www.sqlite.org/wal.html>.
const BESIDE: [&str; 3] = ["", "-wal", "-shm"];

/// How much room there should be for what is written in some days, in bytes.
const ROOM: u64 = 256 << 20;
/// File systems of other machines, by their numbers: <https://man7.org/linux/man-pages/man2/statfs.2.html>.
const NETWORK: [(u32, &str); 7] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xfe53_4d42, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0x5346_414f, "AFS"),
    (0x00c3_6400, "Ceph"),
    (0x0102_1997, "9p"),
];

/// What is wrong, what to do about it, and how much it matters.
type Obstacle = (Verdict, String, String);

/// The finding about the ledger at `path`.
pub(super) fn ledger(path: &Path) -> Finding {
    let name = path.display();
    let place = folder_of(path);
    let obstacle = folder(place)
        .or_else(|| network(place))
        .or_else(|| files(path))
        .or_else(|| space(place));
    match obstacle {
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
        .or_else(|| content(path))
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

/// Why what is there already is no ledger, or not of this version.
fn content(path: &Path) -> Option<Obstacle> {
    let error = path.exists().then(|| examine(path))?.err()?;
    let cure = match &error {
        LedgerError::Foreign { .. } => "give ledger.store the path of a file of its own",
        LedgerError::Damaged { .. } => {
            "restore its backup, or move it away with the files beside it: a new one begins with nothing spent"
        }
        LedgerError::Newer { .. } => "install the newer version of keygate again",
        _ => "it has to belong to the user that keygate runs as, and to nobody else",
    };
    Some((Verdict::Fail, error.to_string(), cure.to_owned()))
}

/// Whether the folder is on another machine, where the locks of databases cannot be relied on:
/// <https://www.sqlite.org/wal.html>.
fn network(folder: &Path) -> Option<Obstacle> {
    let kind = u32::try_from(rustix::fs::statfs(folder).ok()?.f_type).ok()?;
    let (_, name) = NETWORK.iter().find(|(number, _)| *number == kind)?;
    let what = format!("{} is on a network file system ({name})", folder.display());
    let cure = "put the ledger on a disk of this machine: over a network, two processes may write at once, and SQLite's \
                log needs shared memory";
    Some((Verdict::Fail, what, cure.to_owned()))
}

/// Whether the disk is nearly full.
fn space(folder: &Path) -> Option<Obstacle> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    scarce(folder, disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn scarce(folder: &Path, free: u64) -> Option<Obstacle> {
    (free < ROOM).then(|| {
        let what = format!("{} MiB are free in {}", free >> 20, folder.display());
        let cure = "make room: while the ledger cannot be written, requests with a budget get 503; or lower usage.retention";
        (Verdict::Warn, what, cure.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::ledger::Ledger;

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
        Ledger::open(&path, 90).unwrap().close();
        expect(&path, Verdict::Ok, "can be written");
        let served = Ledger::open(&path, 90).unwrap();
        expect(&path, Verdict::Ok, "can be written");
        served.close();
    }

    #[test]
    fn a_file_that_is_no_ledger_is_told_before_the_start_refuses_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        for (content, expected) in [
            (&b""[..], "is damaged"),
            (b"SQLite format 3\0more", "is damaged"),
            (b"text", "is a file of another program"),
        ] {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            expect(&path, Verdict::Fail, expected);
            assert_eq!(fs::read(&path).unwrap(), content);
        }
    }

    #[test]
    fn a_disk_that_is_nearly_full_is_a_warning() {
        let folder = Path::new("/var/lib/keygate");
        assert!(scarce(folder, ROOM).is_none());
        let (verdict, what, _) = scarce(folder, 3 << 20).unwrap();
        assert_eq!(
            (verdict, &*what),
            (Verdict::Warn, "3 MiB are free in /var/lib/keygate")
        );
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
        fs::set_permissions(at("file"), fs::Permissions::from_mode(0o600)).unwrap();
        expect(&at("file/ledger.db"), Verdict::Fail, "");
        expect(&at("file"), Verdict::Fail, "is a file of another program");
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
