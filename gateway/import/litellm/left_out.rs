//! Entries of `model_list` that are left out, and the routes by which their models are reached all the same.
//!
//! A route here is one to every model of its provider. So a model whose entry is left out is reached where another entry
//! leads to the same provider, which has to be said; and a price of `openai/*` would be taken for its own.

use std::collections::BTreeSet;

use super::super::fields::Fields;
use super::super::prices::Unpriced;
use super::super::{Notes, Plan, PlannedProvider};
use super::kinds::Known;

/// What is known of the entries that were read.
#[derive(Default)]
pub(super) struct Entries {
    /// The names by which clients ask for them.
    pub(super) aliases: BTreeSet<String>,
    /// Models that have a route of their own, by the prefix of their provider.
    carried: BTreeSet<(&'static str, String)>,
    left_out: Vec<LeftOut>,
}

struct LeftOut {
    known: &'static Known,
    model: String,
    title: String,
}

impl Entries {
    /// An entry of this model became a route.
    pub(super) fn carry(&mut self, known: &Known, model: &str) {
        self.carried.insert((known.prefix, model.to_owned()));
    }

    /// An entry of this model, with the prefix of its provider, did not.
    pub(super) fn leave_out(&mut self, full: &str, entry: &Fields<'_>) {
        // Whose name is a variable's, or a pattern, is no model that could be told.
        if let Some((known, model)) =
            Known::of_model(full).filter(|(_, model)| !model.contains('*'))
        {
            self.left_out.push(LeftOut {
                known,
                model: model.to_owned(),
                title: entry.title().to_owned(),
            });
        }
    }

    /// Says which of those that were left out are reached, and lets no price of others hold for them.
    pub(super) fn say_reached(self, plan: &mut Plan, notes: &Notes) {
        let mut said = BTreeSet::new();
        for one in self.left_out {
            let model = (one.known.prefix, one.model.clone());
            if self.carried.contains(&model) || !said.insert(model) {
                continue;
            }
            let reached = plan.providers.iter().filter(|it| is_at(it, one.known));
            let names: Vec<String> = reached.map(|provider| provider.name.clone()).collect();
            for name in names {
                let why = format!(
                    "it is left out, and every key that opens `/{name}` reaches `{}` there all the same: keygate does \
                     not choose by model",
                    one.model
                );
                notes.lost(&one.title, "litellm_params.model", why);
                plan.unpriced.push(Unpriced {
                    provider: name,
                    model: one.model.clone(),
                    title: one.title.clone(),
                });
            }
        }
    }
}

/// Whether a provider is where `LiteLLM` has this one, and has all of its models.
fn is_at(provider: &PlannedProvider, known: &Known) -> bool {
    let base = provider
        .settings
        .iter()
        .find(|(name, _)| *name == "base_url");
    let base = base.map(|(_, base)| base.as_str());
    provider.kind == known.kind && base == known.base_url && !provider.has("deployment")
}
