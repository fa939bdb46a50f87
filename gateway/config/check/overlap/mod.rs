//! Routes that lead to the same endpoints of a provider, for different clients: whoever may not use the one uses
//! the other. That may be meant, so it is a warning.

mod index;

use std::collections::{HashMap, HashSet};

use self::index::Index;
use super::super::RouteSpec;
use super::{Checked, Checker};
use crate::document::Location;
use crate::provider::ProviderSpec;
use crate::route::{Access, HostPattern};

/// Stands for any endpoint.
const ENDPOINT: &str = "/x";

/// The hosts of routes, by their path.
type HostsOf<'c> = HashMap<&'c str, HashSet<&'c HostPattern>>;

/// A route and its provider.
struct Place<'c> {
    route: &'c RouteSpec,
    provider: &'c ProviderSpec,
    at: &'c Location,
}

impl Checker<'_> {
    /// Warns once about each of `routes` that a broader one leads around. `lines` are the routes' places in the
    /// file, in the same order.
    pub(super) fn overlaps(
        &self,
        routes: &[RouteSpec],
        lines: &[Location],
        providers: &HashMap<String, Checked>,
    ) {
        let paths = hosts_of(routes);
        let places = routes.iter().zip(lines).filter_map(|(route, at)| {
            let provider = providers.get(&*route.provider)?.spec.as_ref()?;
            Some(Place {
                route,
                provider,
                at,
            })
        });
        let places: Vec<Place<'_>> = places.collect();
        let mut index = Index::new(&places, &paths);
        for narrow in &places {
            if let Some(broad) = index.around(narrow) {
                self.warn(narrow.at, warning(broad, narrow));
            }
        }
    }
}

fn hosts_of(routes: &[RouteSpec]) -> HostsOf<'_> {
    let mut paths = HostsOf::new();
    for route in routes {
        let hosts = paths.entry(route.path.as_str()).or_default();
        hosts.extend(&route.hosts);
    }
    paths
}

impl Place<'_> {
    fn base(&self) -> &str {
        &self.provider.base_url.path
    }

    /// Whether a request on this route is sent to what stands behind `base`. It is not where another spelling of
    /// its path belongs to another route.
    fn reaches(&self, base: &str, paths: &HostsOf<'_>) -> bool {
        let target = format!("{base}{ENDPOINT}");
        let mut spellings = self.provider.paths.spellings(&target).peekable();
        spellings.peek().is_some() && !spellings.any(|rest| self.is_anothers(rest, paths))
    }

    /// Whether a path belongs to another route on every host that this one is for. One for other hosts takes none of
    /// its requests there, and where they are named less exactly, this one comes first.
    fn is_anothers(&self, rest: &str, paths: &HostsOf<'_>) -> bool {
        let own = self.route.path.as_str();
        let path = format!("{own}{rest}");
        let ends = path.match_indices('/').map(|(at, _)| at);
        let inner = ends.filter(|at| *at > own.len());
        let others = inner.filter_map(|at| paths.get(path.get(..at)?));
        let others: Vec<&HashSet<&HostPattern>> = others.collect();
        let mut hosts = self.route.hosts.iter();
        hosts.all(|host| others.iter().any(|theirs| theirs.contains(host)))
    }
}

/// Whether `broad` lets in clients that `narrow` does not.
fn lets_in_others(broad: &Access, narrow: &Access) -> bool {
    match (broad, narrow) {
        (_, Access::Open) => false,
        (Access::Open, Access::Keys(_)) => true,
        (Access::Keys(broad), Access::Keys(narrow)) => !narrow
            .0
            .iter()
            .all(|pair| broad.0.iter().any(|own| own == pair)),
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
    let inner = longest.and_then(|rest| rest.strip_suffix(ENDPOINT));
    let inner = inner.map(|inner| format!("{}{inner}", broad.route.path.as_str()));
    let cure = match inner.filter(|_| broad.base() != narrow.base()) {
        // Its path is right, and it is for other hosts.
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
