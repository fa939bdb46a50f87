//! The providers that the model of a deployment names.

use crate::import::litellm::anything;
use crate::import::litellm::common_settings::CommonSettings;
use crate::import::litellm::known::{KnownProvider, UNKNOWN};
use crate::import::litellm::place::Place;

/// A model at a provider.
#[derive(Clone, Copy)]
pub(super) struct Target<'m> {
    pub(super) provider: &'static KnownProvider,
    /// The provider's own name of the model.
    pub(super) model: &'m str,
}

/// Returns whether a deployment leads to any model of any provider.
pub(super) fn is_anything(full: &str, place: &Place) -> bool {
    full == "*" && !place.contains_key("api_base")
}

/// The targets of a model, which `full` names together with its provider. The error is the reason
/// why they are not known.
pub(super) fn targets<'m>(
    full: &'m str,
    place: &Place,
    common: &CommonSettings<'_>,
) -> Result<Vec<Target<'m>>, String> {
    if is_anything(full, place) {
        let reached = anything::providers(place, common)?.into_iter();
        let targets = reached.map(|provider| Target {
            provider,
            model: full,
        });
        return Ok(targets.collect());
    }
    let has_address = place.contains_key("api_base");
    let found = KnownProvider::of_model(full).or_else(|| has_address.then_some((&UNKNOWN, full)));
    let Some((provider, model)) = found else {
        let prefix = full.split('/').next().unwrap_or_default();
        return Err(format!(
            "keygate has no kind of provider for `{prefix}`, and knows no address of it: say its own `api_base` if its API is like OpenAI's"
        ));
    };
    Ok(vec![Target { provider, model }])
}
