//! A rule of a route object: which requests it takes, and where they go.

use std::collections::BTreeMap;

use crate::import::fields::Fields;
use crate::import::gloo::backend::{Backend, Host, hosted};
use crate::import::gloo::draft::{PathEnd, RouteDraft, Scope};
use crate::import::gloo::object::Object;
use crate::import::gloo::path::{plain_prefix, prefix_of_regex};
use crate::import::notes::Notes;
use crate::import::planned::PlannedRoute;
use crate::import::provider::PlannedProvider;
use crate::route::HostPattern;

/// The note about a rule whose requests must be rejected.
pub(super) const CLOSED_PATH: &str =
    "its path is closed, so that no other route takes its requests";

/// How a path is rewritten.
#[derive(Default)]
pub(super) struct Rewrite {
    /// The replacement of the prefix.
    pub(crate) prefix: Option<String>,
    /// The replacement of the whole path.
    pub(crate) whole: Option<String>,
}

/// The hosts of an object.
pub(super) struct Hosts {
    /// The host names in lower case and without ports.
    named: Vec<String>,
    /// Whether the object applies to any host as well.
    any: bool,
    /// Whether the object has hosts that keygate does not support.
    unknown: bool,
}

impl Hosts {
    /// Reads the hosts of `field`.
    pub(super) fn of(written: Vec<String>, object: &Object, field: &str, notes: &Notes) -> Self {
        let any = written.is_empty() || written.iter().any(|host| host == "*");
        let (mut named, mut unknown) = (Vec::new(), false);
        for host in written {
            if host == "*" {
                continue;
            }
            let bare = match host.rsplit_once(':') {
                // The port belongs to a listener.
                Some((name, port)) if port.parse::<u16>().is_ok() => name,
                _ => host.as_str(),
            };
            let bare = bare.to_ascii_lowercase();
            if HostPattern::parse(&bare).is_err() {
                unknown = true;
                notes.lost(&object.title, field, format!(
                    "`{host}` is no host that keygate knows: its paths are closed on any host, so that no other route takes its requests"
                ));
            } else if !named.contains(&bare) {
                named.push(bare);
            }
        }
        Self {
            named,
            any,
            unknown,
        }
    }
}

/// The requests that a match selects: all or some below a path.
pub(super) struct Selection {
    pub(crate) path: String,
    pub(crate) scope: Scope,
    /// The text that all matching paths begin with.
    pub(crate) beginning: String,
    /// Where the path prefix may end.
    pub(crate) path_end: PathEnd,
}

impl Selection {
    /// All requests.
    pub(super) fn everything() -> Self {
        Self {
            path: "/".to_owned(),
            scope: Scope::Whole,
            beginning: String::new(),
            path_end: PathEnd::Segment,
        }
    }

    /// An unknown selection of requests.
    pub(super) fn anywhere() -> Self {
        Self {
            scope: Scope::Pattern,
            ..Self::everything()
        }
    }

    /// All requests below a path, or those for exactly that path.
    pub(super) fn below(written: &str, exact: bool) -> Self {
        let path = plain_prefix(written);
        let scope = if path != written {
            Scope::Pattern
        } else if exact {
            Scope::Part
        } else {
            Scope::Whole
        };
        Self {
            path,
            scope,
            beginning: String::new(),
            path_end: PathEnd::Segment,
        }
    }

    /// All requests whose path begins with the text `written`, which may end within a segment.
    pub(super) fn beginning_with(written: &str) -> Self {
        let below = Self::below(written, false);
        let path_end = if below.path.ends_with('/') {
            PathEnd::Segment
        } else {
            PathEnd::Anywhere
        };
        Self { path_end, ..below }
    }

    /// The requests that a regular expression matches.
    pub(super) fn matching(regex: &str) -> Self {
        let (path, beginning) = prefix_of_regex(regex);
        Self {
            path,
            scope: Scope::Pattern,
            beginning,
            path_end: PathEnd::Segment,
        }
    }

    /// Restricts the selection: by a method, a header or something else.
    pub(super) fn in_part(&mut self) {
        self.scope = self.scope.max(Scope::Part);
    }
}

/// A rule of a route object, apart from its paths.
pub(super) struct Rule<'a> {
    pub(crate) object: &'a Object,
    pub(crate) hosts: &'a Hosts,
    pub(crate) name: &'a str,
    pub(crate) labels: &'a BTreeMap<String, String>,
    /// The destination; `None` rejects requests.
    pub(crate) target: Option<&'a Backend>,
    pub(crate) rewrite: &'a Rewrite,
    /// The headers that the rule sets.
    pub(crate) headers: &'a BTreeMap<String, String>,
    /// The position in a list whose first match takes a request.
    pub(crate) order: Option<usize>,
    /// Whether something that was not understood may guard the rule.
    pub(crate) guarded: bool,
}

impl Rule<'_> {
    /// The routes of the rule for the requests of `selection`.
    pub(super) fn at(&self, selection: &Selection, notes: &Notes) -> Vec<RouteDraft> {
        let mut found = Vec::new();
        if self.hosts.any {
            found.push(self.on(Vec::new(), selection, notes));
        }
        if !self.hosts.named.is_empty() {
            found.push(self.on(self.hosts.named.clone(), selection, notes));
        }
        if self.hosts.unknown {
            let mut closed = self.on(Vec::new(), selection, notes);
            closed.scope = Scope::Pattern;
            closed.remove_destination();
            found.push(closed);
        }
        found
    }

    fn on(&self, hosts: Vec<String>, selection: &Selection, notes: &Notes) -> RouteDraft {
        let object = self.object;
        let provider = self
            .target
            .and_then(|backend| self.provider(backend, &selection.path, notes));
        let fault = provider.as_ref().and_then(PlannedProvider::problem);
        if let Some((name, why)) = &fault {
            let why = format!("the provider's {name} {why}: {CLOSED_PATH}");
            notes.lost(&object.title, "", why);
        }
        let provider = provider.filter(|_| fault.is_none());
        let nowhere = provider.is_none();
        let name = if self.name.is_empty() {
            &object.name
        } else {
            self.name
        };
        let mut found = RouteDraft {
            route: PlannedRoute {
                name: name.to_owned(),
                hosts,
                path: selection.path.clone(),
                headers: self.headers.clone(),
                from: object.title.clone(),
                ..PlannedRoute::default()
            },
            provider: provider.unwrap_or_default(),
            title: object.title.clone(),
            source: (
                object.kind.clone(),
                object.namespace.clone(),
                object.name.clone(),
            ),
            rule: self.name.to_owned(),
            labels: self.labels.clone(),
            from_metadata: BTreeMap::new(),
            required: Vec::new(),
            scope: selection.scope,
            beginning: selection.beginning.clone(),
            path_end: selection.path_end,
            order: self.order,
            rewritten: self.rewrite.prefix.is_some() || self.rewrite.whole.is_some(),
            nowhere,
            keys: None,
            key_check: None,
            closed: self.guarded,
        };
        if nowhere {
            found.remove_destination();
        }
        found
    }

    /// The provider for requests to a path.
    fn provider(&self, backend: &Backend, path: &str, notes: &Notes) -> Option<PlannedProvider> {
        let providers = match backend {
            Backend::Host(host) => return Some(at_host(host, path, self.rewrite)),
            Backend::Ai(providers) => providers,
        };
        let mut provider = providers.first()?.clone();
        let prefix = self.rewrite.prefix.as_deref().unwrap_or_default();
        if !prefix.trim_matches('/').is_empty() {
            let why =
                format!("the rewritten path of {path}: an AI provider's paths are its own here");
            notes.lost(&self.object.title, "", why);
        }
        if let Some(whole) = &self.rewrite.whole {
            provider
                .settings
                .retain(|(name, _)| *name != "default_endpoint");
            provider.settings.push(("default_endpoint", whole.clone()));
        }
        Some(provider)
    }
}

/// A host receives the path unchanged, unless the rule rewrites it.
fn at_host(host: &Host, path: &str, rewrite: &Rewrite) -> PlannedProvider {
    let front = rewrite.whole.as_deref().or(rewrite.prefix.as_deref());
    let front = front.unwrap_or(path);
    hosted(host, if front == "/" { "" } else { front })
}

/// Returns whether fields are left that were not understood, and notes one. They may reject
/// requests, so the rule is closed.
pub(super) fn has_unread_fields(fields: &Fields<'_>) -> bool {
    let unread = fields.unread().next();
    if let Some(name) = unread {
        fields.lost(
            name,
            "it may be what keeps strangers out: nobody can use the route until it is given keys",
        );
    }
    unread.is_some()
}
