//! Which of a client's headers a route's provider does not get. All others pass, so that a feature that a provider
//! introduces tomorrow works tomorrow.

use std::collections::HashSet;

use ahash::RandomState;
use http::HeaderName;

use super::prefix_filter::PrefixFilter;
use super::prefixes::{KNOWN, is_of_a_front_proxy};
use super::spelling::{folded, is_of_the_message, is_plain};

/// The headers of a client that a route's provider does not get.
pub(crate) struct Stripped {
    names: HashSet<HeaderName, RandomState>,
    prefixes: Vec<String>,
    /// Folded names of headers that only the gateway sets, or that a client may send in their exact spelling only.
    guarded: HashSet<String, RandomState>,
    /// Accepts `names`, `prefixes` and those of front proxies, so that most headers need no lookup.
    filter: PrefixFilter,
}

impl Default for Stripped {
    fn default() -> Self {
        Self::new([], Vec::new())
    }
}

impl Stripped {
    /// Strips these names, names that begin with one of `prefixes` (in lower case), and the headers of front proxies.
    pub(crate) fn new(names: impl IntoIterator<Item = HeaderName>, prefixes: Vec<String>) -> Self {
        let names: HashSet<_, _> = names.into_iter().collect();
        let mut filter = KNOWN;
        let own = names.iter().map(HeaderName::as_str);
        for prefix in own.chain(prefixes.iter().map(String::as_str)) {
            filter.add(prefix);
        }
        Self {
            names,
            prefixes,
            guarded: HashSet::default(),
            filter,
        }
    }

    /// The same, and clients may send no header that an application can misread as one of `names`.
    #[must_use]
    pub(crate) fn guarding<'n>(mut self, names: impl IntoIterator<Item = &'n HeaderName>) -> Self {
        let names = names.into_iter().map(|name| folded(name.as_str()));
        self.guarded.extend(names);
        self
    }

    /// The header that an application behind the gateway may misread `name` as, if clients must not set that header: a
    /// credential, the choice of an account, a description of the network, or a header that the gateway sets. `None` for
    /// a name that can be read in one way only, and for one that the configuration strips anyway.
    pub(crate) fn misread(&self, name: &HeaderName) -> Option<String> {
        let mut ours = self.prefixes.iter();
        if is_plain(name.as_str())
            || self.names.contains(name)
            || ours.any(|prefix| name.as_str().starts_with(prefix.as_str()))
        {
            return None;
        }
        let read_as = folded(name.as_str());
        let taken = self.contains_text(&read_as)
            || self.guarded.contains(&read_as)
            || is_of_the_message(&read_as);
        taken.then_some(read_as)
    }

    /// Whether the header `name` is stripped.
    pub(crate) fn contains(&self, name: &HeaderName) -> bool {
        let text = name.as_str();
        self.filter.may_match(text) && (self.names.contains(name) || self.has_prefix(text))
    }

    /// Whether the header `name`, in any case, is stripped.
    pub(crate) fn contains_text(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        self.names.iter().any(|known| *known == name.as_str()) || self.has_prefix(&name)
    }

    fn has_prefix(&self, name: &str) -> bool {
        let mut ours = self.prefixes.iter();
        is_of_a_front_proxy(name) || ours.any(|prefix| name.starts_with(prefix.as_str()))
    }
}

#[cfg(test)]
mod tests;
