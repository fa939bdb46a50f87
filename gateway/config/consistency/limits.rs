//! Whether somebody has the labels whose keys a limit counts.

use std::collections::BTreeSet;

use super::super::meant::{LimitConfig, LimitsConfig};
use crate::document::{Problems, Severity};
use crate::key::LoadedKeys;
use crate::limit::terms::Of;

/// Notes limits of a label that no key has.
pub(super) fn compare(config: &LimitsConfig, keys: &LoadedKeys, problems: &Problems) {
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
