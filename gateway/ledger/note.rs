//! Single values in the file, by name.

use rusqlite::{Connection, OptionalExtension};

/// Writes the note `name`.
pub(super) fn write_note(connection: &Connection, name: &str, value: i64) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO note (name, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value",
    )?;
    statement.execute((name, value))?;
    Ok(())
}

/// Reads the note `name`.
pub(super) fn read_note(connection: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    let mut statement = connection.prepare_cached("SELECT value FROM note WHERE name = ?1")?;
    statement.query_row([name], |row| row.get(0)).optional()
}
