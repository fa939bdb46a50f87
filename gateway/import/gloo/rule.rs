//! A rule of a route object: which requests it takes, and where they go.

use std::collections::BTreeMap;

use crate::import::fields::Fields;
use crate::import::gloo::backend::{Backend, Host, hosted};
use crate::import::gloo::draft::{RouteDraft, Scope};
use crate::import::gloo::object::Object;
use crate::import::gloo::selection::Selection;
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

    /// The routes of the rule for each of its matches. A rule without matches takes all requests,
    /// as in the Gateway API.
    pub(super) fn for_each(
        &self,
        matches: Vec<Fields<'_>>,
        selection: fn(&mut Fields<'_>) -> Selection,
        notes: &Notes,
    ) -> Vec<RouteDraft> {
        if matches.is_empty() {
            return self.at(&Selection::everything(), notes);
        }
        let mut found = Vec::new();
        for mut matched in matches {
            let selection = selection(&mut matched);
            found.extend(self.at(&selection, notes));
            matched.finish();
        }
        found
    }

    /// The route of the rule on these hosts.
    fn on(&self, hosts: Vec<String>, selection: &Selection, notes: &Notes) -> RouteDraft {
        let object = self.object;
        let provider = self.usable_provider(&selection.path, notes);
        let nowhere = provider.is_none();
        let mut found = RouteDraft {
            route: PlannedRoute {
                name: self.route_name(),
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
            limits: Vec::new(),
        };
        if nowhere {
            found.remove_destination();
        }
        found
    }

    /// The name of the rule's routes: its own, or that of its object.
    fn route_name(&self) -> String {
        match self.name {
            "" => self.object.name.clone(),
            name => name.to_owned(),
        }
    }

    /// The provider for requests to a path; `None` if there is none that `check` accepts, which is
    /// noted then.
    fn usable_provider(&self, path: &str, notes: &Notes) -> Option<PlannedProvider> {
        let provider = self.provider(self.target?, path, notes)?;
        let Some((name, why)) = provider.problem() else {
            return Some(provider);
        };
        let why = format!("the provider's {name} {why}: {CLOSED_PATH}");
        notes.lost(&self.object.title, "", why);
        None
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
            "it may restrict clients: nobody can use the route until it is given keys",
        );
    }
    unread.is_some()
}
