//! Searches for a route that bypasses another. Only routes that can be related are compared: those with the same account
//! at the same provider, one of whose paths or base paths lies within the other's, and of those with the same labels the
//! first one. So the search takes about linear time in the number of routes.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::place::{HostsOf, Place, lets_in_others};
use crate::provider::TokenSource;
use crate::route::Access;

/// The labels that a route's keys carry; `None` for anyone.
type Labels<'c> = Option<&'c BTreeMap<String, String>>;

/// The account at a provider that a token belongs to. The account of a caller's own token is not known.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Account<'c> {
    /// The account of this token.
    Token(&'c str),
    /// The account of a token that could not be read, which may be any.
    Unread,
    /// The account of any token of the configuration.
    AnyToken,
    /// The accounts of the tokens that keys have in their metadata under this name.
    Key(&'c str),
    /// The provider needs no token.
    Open,
}

impl<'c> Account<'c> {
    /// The accounts that a provider with this token is listed under.
    fn listed(token: &'c TokenSource) -> Vec<Self> {
        match token {
            TokenSource::Fixed(Ok(token)) => vec![Self::Token(token.expose()), Self::AnyToken],
            TokenSource::Fixed(Err(_)) => vec![Self::Unread, Self::AnyToken],
            TokenSource::Key(name) => vec![Self::Key(name)],
            TokenSource::None => vec![Self::Open],
            TokenSource::Passthrough => vec![],
        }
    }

    /// The accounts under which to find the providers that may have the same account as this token.
    fn searched(token: &'c TokenSource) -> Vec<Self> {
        match token {
            TokenSource::Fixed(Ok(token)) => vec![Self::Token(token.expose()), Self::Unread],
            TokenSource::Fixed(Err(_)) => vec![Self::AnyToken],
            _ => Self::listed(token),
        }
    }
}

/// Places by their numbers, ascending; of several with the same labels, the first one.
#[derive(Default)]
struct Firsts<'c> {
    numbers: Vec<(usize, &'c Access)>,
    known: HashSet<Labels<'c>>,
    /// By the labels of a narrower route: how many of the places, from the first on, permit no other clients.
    passed: HashMap<Labels<'c>, usize>,
}

impl<'c> Firsts<'c> {
    fn push(&mut self, number: usize, access: &'c Access) {
        if self.known.insert(labels(access)) {
            self.numbers.push((number, access));
        }
    }

    /// The first place that permits clients that `narrow` does not; counts the comparisons.
    fn outsider(&mut self, narrow: &'c Access, comparisons: &mut usize) -> Option<usize> {
        let passed = self.passed.entry(labels(narrow)).or_default();
        while let Some((number, broad)) = self.numbers.get(*passed) {
            *comparisons += 1;
            if lets_in_others(broad, narrow) {
                return Some(*number);
            }
            *passed += 1;
        }
        None
    }
}

/// The places that reach one base path from another one, as far as the search went.
#[derive(Default)]
struct Reaching<'c> {
    found: Firsts<'c>,
    /// How many places were searched.
    looked_at: usize,
}

/// The places with the same account at the same origin.
#[derive(Default)]
struct Group<'c> {
    /// All places.
    all: Firsts<'c>,
    /// The places that reach their own base path, by that and by their path.
    at: HashMap<(&'c str, &'c str), Firsts<'c>>,
    /// The same places, by each path that theirs lies within.
    within: HashMap<(&'c str, &'c str), Firsts<'c>>,
    /// All places, by the beginning of every path at the provider.
    stems: HashMap<&'c str, Vec<usize>>,
    /// The places that reach a base path from another one, by a stem and a base path that begins with it.
    reaching: HashMap<(&'c str, &'c str), Reaching<'c>>,
}

/// The places that are searched, and the cost of the search.
struct Search<'c> {
    places: &'c [Place<'c>],
    paths: &'c HostsOf<'c>,
    /// The number of comparisons of two places.
    comparisons: usize,
}

/// All places of a configuration.
pub(super) struct Index<'c> {
    groups: HashMap<(String, Account<'c>), Group<'c>>,
    search: Search<'c>,
}

impl<'c> Index<'c> {
    /// Builds the index of `places`; `paths` are those of all routes.
    pub(super) fn new(places: &'c [Place<'c>], paths: &'c HostsOf<'c>) -> Self {
        let mut groups: HashMap<_, Group<'c>> = HashMap::new();
        for (number, place) in places.iter().enumerate() {
            let origin = place.provider.base_url.origin();
            let reaches_own = place.reaches(place.base(), paths);
            for account in Account::listed(&place.provider.token) {
                let group = groups.entry((origin.clone(), account)).or_default();
                group.list(number, place, reaches_own);
            }
        }
        let search = Search {
            places,
            paths,
            comparisons: places.len(),
        };
        Self { groups, search }
    }

    /// The first place by which clients that may not use `narrow` reach its endpoints.
    pub(super) fn around(&mut self, narrow: &'c Place<'c>) -> Option<&'c Place<'c>> {
        if narrow.route.access == Access::Open {
            return None;
        }
        let Self { groups, search } = self;
        let origin = narrow.provider.base_url.origin();
        let accounts = Account::searched(&narrow.provider.token).into_iter();
        let found = accounts.filter_map(|account| {
            let group = groups.get_mut(&(origin.clone(), account))?;
            group.around(narrow, search)
        });
        let found = found.min()?;
        self.search.places.get(found)
    }
}

impl<'c> Group<'c> {
    fn list(&mut self, number: usize, place: &'c Place<'c>, reaches_own: bool) {
        let access = &place.route.access;
        self.all.push(number, access);
        for stem in place.provider.paths.stems() {
            self.stems.entry(stem).or_default().push(number);
        }
        if !reaches_own {
            return;
        }
        let (base, own) = (place.base(), place.route.path.as_str());
        self.at.entry((base, own)).or_default().push(number, access);
        for path in outside(own) {
            let within = self.within.entry((base, path)).or_default();
            within.push(number, access);
        }
    }

    fn around(&mut self, narrow: &'c Place<'c>, search: &mut Search<'c>) -> Option<usize> {
        // Usually all places have the same labels.
        let access = &narrow.route.access;
        self.all.outsider(access, &mut search.comparisons)?;
        let same_base = self.by_path(narrow, &mut search.comparisons);
        let base = narrow.base();
        let stems = outside(base).chain([base]);
        let other_base = stems.filter_map(|stem| self.by_base(stem, narrow, search));
        other_base.chain(same_base).min()
    }

    /// The first place with the same base path whose route lies within the other's or around it. Two separate routes to
    /// one provider are visible in the file, and are not reported.
    fn by_path(&mut self, narrow: &'c Place<'c>, comparisons: &mut usize) -> Option<usize> {
        let (base, own) = (narrow.base(), narrow.route.path.as_str());
        let access = &narrow.route.access;
        let outer = outside(own).filter_map(|path| {
            let outer = self.at.get_mut(&(base, path))?;
            outer.outsider(access, comparisons)
        });
        let outer = outer.min();
        let inner = self
            .within
            .get_mut(&(base, own))
            .and_then(|inner| inner.outsider(access, comparisons));
        outer.into_iter().chain(inner).min()
    }

    /// The first place under `stem` that reaches the base path of `narrow` from another base path.
    fn by_base(
        &mut self,
        stem: &'c str,
        narrow: &'c Place<'c>,
        search: &mut Search<'c>,
    ) -> Option<usize> {
        let listed = self.stems.get(stem)?;
        let (base, access) = (narrow.base(), &narrow.route.access);
        let reaching = self.reaching.entry((stem, base)).or_default();
        loop {
            let found = reaching.found.outsider(access, &mut search.comparisons);
            if found.is_some() {
                return found;
            }
            let number = *listed.get(reaching.looked_at)?;
            reaching.looked_at += 1;
            search.look_at(number, base, &mut reaching.found);
        }
    }
}

impl<'c> Search<'c> {
    /// Adds a place to `found` if it reaches `base` from another base path.
    fn look_at(&mut self, number: usize, base: &str, found: &mut Firsts<'c>) {
        self.comparisons += 1;
        let Some(place) = self.places.get(number) else {
            return;
        };
        let access = &place.route.access;
        let is_new = place.base() != base && !found.known.contains(&labels(access));
        if is_new && place.reaches(base, self.paths) {
            found.push(number, access);
        }
    }
}

fn labels(access: &Access) -> Labels<'_> {
    match access {
        Access::Keys(selector) => Some(&selector.0),
        Access::Open => None,
    }
}

/// The prefixes of `path` that are shorter by segments, from the shortest on.
fn outside(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').filter_map(|(at, _)| path.get(..at))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
