//! A route with its provider, and which requests reach it.

use std::collections::{HashMap, HashSet};

use super::super::super::meant::RouteSpec;
use crate::document::Location;
use crate::provider::ProviderSpec;
use crate::route::{Access, HostPattern};

/// An example of an endpoint.
pub(super) const ENDPOINT: &str = "/x";

/// The hosts of routes, by their path.
pub(super) type HostsOf<'c> = HashMap<&'c str, HashSet<&'c HostPattern>>;

/// A route and its provider.
pub(super) struct Place<'c> {
    pub(super) route: &'c RouteSpec,
    pub(super) provider: &'c ProviderSpec,
    pub(super) at: &'c Location,
}

/// The hosts of `routes`.
pub(super) fn hosts_of<'c>(routes: impl IntoIterator<Item = &'c RouteSpec>) -> HostsOf<'c> {
    let mut paths = HostsOf::new();
    for route in routes {
        let hosts = paths.entry(route.path.as_str()).or_default();
        hosts.extend(&route.hosts);
    }
    paths
}

impl Place<'_> {
    /// The base path of the provider.
    pub(super) fn base(&self) -> &str {
        &self.provider.base_url.path
    }

    /// Whether a request on this route can reach the endpoints under `base`. It cannot if another spelling of its path
    /// belongs to another route.
    pub(super) fn reaches(&self, base: &str, paths: &HostsOf<'_>) -> bool {
        let target = format!("{base}{ENDPOINT}");
        let mut spellings = self.provider.paths.spellings(&target).peekable();
        spellings.peek().is_some() && !spellings.any(|rest| self.other_route_takes(rest, paths))
    }

    /// Whether the path `rest` below this route belongs to another route on every host of this one. A route for other
    /// hosts takes none of its requests, and one whose hosts are less exact comes after this one.
    fn other_route_takes(&self, rest: &str, paths: &HostsOf<'_>) -> bool {
        let own = self.route.path.as_str();
        let path = format!("{own}{rest}");
        let ends = path.match_indices('/').map(|(at, _)| at);
        let inner = ends.filter(|at| *at > own.len());
        let others: Vec<&HashSet<&HostPattern>> =
            inner.filter_map(|at| paths.get(path.get(..at)?)).collect();
        let mut hosts = self.route.hosts.iter();
        hosts.all(|host| others.iter().any(|theirs| theirs.contains(host)))
    }
}

/// Whether `broad` permits clients that `narrow` does not.
pub(super) fn lets_in_others(broad: &Access, narrow: &Access) -> bool {
    match (broad, narrow) {
        (_, Access::Open) => false,
        (Access::Open, Access::Keys(_)) => true,
        (Access::Keys(broad), Access::Keys(narrow)) => !narrow
            .0
            .iter()
            .all(|pair| broad.0.iter().any(|own| own == pair)),
    }
}
