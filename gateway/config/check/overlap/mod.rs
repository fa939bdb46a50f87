//! Routes that lead to the same endpoints of a provider, for different clients: whoever may not use the one uses
//! the other. That may be meant, so it is a warning.

use std::collections::HashMap;

use super::super::RouteSpec;
use super::{Checked, Checker};
use crate::document::Location;
use crate::provider::{ProviderSpec, TokenSource};
use crate::route::{Access, HostPattern, PathPrefix};

/// Stands for any endpoint.
const ENDPOINT: &str = "/x";

/// The hosts of routes, by their path.
type HostsOf<'c> = HashMap<&'c str, Vec<&'c [HostPattern]>>;

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
        let mut paths = HostsOf::new();
        for route in routes {
            let hosts = paths.entry(route.path.as_str()).or_default();
            hosts.push(&route.hosts);
        }
        let mut origins: HashMap<String, Vec<Place<'_>>> = HashMap::new();
        for (route, at) in routes.iter().zip(lines) {
            let checked = providers.get(&*route.provider);
            if let Some(provider) = checked.and_then(|checked| checked.spec.as_ref()) {
                let origin = provider.base_url.origin();
                let place = Place {
                    route,
                    provider,
                    at,
                };
                origins.entry(origin).or_default().push(place);
            }
        }
        for places in origins.values() {
            for narrow in places {
                let mut others = places.iter();
                if let Some(broad) = others.find(|broad| broad.leads_around(narrow, &paths)) {
                    self.warn(narrow.at, warning(broad, narrow));
                }
            }
        }
    }
}

impl Place<'_> {
    /// Whether clients that may not use `narrow` reach by this route what it leads to. `paths` are those of all
    /// routes.
    fn leads_around(&self, narrow: &Self, paths: &HostsOf<'_>) -> bool {
        let same_base = self.base() == narrow.base();
        // Two doors to one provider, side by side, hide nothing from anybody.
        (!same_base || is_within(narrow, self) || is_within(self, narrow))
            && lets_in_others(&self.route.access, &narrow.route.access)
            && is_same_account(&self.provider.token, &narrow.provider.token)
            && self.reaches(narrow.base(), paths)
    }

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
        let others: Vec<&&[HostPattern]> = others.flatten().collect();
        let mut hosts = self.route.hosts.iter();
        hosts.all(|host| others.iter().any(|theirs| theirs.contains(host)))
    }
}

fn is_within(inner: &Place<'_>, outer: &Place<'_>) -> bool {
    let (inner, outer): (&PathPrefix, &PathPrefix) = (&inner.route.path, &outer.route.path);
    inner != outer && outer.strip(inner.as_str()).is_some()
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

/// Whether what is behind two tokens may be the same. What a caller may do by its own token is no route's to say.
fn is_same_account(one: &TokenSource, other: &TokenSource) -> bool {
    match (one, other) {
        (TokenSource::Fixed(Ok(one)), TokenSource::Fixed(Ok(other))) => {
            one.expose() == other.expose()
        }
        (TokenSource::Key(one), TokenSource::Key(other)) => one == other,
        (TokenSource::Fixed(_), TokenSource::Fixed(_)) | (TokenSource::None, TokenSource::None) => {
            true
        }
        _ => false,
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
