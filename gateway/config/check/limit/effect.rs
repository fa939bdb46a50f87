//! Settings of a limit that would have no effect beside its amounts: each is a mistake, or a limit that was forgotten.

use super::super::super::file::LimitFile;
use super::super::checker::Checker;
use super::Counted;
use crate::document::{Located, Location};
use crate::limit::terms::{Amount, Counts, Tokens};

/// Where a setting stands, if it is given.
fn at<T>(given: &Option<Located<T>>) -> Option<&Location> {
    given.as_ref().map(|given| &given.at)
}

impl Checker<'_> {
    /// Refuses those settings of `file` that nothing in `amounts` uses.
    pub(super) fn without_effect(&self, file: &LimitFile, amounts: &[Counted]) {
        let has = |is: fn(&Counted) -> bool| amounts.iter().any(is);
        let is_rate = has(|(_, amount)| matches!(amount, Amount::Rate(_)));
        let is_budget = has(|(_, amount)| matches!(amount, Amount::Budget { .. }));
        let is_money = has(|(counts, _)| *counts == Counts::Money);
        let is_metered = has(|(counts, _)| matches!(counts, Counts::Tokens(_) | Counts::Money));
        let is_input = has(|(counts, _)| {
            matches!(counts, Counts::Tokens(Tokens { input: true, .. }))
        });
        let is_max = file.reserve.as_ref().is_some_and(|it| it.value == "max");
        let metered = "tokens or a budget";
        let rules = [
            ("burst", at(&file.burst), is_rate, "an amount per second, minute or hour"),
            ("reserve", at(&file.reserve), is_metered, metered),
            ("unbounded", at(&file.unbounded), is_metered && is_max, "`reserve = \"max\"`"),
            (
                "over_budget_streams",
                at(&file.over_budget_streams),
                is_metered,
                metered,
            ),
            (
                "soft_budget",
                at(&file.soft_budget),
                is_budget,
                "a budget, or another amount per day or longer",
            ),
            (
                "cached_tokens",
                at(&file.cached_tokens),
                is_input,
                "`tokens` or `input_tokens`",
            ),
            ("unpriced", at(&file.unpriced), is_money, "a budget"),
            ("unmetered", at(&file.unmetered), is_metered, metered),
        ];
        for (setting, at, is_used, needed) in rules {
            if let (Some(at), false) = (at, is_used) {
                let why = format!("{setting} has no effect in a limit without {needed}: leave it out");
                self.fatal(at, why);
            }
        }
    }
}
