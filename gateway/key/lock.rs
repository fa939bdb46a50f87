//! The lock file beside the key file, which its editors take in turn; and which process holds it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::runtime::printable;
use crate::runtime::replace::give_to_owner;

/// How long an editor waits for another one before it reports which process that is.
const REPORT_AFTER: Duration = Duration::from_millis(1500);

fn lock_path(key_file: &Path) -> PathBuf {
    let mut name = key_file.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// Takes the lock of a key file, however long that takes. Dropping the returned file releases it.
pub(super) fn take(key_file: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .mode(0o600)
        .open(lock_path(key_file))?;
    // A lock file of root would keep the owner of the key file from editing it.
    give_to_owner(&file, key_file)?;
    file.lock()?;
    Ok(file)
}

/// Runs `edit`, which takes the lock of a key file. If that takes longer than usual, passes a sentence about the process
/// that holds the lock to `report`.
pub(crate) fn report_holder<T>(
    key_file: &Path,
    report: impl FnOnce(&str) + Send,
    edit: impl FnOnce() -> T,
) -> T {
    let (done, over) = channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if over.recv_timeout(REPORT_AFTER) == Err(RecvTimeoutError::Timeout)
                && let Some(holder) = holder(key_file)
            {
                report(&holder);
            }
        });
        let outcome = edit();
        drop(done);
        outcome
    })
}

/// A sentence for people about the other process that holds the lock of a key file; `None` if none does.
fn holder(key_file: &Path) -> Option<String> {
    let file = File::open(lock_path(key_file)).ok()?;
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    let process = match find(&locks, file.metadata().ok()?.ino()) {
        Some(process) if process == std::process::id() => return None,
        Some(process) => process,
        // The process is not visible from here: it may run in another container.
        None => {
            return file
                .try_lock()
                .err()
                .map(|_| "another process has it".to_owned());
        }
    };
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    Some(describe(process, &status))
}

/// The process that holds a write lock on the file with this inode, from the text of `/proc/locks`.
fn find(locks: &str, inode: u64) -> Option<u32> {
    locks.lines().find_map(|line| {
        // `12: FLOCK  ADVISORY  WRITE 4242 08:01:131137 0 EOF`. A process that waits has `->` after the number.
        let mut words = line.split_whitespace().skip(1);
        let is_held = words.next()? == "FLOCK" && words.nth(1)? == "WRITE";
        let (process, file) = (words.next()?, words.next()?);
        let (_, number) = file.rsplit_once(':')?;
        (is_held && number.parse() == Ok(inode)).then(|| process.parse().ok())?
    })
}

/// Describes a process from the text of `/proc/PID/status`.
fn describe(process: u32, status: &str) -> String {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let name = field("Name:\t").map(|name| format!(" ({})", printable::line(name)));
    let stopped = field("State:\t").is_some_and(|state| state.starts_with(['T', 't']));
    let remedy = if stopped {
        format!(", and is stopped: `kill -CONT {process}` lets it go on")
    } else {
        String::new()
    };
    format!(
        "process {process}{} has it{remedy}",
        name.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_lock_is_found_and_a_process_that_waits_is_not() {
        let locks = "1: POSIX  ADVISORY  WRITE 11 08:01:77 0 EOF\n2: FLOCK  ADVISORY  READ 12 08:01:77 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 13 08:01:78 0 EOF\n4: FLOCK  ADVISORY  WRITE 14 08:01:77 0 EOF\n\
                     4: -> FLOCK  ADVISORY  WRITE 15 08:01:79 0 EOF\n5:\n";
        assert_eq!(find(locks, 77), Some(14));
        assert_eq!(
            (find(locks, 79), find(locks, 7), find("", 77)),
            (None, None, None)
        );
    }

    #[test]
    fn the_description_of_a_stopped_process_says_how_to_continue_it() {
        let stopped = describe(7, "Name:\tkeygate\nState:\tT (stopped)\n");
        assert_eq!(
            stopped,
            "process 7 (keygate) has it, and is stopped: `kill -CONT 7` lets it go on"
        );
        assert_eq!(
            describe(7, "Name:\tx\nState:\tS (sleeping)\n"),
            "process 7 (x) has it"
        );
        assert_eq!(describe(7, ""), "process 7 has it");
    }

    #[test]
    fn a_lock_of_this_process_or_of_none_has_no_other_holder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        assert_eq!(holder(&path), None);
        let lock = take(&path).unwrap();
        assert_eq!(holder(&path), None, "our own");
        drop(lock);
        assert_eq!(holder(&path), None);
    }
}
