//! Limits of single models, which `LiteLLM` sets by the names that its clients use.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::import::amounts::{PlannedAmounts, TOKENS};
use crate::import::fields::text_of;
use crate::import::litellm::aliases::Aliases;
use crate::import::litellm::limits::amount;
use crate::import::litellm::limits::holder::{Holder, budget_of};
use crate::import::planned_limit::{PlannedLimit, PlannedScope};
use crate::limit::terms::Counts;

/// The settings with an amount for each model, and what each counts.
const SETTINGS: [(&str, Counted); 6] = [
    ("metadata.model_rpm_limit", Counted::Requests),
    ("metadata.model_tpm_limit", Counted::Tokens),
    ("metadata.model_itpm_limit", Counted::Input),
    ("metadata.model_otpm_limit", Counted::Output),
    ("metadata.model_max_budget", Counted::Money),
    ("model_max_budget", Counted::Money),
];

/// What a setting counts.
#[derive(Clone, Copy)]
enum Counted {
    Requests,
    /// The tokens of the file's `token_rate_limit_type`.
    Tokens,
    Input,
    Output,
    Money,
}

/// The limits of single models.
#[derive(Default)]
pub(in crate::import::litellm) struct ModelLimits {
    /// The amounts by model.
    by_model: BTreeMap<String, PlannedAmounts>,
    /// The settings that were carried over whole.
    pub(in crate::import::litellm) carried: Vec<&'static str>,
}

impl ModelLimits {
    /// Reads the limits of `holder`, of which `get` finds the settings.
    pub(in crate::import::litellm) fn read(
        holder: &Holder<'_>,
        tokens: Counts,
        aliases: &Aliases,
        get: &dyn Fn(&str) -> Option<Value>,
    ) -> Self {
        let mut limits = Self::default();
        for (name, counted) in SETTINGS {
            let Some(value) = get(name) else { continue };
            let counts = match counted {
                Counted::Requests => Counts::Requests,
                Counted::Tokens => tokens,
                Counted::Input => Counts::Tokens(TOKENS[1].1),
                Counted::Output => Counts::Tokens(TOKENS[2].1),
                Counted::Money => Counts::Money,
            };
            match read_models(holder, name, counts, aliases, &value) {
                Ok(found) => {
                    limits.carried.push(name);
                    for (model, amounts) in found {
                        limits.by_model.entry(model).or_default().merge(amounts);
                    }
                }
                Err(why) => holder.lost(name, &why),
            }
        }
        limits
    }

    pub(in crate::import::litellm) fn is_empty(&self) -> bool {
        self.by_model.is_empty()
    }

    /// The tables of these limits, whose names begin with `name`.
    pub(in crate::import::litellm) fn tables(
        self,
        name: &str,
        of: &PlannedScope,
        from: &str,
        aliases: &Aliases,
    ) -> Vec<PlannedLimit> {
        let tables = self.by_model.into_iter().filter_map(|(model, amounts)| {
            let reached = aliases.resolve(&model)?;
            Some(PlannedLimit {
                name: format!("{name}-{model}"),
                of: of.clone(),
                routes: reached.routes,
                models: reached.models,
                amounts,
                from: (from.to_owned(), String::new()),
                ..PlannedLimit::default()
            })
        });
        tables.collect()
    }
}

/// Reads the amounts of a setting by model. The error is the reason why it is not carried over.
fn read_models(
    holder: &Holder<'_>,
    name: &str,
    counts: Counts,
    aliases: &Aliases,
    value: &Value,
) -> Result<BTreeMap<String, PlannedAmounts>, String> {
    let models = value.as_object();
    let models = models.ok_or("it is no table of models and amounts")?;
    let mut found = BTreeMap::new();
    for (model, value) in models.iter().filter(|(_, value)| !value.is_null()) {
        if aliases.resolve(model).is_none() {
            return Err(format!("`{model}` is no model with a route"));
        }
        let mut amounts = PlannedAmounts::default();
        let is_clear = if counts == Counts::Money {
            let (most, duration) = match text_of(value) {
                Some(most) => (most, None),
                None => budget_of(value)
                    .ok_or_else(|| format!("the budget of `{model}` is not understood"))?,
            };
            if duration.is_some() {
                let why = format!(
                    "the period of `{model}` begins with the calendar's here, and with its first request there"
                );
                holder.note(name, &why);
            }
            let read = amount::budget(&most, duration.as_deref());
            holder.add(&mut amounts, counts, name, read)
        } else {
            let text = text_of(value).unwrap_or_default();
            holder.add(&mut amounts, counts, name, amount::per_minute(&text))
        };
        if !is_clear {
            return Err(format!("the amount of `{model}` is no number"));
        }
        if !amounts.is_empty() {
            found.insert(model.clone(), amounts);
        }
    }
    Ok(found)
}
