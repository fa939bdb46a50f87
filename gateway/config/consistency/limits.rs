//! Whether somebody has the labels whose keys a limit counts, and whether the requests of keys with a budget have a cost.

use std::collections::{BTreeSet, HashMap};

use super::super::meant::{Config, LimitConfig, LimitsConfig, ProviderConfig};
use super::keys::MOST_NAMED;
use crate::document::{Location, Problems, Severity, enumerate};
use crate::key::{ClientKey, LoadedKeys};
use crate::limit::terms::{Counts, Of};
use crate::route::Access;

/// Notes limits of a label that no key has, and keys with a budget without prices.
pub(super) fn compare(
    config: &Config,
    keys: &LoadedKeys,
    providers: &HashMap<&str, &ProviderConfig>,
    problems: &Problems,
) {
    labels(&config.limits, keys, problems);
    if config.prices.is_none() {
        budgets(config, keys, providers, problems);
    }
}

/// Notes limits of a label that no key has.
fn labels(config: &LimitsConfig, keys: &LoadedKeys, problems: &Problems) {
    let wanted = || config.rows.iter().filter_map(label);
    // One pass over the keys, of which there may be millions, for all limits.
    let mut missing: BTreeSet<Label<'_>> = wanted().map(|(label, ..)| label).collect();
    for key in keys.iter() {
        if missing.is_empty() {
            return;
        }
        missing.retain(|(name, value)| {
            let has = key.labels.get(name);
            !has.is_some_and(|has| value.is_none_or(|value| value == has))
        });
    }
    for (label, row, limit) in wanted().filter(|(label, ..)| missing.contains(label)) {
        let (name, value) = label;
        let (shown, value) = match value {
            Some(value) => (format!("{name} = {value}"), value),
            None => (name.to_owned(), "VALUE"),
        };
        let why = format!(
            "no key has the label of the limit `{limit}` ({shown}): nobody would be limited; make one with `keygate \
             keys create --id NAME --label {name}={value}`"
        );
        problems.push(&row.at, Severity::Strict, why);
    }
}

/// A label's name, and the value if one is wanted.
type Label<'l> = (&'l str, Option<&'l str>);

/// The label whose keys a table of `[[limits]]` counts, with the table and its name.
fn label(row: &LimitConfig) -> Option<(Label<'_>, &LimitConfig, &str)> {
    let limit = row.limits.first()?;
    match &limit.of {
        Of::Label { name, value } => Some(((name, value.as_deref()), row, &limit.name)),
        Of::Key | Of::Route | Of::Provider | Of::Gateway => None,
    }
}

/// Notes keys with a budget that may use routes to providers whose responses hold no cost, where no price file gives it.
fn budgets(
    config: &Config,
    keys: &LoadedKeys,
    providers: &HashMap<&str, &ProviderConfig>,
    problems: &Problems,
) {
    let reports = |key: &ClientKey| {
        let routes = config.routes.iter().filter(|route| match &route.access {
            Access::Keys(selector) => selector.takes(key),
            Access::Open => false,
        });
        let providers = routes.filter_map(|route| providers.get(&*route.provider));
        let reports: Vec<Option<bool>> = providers.map(|it| it.reports_cost()).collect();
        if reports.contains(&Some(false)) {
            return Some(false);
        }
        (!reports.contains(&None)).then_some(true)
    };
    let (mut never, mut maybe) = (Vec::new(), Vec::new());
    for key in keys.iter().filter(|key| has_budget(key)) {
        match reports(key) {
            Some(true) => {}
            Some(false) => never.push(&*key.id),
            None => maybe.push(&*key.id),
        }
        if never.len() == MOST_NAMED {
            break;
        }
    }
    maybe.truncate(MOST_NAMED);
    let at = Location::of_file(&config.keys.file.value);
    let prices = "name a price file in usage.prices";
    if !never.is_empty() {
        let why = format!(
            "the budget of {} needs prices, because not all of its providers report the cost themselves: {prices}",
            enumerate(never)
        );
        problems.push(&at, Severity::Strict, why);
    } else if !maybe.is_empty() {
        let why = format!(
            "the budget of {} has no price file: unless its providers report the cost themselves, each request is \
             refused as unpriced; usage.prices names one",
            enumerate(maybe)
        );
        problems.push(&at, Severity::Warning, why);
    }
}

fn has_budget(key: &ClientKey) -> bool {
    let limits = key.limits.as_ref();
    limits.is_some_and(|it| it.limits.iter().any(|limit| limit.counts == Counts::Money))
}
