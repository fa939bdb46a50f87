//! Routes that lead to the same endpoints of a provider, for different clients: whoever may not use one uses the other.
//! That may be meant, so it is a warning.

mod index;
mod place;

use std::collections::HashMap;

use self::index::Index;
use self::place::{ENDPOINT, Place, hosts_of};
use super::super::meant::RouteConfig;
use crate::document::{Problems, Severity};
use crate::provider::ProviderSpec;

/// Warns once about each of `routes` that a broader one bypasses.
pub(super) fn compare(routes: &[RouteConfig], providers: &[ProviderSpec], problems: &Problems) {
    let by_name: HashMap<&str, &ProviderSpec> =
        providers.iter().map(|spec| (&*spec.name, spec)).collect();
    let paths = hosts_of(routes.iter().filter_map(|route| route.spec.as_ref()));
    let places: Vec<Place<'_>> = routes
        .iter()
        .filter_map(|route| {
            Some(Place {
                route: route.spec.as_ref()?,
                provider: by_name.get(&*route.provider)?,
                at: &route.at,
            })
        })
        .collect();
    let mut index = Index::new(&places, &paths);
    for narrow in &places {
        if let Some(broad) = index.around(narrow) {
            problems.push(narrow.at, Severity::Warning, warning(broad, narrow));
        }
    }
}

fn warning(broad: &Place<'_>, narrow: &Place<'_>) -> String {
    let (name, other, line) = (&narrow.route.name, &broad.route.name, broad.at.line);
    let url = narrow.provider.base_url.display();
    let target = format!("{}{ENDPOINT}", narrow.base());
    let longest = broad
        .provider
        .paths
        .spellings(&target)
        .max_by_key(|rest| rest.len());
    let inner = longest
        .and_then(|rest| rest.strip_suffix(ENDPOINT))
        .map(|inner| format!("{}{inner}", broad.route.path.as_str()));
    let cure = match inner.filter(|_| broad.base() != narrow.base()) {
        // The path is right already, and the hosts differ.
        Some(inner) if inner == narrow.route.path.as_str() => {
            format!("give `{name}` the hosts of `{other}` as well")
        }
        Some(inner) => {
            format!("give `{name}` the path `{inner}`, then `{other}` leads there no more")
        }
        None => "give the provider of the one that is for a part a longer base_url".to_owned(),
    };
    format!(
        "what the route `{name}` leads to ({url}) is reached by `{other}` in line {line} as well, by clients \
         that `{name}` does not take. If that is not meant: {cure}"
    )
}
