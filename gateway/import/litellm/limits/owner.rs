//! The limits of a key, a team or a user, from its row.

use serde_json::Value;

use crate::import::amounts::{PlannedAmounts, TOKENS};
use crate::import::litellm::aliases::Aliases;
use crate::import::litellm::csv_table::{REACHED, Row};
use crate::import::litellm::limits::holder::{Holder, Settings};
use crate::import::litellm::limits::models::ModelLimits;
use crate::import::notes::Notes;
use crate::import::plan::Plan;
use crate::import::planned_limit::{PlannedLimit, PlannedScope};
use crate::limit::terms::Counts;

/// What limits are read with.
#[derive(Clone, Copy)]
pub(in crate::import::litellm) struct Terms<'t> {
    /// The tokens that count.
    pub(in crate::import::litellm) tokens: Counts,
    pub(in crate::import::litellm) aliases: &'t Aliases,
}

/// The limits of a row.
pub(in crate::import::litellm) struct RowLimits {
    pub(in crate::import::litellm) amounts: PlannedAmounts,
    models: ModelLimits,
    /// The settings that were not understood.
    pub(in crate::import::litellm) unclear: Vec<String>,
    /// Whether something of a budget was spent.
    pub(in crate::import::litellm) is_spent: bool,
    /// The file and line.
    at: String,
}

impl RowLimits {
    /// Reads the limits in a row. `whose` is what notes begin with.
    pub(in crate::import::litellm) fn read(
        row: &Row<'_>,
        terms: Terms<'_>,
        notes: &Notes,
        whose: String,
    ) -> Self {
        let holder = Holder {
            notes,
            title: &row.at,
            whose,
        };
        let text = |name: &str| row.get(name).map(str::to_owned);
        let settings = Settings::read(&holder, terms.tokens, &text);
        let metadata = row.get("metadata").unwrap_or_default();
        let metadata: Value = serde_json::from_str(metadata).unwrap_or_default();
        let value = |name: &str| match name.strip_prefix("metadata.") {
            Some(entry) => metadata.get(entry).filter(|value| is_set(value)).cloned(),
            // What is no JSON is no table of models.
            None => row
                .get(name)
                .map(|text| serde_json::from_str(text).unwrap_or_default()),
        };
        let models = ModelLimits::read(&holder, terms.tokens, terms.aliases, &value);
        let spend = row.get("spend").and_then(|spend| spend.parse::<f64>().ok());
        Self {
            is_spent: settings.amounts.budgets() > 0 && spend.is_some_and(|spend| spend > 0.0),
            amounts: settings.amounts,
            models,
            unclear: settings.unclear,
            at: row.at.clone(),
        }
    }

    /// What restricts the owner of the row beside these limits: other settings, and limits that are
    /// reached or not understood.
    pub(in crate::import::litellm) fn restrictions_beside(&self, row: &Row<'_>) -> Vec<String> {
        let carried = &self.models.carried;
        let mut found = row.restrictions();
        found.retain(|name| !carried.contains(&name.as_str()));
        found.extend(row.reached());
        let unclear = self.unclear.iter().filter(|name| {
            let reached = format!("{name}{REACHED}");
            !found.contains(&reached)
        });
        let unclear: Vec<String> = unclear.cloned().collect();
        found.extend(unclear);
        found
    }

    /// Takes what a key's own entry cannot hold. Returns `None` if there is nothing.
    pub(in crate::import::litellm) fn split_from_key(&mut self) -> Option<Self> {
        let total = Counts::Tokens(TOKENS[0].1);
        let amounts = self.amounts.clone();
        let others = self.amounts.split_off(|counts| match counts {
            Counts::Requests => !amounts.is_per_minute(counts),
            Counts::Tokens(_) => counts != total || !amounts.is_per_minute(counts),
            Counts::Money | Counts::Parallel => false,
        });
        let models = std::mem::take(&mut self.models);
        let is_empty = others.is_empty() && models.is_empty();
        (!is_empty).then(|| Self {
            amounts: others,
            models,
            unclear: Vec::new(),
            is_spent: false,
            at: self.at.clone(),
        })
    }

    /// Takes the budgets.
    pub(in crate::import::litellm) fn split_budgets(&mut self) -> Self {
        Self {
            amounts: self.amounts.split_off(|counts| counts == Counts::Money),
            models: ModelLimits::default(),
            unclear: Vec::new(),
            is_spent: false,
            at: self.at.clone(),
        }
    }

    /// Adds the limits as tables whose names begin with `name`.
    pub(in crate::import::litellm) fn add_tables(
        self,
        name: &str,
        of: &PlannedScope,
        aliases: &Aliases,
        plan: &mut Plan,
    ) {
        let Self {
            amounts,
            models,
            at,
            ..
        } = self;
        if !amounts.is_empty() {
            plan.add_limit(PlannedLimit {
                name: name.to_owned(),
                of: of.clone(),
                amounts,
                from: (at.clone(), String::new()),
                ..PlannedLimit::default()
            });
        }
        for table in models.tables(name, of, &at, aliases) {
            plan.add_limit(table);
        }
    }
}

/// Returns whether a value is not empty.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(entries) => !entries.is_empty(),
        Value::String(text) => !text.is_empty(),
        _ => true,
    }
}
