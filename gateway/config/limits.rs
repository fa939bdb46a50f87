//! Limits of use as resolved: those of `[[limits]]`, and what all limits have in common.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::meant::LimitsConfig;
use crate::limit::notice::{BudgetStatus, LimitHeaders};
use crate::limit::period::Calendar;
use crate::limit::terms::Limit;

/// The limits of a configuration.
#[derive(Debug)]
pub(crate) struct LimitRules {
    /// The limits of `[[limits]]`, in the file's order: one for each amount. Those of one table have one name.
    pub(crate) limits: Vec<Arc<Limit>>,
    /// The calendar that the periods of budgets follow.
    pub(crate) calendar: Calendar,
    /// The status of a response that says that a budget is spent: 402, 403 or 429.
    pub(crate) budget_status: BudgetStatus,
    /// Which limits responses report.
    pub(crate) headers: LimitHeaders,
    /// How long the ledger keeps its history, at least a day.
    pub(crate) retention: Duration,
    /// The file of the ledger; `None`: what was used is forgotten at the next start. Changes take effect at a start.
    pub(crate) ledger: Option<PathBuf>,
}

impl LimitRules {
    /// The limits of `config` in the calendar of `timezone`.
    pub(super) fn new(config: LimitsConfig, timezone: TimeZone) -> Self {
        let rows = config.rows.into_iter();
        Self {
            limits: rows.flat_map(|row| row.limits).collect(),
            calendar: Calendar::new(timezone, config.week_starts),
            budget_status: config.budget_status,
            headers: config.headers,
            retention: config.retention,
            ledger: config.ledger,
        }
    }
}
