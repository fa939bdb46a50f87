//! Settings of a limit that would have no effect beside its amounts: each is a mistake, or an amount was forgotten.

use super::super::super::file::LimitFile;
use super::super::checker::Checker;
use super::Counted;
use crate::document::{Located, Location};
use crate::limit::terms::{Amount, Counts, Tokens};

/// Where a setting stands, if it has another value than the default, which promises nothing.
fn at<T: PartialEq<D>, D: ?Sized>(given: Option<&Located<T>>, default: &D) -> Option<Location> {
    let given = given.filter(|given| given.value != *default)?;
    Some(given.at.clone())
}

/// Where a setting without a default stands.
fn anywhere<T>(given: Option<&Located<T>>) -> Option<Location> {
    given.map(|given| given.at.clone())
}

impl Checker<'_> {
    /// Refuses those settings of `file` that nothing in `amounts` uses.
    pub(super) fn without_effect(&self, file: &LimitFile, amounts: &[Counted]) {
        let has = |is: fn(&Counted) -> bool| amounts.iter().any(is);
        let is_rate = has(|(_, amount)| matches!(amount, Amount::Rate(_)));
        let is_budget = has(|(_, amount)| matches!(amount, Amount::Budget { .. }));
        let is_money = has(|(counts, _)| *counts == Counts::Money);
        let is_metered = has(|(counts, _)| matches!(counts, Counts::Tokens(_) | Counts::Money));
        let is_input =
            has(|(counts, _)| matches!(counts, Counts::Tokens(Tokens { input: true, .. })));
        let is_cut = has(|(counts, amount)| {
            let is_metered = matches!(counts, Counts::Tokens(_) | Counts::Money);
            is_metered && matches!(amount, Amount::Budget { .. })
        });
        let is_max = file.reserve.as_ref().is_some_and(|it| it.value == "max");
        let metered = "tokens or a budget";
        let word = |given: &Option<Located<String>>, default: &str| at(given.as_ref(), default);
        let rules = [
            (
                "burst",
                anywhere(file.burst.as_ref()),
                is_rate,
                "an amount per second, minute or hour",
            ),
            (
                "soft_budget",
                anywhere(file.soft_budget.as_ref()),
                is_budget,
                "a budget, or another amount per day or longer",
            ),
            (
                "cached_tokens",
                at(file.cached_tokens.as_ref(), &false),
                is_input,
                "`tokens` or `input_tokens`",
            ),
            (
                "reserve",
                word(&file.reserve, "estimate"),
                is_metered,
                metered,
            ),
            (
                "unbounded",
                word(&file.unbounded, "estimate"),
                is_metered && is_max,
                "`reserve = \"max\"`",
            ),
            (
                "over_budget_streams",
                word(&file.over_budget_streams, "finish"),
                is_cut,
                "a budget, or tokens per day or longer",
            ),
            (
                "unpriced",
                word(&file.unpriced, "refuse"),
                is_money,
                "a budget",
            ),
            (
                "unmetered",
                word(&file.unmetered, "refuse"),
                is_metered,
                metered,
            ),
        ];
        for (setting, at, is_used, needed) in rules {
            if let (Some(at), false) = (at, is_used) {
                let why =
                    format!("{setting} has no effect in a limit without {needed}: leave it out");
                self.fatal(&at, why);
            }
        }
    }
}
