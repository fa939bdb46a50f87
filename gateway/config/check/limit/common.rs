//! What all limits have in common: the calendar, the answers to clients, and the ledger.

use std::path::PathBuf;
use std::time::Duration;

use jiff::civil::Weekday;

use super::super::super::file::LedgerFile;
use super::super::super::meant::LimitConfig;
use super::super::checker::Checker;
use super::WEEKDAYS;
use crate::document::{Located, enumerate, nearest};
use crate::limit::notice::BudgetStatus;
use crate::limit::terms::Amount;

/// How long the ledger keeps its history, unless the configuration says otherwise: a year, and a month to look at it.
const RETENTION: Duration = Duration::from_secs(400 * DAY);
const DAY: u64 = 86_400;

impl Checker<'_> {
    pub(super) fn week_starts(&self, given: Option<&Located<String>>) -> Weekday {
        let Some(given) = given else {
            return Weekday::Monday;
        };
        let mut days = WEEKDAYS.iter();
        if let Some((_, day)) = days.find(|(name, _)| *name == given.value) {
            return *day;
        }
        let names = || WEEKDAYS.iter().map(|(name, _)| *name);
        let hint = nearest(&given.value, names())
            .map(|near| format!(": did you mean `{near}`?"))
            .unwrap_or_default();
        let why = format!("usage.week_starts is one of {}{hint}", enumerate(names()));
        self.fatal(&given.at, why);
        Weekday::Monday
    }

    pub(super) fn budget_status(&self, given: Option<&Located<usize>>) -> BudgetStatus {
        let Some(given) = given else {
            return BudgetStatus::default();
        };
        let code = u16::try_from(given.value).ok();
        code.and_then(BudgetStatus::of).unwrap_or_else(|| {
            self.fatal(&given.at, "usage.budget_status is 402, 403 or 429");
            BudgetStatus::default()
        })
    }

    pub(super) fn retention(&self, given: Option<&Located<Duration>>) -> Duration {
        let Some(given) = given else {
            return RETENTION;
        };
        if given.value < Duration::from_secs(DAY) {
            self.fatal(&given.at, "usage.retention is at least \"1d\"");
        }
        given.value
    }

    pub(in super::super) fn ledger(&self, file: LedgerFile) -> Option<PathBuf> {
        let given = file.store?;
        if given.value.is_empty() || given.value.ends_with('/') {
            let why = "ledger.store is the path of a file, such as \"/var/lib/keygate/ledger.db\"";
            self.fatal(&given.at, why);
        }
        Some(self.path(given).value)
    }

    /// Warns of a budget that a restart begins anew, at the first one.
    pub(super) fn forgetful(&self, rows: &[LimitConfig], has_ledger: bool) {
        let is_budget = |row: &&LimitConfig| {
            let mut limits = row.limits.iter();
            limits.any(|limit| matches!(limit.amount, Amount::Budget { .. }))
        };
        if let (Some(row), false) = (rows.iter().find(is_budget), has_ledger) {
            let why = "a restart forgets what was used of this limit: name a file in ledger.store";
            self.warn(&row.at, why);
        }
    }
}
