//! The limits of a plan: what remains of them once all keys and routes are known.

use crate::import::amounts::PlannedAmounts;
use crate::import::notes::Notes;
use crate::import::plan::Plan;
use crate::import::planned_limit::{PlannedLimit, PlannedScope};
use crate::limit::of_key::MAX_PARALLEL;

/// The most models that a note names.
const MOST_NAMED: usize = 8;

impl Plan {
    /// Adds a limit, whose name becomes unique.
    pub(super) fn add_limit(&mut self, mut limit: PlannedLimit) {
        // The limits of a key's own entry have the names of its settings.
        if limit.name.ends_with("_limit")
            || limit.name.ends_with("_budget")
            || limit.name == MAX_PARALLEL
        {
            limit.name.insert_str(0, "limit-");
        }
        limit.name = self.limit_names.unique(&limit.name);
        self.limits.push(limit);
    }

    /// Removes the limits that `check` refuses: those of a label that no key has, and those of keys
    /// on routes that need none.
    pub(super) fn remove_limits_of_nobody(&mut self, notes: &Notes) {
        let limits = std::mem::take(&mut self.limits);
        for limit in limits {
            let (object, field) = &limit.from;
            match self.why_nobody(&limit) {
                Some(why) => notes.lost(object, field, format!("{why}: the limit is left out")),
                None => self.limits.push(limit),
            }
        }
    }

    /// The reason why a limit applies to nobody.
    fn why_nobody(&self, limit: &PlannedLimit) -> Option<&'static str> {
        let is_open = |name: &String| {
            let mut routes = self.routes.iter().filter(|route| route.name == *name);
            routes.all(|route| route.keys.is_none())
        };
        match &limit.of {
            PlannedScope::Label(name, value) => {
                let mut keys = self.keys.iter();
                let has_any = keys.any(|key| key.labels.get(name) == Some(value));
                (!has_any).then_some("none of the imported keys belongs to it")
            }
            PlannedScope::Key => {
                let is_all_open = !limit.routes.is_empty() && limit.routes.iter().all(is_open);
                is_all_open.then_some("it counts keys, and its routes need none")
            }
            PlannedScope::Route | PlannedScope::Provider | PlannedScope::Gateway => None,
        }
    }

    /// Whether there is a budget: it needs a price file.
    pub(super) fn has_budget(&self) -> bool {
        let of_keys = self.keys.iter().map(|key| &key.limits);
        let mut all = of_keys.chain(self.limits.iter().map(|limit| &limit.amounts));
        all.any(|amounts| amounts.budgets() > 0)
    }

    /// Notes the models that budgets refuse. `models` are the models with a
    /// route, each with the name of its provider.
    pub(super) fn note_needs_of_budgets<'m>(
        &self,
        models: impl Iterator<Item = (&'m str, &'m str)>,
        title: &str,
        notes: &Notes,
    ) {
        if !self.has_budget() {
            return;
        }
        let unpriced = models.filter(|(provider, model)| !self.has_price(provider, model));
        let mut unpriced: Vec<String> = unpriced
            .map(|(provider, model)| format!("`{model}` at `{provider}`"))
            .collect();
        unpriced.sort_unstable();
        unpriced.dedup();
        let more = unpriced.len().saturating_sub(MOST_NAMED);
        unpriced.truncate(MOST_NAMED);
        if !unpriced.is_empty() {
            let rest = match more {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            notes.lost(title, "", format!(
                "budgets refuse a model without a price (403), and the file has none for {}{rest}: write them into \
                 prices.toml",
                unpriced.join(", ")
            ));
        }
    }

    /// Notes that a restart forgets what was used, if there are limits in the calendar, which last
    /// longer than one may wait.
    pub(super) fn note_ledger(&self, title: &str, notes: &Notes) {
        let of_keys = self.keys.iter().map(|key| &key.limits);
        let mut all = of_keys.chain(self.limits.iter().map(|limit| &limit.amounts));
        if all.any(PlannedAmounts::is_of_calendar) {
            notes.note(
                title,
                "",
                "what is used of amounts for a day or longer is forgotten at a restart until `[ledger] store` in \
                 gateway.toml names a file",
            );
        }
    }

    /// Whether the price file has a price for a model of a provider.
    fn has_price(&self, provider: &str, model: &str) -> bool {
        let mut prices = self.prices.iter();
        prices.any(|price| {
            let mut models = price.models.iter();
            price.provider == provider
                && models.any(|known| match known.strip_suffix('*') {
                    Some(beginning) => model.trim_end_matches('*').starts_with(beginning),
                    None => known == model,
                })
        })
    }
}
