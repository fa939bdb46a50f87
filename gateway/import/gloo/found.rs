//! A route that was found, before it is known who may use it.

use std::collections::BTreeMap;

use super::super::{CLOSED_LABEL, Notes, PlannedProvider, PlannedRoute};

/// Which of the requests below its path a route is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// All of them, unless another route has a longer path.
    Whole,
    /// Some of them, unless another route has a longer path: by method or header, or the path alone.
    Part,
    /// Some of them, also where another route has a longer path: by a regular expression.
    Pattern,
}

/// Where the path of a route ends there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathEnd {
    /// With a segment, as it does here.
    Segment,
    /// Anywhere, for it is text: `/v1/adm` takes `/v1/admin` as well.
    Anywhere,
}

/// A route, before the policies on it are known.
pub(super) struct Found {
    pub route: PlannedRoute,
    pub provider: PlannedProvider,
    /// The object it comes from, as people call it, and by kind, namespace and name.
    pub title: String,
    pub source: (String, String, String),
    /// Its rule's name, and its labels, by which policies find it.
    pub rule: String,
    pub labels: BTreeMap<String, String>,
    /// Headers that are made of the key's metadata: by header, in lower case.
    pub from_metadata: BTreeMap<String, String>,
    /// Entries of its metadata without which a key is not let in.
    pub required: Vec<String>,
    /// Which requests it is for.
    pub scope: Scope,
    /// What every path that it is for begins with, as text, where that says more than its own path.
    pub beginning: String,
    /// Where its path ends there.
    pub path_end: PathEnd,
    /// Its place in an object whose first matching route counts; `None` where the longest path counts.
    pub order: Option<usize>,
    /// Whether the provider gets another path than the client asked for.
    pub rewritten: bool,
    /// Whether nothing is known that its requests could go to: it is there to refuse them.
    pub nowhere: bool,
    /// The labels that a key must have, and how near the policy that says so is to the route.
    pub keys: Option<(Rank, BTreeMap<String, String>)>,
    /// By what they are asked for.
    pub means: Option<Means>,
    /// Whether it is guarded by other means than keys, too, or in a way that cannot be read.
    pub closed: bool,
}

/// How near a policy is to a route: the nearest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// For all routes of a gateway.
    Gateway,
    /// For the routes of an object.
    Route,
    /// For one rule of it.
    Rule,
}

/// By what a key is asked for: the nearest policy counts among those of one means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Means {
    /// A service beside the gateway: `AuthConfig` and `ExtAuthPolicy`.
    Service,
    /// The gateway itself: `apiKeyAuth` and `apiKeyAuthentication`.
    Gateway,
}

impl Found {
    /// Closes it, whatever else is said of it: open is what it must not become.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Takes its provider away and closes it: it stays where it is, so that its requests do not go to a
    /// route with a shorter path.
    pub(super) fn lead_nowhere(&mut self) {
        self.provider = PlannedProvider::nowhere();
        self.route.headers.clear();
        self.route.extractors.clear();
        self.from_metadata.clear();
        self.nowhere = true;
        self.close();
    }

    /// Keys with these labels may use it.
    pub(super) fn ask_for(
        &mut self,
        (rank, means): (Rank, Means),
        labels: &BTreeMap<String, String>,
        notes: &Notes,
    ) {
        if *self.means.get_or_insert(means) != means {
            // Neither takes the other's place: a request needs a key of each.
            let why = format!(
                "a key is asked for by two means on {}, and both count there: nobody can use it until it is given keys",
                self.route.path
            );
            notes.lost(&self.title, "", why);
            self.closed = true;
        }
        match &self.keys {
            Some((nearer, _)) if *nearer > rank => {}
            // Two of them, and no telling which counts.
            Some((same, known)) if *same == rank && known != labels => {
                let why = format!(
                    "two policies ask for different keys on {}: nobody can use it until it is given keys",
                    self.route.path
                );
                notes.lost(&self.title, "", why);
                self.closed = true;
            }
            _ => self.keys = Some((rank, labels.clone())),
        }
    }

    /// Whether something asks for a key, or for more.
    pub(super) fn is_guarded(&self) -> bool {
        self.closed || self.keys.is_some()
    }

    /// Whether nobody can use it yet.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// The labels that a key must have; none where nothing says so.
    pub(super) fn labels_of_keys(&self) -> Option<BTreeMap<String, String>> {
        if self.closed {
            // Of its own, so that what opens one does not open the others.
            return Some(BTreeMap::from([(
                CLOSED_LABEL.to_owned(),
                self.route.name.clone(),
            )]));
        }
        self.keys.as_ref().map(|(_, labels)| labels.clone())
    }

    /// Whether it lets in every key that `other` lets in, and sends its requests to the same place.
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

    /// Whether it is for the same host as `other`. Hosts are in lower case.
    pub(super) fn shares_a_host(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.route.hosts, &other.route.hosts);
        (ours.is_empty() && theirs.is_empty()) || ours.iter().any(|host| theirs.contains(host))
    }

    /// Whether it can be for some of the requests below `other`, which is below it.
    pub(super) fn reaches(&self, other: &Self) -> bool {
        let theirs = other.route.path.trim_end_matches('/');
        let rest = self.beginning.strip_prefix(theirs);
        theirs.starts_with(&self.beginning)
            || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Whether every path of `other` begins, there, as those that it is for.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.is_above(other)
            || self.path_end == PathEnd::Anywhere && other.route.path.starts_with(&self.route.path)
    }

    /// Whether every path of `other` is below its own path.
    pub(super) fn is_above(&self, other: &Self) -> bool {
        let ours = self.route.path.trim_end_matches('/');
        let theirs = other.route.path.trim_end_matches('/');
        let rest = theirs.strip_prefix(ours);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}
