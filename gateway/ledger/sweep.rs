//! Deletes what is old, once a day.
//!
//! The wall clock may be wrong, and a wrong clock must not delete the budgets of this month. So what is deleted was old by
//! the clock of the sweep before, too: by at least two readings, hours apart.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, params};

use super::history::quarter_of;
use super::note::{read_note, write_note};

/// How long an account stays after its period.
const ACCOUNTS_STAY: SignedDuration = SignedDuration::from_hours(35 * 24);
/// How long the state of a rate stays after it is unused.
const RATES_STAY: SignedDuration = SignedDuration::from_hours(24);
/// How long after the start, and then after the last time.
const FIRST: Duration = Duration::from_secs(3600);
const NEXT: Duration = Duration::from_secs(24 * 3600);
/// The name of the note with the time of the last sweep.
const SWEPT: &str = "swept";

/// When what is deleted.
#[derive(Debug)]
pub(super) struct Plan {
    next: Instant,
    history_stays: SignedDuration,
}

impl Plan {
    /// History stays for so many days.
    pub(super) fn new(retention_days: u32) -> Self {
        Self {
            next: Instant::now() + FIRST,
            history_stays: SignedDuration::from_hours(i64::from(retention_days) * 24),
        }
    }

    /// Sweeps if it is time. Returns whether something was written.
    pub(super) fn run(
        &mut self,
        connection: &Connection,
        now: Timestamp,
        at: Instant,
    ) -> rusqlite::Result<bool> {
        if at < self.next {
            return Ok(false);
        }
        self.sweep(connection, now)?;
        self.next = at + NEXT;
        Ok(true)
    }

    fn sweep(&self, connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
        let before = read_note(connection, SWEPT)?;
        write_note(connection, SWEPT, now.as_microsecond())?;
        let before = before.and_then(|micros| Timestamp::from_microsecond(micros).ok());
        if let Some(before) = before {
            delete(connection, before.min(now), self.history_stays)?;
        }
        Ok(())
    }
}

fn delete(
    connection: &Connection,
    now: Timestamp,
    history_stays: SignedDuration,
) -> rusqlite::Result<()> {
    let past = |stays: SignedDuration| now.checked_sub(stays).unwrap_or(Timestamp::MIN);
    let ended = past(ACCOUNTS_STAY).as_microsecond();
    let old = "SELECT id FROM account WHERE ends < ?1";
    for table in ["share", "correction"] {
        let sql = format!("DELETE FROM {table} WHERE account IN ({old})");
        connection.execute(&sql, [ended])?;
    }
    connection.execute("DELETE FROM account WHERE ends < ?1", [ended])?;
    let unused = past(RATES_STAY).as_microsecond();
    connection.execute("DELETE FROM rate WHERE full_at < ?1", [unused])?;
    let quarter = quarter_of(past(history_stays));
    connection.execute("DELETE FROM history WHERE quarter < ?1", params![quarter])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::schema::CREATE;
    use super::*;

    #[test]
    fn what_is_old_is_deleted_and_a_clock_that_is_wrong_once_deletes_nothing() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(CREATE).unwrap();
        let now: Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
        let day = SignedDuration::from_hours(24);
        for (name, end) in [
            ("old", now - day * 40),
            ("recent", now - day * 30),
            ("ever", Timestamp::MAX),
        ] {
            let ends = end.as_microsecond();
            connection
                .execute(
                    "INSERT INTO account (name, scope, counts, period, start, ends) VALUES (?1, '', '', '', 0, ?2)",
                    params![name, ends],
                )
                .unwrap();
            let row = connection.last_insert_rowid();
            let share = "INSERT INTO share (account, holder, issued, used) VALUES (?1, 0, 1, 1)";
            connection.execute(share, [row]).unwrap();
        }
        let left = || -> (i64, i64) {
            let count = "SELECT (SELECT count(*) FROM account), (SELECT count(*) FROM share)";
            let read = connection.query_row(count, [], |row| Ok((row.get(0)?, row.get(1)?)));
            read.unwrap()
        };
        let plan = Plan::new(90);
        // The first sweep only notes the time; one by a wrong clock has the earlier one for its bound.
        plan.sweep(&connection, now - day).unwrap();
        assert_eq!(left(), (3, 3));
        plan.sweep(&connection, now + day * 365).unwrap();
        assert_eq!(left(), (2, 2));
        plan.sweep(&connection, now).unwrap();
        assert_eq!(left(), (2, 2));
        plan.sweep(&connection, now + day * 7).unwrap();
        assert_eq!(left(), (2, 2));
        plan.sweep(&connection, now + day * 8).unwrap();
        assert_eq!(left(), (1, 1));
    }
}
