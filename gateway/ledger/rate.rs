//! The state of limits by time, so that a restart does not give a fresh window.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::error::LedgerError;
use super::file;
use super::schema::{counts_of, counts_text, window_of};
use crate::limit::book::{CellId, Per, RateState};
use crate::limit::terms::{Counts, Window};

/// The state of one limit by time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RateRow {
    /// The limit's name.
    pub(crate) limit: Arc<str>,
    /// Whose use it counts, as in an account's identity.
    pub(crate) scope: Arc<str>,
    /// What it counts.
    pub(crate) counts: Counts,
    /// Its window.
    pub(crate) window: Window,
    /// When it is unused again if nothing more is taken, in microseconds of the wall clock since 1970.
    pub(crate) full_at: i64,
}

impl RateRow {
    /// The state of the rate's cell; `None` if its time is none.
    pub(crate) fn state(self) -> Option<RateState> {
        Some(RateState {
            id: CellId {
                limit: self.limit,
                scope: self.scope,
                counts: self.counts,
                per: Per::Window(self.window),
            },
            full_at: Timestamp::from_microsecond(self.full_at).ok()?,
        })
    }
}

/// Writes the states. Of what another process wrote, the later time stays; where the wall clock was set back since, what
/// was left then counts from now on.
pub(super) fn write(
    connection: &Connection,
    rows: &[RateRow],
    holder: i64,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO rate (name, scope, counts, span, full_at, saved_at, holder) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT DO UPDATE SET
             full_at = CASE holder WHEN excluded.holder THEN excluded.full_at
                 ELSE max(min(full_at, excluded.saved_at + max(full_at - saved_at, 0)), excluded.full_at) END,
             saved_at = excluded.saved_at, holder = excluded.holder",
    )?;
    for row in rows {
        let (counts, window) = (counts_text(row.counts), row.window.name());
        let (limit, scope) = (&*row.limit, &*row.scope);
        let now = now.as_microsecond();
        statement.execute(params![
            limit,
            scope,
            counts,
            window,
            row.full_at,
            now,
            holder
        ])?;
    }
    Ok(!rows.is_empty())
}

/// Reads the states of limits that were used shortly before `now`. Where the wall clock was set back since, a limit is
/// unused again after the time that was left when it was written.
pub(crate) fn read(path: &Path, now: Timestamp) -> Result<Vec<RateRow>, LedgerError> {
    let connection = file::open_for_reading(path)?;
    read_from(&connection, now.as_microsecond()).map_err(|error| LedgerError::database(path, error))
}

fn read_from(connection: &Connection, now: i64) -> rusqlite::Result<Vec<RateRow>> {
    let mut statement = connection.prepare(
        "SELECT name, scope, counts, span, full_at, saved_at FROM rate WHERE full_at > ?1",
    )?;
    let mut rows = statement.query([now])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (counts, window) = (row.get::<_, String>(2)?, row.get::<_, String>(3)?);
        let (full_at, saved_at): (i64, i64) = (row.get(4)?, row.get(5)?);
        let left = full_at.saturating_sub(saved_at).max(0);
        // A name that a later version may have written.
        let (Some(counts), Some(window)) = (counts_of(&counts), window_of(&window)) else {
            continue;
        };
        found.push(RateRow {
            limit: row.get::<_, String>(0)?.into(),
            scope: row.get::<_, String>(1)?.into(),
            counts,
            window,
            full_at: full_at.min(now.saturating_add(left)),
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::schema::CREATE;
    use super::*;

    #[test]
    fn what_another_process_wrote_by_a_clock_that_was_ahead_closes_no_rate_for_long() {
        const DAY: i64 = 86_400_000_000;
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(CREATE).unwrap();
        let save = |holder, now: i64, left: i64| {
            let row = RateRow {
                limit: "rate".into(),
                scope: "alice".into(),
                counts: Counts::Requests,
                window: Window::Minute,
                full_at: now + left,
            };
            let now = Timestamp::from_microsecond(now).unwrap();
            write(&connection, &[row], holder, now).unwrap();
        };
        let left = |now: i64| {
            let rows = read_from(&connection, now).unwrap();
            rows.first().map(|row| row.full_at - now)
        };
        save(1, 41 * DAY, 50);
        save(2, DAY, 20);
        assert_eq!(left(DAY), Some(50));
        assert_eq!(left(2 * DAY), None);
        // While the clock goes on, the later time stays, of whichever process.
        save(3, DAY + 10, 20);
        assert_eq!(left(DAY + 10), Some(40));
        save(4, DAY + 20, 90);
        assert_eq!(left(DAY + 20), Some(90));
        save(4, DAY + 30, 5);
        assert_eq!(left(DAY + 30), Some(5));
    }
}
