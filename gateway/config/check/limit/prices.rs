//! Whether the requests that a budget counts can have a cost.

use std::sync::Arc;

use super::super::super::file::LimitFile;
use super::super::checker::Checker;
use super::Known;
use crate::document::{Location, Problems, Severity, enumerate};

impl Checker<'_> {
    /// Refuses a budget whose requests have no cost: no price file is named, and their providers report none.
    pub(super) fn priced(&self, file: &LimitFile, routes: Option<&[Arc<str>]>, known: &Known<'_>) {
        let Some(budget) = &file.budget else { return };
        if known.has_prices {
            return;
        }
        let counted = known.counted(routes);
        let providers = known
            .providers
            .iter()
            .filter(|provider| counted.iter().any(|route| route.provider == provider.name));
        let (mut never, mut maybe) = (Vec::new(), Vec::new());
        for provider in providers {
            match provider.reports_cost() {
                Some(true) => {}
                Some(false) => never.push(&*provider.name),
                None => maybe.push(&*provider.name),
            }
        }
        report(self.problems, &budget.at, never, maybe);
    }
}

/// Notes the providers that never report a cost, or else those that may not.
fn report(problems: &Problems, at: &Location, mut never: Vec<&str>, mut maybe: Vec<&str>) {
    never.sort_unstable();
    maybe.sort_unstable();
    if !never.is_empty() {
        let why = format!(
            "a budget needs prices, because {} reports no cost itself: name a price file in usage.prices",
            enumerate(never)
        );
        problems.push(at, Severity::Fatal, why);
    } else if !maybe.is_empty() {
        let why = format!(
            "this budget has no price file: unless {} reports the cost itself, each request is refused as unpriced; \
             usage.prices names one",
            enumerate(maybe)
        );
        problems.push(at, Severity::Warning, why);
    }
}
