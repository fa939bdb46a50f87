//! A deployment of `LiteLLM`: an entry of `model_list`.
//!
//! The token and the prompts go where `LiteLLM` sends them, or the entry is left out: a field that
//! is not known to be harmless may name another address.

use std::collections::BTreeMap;

use crate::import::fields::Fields;
use crate::import::litellm::common_settings::CommonSettings;
use crate::import::litellm::left_out::Entries;
use crate::import::litellm::limits::deployment::DeploymentLimits;
use crate::import::litellm::model_info::{ModelInfo, names_in_responses};
use crate::import::litellm::params;
use crate::import::litellm::place::{self, Fault, Place};
use crate::import::litellm::prices::{DeploymentPrices, Outputs, PricedModels};
use crate::import::litellm::provider::provider;
use crate::import::litellm::target::{Target, is_anything, targets};
use crate::import::plan::Plan;
use crate::import::planned::PlannedRoute;
use crate::import::provider::{PlannedProvider, plain_note};

/// An entry that was understood.
struct Deployment<'n> {
    /// The model, with the prefix of its provider.
    full: String,
    place: Place,
    params: Fields<'n>,
    prices: DeploymentPrices,
    outputs: Outputs,
    base_model: Option<String>,
    limits: DeploymentLimits,
}

/// Imports an entry of `model_list`, which clients call `alias`.
pub(super) fn deployment(
    alias: &str,
    entry: &mut Fields<'_>,
    common: &CommonSettings<'_>,
    plan: &mut Plan,
    entries: &mut Entries,
) {
    let Some(deployment) = Deployment::read(entry, common, entries) else {
        return;
    };
    let targets = match targets(&deployment.full, &deployment.place, common) {
        Ok(targets) => targets,
        Err(why) => return deployment.params.lost("model", why),
    };
    let mut is_other = !entries.aliases.insert(alias.to_owned());
    for target in targets {
        let planned = match deployment.provider(target, common, plan) {
            Ok(planned) => planned,
            Err(fault) => {
                deployment.note_fault(target, &fault);
                entries.leave_out(&deployment.full, entry, deployment.address());
                continue;
            }
        };
        let priced_as =
            names_in_responses(&planned, target.model, deployment.base_model.as_deref());
        let model = (!planned.has("deployment")).then_some(target.model);
        let name = add_route(planned, entry, plan);
        entries.carry(target.provider, target.model, deployment.address());
        let reached = (name.clone(), model.map(str::to_owned));
        entries.reached.add(alias, target.provider.prefix, reached);
        let limits = &deployment.limits;
        limits.apply(&deployment.params, common, &name, model, plan);
        deployment.plan_price(priced_as, &name, entry, plan);
        if std::mem::take(&mut is_other) {
            entry.lost("model_name", format!(
                "there is another entry of that name: keygate does not spread requests, `/{name}` is a route of its own"
            ));
        }
        note_model_names(entry, &name, alias, target.model);
    }
}

impl<'n> Deployment<'n> {
    /// Reads an entry. Returns `None` if it is left out; then the reason was noted.
    fn read(
        entry: &mut Fields<'n>,
        common: &CommonSettings<'_>,
        entries: &mut Entries,
    ) -> Option<Self> {
        let info = ModelInfo::take(entry);
        let Some(mut params) = entry.fields(&["litellm_params"]) else {
            entry.lost("litellm_params", "there are none");
            return None;
        };
        let full = model_of(&mut params);
        let prices = DeploymentPrices::take(&mut params, "litellm_params").or(info.prices);
        let limits = DeploymentLimits::take(&mut params);
        let place = place::read(&mut params, common);
        let is_unclear = params::discard_remaining(&mut params);
        let place = match place {
            Ok(place) => place,
            Err(Fault { field, why }) => {
                entries.leave_out(&full, entry, None);
                params.lost(field, format!("{why}: the entry is left out"));
                return None;
            }
        };
        let has_unknown = entry.discard_unknown(&[]);
        if is_unclear || has_unknown || info.restricted {
            entries.leave_out(&full, entry, place.get("api_base").map(String::as_str));
            return None;
        }
        let full =
            match common.resolve(&full) {
                Ok(full) => full,
                Err(variable) => {
                    params.lost("model", format!(
                    "the environment variable {variable} is not set here: the entry is left out"
                ));
                    return None;
                }
            };
        Some(Self {
            full,
            place,
            params,
            prices,
            outputs: info.outputs,
            base_model: info.base_model,
            limits,
        })
    }

    /// The address that the entry names.
    fn address(&self) -> Option<&str> {
        self.place.get("api_base").map(String::as_str)
    }

    /// Makes the provider of a target, and notes if its requests go unencrypted.
    fn provider(
        &self,
        target: Target<'_>,
        common: &CommonSettings<'_>,
        plan: &mut Plan,
    ) -> Result<PlannedProvider, Fault> {
        let planned = provider(target, &self.place, common, plan, &self.params)?;
        if planned.has("plain_http") {
            let url = planned.own_url().map(|url| url.display());
            self.params.note("", plain_note(&url.unwrap_or_default()));
        }
        Ok(planned)
    }

    /// Notes why a target gets no route.
    fn note_fault(&self, target: Target<'_>, fault: &Fault) {
        let why = &fault.why;
        let what = if is_anything(&self.full, &self.place) {
            format!("`{}/*`: {why}: it is left out", target.provider.prefix)
        } else {
            format!("{why}: the entry is left out")
        };
        self.params.lost(fault.field, what);
    }

    /// Plans the price of models at a provider.
    fn plan_price(&self, names: Vec<String>, provider: &str, entry: &Fields<'_>, plan: &mut Plan) {
        let models = PricedModels {
            names,
            provider,
            outputs: self.outputs,
        };
        self.prices.plan(models, entry, plan);
    }
}

/// Takes the name of the model, with the prefix of its provider.
fn model_of(params: &mut Fields<'_>) -> String {
    let model = params.text("model").unwrap_or_default();
    match params.text("custom_llm_provider") {
        Some(provider) => format!("{provider}/{model}"),
        None => model,
    }
}

/// Adds a provider, and a route for it if it is new. Returns the name of both.
fn add_route(planned: PlannedProvider, entry: &Fields<'_>, plan: &mut Plan) -> String {
    let before = plan.providers.len();
    let versionless = planned.has("default_endpoint");
    let name = plan.add_provider(planned);
    if plan.providers.len() > before {
        if versionless {
            entry.note("litellm_params", format!(
                "its address does not end with `/v1`: clients leave that out, too, and ask `/{name}/chat/completions`"
            ));
        }
        plan.routes.push(PlannedRoute {
            name: name.clone(),
            path: format!("/{name}"),
            provider: name.clone(),
            keys: Some(BTreeMap::new()),
            from: entry.place(""),
            ..PlannedRoute::default()
        });
    }
    name
}

/// Notes which model names clients must use here.
fn note_model_names(entry: &Fields<'_>, name: &str, alias: &str, model: &str) {
    if model.contains('*') {
        entry.lost("model_name", format!(
            "keygate does not change bodies: clients of `/{name}` say the provider's own name of a model where they said one like `{alias}`"
        ));
    } else if alias != model {
        entry.lost("model_name", format!(
            "keygate does not change bodies: clients of `/{name}` say `{model}` where they said `{alias}`"
        ));
    }
}
