//! Amounts and scopes as people read them.

use crate::admin::limits::LimitRow;
use crate::limit::amount::write_money;
use crate::limit::terms::{Counts, Of};

/// The word for limits of money in a row.
const MONEY: &str = "money";

/// The units of a row: money as a decimal fraction.
pub(super) fn of_row(row: &LimitRow, units: i64) -> String {
    if row.counts == MONEY {
        write_money(units)
    } else {
        units.to_string()
    }
}

/// The units of a limit: money as a decimal fraction, others with their noun.
pub(in crate::cli) fn units(counts: Counts, units: i64) -> String {
    match counts {
        Counts::Money => write_money(units),
        Counts::Requests | Counts::Parallel if units == 1 => "1 request".to_owned(),
        Counts::Requests | Counts::Parallel => format!("{units} requests"),
        Counts::Tokens(_) if units == 1 => "1 token".to_owned(),
        Counts::Tokens(_) => format!("{units} tokens"),
    }
}

/// The scope of a row, as it is named to a command but for the gateway: `team=search`, `alice`.
pub(super) fn scope_of_row(row: &LimitRow) -> String {
    match (&row.scope, row.of.strip_prefix("label ")) {
        (None, _) => "-".to_owned(),
        (Some(value), Some(label)) => format!("{label}={value}"),
        (Some(scope), None) if scope.is_empty() => "(all)".to_owned(),
        (Some(scope), None) => scope.clone(),
    }
}

/// Whose use a limit counts, in words: `the key alice`.
pub(in crate::cli) fn scope(of: &Of, scope: &str) -> String {
    match of {
        Of::Key => format!("the key {scope}"),
        Of::Route => format!("the route {scope}"),
        Of::Provider => format!("the provider {scope}"),
        Of::Gateway => "the gateway".to_owned(),
        Of::Label { name, .. } => format!("{name}={scope}"),
    }
}

/// The amount of a row, with what operators added.
pub(super) fn amount(row: &LimitRow) -> String {
    let raised = match row.raised {
        0 => String::new(),
        more @ 1.. => format!(" (+{})", of_row(row, more)),
        less => format!(" ({})", of_row(row, less)),
    };
    let observed = if row.enforced { "" } else { " (observed)" };
    format!("{}{raised}{observed}", row.amount)
}
