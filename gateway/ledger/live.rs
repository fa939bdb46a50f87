//! An account as the ledger's thread knows it: what the file says of it, and what is written next.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::correction::{Corrections, account_row};
use super::rights::{Pace, Situation, Step};
use crate::limit::account::Account;

/// The shortest time in which a pace is measured.
const SHORTEST_MEASURE: Duration = Duration::from_millis(40);
/// How long an account takes nothing until it counts as idle.
const IDLE: Duration = Duration::from_secs(1);
/// How long rights stay at least that a request has asked for: as long as it waits for them.
const RIGHTS_STAY: Duration = Duration::from_millis(100);

/// What a transaction knows, for all accounts.
#[derive(Debug)]
pub(super) struct Common {
    /// The own row among the holders.
    pub(super) holder: i64,
    /// How many processes hold rights, this one included.
    pub(super) holders: i64,
    /// Counts up when another process has written.
    pub(super) version: u64,
    /// What operators did.
    pub(super) corrections: Corrections,
    /// The time of the transaction.
    pub(super) now: Timestamp,
    /// The same.
    pub(super) at: Instant,
    /// Whether all accounts are visited: rights may be taken back, and what was used is written.
    pub(super) is_sweep: bool,
    /// Whether another process serves in the place of this one.
    pub(super) is_retiring: bool,
}

/// What of an account is in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Share {
    issued: i64,
    used: i64,
}

/// What is valid once the transaction is committed.
#[derive(Clone, Copy, Debug)]
struct Pending {
    row: i64,
    share: Share,
    /// What the account may take: less than the file says if it existed before in this process.
    issued: i64,
    elsewhere: i64,
    raised: i64,
}

/// An account.
#[derive(Debug)]
pub(super) struct Live {
    /// The account.
    pub(super) account: Arc<Account>,
    /// Whether it has to be visited in the next transaction.
    pub(super) is_due: bool,
    row: Option<i64>,
    /// What this process used of it before it was forgotten and came back.
    base: Share,
    written: Share,
    /// What others have been issued and have used, as of `seen`.
    others: Share,
    seen: Option<u64>,
    missed: i64,
    /// Whether rights were missing at the last look, and none could be issued.
    is_starved: bool,
    pace: Pace,
    /// When the pace was measured, and what was used by then: reservations come and go, and are no spending.
    measured: (Instant, i64),
    /// What was taken by then.
    taken: i64,
    moved: Instant,
    /// When rights were last issued.
    raised: Option<Instant>,
    pending: Option<Pending>,
}

impl Live {
    /// An account that the file may know.
    pub(super) fn new(account: Arc<Account>, at: Instant) -> Self {
        Self {
            account,
            is_due: false,
            row: None,
            base: Share::default(),
            written: Share::default(),
            others: Share::default(),
            seen: None,
            missed: 0,
            is_starved: false,
            pace: Pace::default(),
            measured: (at, 0),
            taken: 0,
            moved: at,
            raised: None,
            pending: None,
        }
    }

    /// Decides on rights, and writes what has changed. Returns whether something was written.
    pub(super) fn write(
        &mut self,
        connection: &Connection,
        common: &Common,
    ) -> rusqlite::Result<bool> {
        let largest = self.look(common.at);
        let (row, is_new) = match self.row {
            Some(row) => (row, false),
            None => (self.find(connection, common)?, true),
        };
        if self.seen != Some(common.version) {
            self.others = share_of_others(connection, row, common.holder)?;
            self.seen = Some(common.version);
        }
        let (raised, reset) = common.corrections.of(row, common.now);
        let elsewhere = |others: i64, base: i64| others.saturating_add(base).saturating_sub(reset);
        let situation = Situation {
            amount: self.account.amount().saturating_add(raised),
            elsewhere: elsewhere(self.others.issued, self.base.issued),
            issued: self.account.issued(),
            taken: self.account.taken(),
            missed: self.missed,
            largest,
            pace: if common.is_retiring {
                0
            } else {
                self.pace.a_second()
            },
            holders: common.holders,
            is_idle: common.is_retiring || common.at.duration_since(self.moved) >= IDLE,
            may_lower: self.may_lower(common),
        };
        let issued = match situation.step() {
            Step::Keep => situation.issued,
            Step::Raise(to) => {
                self.raised = Some(common.at);
                to
            }
            // Before it is committed: nobody else may be issued what this process can still take.
            Step::Lower(to) => self.account.lower(to),
        };
        let used_elsewhere = elsewhere(self.others.used, self.base.used);
        self.is_starved = self.missed > 0 && issued <= situation.issued;
        self.stage(issued, used_elsewhere, raised, row);
        self.save(connection, common, is_new)
    }

    /// Takes back what is not taken, and writes that: the account takes nothing more.
    pub(super) fn close(
        &mut self,
        connection: &Connection,
        common: &Common,
    ) -> rusqlite::Result<()> {
        let row = match self.row {
            Some(row) => row,
            None => self.find(connection, common)?,
        };
        let issued = self.account.lower(0);
        self.stage(issued, 0, 0, row);
        self.save(connection, common, true).map(drop)
    }

    /// The transaction is committed: rights are given out.
    pub(super) fn publish(&mut self) {
        let Some(pending) = self.pending.take() else {
            return;
        };
        self.row = Some(pending.row);
        self.written = pending.share;
        self.missed = 0;
        self.is_due = false;
        self.account
            .grant(pending.issued, pending.elsewhere, pending.raised);
    }

    /// The transaction failed: what it read or wrote is not known, and it is tried again.
    pub(super) fn forget(&mut self) {
        self.pending = None;
        self.seen = None;
    }

    /// Whether a request could not take what was not issued, and something may be issued.
    pub(super) fn is_in_a_hurry(&self) -> bool {
        !self.is_starved && self.account.is_short()
    }

    /// Whether the account has taken nothing for `time`, and nothing of it is reserved.
    pub(super) fn rests_since(&self, time: Duration, at: Instant) -> bool {
        at.duration_since(self.moved) >= time && self.account.reserved() == 0
    }

    /// Whether the file holds all that was taken, as used.
    pub(super) fn is_settled(&self) -> bool {
        let taken = self.account.taken();
        let written = self.written.used.saturating_sub(self.base.used);
        self.row.is_some() && written == taken && self.account.reserved() == 0
    }

    /// Whether rights may be taken back: a request that waits for those that were just issued must find them.
    fn may_lower(&self, common: &Common) -> bool {
        let were_just_issued = self
            .raised
            .is_some_and(|raised| common.at.duration_since(raised) < RIGHTS_STAY);
        (common.is_sweep || common.is_retiring) && !were_just_issued
    }

    /// Reads the account's counts. Returns the largest of what was ever missing.
    fn look(&mut self, at: Instant) -> i64 {
        // First: what changes after this is told again.
        self.account.look();
        let (missed, largest) = self.account.take_missed();
        self.missed = self.missed.saturating_add(missed);
        let (before, used_before) = self.measured;
        let time = at.duration_since(before);
        if time >= SHORTEST_MEASURE {
            let taken = self.account.taken();
            let used = taken.saturating_sub(self.account.reserved());
            if taken != self.taken {
                self.moved = at;
            }
            self.pace.learn(used.saturating_sub(used_before), time);
            (self.measured, self.taken) = ((at, used), taken);
        }
        largest
    }

    /// Finds or creates the account's row, and what this process was issued before.
    fn find(&mut self, connection: &Connection, common: &Common) -> rusqlite::Result<i64> {
        let row = account_row(connection, self.account.id())?;
        let mut own = connection
            .prepare_cached("SELECT issued, used FROM share WHERE account = ?1 AND holder = ?2")?;
        let share = own.query_row([row, common.holder], share_in);
        self.base = share.optional()?.unwrap_or_default();
        self.written = self.base;
        Ok(row)
    }

    fn stage(&mut self, issued: i64, elsewhere: i64, raised: i64, row: i64) {
        // Reservations become used when they are settled.
        let used = self
            .account
            .taken()
            .saturating_sub(self.account.reserved())
            .clamp(0, issued.max(0));
        self.pending = Some(Pending {
            row,
            share: Share {
                issued: self.base.issued.saturating_add(issued),
                used: self.base.used.saturating_add(used),
            },
            issued,
            elsewhere,
            raised,
        });
    }

    fn save(
        &mut self,
        connection: &Connection,
        common: &Common,
        is_new: bool,
    ) -> rusqlite::Result<bool> {
        let Some(pending) = &mut self.pending else {
            return Ok(false);
        };
        let (row, share) = (pending.row, pending.share);
        let is_changed = share.issued != self.written.issued
            || (common.is_sweep && share.used != self.written.used);
        if !is_changed && !is_new {
            // What was used since is still to be written.
            pending.share = self.written;
            return Ok(false);
        }
        let mut statement = connection.prepare_cached(
            "INSERT INTO share (account, holder, issued, used) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET issued = excluded.issued, used = excluded.used",
        )?;
        statement.execute(params![row, common.holder, share.issued, share.used])?;
        Ok(true)
    }
}

/// What all other processes have been issued of the account in this row, and have used.
fn share_of_others(connection: &Connection, row: i64, holder: i64) -> rusqlite::Result<Share> {
    let mut statement = connection.prepare_cached(
        "SELECT coalesce(sum(issued), 0), coalesce(sum(used), 0) FROM share WHERE account = ?1 AND holder <> ?2",
    )?;
    statement.query_row([row, holder], share_in)
}

/// The share in a row of the amounts issued and used.
fn share_in(row: &Row<'_>) -> rusqlite::Result<Share> {
    Ok(Share {
        issued: row.get(0)?,
        used: row.get(1)?,
    })
}
