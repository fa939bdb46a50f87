//! Whether the keys fit the routes that they are for.

use std::collections::HashMap;

use super::super::meant::{Config, ProviderConfig, RouteConfig, TokenConfig};
use crate::document::{Location, Problems, Severity, enumerate};
use crate::key::{ClientKey, LoadedKeys, Selector};
use crate::route::Access;

/// How many keys a warning names.
pub(super) const MOST_NAMED: usize = 5;

/// Notes routes that no key may use, and keys without the token that their route sends.
pub(super) fn compare(
    config: &Config,
    keys: &LoadedKeys,
    providers: &HashMap<&str, &ProviderConfig>,
    problems: &Problems,
) {
    if config.keys.are_needed && keys.count() == 0 {
        let at = Location::of_file(&config.keys.file.value);
        let why = "there is no key in it: nobody can come in";
        problems.push(&at, Severity::Warning, why);
    }
    for route in &config.routes {
        let Access::Keys(selector) = &route.access else {
            continue;
        };
        let comparison = Comparison {
            route,
            selector,
            keys,
            problems,
        };
        comparison.someone_can_use_it();
        let provider = providers.get(&*route.provider);
        if let Some(TokenConfig::Key(entry)) = provider.and_then(|it| it.token.as_ref()) {
            comparison.odd_tokens(entry);
            comparison.missing_tokens(entry);
        }
    }
}

/// One route and the keys.
struct Comparison<'c> {
    route: &'c RouteConfig,
    selector: &'c Selector,
    keys: &'c LoadedKeys,
    problems: &'c Problems,
}

impl Comparison<'_> {
    fn warn(&self, why: String) {
        self.problems.push(&self.route.at, Severity::Warning, why);
    }

    /// The keys that may use the route.
    fn taken(&self) -> impl Iterator<Item = &ClientKey> {
        let takes = |key: &&ClientKey| self.selector.takes(key);
        self.keys.iter().filter(takes)
    }

    fn someone_can_use_it(&self) {
        let Selector(labels) = self.selector;
        if labels.is_empty() || self.taken().next().is_some() {
            return;
        }
        let labels: Vec<String> = labels
            .iter()
            .map(|(k, v)| format!("--label {k}={v}"))
            .collect();
        let why = format!(
            "no key satisfies the selector of the route `{}` ({}): nobody could use it; make one with `keygate keys \
             create --id NAME {}`",
            self.route.name,
            self.selector,
            labels.join(" "),
        );
        self.problems.push(&self.route.at, Severity::Strict, why);
    }

    /// Warns of keys whose own tokens, in the metadata `entry`, look as if more had been pasted than the token.
    fn odd_tokens(&self, entry: &str) {
        let odd = self.taken().filter_map(|key| {
            let what = key.metadata(entry)?.oddity()?;
            Some((&*key.id, what))
        });
        for (id, what) in odd.take(MOST_NAMED) {
            let route = &self.route.name;
            self.warn(format!(
                "the route `{route}` sends the metadata `{entry}` of key `{id}`, which {what}"
            ));
        }
    }

    /// Warns of keys that have no token of their own in the metadata `entry`.
    fn missing_tokens(&self, entry: &str) {
        let lacking: Vec<&str> = self
            .taken()
            .filter(|key| !key.metadata.contains_key(entry))
            .map(|key| &*key.id)
            .take(MOST_NAMED)
            .collect();
        if !lacking.is_empty() {
            let route = &self.route.name;
            self.warn(format!(
                "the route `{route}` sends each key's own `{entry}`, which {} has not: 503 for it",
                enumerate(lacking),
            ));
        }
    }
}
