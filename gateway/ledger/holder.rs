//! The processes that hold rights: each has a row, and beside the file of the ledger a lock file that it keeps locked. The
//! kernel unlocks it when the process ends, however it ends. So a process that was killed is recognised, and one that
//! only has the same number is not taken for it.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::schema::PAST;
use crate::runtime::folder::folder_of;

/// What stands between the name of the ledger and that of a holder in the name of a lock file.
const INFIX: &str = "-holder-";

/// This process as a holder. Its lock is dropped with it.
#[derive(Debug)]
pub(super) struct Holder {
    /// The id of its row.
    pub(super) id: i64,
    lock: PathBuf,
    _locked: File,
}

impl Holder {
    /// Makes this process a holder in the ledger at `path`. Inside a transaction that writes.
    pub(super) fn enter(connection: &Connection, path: &Path) -> rusqlite::Result<Self> {
        remove_abandoned_locks(connection, path)?;
        let name = random_name()?;
        let lock = lock_path(path, &name);
        // The lock is taken before others see the row.
        let locked = create_locked(&lock).map_err(as_database_error)?;
        let row = params![name, std::process::id(), Timestamp::now().as_microsecond()];
        connection.execute(
            "INSERT INTO holder (name, pid, started) VALUES (?1, ?2, ?3)",
            row,
        )?;
        Ok(Self {
            id: connection.last_insert_rowid(),
            lock,
            _locked: locked,
        })
    }

    /// Removes the lock file, when the row is gone.
    pub(super) fn remove_lock(&self) {
        // One that stays is removed by the next process.
        let _ = fs::remove_file(&self.lock);
    }
}

/// Counts what processes that were killed have been issued as spent. Inside a transaction that writes. Returns how many
/// processes that was.
pub(super) fn bury_dead(connection: &Connection, path: &Path, own: i64) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare_cached("SELECT id, name FROM holder WHERE id <> ?1")?;
    let others = statement.query_map([own], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
    })?;
    let mut dead = 0;
    for other in others.collect::<rusqlite::Result<Vec<_>>>()? {
        let (id, name) = other;
        let lock = lock_path(path, &name);
        if is_abandoned(&lock) {
            bury(connection, id)?;
            dead += 1;
        }
    }
    Ok(dead)
}

/// Adds what a process has been issued to what those in the past have spent. Inside a transaction that writes.
pub(super) fn bury(connection: &Connection, holder: i64) -> rusqlite::Result<()> {
    // `WHERE` makes the grammar of an insertion from a selection unambiguous.
    connection.execute(
        "INSERT INTO share (account, holder, issued, used) SELECT account, ?2, issued, issued FROM share
         WHERE holder = ?1
         ON CONFLICT (account, holder) DO UPDATE SET issued = issued + excluded.issued, used = used + excluded.used",
        [holder, PAST],
    )?;
    connection.execute("DELETE FROM share WHERE holder = ?1", [holder])?;
    connection.execute("DELETE FROM holder WHERE id = ?1", [holder])?;
    Ok(())
}

/// How many processes hold rights.
pub(super) fn count(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT count(*) FROM holder", [], |row| row.get(0))
}

/// Removes lock files that no row names. Inside a transaction that writes, so that no other process creates one.
fn remove_abandoned_locks(connection: &Connection, path: &Path) -> rusqlite::Result<()> {
    let prefix = prefix_of(path);
    let Ok(entries) = fs::read_dir(folder_of(path)) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        let file = entry.file_name();
        let bytes = file.as_encoded_bytes();
        let Some(name) = bytes.strip_prefix(prefix.as_encoded_bytes()) else {
            continue;
        };
        let name = String::from_utf8_lossy(name);
        let mut known = connection.prepare_cached("SELECT 1 FROM holder WHERE name = ?1")?;
        if !known.exists([name.as_ref()])? && is_abandoned(&entry.path()) {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

/// Whether no process has the file at `lock` locked. What cannot be determined counts as locked: rights of a process that
/// lives must not be given to another one.
fn is_abandoned(lock: &Path) -> bool {
    match open(OpenOptions::new().read(true), lock) {
        Ok(file) => file.try_lock().is_ok(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn create_locked(lock: &Path) -> io::Result<File> {
    let file = open(OpenOptions::new().write(true).create_new(true), lock)?;
    file.try_lock()?;
    Ok(file)
}

/// Opens a lock file of this user only, and follows no symbolic link.
fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    options.mode(0o600).custom_flags(flags).open(path)
}

fn prefix_of(path: &Path) -> OsString {
    let mut prefix = path.file_name().unwrap_or_default().to_owned();
    prefix.push(INFIX);
    prefix
}

fn lock_path(path: &Path, name: &str) -> PathBuf {
    let mut file = prefix_of(path);
    file.push(name);
    folder_of(path).join(file)
}

fn random_name() -> rusqlite::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| as_database_error(std::io::Error::other(error.to_string())))?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

/// An error of the system, among those of the database.
fn as_database_error(error: io::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error))
}
