//! Entries of `model_list` that are left out, and the routes that reach their models anyway.
//!
//! A route here reaches every model of its provider. So a model whose entry is left out is
//! reachable if another entry leads to the same provider, which must be reported; and a price of
//! `openai/*` would apply to it.

use std::collections::BTreeSet;

use crate::import::fields::Fields;
use crate::import::litellm::aliases::Aliases;
use crate::import::litellm::known::{KnownProvider, UNKNOWN};
use crate::import::notes::Notes;
use crate::import::plan::Plan;
use crate::import::planned::Unpriced;
use crate::import::provider::PlannedProvider;
use crate::provider::Kind;

/// The entries read so far.
#[derive(Default)]
pub(super) struct Entries {
    /// The names that clients use.
    pub(super) aliases: BTreeSet<String>,
    /// What they reach.
    pub(super) reached: Aliases,
    /// Models that have a route.
    carried: BTreeSet<ModelLocation>,
    left_out: Vec<LeftOut>,
}

/// The prefix of a model's provider, the model, and its address.
type ModelLocation = (&'static str, String, Option<String>);

struct LeftOut {
    known: &'static KnownProvider,
    model: String,
    title: String,
    /// The address of the model.
    address: Option<String>,
}

impl Entries {
    /// Records that an entry of this model, which names this address, became a route.
    pub(super) fn carry(&mut self, known: &KnownProvider, model: &str, address: Option<&str>) {
        let address = address_of(known, address);
        self.carried
            .insert((known.prefix, model.to_owned(), address));
    }

    /// Records that an entry of this model, with its provider's prefix and this address, was left
    /// out.
    pub(super) fn leave_out(&mut self, full: &str, entry: &Fields<'_>, address: Option<&str>) {
        // A name that is a variable or a pattern identifies no model.
        if let Some((known, model)) = KnownProvider::of_model(full)
            .or(address.map(|_| (&UNKNOWN, full)))
            .filter(|(_, model)| !model.contains('*'))
        {
            self.left_out.push(LeftOut {
                known,
                model: model.to_owned(),
                title: entry.title().to_owned(),
                address: address_of(known, address),
            });
        }
    }

    /// Notes which of the left out models are reachable, and makes sure that no price for other
    /// models applies to them.
    pub(super) fn note_reachable(&self, plan: &mut Plan, notes: &Notes) {
        let mut reported = BTreeSet::new();
        for one in &self.left_out {
            let model = (one.known.prefix, one.model.clone(), one.address.clone());
            if self.carried.contains(&model) {
                continue;
            }
            let reached = plan.providers.iter().filter(|it| is_at(it, one));
            let names: Vec<String> = reached.map(|it| it.name.clone()).collect();
            for name in names {
                if !reported.insert((model.clone(), name.clone())) {
                    continue;
                }
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

/// The address of a model whose entry names `address`, or none.
fn address_of(known: &KnownProvider, address: Option<&str>) -> Option<String> {
    own_address(known.kind, address.or(known.base_url))
}

/// The address of a provider of this kind, which may be the kind's own.
fn own_address(kind: &str, address: Option<&str>) -> Option<String> {
    let own = || Kind::named(kind)?.own_url(&|_| None);
    let address = address.map(str::to_owned).or_else(own)?;
    Some(address.trim_end_matches('/').to_owned())
}

/// Returns whether a provider is at the address of a model that was left out, and serves all
/// models.
fn is_at(provider: &PlannedProvider, one: &LeftOut) -> bool {
    let base = provider
        .settings
        .iter()
        .find(|(name, _)| *name == "base_url");
    let address = own_address(provider.kind, base.map(|(_, base)| base.as_str()));
    address.is_some() && address == one.address && !provider.has("deployment")
}
