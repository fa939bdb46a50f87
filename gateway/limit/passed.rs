//! Percentages of budgets that were passed, of those at which operators want a warning.

use std::sync::Arc;

use jiff::Timestamp;

use super::account::Account;
use super::applied::{Applied, Cell};

/// A percentage of a budget that was passed.
#[derive(Clone)]
pub(crate) struct Passed {
    /// The limit, and whose budget it is.
    pub(crate) by: Applied,
    /// The percentage.
    pub(crate) percent: u8,
    /// When the period began.
    pub(crate) since: Timestamp,
}

impl Passed {
    /// The percentages of a limit that were passed since the last call, by what was taken from `account`.
    pub(crate) fn of<'l>(
        applied: &'l Applied,
        account: Option<&'l Arc<Account>>,
    ) -> impl Iterator<Item = Self> + use<'l> {
        let soft = &*applied.limit.soft;
        let budget = match &applied.cell {
            Cell::Budget(budget) if !soft.is_empty() => account.zip(Some(budget)),
            _ => None,
        };
        budget.into_iter().flat_map(move |(account, budget)| {
            let passed = |percent| Self {
                by: applied.clone(),
                percent,
                since: account.id().start,
            };
            account.pass(soft, budget.amount()).map(passed)
        })
    }
}
