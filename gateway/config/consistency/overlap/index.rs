//! The search for a route that leads around another. Only routes that can be related are compared: those with the
//! same account at the same provider, whose paths lie within each other or whose base paths do, and of those that
//! take the same keys the first one. So the search takes time about linear in the number of routes.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::place::{HostsOf, Place, lets_in_others};
use crate::provider::TokenSource;
use crate::route::Access;

/// The labels that a route's keys carry; `None` for anyone.
type Labels<'c> = Option<&'c BTreeMap<String, String>>;

/// What a token gives access to at a provider. What a caller's own token gives access to is not known.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Account<'c> {
    /// What belongs to this token.
    Token(&'c str),
    /// What belongs to a token that could not be read: it may be any.
    Unread,
    /// What belongs to any token of the configuration.
    AnyToken,
    /// What belongs to the tokens that keys have by this name.
    Key(&'c str),
    /// What is open.
    Open,
}

impl<'c> Account<'c> {
    /// Those that a provider with this token is listed under.
    fn listed(token: &'c TokenSource) -> Vec<Self> {
        match token {
            TokenSource::Fixed(Ok(token)) => vec![Self::Token(token.expose()), Self::AnyToken],
            TokenSource::Fixed(Err(_)) => vec![Self::Unread, Self::AnyToken],
            TokenSource::Key(name) => vec![Self::Key(name)],
            TokenSource::None => vec![Self::Open],
            TokenSource::Passthrough => vec![],
        }
    }

    /// Those that all providers with the same account as this token's are listed under.
    fn searched(token: &'c TokenSource) -> Vec<Self> {
        match token {
            TokenSource::Fixed(Ok(token)) => vec![Self::Token(token.expose()), Self::Unread],
            TokenSource::Fixed(Err(_)) => vec![Self::AnyToken],
            _ => Self::listed(token),
        }
    }
}

/// Locations by their numbers, ascending; of several that take the same keys, the first one.
#[derive(Default)]
struct Firsts<'c> {
    numbers: Vec<(usize, &'c Access)>,
    known: HashSet<Labels<'c>>,
    /// By the labels of a narrower route: how many do not let in others than it does.
    passed: HashMap<Labels<'c>, usize>,
}

impl<'c> Firsts<'c> {
    fn push(&mut self, number: usize, access: &'c Access) {
        if self.known.insert(labels(access)) {
            self.numbers.push((number, access));
        }
    }

    /// The first that lets in clients that `narrow` does not. `comparisons` counts.
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

/// The places that reach one base path from another one, as far as they were looked for.
#[derive(Default)]
struct Reaching<'c> {
    found: Firsts<'c>,
    /// How many of those listed were looked at.
    looked_at: usize,
}

/// The places with one account at one origin.
#[derive(Default)]
struct Group<'c> {
    /// All.
    all: Firsts<'c>,
    /// Those that reach their own base path, by it and by their path.
    at: HashMap<(&'c str, &'c str), Firsts<'c>>,
    /// The same, by each path that theirs lies within.
    within: HashMap<(&'c str, &'c str), Firsts<'c>>,
    /// All, by what every path that they lead to begins with.
    stems: HashMap<&'c str, Vec<usize>>,
    /// By a stem and a base path that begins with it.
    reaching: HashMap<(&'c str, &'c str), Reaching<'c>>,
}

/// What is looked through, and what it took.
struct Search<'c> {
    places: &'c [Place<'c>],
    paths: &'c HostsOf<'c>,
    /// How often a place was compared with another.
    comparisons: usize,
}

/// All places of a configuration.
pub(super) struct Index<'c> {
    groups: HashMap<(String, Account<'c>), Group<'c>>,
    search: Search<'c>,
}

impl<'c> Index<'c> {
    /// Sorts `places`. `paths` are those of all routes.
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

    /// The first place by which clients that may not use `narrow` reach what it leads to.
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
        // Mostly, all take the same keys.
        let access = &narrow.route.access;
        self.all.outsider(access, &mut search.comparisons)?;
        let same_base = self.by_path(narrow, &mut search.comparisons);
        let base = narrow.base();
        let stems = outside(base).chain([base]);
        let other_base = stems.filter_map(|stem| self.by_base(stem, narrow, search));
        other_base.chain(same_base).min()
    }

    /// The first with the same base path. Two doors to one provider, side by side, hide nothing from anybody: one is
    /// within the other.
    fn by_path(&mut self, narrow: &'c Place<'c>, comparisons: &mut usize) -> Option<usize> {
        let (base, own) = (narrow.base(), narrow.route.path.as_str());
        let access = &narrow.route.access;
        let outer = outside(own).filter_map(|path| {
            let outer = self.at.get_mut(&(base, path))?;
            outer.outsider(access, comparisons)
        });
        let outer = outer.min();
        let inner = self.within.get_mut(&(base, own));
        let inner = inner.and_then(|inner| inner.outsider(access, comparisons));
        outer.into_iter().chain(inner).min()
    }

    /// The first of those by `stem` that reaches the base path of `narrow` from another one.
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
    /// Adds a place to those `found` that reach `base` from another base path, if it is one.
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
