//! Compares a configuration with what was fetched for it: rules that the file alone cannot break.
//!
//! Pure, as the check of the file is.

mod keys;
mod limits;
mod overlap;

use std::collections::HashMap;

use super::fetch::Fetched;
use super::meant::{Config, ProviderConfig};
use crate::document::{Problems, Severity};
use crate::usage::{PriceList, Prices};

/// Compares `config` with what was `fetched`, and notes in `problems` what does not fit together.
pub(super) fn compare(config: &Config, fetched: &Fetched, problems: &Problems) {
    let providers = config.providers.iter();
    let by_name: HashMap<&str, &ProviderConfig> = providers
        .map(|provider| (&*provider.name, provider))
        .collect();
    if let Some(keys) = &fetched.keys {
        keys::compare(config, &keys.keys, &by_name, problems);
        limits::compare(config, &keys.keys, &by_name, problems);
    }
    if let Prices::Listed(list) = &fetched.prices {
        prices(list, |name| by_name.contains_key(name), problems);
    }
    overlap::compare(&config.routes, &fetched.providers, problems);
}

/// Warns of prices for a provider that is not there: the model they are meant for may get the prices for all providers.
fn prices(list: &PriceList, is_provider: impl Fn(&str) -> bool, problems: &Problems) {
    for (name, at) in list.providers().filter(|(name, _)| !is_provider(name)) {
        let why = format!("there is no provider `{name}`: this price is for nothing");
        problems.push(at, Severity::Warning, why);
    }
}
