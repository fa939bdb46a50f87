//! A route draft: a route that was found, before it is known who may use it.

use std::collections::BTreeMap;

use crate::import::gloo::object::Object;
use crate::import::notes::Notes;
use crate::import::plan::CLOSED_LABEL;
use crate::import::planned::PlannedRoute;
use crate::import::provider::PlannedProvider;
use crate::provider::Kind;

/// Which of the requests below its path a route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// All requests, unless another route has a longer path.
    Whole,
    /// Some requests, by method or header or only for the exact path, unless another route has a
    /// longer path.
    Part,
    /// Some requests by a regular expression, even if another route has a longer path.
    Pattern,
}

/// Where the path prefix of a route may end in the original.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathEnd {
    /// At the end of a segment, as in keygate.
    Segment,
    /// Anywhere, as plain text: `/v1/adm` matches `/v1/admin` as well.
    Anywhere,
}

/// A route before its policies are known.
pub(super) struct RouteDraft {
    pub(crate) route: PlannedRoute,
    pub(crate) provider: PlannedProvider,
    /// The title of the object that the route comes from, and its kind, namespace and name.
    pub(crate) title: String,
    pub(crate) source: (String, String, String),
    /// The name of the rule and its labels, by which policies select the route.
    pub(crate) rule: String,
    pub(crate) labels: BTreeMap<String, String>,
    /// The entries of the key's metadata that are written into headers, by the header's lower-case
    /// name.
    pub(crate) from_metadata: BTreeMap<String, String>,
    /// Metadata entries that a key must have to be accepted.
    pub(crate) required: Vec<String>,
    /// Which requests the route takes.
    pub(crate) scope: Scope,
    /// The text that all matching paths begin with, if it is more specific than the path.
    pub(crate) beginning: String,
    /// Where the path prefix may end in the original.
    pub(crate) path_end: PathEnd,
    /// The position in an object whose first matching route takes a request; `None` if the longest
    /// path does.
    pub(crate) order: Option<usize>,
    /// Whether the provider receives a different path than the client requested.
    pub(crate) rewritten: bool,
    /// Whether the route has no known destination and only rejects requests.
    pub(crate) nowhere: bool,
    /// The labels that a key must have, and how specific the policy is that requires them.
    pub(crate) keys: Option<(Rank, BTreeMap<String, String>)>,
    /// The mechanism that requires keys.
    pub(crate) key_check: Option<KeyCheck>,
    /// Whether something besides keys guards the route, or something that was not understood.
    pub(crate) closed: bool,
    /// The limits of all policies.
    pub(crate) limits: Vec<RouteLimits>,
}

/// The limits of a route by one policy.
pub(super) struct RouteLimits {
    /// How specific the policy is.
    pub(crate) rank: Rank,
    pub(crate) mechanism: Mechanism,
    /// The places of the limits in the plan. There are none if the policy switches them off.
    pub(crate) places: Vec<usize>,
}

/// The mechanism of a limit. The most specific policy of each mechanism applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mechanism {
    /// The gateway itself.
    Local,
    /// A rate limit service.
    Service,
}

/// How specific a policy is. The most specific policy applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// It applies to all routes of a gateway.
    Gateway,
    /// It applies to the routes of an object.
    Route,
    /// It applies to one rule of an object.
    Rule,
}

/// The mechanism that requires a key. The most specific policy of each mechanism applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyCheck {
    /// A separate service: `AuthConfig` and `ExtAuthPolicy`.
    Service,
    /// The gateway itself: `apiKeyAuth` and `apiKeyAuthentication`.
    Gateway,
}

impl RouteDraft {
    /// Closes the route, whatever other policies say.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Removes the provider and closes the route. The route stays, so that its requests do not go
    /// to a route with a shorter path.
    pub(super) fn remove_destination(&mut self) {
        self.provider = PlannedProvider::nowhere();
        self.route.headers.clear();
        self.route.extractors.clear();
        self.from_metadata.clear();
        self.nowhere = true;
        self.close();
    }

    /// Requires keys with these labels.
    pub(super) fn require_keys(
        &mut self,
        (rank, key_check): (Rank, KeyCheck),
        labels: &BTreeMap<String, String>,
        notes: &Notes,
    ) {
        if *self.key_check.get_or_insert(key_check) != key_check {
            // Neither replaces the other: a request needs a key for each.
            let why = format!(
                "two mechanisms require a key on {}, and both count there: nobody can use it until it is given keys",
                self.route.path
            );
            notes.lost(&self.title, "", why);
            self.closed = true;
        }
        match &self.keys {
            Some((nearer, _)) if *nearer > rank => {}
            // Two policies of the same rank disagree.
            Some((same, known)) if *same == rank && known != labels => {
                let why = format!(
                    "two policies require different keys on {}: nobody can use it until it is given keys",
                    self.route.path
                );
                notes.lost(&self.title, "", why);
                self.closed = true;
            }
            _ => self.keys = Some((rank, labels.clone())),
        }
    }

    /// The places of the limits that apply: of each mechanism, those of the most specific policies.
    pub(super) fn limits(&self) -> Vec<usize> {
        let nearer = |limit: &&RouteLimits| {
            let others = self.limits.iter();
            let mut others = others.filter(|other| other.mechanism == limit.mechanism);
            !others.any(|other| other.rank > limit.rank)
        };
        let limits = self.limits.iter().filter(nearer);
        let mut places: Vec<usize> = limits.flat_map(|limit| limit.places.clone()).collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    /// Returns whether the route requires a key, or more.
    pub(super) fn is_guarded(&self) -> bool {
        self.closed || self.keys.is_some()
    }

    /// Returns whether nobody can use the route yet.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// The labels that a key must have; `None` if the route requires no key.
    pub(super) fn key_labels(&self) -> Option<BTreeMap<String, String>> {
        if self.closed {
            // The label contains the route's name, so that a key for one closed route does not open
            // the others.
            return Some(BTreeMap::from([(
                CLOSED_LABEL.to_owned(),
                self.route.name.clone(),
            )]));
        }
        self.keys.as_ref().map(|(_, labels)| labels.clone())
    }

    /// Returns whether this route accepts every key that `other` accepts, and sends requests to the
    /// same origin.
    pub(super) fn admits(&self, other: &Self) -> bool {
        let keys = match (&self.keys, &other.keys) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some((_, ours)), Some((_, theirs))) => ours
                .iter()
                .all(|(name, value)| theirs.get(name) == Some(value)),
        };
        let mut required = self.required.iter();
        keys && !self.closed
            && required.all(|entry| other.required.contains(entry))
            && self.provider.origin() == other.provider.origin()
    }

    /// Returns whether both routes share a host. Hosts are in lower case.
    pub(super) fn shares_a_host(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.route.hosts, &other.route.hosts);
        (ours.is_empty() && theirs.is_empty()) || ours.iter().any(|host| theirs.contains(host))
    }

    /// Returns whether this route may take some of the requests below `other`, which is below it.
    pub(super) fn reaches(&self, other: &Self) -> bool {
        let theirs = other.route.path.trim_end_matches('/');
        let rest = self.beginning.strip_prefix(theirs);
        theirs.starts_with(&self.beginning)
            || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Returns whether the original matches every path of `other` with this route's prefix.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.is_above(other)
            || self.path_end == PathEnd::Anywhere && other.route.path.starts_with(&self.route.path)
    }

    /// Returns whether every path of `other` is below this route's path.
    pub(super) fn is_above(&self, other: &Self) -> bool {
        let ours = self.route.path.trim_end_matches('/');
        let theirs = other.route.path.trim_end_matches('/');
        let rest = theirs.strip_prefix(ours);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// Returns whether a route comes from an object.
pub(super) fn is_source(object: &Object, draft: &RouteDraft) -> bool {
    let (kind, namespace, name) = &draft.source;
    object.kind == *kind && object.namespace == *namespace && object.name == *name
}

/// The header for the provider's token.
pub(super) fn auth_header(draft: &RouteDraft) -> &str {
    let set = draft
        .provider
        .settings
        .iter()
        .find(|(name, _)| *name == "auth_header");
    let own = Kind::named(draft.provider.kind).map_or("authorization", |kind| kind.auth_header);
    set.map_or(own, |(_, value)| value.as_str())
}
