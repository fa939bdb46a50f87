//! The file of a ledger: created whole, opened only if it is one, and never repaired, emptied or deleted here.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::error::LedgerError;
use super::schema::{APPLICATION, CREATE, VERSION};
use crate::runtime::folder::folder_of;
use crate::runtime::replace;

/// How long a write waits for the write of another process.
const BUSY: Duration = Duration::from_secs(1);
/// How every database of `SQLite` begins (<https://www.sqlite.org/fileformat.html>).
const MAGIC: &[u8] = b"SQLite format 3\0";
/// The smallest page of a database, in bytes.
const SMALLEST_PAGE: u64 = 512;
/// The user only.
const MODE: u32 = 0o600;
/// The tables that hold what was spent: they are checked at each start.
const CHECKED: [&str; 5] = ["holder", "account", "share", "correction", "note"];

/// Opens the ledger at `path` for reading and writing, and creates it if nothing is there.
pub(super) fn open(path: &Path) -> Result<Connection, LedgerError> {
    if !is_there(path)? {
        create(path)?;
    }
    open_existing(path)
}

/// Opens the ledger at `path`, which exists, for reading and writing.
pub(super) fn open_existing(path: &Path) -> Result<Connection, LedgerError> {
    check_header(path)?;
    // Before the database creates one.
    let has_log = has_log(path);
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let checked = prepare(&connection).and_then(|()| find_damage(&connection, path, has_log));
    match checked {
        Ok(None) => Ok(connection),
        Ok(Some(damage)) => Err(LedgerError::damaged(path, damage)),
        Err(error) => Err(LedgerError::database(path, error)),
    }
}

/// Opens the ledger at `path`, which exists, for reading only.
pub(super) fn open_for_reading(path: &Path) -> Result<Connection, LedgerError> {
    check_header(path)?;
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let readable =
        |connection: &Connection| connection.query_row("SELECT count(*) FROM note", [], |_| Ok(()));
    match readable(&connection) {
        Ok(()) => Ok(connection),
        // A reader that cannot write the folder cannot open a log that nobody has open. There is none then.
        Err(_) if !beside(path, "-wal").exists() => open_unchanging(path),
        Err(error) => Err(LedgerError::database(path, error)),
    }
}

/// Whether the ledger at `path`, which exists, can be read, and is whole where it says what was spent.
pub(crate) fn examine(path: &Path) -> Result<(), LedgerError> {
    let has_log = has_log(path);
    let connection = open_for_reading(path)?;
    match find_damage(&connection, path, has_log) {
        Ok(None) => Ok(()),
        Ok(Some(damage)) => Err(LedgerError::damaged(path, damage)),
        Err(error) => Err(LedgerError::database(path, error)),
    }
}

/// Opens the file alone, as it is: without locks, without a log, and without changing anything.
fn open_unchanging(path: &Path) -> Result<Connection, LedgerError> {
    let bytes = path.as_os_str().as_encoded_bytes();
    let path_in_uri = percent_encoding::percent_encode(bytes, percent_encoding::NON_ALPHANUMERIC)
        .to_string()
        .replace("%2F", "/");
    let uri = format!("file:{path_in_uri}?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|error| LedgerError::database(path, error))
}

/// What identifies the file at `path`, to notice that another one has taken its place.
pub(super) fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let about = fs::symlink_metadata(path)?;
    Ok((about.dev(), about.ino()))
}

/// Whether a file for a ledger is at `path`.
fn is_there(path: &Path) -> Result<bool, LedgerError> {
    match fs::symlink_metadata(path) {
        Ok(about) => check_kind(path, &about).map(|()| true),
        Err(error) if error.kind() != ErrorKind::NotFound => Err(LedgerError::file(path, error)),
        Err(_) if beside(path, "-wal").exists() => Err(LedgerError::unfit(
            path,
            "is not there, but its log is, whose name is the same with -wal behind it: move the ledger back, or move the \
             log away too",
        )),
        Err(_) => Ok(false),
    }
}

fn check_kind(path: &Path, about: &Metadata) -> Result<(), LedgerError> {
    if !about.is_file() {
        let why = "is not a regular file: name the file itself, not a link to it";
        return Err(LedgerError::unfit(path, why));
    }
    if about.mode() & 0o022 != 0 {
        let why = "can be written by other users: chmod 600 it";
        return Err(LedgerError::unfit(path, why));
    }
    Ok(())
}

/// Checks, before the database may change something, that the file is a ledger of a format that is known.
///
/// Only the database opens the file, for a process that closes a file loses all its locks on it: those that its other
/// connections need, too. The database knows that.
fn check_header(path: &Path) -> Result<(), LedgerError> {
    let about = fs::symlink_metadata(path).map_err(|error| LedgerError::file(path, error))?;
    check_kind(path, &about)?;
    if about.len() < SMALLEST_PAGE {
        if !begins_as_database(path)? {
            return Err(LedgerError::Foreign {
                path: path.to_owned(),
            });
        }
        let why = format!("it is cut, and has only {} bytes", about.len());
        return Err(LedgerError::damaged(path, why));
    }
    let connection = open_unchanging(path)?;
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let foreign = || {
        let path = path.to_owned();
        Err(LedgerError::Foreign { path })
    };
    match number("application_id") {
        Ok(id) if id == i64::from(APPLICATION) => {}
        Ok(_) => return foreign(),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
            return foreign();
        }
        Err(error) => return Err(LedgerError::database(path, error)),
    }
    let found = number("user_version").map_err(|error| LedgerError::database(path, error))?;
    match found {
        VERSION => Ok(()),
        _ if found > VERSION => Err(LedgerError::Newer {
            path: path.to_owned(),
            found,
            known: VERSION,
        }),
        _ => Err(LedgerError::damaged(path, "it has no known format")),
    }
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, LedgerError> {
    // The folder may be reached over links. The file itself may not: it was checked, and may have been replaced since.
    let failed = |error| LedgerError::file(path, error);
    let folder = fs::canonicalize(folder_of(path)).map_err(failed)?;
    let file = folder.join(path.file_name().unwrap_or_default());
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let opened = Connection::open_with_flags(file, flags);
    let connection = opened.map_err(|error| LedgerError::database(path, error))?;
    let ready = connection.busy_timeout(BUSY);
    ready.map_err(|error| LedgerError::database(path, error))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Whether a log of the ledger has something in it.
fn has_log(path: &Path) -> bool {
    fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0)
}

/// Whether a file that is too short for a database may be the beginning of one.
fn begins_as_database(path: &Path) -> Result<bool, LedgerError> {
    let content = fs::read(path).map_err(|error| LedgerError::file(path, error))?;
    let length = content.len().min(MAGIC.len());
    Ok(content.get(..length) == MAGIC.get(..length))
}

/// Each commit is on the disk when it returns, and readers do not wait for it.
fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update_and_check(None, "journal_size_limit", 16 << 20, |_| Ok(()))
}

/// What is damaged in the tables that hold what was spent, or anywhere if the file is shorter than it ought to be. Without
/// a log, such a file was cut. With one, the process may have been killed while the file grew: the log has the rest.
fn find_damage(
    connection: &Connection,
    path: &Path,
    has_log: bool,
) -> rusqlite::Result<Option<String>> {
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let whole = number("page_count")?.saturating_mul(number("page_size")?);
    let size = fs::metadata(path).map(|about| i64::try_from(about.len()).unwrap_or(i64::MAX));
    let is_short = size.is_ok_and(|size| size < whole);
    match (is_short, has_log) {
        (true, false) => Ok(Some("it is cut".to_owned())),
        (true, true) => check(connection, "PRAGMA integrity_check(1)"),
        (false, _) => check_tables(connection),
    }
}

fn check_tables(connection: &Connection) -> rusqlite::Result<Option<String>> {
    for table in CHECKED {
        let damage = check(connection, &format!("PRAGMA integrity_check({table})"))?;
        if damage.is_some() {
            return Ok(damage);
        }
    }
    Ok(None)
}

fn check(connection: &Connection, pragma: &str) -> rusqlite::Result<Option<String>> {
    let said: String = connection.query_row(pragma, [], |row| row.get(0))?;
    Ok((said != "ok").then(|| said.trim().replace('\n', "; ")))
}

/// Creates an empty ledger beside `path`, and then gives it its name: it is there whole, or not at all.
fn create(path: &Path) -> Result<(), LedgerError> {
    let failed = |error| LedgerError::folder(path, error);
    let folder = folder_of(path);
    let new = tempfile::Builder::new()
        .prefix(".ledger-new-")
        .permissions(fs::Permissions::from_mode(MODE))
        .tempfile_in(folder)
        .map_err(failed)?;
    replace::give_to_owner(new.as_file(), path).map_err(failed)?;
    let written = write_tables(new.path()).map_err(|error| LedgerError::database(path, error));
    written?;
    new.as_file().sync_all().map_err(failed)?;
    match new.persist_noclobber(path) {
        Ok(_) => {}
        // Another process was faster.
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(failed(error.error)),
    }
    replace::sync_folder_of(path).map_err(failed)
}

fn write_tables(path: &Path) -> rusqlite::Result<()> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // Without a journal: nobody sees the file before it is whole.
    connection.pragma_update_and_check(None, "journal_mode", "off", |_| Ok(()))?;
    connection.pragma_update(None, "application_id", APPLICATION)?;
    connection.execute_batch(CREATE)?;
    connection.pragma_update(None, "user_version", VERSION)?;
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.close().map_err(|(_, error)| error)
}

/// The file whose name has `suffix` behind that of `path`.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Checks that files can be created beside the ledger at `path`, as each write needs.
pub(super) fn check_folder(path: &Path) -> Result<(), LedgerError> {
    let failed = |error| LedgerError::folder(path, error);
    File::open(folder_of(path)).map_err(failed)?;
    tempfile::tempfile_in(folder_of(path)).map_err(failed)?;
    Ok(())
}
