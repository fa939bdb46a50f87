//! `model: "*"`: any model of any provider whose token is available.
//!
//! `LiteLLM` chooses the provider by the model's name in the request and takes the provider's token
//! from the environment. Here each of these providers gets a route.

use crate::import::litellm::common_settings::CommonSettings;
use crate::import::litellm::known::KnownProvider;
use crate::import::litellm::place::Place;

/// The providers that clients of such an entry can reach. The error is the reason why they are not
/// known.
pub(super) fn providers(
    place: &Place,
    common: &CommonSettings<'_>,
) -> Result<Vec<&'static KnownProvider>, String> {
    let reached: Vec<&'static KnownProvider> = match place.get("api_key") {
        Some(key) => KnownProvider::of_anybody()
            .filter(|known| is_token_of(key, known))
            .collect(),
        None => KnownProvider::of_anybody()
            .filter(|known| known.tokens.iter().any(|token| common.is_set(token)))
            .collect(),
    };
    let mut distinct: Vec<&'static KnownProvider> = Vec::new();
    for known in reached {
        let is_there =
            |other: &&KnownProvider| (other.kind, other.base_url) == (known.kind, known.base_url);
        if !distinct.iter().any(is_there) {
            distinct.push(known);
        }
    }
    if !distinct.is_empty() {
        return Ok(distinct);
    }
    Err(match place.get("api_key") {
        Some(_) => "`*` is any model of any provider, and this key goes to each of them there: name the provider \
                    whose key it is, such as `openai/*`"
            .to_owned(),
        None => "`*` is any model of any provider whose token is in the environment, and here there is none: set \
                 the variables that LiteLLM runs with, such as OPENAI_API_KEY, and import again, or name providers, \
                 such as `openai/*`"
            .to_owned(),
    })
}

/// Returns whether `key` refers to the environment variable that holds this provider's token.
fn is_token_of(key: &str, known: &KnownProvider) -> bool {
    let variable = key.strip_prefix("os.environ/");
    variable.is_some_and(|variable| known.tokens.contains(&variable))
}
