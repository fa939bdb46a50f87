//! The file of a ledger: created whole, opened only if it is one, and never repaired, emptied or deleted here.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::error::LedgerError;
use super::schema::{APPLICATION, CREATE, VERSION};
use crate::runtime::folder::folder_of;
use crate::runtime::replace;

/// How long a write waits for the write of another process.
const BUSY: Duration = Duration::from_secs(1);
/// The size of the header of a database, in bytes.
const HEADER: usize = 100;
/// The smallest page of a database, in bytes.
const SMALLEST_PAGE: u64 = 512;
/// The first bytes of a database. The header is described at <https://www.sqlite.org/fileformat2.html>.
const MAGIC: &[u8] = b"SQLite format 3\0";
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
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let checked = prepare(&connection).and_then(|()| find_damage(&connection, path));
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
    let connection = open_for_reading(path)?;
    match find_damage(&connection, path) {
        Ok(None) => Ok(()),
        Ok(Some(damage)) => Err(LedgerError::damaged(path, damage)),
        Err(error) => Err(LedgerError::database(path, error)),
    }
}

/// Opens a ledger that nobody writes, without a log.
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

/// Checks, before the database looks at the file and changes it, that it is a ledger of a format that is known.
fn check_header(path: &Path) -> Result<(), LedgerError> {
    let about = fs::symlink_metadata(path).map_err(|error| LedgerError::file(path, error))?;
    check_kind(path, &about)?;
    let header = read_header(path).map_err(|error| LedgerError::file(path, error))?;
    let number = |at: usize| {
        let bytes = header.get(at..at + 4)?.try_into().ok()?;
        Some(i32::from_be_bytes(bytes))
    };
    let is_cut = about.len() < SMALLEST_PAGE;
    if is_cut && (MAGIC.starts_with(&header) || header.starts_with(MAGIC)) {
        let why = format!("it is cut, and has only {} bytes", about.len());
        return Err(LedgerError::damaged(path, why));
    }
    if !header.starts_with(MAGIC) || number(68) != Some(APPLICATION) {
        let path = path.to_owned();
        return Err(LedgerError::Foreign { path });
    }
    let found = number(60).map_or(0, i64::from);
    match found {
        VERSION => Ok(()),
        VERSION.. => Err(LedgerError::Newer {
            path: path.to_owned(),
            found,
            known: VERSION,
        }),
        _ => Err(LedgerError::damaged(path, "it has no known format")),
    }
}

fn read_header(path: &Path) -> io::Result<Vec<u8>> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    let mut header = Vec::with_capacity(HEADER);
    file.take(HEADER as u64).read_to_end(&mut header)?;
    Ok(header)
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

/// Each commit is on the disk when it returns, and readers do not wait for it.
fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update_and_check(None, "journal_size_limit", 16 << 20, |_| Ok(()))
}

/// What is damaged: in the tables that hold what was spent, or anywhere if the file is shorter than it ought to be, as
/// after a kill while it grew, or when it was cut.
fn find_damage(connection: &Connection, path: &Path) -> rusqlite::Result<Option<String>> {
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let whole = number("page_count")?.saturating_mul(number("page_size")?);
    let is_short = fs::metadata(path)
        .is_ok_and(|about| i64::try_from(about.len()).is_ok_and(|size| size < whole));
    if is_short {
        return check(connection, "PRAGMA integrity_check(1)");
    }
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
