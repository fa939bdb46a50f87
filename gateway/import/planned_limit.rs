//! A `[[limits]]` table to be written.

use std::fmt::Write as _;

use toml_edit::{InlineTable, Value};

use crate::import::amounts::{PlannedAmounts, TOKENS};
use crate::limit::terms::{Counts, Tokens};

/// Whose use is counted together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum PlannedScope {
    /// Each key for itself.
    Key,
    /// Each route for itself.
    Route,
    /// Each provider for itself.
    Provider,
    /// All requests.
    #[default]
    Gateway,
    /// The keys with this value of a label.
    Label(String, String),
}

/// A `[[limits]]` table to be written.
#[derive(Clone, Debug, Default)]
pub(crate) struct PlannedLimit {
    /// The unique name.
    pub(super) name: String,
    /// Whose use is counted together.
    pub(super) of: PlannedScope,
    /// The names of the routes; empty for all.
    pub(super) routes: Vec<String>,
    /// The models; empty for all.
    pub(super) models: Vec<String>,
    /// The amounts.
    pub(super) amounts: PlannedAmounts,
    /// The setting `burst`, if it is not the default.
    pub(super) burst: Option<String>,
    /// The title of what it comes from, and the field.
    pub(super) from: (String, String),
}

impl PlannedLimit {
    /// Writes the table.
    pub(super) fn write(&self, text: &mut String) {
        text.push_str("\n[[limits]]\n");
        let mut set = |name: &str, value: Value| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name} = {value}");
        };
        set("name", self.name.as_str().into());
        set("of", self.scope());
        for (name, values) in [("routes", &self.routes), ("models", &self.models)] {
            if !values.is_empty() {
                set(name, values.iter().map(String::as_str).collect());
            }
        }
        for (name, counts) in settings() {
            match self.amounts.texts(counts).as_slice() {
                [] => {}
                [one] => set(name, one.as_str().into()),
                several => set(name, several.iter().map(String::as_str).collect()),
            }
        }
        if let Some(most) = self.amounts.parallel() {
            set("parallel", i64::from(most).into());
        }
        if let Some(burst) = &self.burst {
            set("burst", burst.as_str().into());
        }
        if let Some(percent) = self.amounts.soft {
            set("soft_budget", format!("{percent}%").into());
        }
        if self.counts_cached() {
            set("cached_tokens", true.into());
        }
    }

    fn scope(&self) -> Value {
        match &self.of {
            PlannedScope::Key => "key".into(),
            PlannedScope::Route => "route".into(),
            PlannedScope::Provider => "provider".into(),
            PlannedScope::Gateway => "gateway".into(),
            PlannedScope::Label(name, value) => {
                let table: InlineTable = [("label", name), ("value", value)].into_iter().collect();
                table.into()
            }
        }
    }

    fn counts_cached(&self) -> bool {
        let mut counted = self.amounts.counted.keys();
        counted.any(|counts| matches!(counts, Counts::Tokens(Tokens { cached: true, .. })))
    }
}

/// The settings of amounts that are texts, in the order in which they are written.
fn settings() -> impl Iterator<Item = (&'static str, Counts)> {
    let tokens = TOKENS.map(|(name, tokens)| (name, Counts::Tokens(tokens)));
    [("requests", Counts::Requests)]
        .into_iter()
        .chain(tokens)
        .chain([("budget", Counts::Money)])
}

/// Writes the settings of a key's own limits.
pub(super) fn write_own(amounts: &PlannedAmounts, text: &mut String) {
    let tokens = TOKENS.iter().map(|(_, tokens)| Counts::Tokens(*tokens));
    let tokens = tokens.filter_map(|counts| amounts.per_minute(counts)).min();
    let numbers = [
        ("rpm_limit", amounts.per_minute(Counts::Requests)),
        ("tpm_limit", tokens),
        ("max_parallel_requests", amounts.parallel().map(u64::from)),
    ];
    for (name, number) in numbers {
        if let Some(number) = number {
            let _ = writeln!(text, "{name} = {number}");
        }
    }
    let budgets = match amounts.texts(Counts::Money).as_slice() {
        [] => return,
        [one] => Value::from(one.as_str()),
        several => several.iter().map(String::as_str).collect(),
    };
    let _ = writeln!(text, "max_budget = {budgets}");
    if let Some(percent) = amounts.soft {
        let _ = writeln!(text, "soft_budget = \"{percent}%\"");
    }
}
