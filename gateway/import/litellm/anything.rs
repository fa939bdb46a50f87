//! `model: "*"`: any model of any provider whose token is available.
//!
//! `LiteLLM` chooses the provider by the model's name in the request and takes the provider's token
//! from the environment. Here each of these providers gets a route.

use std::collections::BTreeMap;

use crate::import::litellm::known::Known;
use crate::import::litellm::surroundings::Surroundings;

/// The providers that clients of such an entry can reach. The error is the reason why they are not
/// known.
pub(super) fn providers(
    place: &BTreeMap<&'static str, String>,
    around: &Surroundings<'_>,
) -> Result<Vec<&'static Known>, String> {
    let reached: Vec<&'static Known> = match place.get("api_key") {
        Some(key) => Known::of_anybody()
            .filter(|known| is_token_of(key, known))
            .collect(),
        None => Known::of_anybody()
            .filter(|known| known.tokens.iter().any(|token| around.is_set(token)))
            .collect(),
    };
    let mut distinct: Vec<&'static Known> = Vec::new();
    for known in reached {
        let is_there =
            |other: &&Known| (other.kind, other.base_url) == (known.kind, known.base_url);
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
fn is_token_of(key: &str, known: &Known) -> bool {
    let variable = key.strip_prefix("os.environ/");
    variable.is_some_and(|variable| known.tokens.contains(&variable))
}
