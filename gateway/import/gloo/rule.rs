//! A rule of a route object: where its requests go, and which they are.

use std::collections::BTreeMap;

use super::super::fields::Fields;
use super::super::{Notes, PlannedProvider, PlannedRoute};
use super::found::{Found, PathEnd, Scope};
use super::object::Object;
use super::path::{plain_prefix, prefix_of_regex};
use super::upstream::{Backend, Host, hosted};
use crate::route::HostPattern;

/// What is said of a rule whose requests must be refused.
pub(super) const REFUSED: &str = "its path is closed, so that no other route takes its requests";

/// How a path is changed on the way.
#[derive(Default)]
pub(super) struct Rewrite {
    /// What stands in the prefix's place.
    pub prefix: Option<String>,
    /// What stands in the whole path's place.
    pub whole: Option<String>,
}

/// The hosts of an object, as keygate has them.
pub(super) struct Hosts {
    /// In lower case and without port; none is any.
    named: Vec<String>,
    /// Whether the object is for any host as well.
    any: bool,
    /// Whether it is for hosts that cannot be named here.
    unknown: bool,
}

impl Hosts {
    /// Reads what stands in `field`.
    pub(super) fn of(written: Vec<String>, object: &Object, field: &str, notes: &Notes) -> Self {
        let any = written.is_empty() || written.iter().any(|host| host == "*");
        let (mut named, mut unknown) = (Vec::new(), false);
        for host in written {
            if host == "*" {
                continue;
            }
            let bare = match host.rsplit_once(':') {
                // The port is that of a listener.
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

/// The requests that a match takes: below a path, all or some.
pub(super) struct Place {
    pub path: String,
    pub scope: Scope,
    /// What every path of them begins with, as text.
    pub beginning: String,
    /// Where the path ends.
    pub path_end: PathEnd,
}

impl Place {
    /// Every request.
    pub(super) fn everything() -> Self {
        Self {
            path: "/".to_owned(),
            scope: Scope::Whole,
            beginning: String::new(),
            path_end: PathEnd::Segment,
        }
    }

    /// Requests of which nothing is known.
    pub(super) fn anywhere() -> Self {
        Self {
            scope: Scope::Pattern,
            ..Self::everything()
        }
    }

    /// Everything below a path, or the requests to the path alone.
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

    /// Everything that begins with `written`, be it within a segment.
    pub(super) fn beginning_with(written: &str) -> Self {
        let below = Self::below(written, false);
        let path_end = if below.path.ends_with('/') {
            PathEnd::Segment
        } else {
            PathEnd::Anywhere
        };
        Self { path_end, ..below }
    }

    /// What a regular expression matches.
    pub(super) fn matching(regex: &str) -> Self {
        let (path, beginning) = prefix_of_regex(regex);
        Self {
            path,
            scope: Scope::Pattern,
            beginning,
            path_end: PathEnd::Segment,
        }
    }

    /// Fewer of them: those with a method, a header or something else.
    pub(super) fn in_part(&mut self) {
        self.scope = self.scope.max(Scope::Part);
    }
}

/// A rule of a route object, without the paths that it is for.
pub(super) struct Rule<'a> {
    pub object: &'a Object,
    pub hosts: &'a Hosts,
    pub name: &'a str,
    pub labels: &'a BTreeMap<String, String>,
    /// Where its requests go; `None` refuses them.
    pub target: Option<&'a Backend>,
    pub rewrite: &'a Rewrite,
    /// The headers that it sets.
    pub headers: &'a BTreeMap<String, String>,
    /// Its place in a list whose first match counts.
    pub order: Option<usize>,
    /// Whether something that cannot be read may guard it.
    pub guarded: bool,
}

impl Rule<'_> {
    /// The routes of it at a place.
    pub(super) fn at(&self, place: &Place, notes: &Notes) -> Vec<Found> {
        let mut found = Vec::new();
        if self.hosts.any {
            found.push(self.on(Vec::new(), place, notes));
        }
        if !self.hosts.named.is_empty() {
            found.push(self.on(self.hosts.named.clone(), place, notes));
        }
        if self.hosts.unknown {
            let mut closed = self.on(Vec::new(), place, notes);
            closed.scope = Scope::Pattern;
            closed.lead_nowhere();
            found.push(closed);
        }
        found
    }

    fn on(&self, hosts: Vec<String>, place: &Place, notes: &Notes) -> Found {
        let object = self.object;
        let provider = self
            .target
            .and_then(|backend| self.provider(backend, &place.path, notes));
        let fault = provider.as_ref().and_then(PlannedProvider::fault);
        if let Some((name, why)) = &fault {
            let why = format!("the provider's {name} {why}: {REFUSED}");
            notes.lost(&object.title, "", why);
        }
        let provider = provider.filter(|_| fault.is_none());
        let nowhere = provider.is_none();
        let name = if self.name.is_empty() {
            &object.name
        } else {
            self.name
        };
        let mut found = Found {
            route: PlannedRoute {
                name: name.to_owned(),
                hosts,
                path: place.path.clone(),
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
            scope: place.scope,
            beginning: place.beginning.clone(),
            path_end: place.path_end,
            order: self.order,
            rewritten: self.rewrite.prefix.is_some() || self.rewrite.whole.is_some(),
            nowhere,
            keys: None,
            means: None,
            closed: self.guarded,
        };
        if nowhere {
            found.lead_nowhere();
        }
        found
    }

    /// The provider that its requests to a path go to.
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

/// A host gets the path as it is, unless something else is to stand in its prefix's place.
fn at_host(host: &Host, path: &str, rewrite: &Rewrite) -> PlannedProvider {
    let front = rewrite.whole.as_deref().or(rewrite.prefix.as_deref());
    let front = front.unwrap_or(path);
    hosted(host, if front == "/" { "" } else { front })
}

/// Whether fields are left that nobody read: they may refuse requests, so the rule is closed.
pub(super) fn is_narrowed(fields: &Fields<'_>) -> bool {
    let unread = fields.unread().next();
    if let Some(name) = unread {
        fields.lost(
            name,
            "it may be what keeps strangers out: nobody can use the route until it is given keys",
        );
    }
    unread.is_some()
}
