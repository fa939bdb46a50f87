//! The limits of teams and users, which count the use of all keys with their label, and notes about
//! those of keys.

use crate::import::litellm::limits::owner::{RowLimits, Terms};
use crate::import::notes::Notes;
use crate::import::plan::Plan;
use crate::import::planned::PlannedKey;
use crate::import::planned_limit::PlannedScope;
use crate::limit::terms::Counts;

/// The label of a user's keys that belong to no team, if the user has others. Its value is the
/// user's id.
const PERSONAL_LABEL: &str = "limited-user";

/// The most names in a note.
const MOST_NAMED: usize = 8;

/// Notes how the keys' own limits work here.
pub(in crate::import::litellm) fn note_key_limits(
    file: &str,
    plan: &Plan,
    spent: &[String],
    notes: &Notes,
) {
    let mut limits = plan.keys.iter().map(|key| &key.limits.counted);
    let has_tokens = limits.any(|counted| {
        let mut counted = counted.keys();
        counted.any(|counts| matches!(counts, Counts::Tokens(_)))
    });
    if has_tokens {
        notes.note(
            file,
            "tpm_limit",
            "a key's own `tpm_limit` does not count input that the provider read from its cache, as providers do not; \
             a table [[limits]] with `cached_tokens = true` does",
        );
    }
    note_spent(file, spent, notes);
}

/// Notes whose budgets begin anew.
pub(in crate::import::litellm) fn note_spent(file: &str, spent: &[String], notes: &Notes) {
    if spent.is_empty() {
        return;
    }
    let named = spent
        .iter()
        .take(MOST_NAMED)
        .map(|name| format!("`{name}`"));
    let named: Vec<String> = named.collect();
    let more = match spent.len().saturating_sub(named.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    notes.lost(file, "spend", format!(
        "what was spent of running budgets does not count here, so that all of a budget may be spent again until its \
         period ends: {}{more}; take it off by `keygate limits raise max_budget KEY --budget=-SPENT`, or `raise NAME` of a \
         table [[limits]]",
        named.join(", ")
    ));
}

/// Adds the limits of teams or users as limits of their label: of each id, those of each row with
/// the name that people know it by. Returns the names of those that begin anew.
pub(in crate::import::litellm) fn add_owner_limits(
    label: &str,
    owners: impl Iterator<Item = (String, Vec<(String, RowLimits)>)>,
    terms: Terms<'_>,
    plan: &mut Plan,
) -> Vec<String> {
    let mut spent = Vec::new();
    for (id, rows) in owners {
        let of = PlannedScope::Label(label.to_owned(), id.clone());
        for (name, mut limits) in rows {
            if limits.is_spent {
                spent.push(name.clone());
            }
            // A user's budget is of the keys without a team only.
            if label == "user" && limits.amounts.budgets() > 0 && has_keys_of_teams(&id, plan) {
                let budgets = limits.split_budgets();
                label_personal_keys(&id, plan);
                let of = PlannedScope::Label(PERSONAL_LABEL.to_owned(), id.clone());
                budgets.add_tables(&format!("{name}-budget"), &of, terms.aliases, plan);
            }
            limits.add_tables(&name, &of, terms.aliases, plan);
        }
    }
    spent
}

/// Whether a user has keys that belong to a team as well.
fn has_keys_of_teams(user: &str, plan: &Plan) -> bool {
    let mut keys = plan.keys.iter();
    keys.any(|key| is_of_user(key, user) && key.labels.contains_key("team"))
}

fn label_personal_keys(user: &str, plan: &mut Plan) {
    let keys = plan.keys.iter_mut();
    for key in keys.filter(|key| is_of_user(key, user) && !key.labels.contains_key("team")) {
        key.labels
            .insert(PERSONAL_LABEL.to_owned(), user.to_owned());
    }
}

fn is_of_user(key: &PlannedKey, user: &str) -> bool {
    key.labels.get("user").is_some_and(|known| known == user)
}
