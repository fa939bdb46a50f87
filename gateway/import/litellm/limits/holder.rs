//! Who has limits: a key, a team, a user, a deployment, or all.

use serde_json::Value;

use crate::import::amounts::PlannedAmounts;
use crate::import::fields::text_of;
use crate::import::litellm::limits::amount::{self, Found, Unclear};
use crate::import::notes::Notes;
use crate::limit::terms::Counts;

/// Reads an amount.
type Read = fn(&str) -> Result<Found, Unclear>;

/// Who has limits, for the notes about them.
pub(in crate::import::litellm) struct Holder<'h> {
    pub(in crate::import::litellm) notes: &'h Notes,
    /// The title of the object that notes are about.
    pub(in crate::import::litellm) title: &'h str,
    /// Whose limits they are: what notes begin with.
    pub(in crate::import::litellm) whose: String,
}

impl Holder<'_> {
    /// Notes what is different about a limit.
    pub(super) fn lost(&self, field: &str, why: &str) {
        let what = format!("{}{why}", self.whose);
        self.notes.lost(self.title, field, what);
    }

    /// Notes that a limit works differently.
    pub(super) fn note(&self, field: &str, why: &str) {
        let what = format!("{}{why}", self.whose);
        self.notes.note(self.title, field, what);
    }

    /// Adds an amount that was read, and notes what differs. Returns whether it was understood.
    pub(super) fn add(
        &self,
        to: &mut PlannedAmounts,
        counts: Counts,
        field: &str,
        found: Result<Found, Unclear>,
    ) -> bool {
        let Ok(Found { amount, differs }) = found else {
            return false;
        };
        if let Some(why) = differs {
            self.lost(field, &why);
        }
        if let Some(amount) = amount {
            to.add(amount::counts_of(counts, amount), amount);
        }
        true
    }
}

/// Limits, and the settings among them that were not understood.
#[derive(Default)]
pub(in crate::import::litellm) struct Settings {
    pub(in crate::import::litellm) amounts: PlannedAmounts,
    pub(in crate::import::litellm) unclear: Vec<String>,
}

impl Settings {
    /// Reads the limits of `holder`, of which `get` finds the settings. `tokens` are those that count.
    pub(in crate::import::litellm) fn read(
        holder: &Holder<'_>,
        tokens: Counts,
        get: &dyn Fn(&str) -> Option<String>,
    ) -> Self {
        let mut settings = Self::default();
        let numbers: [(&str, Counts, Read); 3] = [
            ("rpm_limit", Counts::Requests, amount::per_minute),
            ("tpm_limit", tokens, amount::per_minute),
            ("max_parallel_requests", Counts::Parallel, amount::at_once),
        ];
        for (name, counts, read) in numbers {
            if let Some(text) = get(name) {
                settings.add(holder, counts, name, read(&text));
            }
        }
        if let Some(text) = get("tpd_limit") {
            holder.lost("tpd_limit", &format!(
                "a day there begins with its first request: write a table [[limits]] with `tokens = \"{text} per day\"`"
            ));
        }
        settings.budgets(holder, get);
        settings
    }

    fn add(
        &mut self,
        holder: &Holder<'_>,
        counts: Counts,
        name: &str,
        found: Result<Found, Unclear>,
    ) {
        if !holder.add(&mut self.amounts, counts, name, found) {
            self.unclear.push(name.to_owned());
        }
    }

    fn budgets(&mut self, holder: &Holder<'_>, get: &dyn Fn(&str) -> Option<String>) {
        let most = get("max_budget");
        if let Some(text) = &most {
            let duration = get("budget_duration");
            let found = amount::budget(text, duration.as_deref());
            self.add(holder, Counts::Money, "max_budget", found);
        }
        if let Some(text) = get("budget_limits") {
            let read = windows(&text);
            if read.is_none() {
                self.unclear.push("budget_limits".to_owned());
            }
            for (most, duration) in read.into_iter().flatten() {
                let found = amount::budget(&most, duration.as_deref());
                self.add(holder, Counts::Money, "budget_limits", found);
            }
        }
        if let Some(text) = get("soft_budget") {
            match amount::soft(&text, most.as_deref()) {
                Ok(percent) if self.amounts.budgets() == 1 => self.amounts.soft = Some(percent),
                Ok(percent) => holder.lost("soft_budget", &format!(
                    "it would be a percentage of each of its budgets: write `soft_budget = \"{percent}%\"` if all are meant"
                )),
                Err(why) => holder.lost("soft_budget", &why),
            }
        }
    }
}

/// The sums and durations of a list of budgets; `None` if it is not understood.
fn windows(text: &str) -> Option<Vec<(String, Option<String>)>> {
    let list: Value = serde_json::from_str(text).ok()?;
    let windows = list.as_array()?.iter().map(budget_of);
    windows.collect()
}

/// The sum and the duration of a budget; `None` if there is anything else.
pub(super) fn budget_of(value: &Value) -> Option<(String, Option<String>)> {
    let (mut most, mut duration) = (None, None);
    for (name, value) in value.as_object()? {
        match name.as_str() {
            _ if value.is_null() => {}
            "max_budget" | "budget_limit" => most = Some(text_of(value)?),
            "budget_duration" | "time_period" => duration = Some(text_of(value)?),
            // When it is renewed next.
            "reset_at" | "budget_reset_at" => {}
            _ => return None,
        }
    }
    Some((most?, duration))
}
