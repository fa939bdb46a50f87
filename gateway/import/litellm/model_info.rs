//! `model_info` of a deployment, which is for people and for billing.

use crate::import::fields::Fields;
use crate::import::litellm::prices::{DeploymentPrices, Outputs, WITHOUT_OUTPUT};
use crate::import::provider::PlannedProvider;

/// The contents of `model_info`.
#[derive(Default)]
pub(super) struct ModelInfo {
    /// Whether only some clients may use the deployment.
    pub(super) restricted: bool,
    pub(super) prices: DeploymentPrices,
    pub(super) outputs: Outputs,
    /// The model behind a deployment that has a name of its own.
    pub(super) base_model: Option<String>,
}

impl ModelInfo {
    /// Takes `model_info` from an entry.
    pub(super) fn take(entry: &mut Fields<'_>) -> Self {
        let Some(mut info) = entry.fields(&["model_info"]) else {
            entry.value(&["model_info"]);
            return Self::default();
        };
        let prices = DeploymentPrices::take(&mut info, "model_info");
        let mode = info.text("mode").unwrap_or_default();
        let outputs = if WITHOUT_OUTPUT.contains(&mode.as_str()) {
            Outputs::None
        } else {
            Outputs::Tokens
        };
        Self {
            base_model: info.text("base_model"),
            restricted: is_restricted(&mut info),
            prices,
            outputs,
        }
    }
}

/// Takes the fields that let only some clients use the deployment. Returns whether one is set.
fn is_restricted(info: &mut Fields<'_>) -> bool {
    let mut restricted = false;
    for name in ["team_id", "blocked"] {
        let value = info.text(name);
        if value.is_some_and(|value| value != "false") {
            let why = "not everybody may use it there, and keygate cannot tell who: the entry is left out";
            info.lost(name, why);
            restricted = true;
        }
    }
    restricted
}

/// The model names in responses of a deployment: the name itself, or with a date. An Azure
/// deployment has a provider of its own, and its name says nothing about its model.
pub(super) fn names_in_responses(
    provider: &PlannedProvider,
    model: &str,
    base_model: Option<&str>,
) -> Vec<String> {
    if provider.kind == "azure-openai" {
        return vec!["*".to_owned()];
    }
    let base_model = base_model.map(|base| base.rsplit_once('/').map_or(base, |(_, name)| name));
    let mut names = Vec::new();
    for name in [Some(model), base_model].into_iter().flatten() {
        names.push(name.to_owned());
        if !name.contains('*') {
            names.push(format!("{name}-20*"));
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}
