//! Imports `RouteTable` of Gloo Platform, in which the first matching route takes a request.

use std::collections::BTreeMap;

use crate::import::fields::Fields;
use crate::import::gloo::backend::{Backend, Backends, find};
use crate::import::gloo::draft::{RouteDraft, Scope};
use crate::import::gloo::object::Object;
use crate::import::gloo::rule::{CLOSED_PATH, Hosts, Rewrite, Rule, has_unread_fields};
use crate::import::gloo::selection::Selection;
use crate::import::notes::Notes;

/// The routes of a `RouteTable`.
pub(super) fn route_table(object: &Object, backends: &Backends, notes: &Notes) -> Vec<RouteDraft> {
    let Some((fields, mut spec)) = object.spec(notes) else {
        return Vec::new();
    };
    for ours in ["virtualGateways", "workloadSelectors", "weight"] {
        spec.value(&[ours]);
    }
    let hosts = spec.list_of_texts("hosts");
    let table = Table {
        object,
        hosts: Hosts::of(hosts, object, "spec.hosts", notes),
        backends,
    };
    let mut found = Vec::new();
    for (order, mut entry) in spec.list("http").into_iter().enumerate() {
        found.extend(table.routes_of(order, &mut entry, notes));
        entry.finish();
    }
    if has_unread_fields(&spec) {
        found.iter_mut().for_each(RouteDraft::close);
    }
    fields.finish();
    found
}

/// A table, apart from its entries.
struct Table<'t> {
    object: &'t Object,
    hosts: Hosts,
    backends: &'t Backends,
}

/// Where an entry forwards requests.
#[derive(Default)]
struct Forward<'b> {
    target: Option<&'b Backend>,
    rewrite: Rewrite,
    /// Whether something that was not understood may guard the entry.
    guarded: bool,
}

impl<'t> Table<'t> {
    /// The routes of the entry at the place `order`.
    fn routes_of(&self, order: usize, entry: &mut Fields<'_>, notes: &Notes) -> Vec<RouteDraft> {
        let name = entry.text("name").unwrap_or_default();
        let labels = entry.texts("labels");
        let forward = self.forward(entry);
        let matchers = entry.list("matchers");
        let guarded = has_unread_fields(entry) || forward.guarded;
        let ours = Rule {
            object: self.object,
            hosts: &self.hosts,
            name: &name,
            labels: &labels,
            target: forward.target,
            rewrite: &forward.rewrite,
            headers: &BTreeMap::new(),
            order: Some(order),
            guarded,
        };
        ours.for_each(matchers, selection, notes)
    }

    /// Takes where an entry forwards requests.
    fn forward(&self, entry: &mut Fields<'_>) -> Forward<'t> {
        let Some(mut forward) = entry.fields(&["forwardTo"]) else {
            entry.lost("", format!("it forwards nothing: {CLOSED_PATH}"));
            return Forward::default();
        };
        let rewrite = Rewrite {
            prefix: forward.text("pathRewrite"),
            whole: None,
        };
        let target = destination(self.object, &mut forward, self.backends);
        let host = forward.text("hostRewrite");
        let own = target.and_then(|backend| match backend {
            Backend::Host(host) => Some(host.address.as_str()),
            Backend::Ai(_) => None,
        });
        if host.is_some() && host.as_deref() != own {
            forward.lost("hostRewrite", "`Host` is the provider's own here");
        }
        Forward {
            target,
            rewrite,
            guarded: has_unread_fields(&forward),
        }
    }
}

/// The requests that a matcher selects.
fn selection(matcher: &mut Fields<'_>) -> Selection {
    matcher.value(&["name"]);
    let mut selection = match matcher.fields(&["uri"]) {
        Some(mut uri) => uri_of(&mut uri),
        None if matcher.has("uri") => Selection::anywhere(),
        None => Selection::everything(),
    };
    selection.restrict_by(&["method", "headers", "queryParameters"], matcher);
    selection
}

/// The requests that a path selects.
fn uri_of(uri: &mut Fields<'_>) -> Selection {
    let (prefix, exact, regex) = (uri.text("prefix"), uri.text("exact"), uri.text("regex"));
    if uri.value(&["ignoreCase"]).as_ref() == Some(&true.into()) {
        uri.lost("ignoreCase", "a path has one spelling here");
        return Selection::anywhere();
    }
    let mut selection = match (&prefix, &exact, &regex) {
        (Some(prefix), None, None) => Selection::beginning_with(prefix),
        (None, Some(exact), None) => {
            uri.lost(
                "exact",
                "a path is a prefix in keygate: longer paths match as well",
            );
            Selection::exactly(exact)
        }
        (None, None, Some(regex)) => {
            uri.lost("regex", "keygate has no paths by regular expression");
            Selection::matching(regex)
        }
        _ => Selection::anywhere(),
    };
    if let Some(written) = prefix.or(exact) {
        selection.note_path(&written, uri, "");
    }
    if uri.unread().next().is_some() {
        selection.scope = Scope::Pattern;
    }
    uri.finish_known();
    selection
}

/// A destination of a route.
struct Destination {
    kind: String,
    namespace: String,
    name: String,
    weight: u64,
    port: Port,
    /// Whether it has fields that were not understood.
    narrowed: bool,
}

/// The port of a destination.
#[derive(Clone, Copy)]
enum Port {
    /// None is named.
    Any,
    Number(u64),
    /// It is named in another way.
    Unknown,
}

impl Port {
    fn take(destination: &mut Fields<'_>) -> Self {
        match destination.fields(&["port"]) {
            None => Self::Any,
            Some(mut port) => port.number("number").map_or(Self::Unknown, Self::Number),
        }
    }
}

impl Destination {
    /// Reads a destination; `None` if it names nothing.
    fn read(mut fields: Fields<'_>, object: &Object) -> Option<Self> {
        let kind = fields.text("kind").unwrap_or_else(|| "SERVICE".to_owned());
        let weight = fields.number("weight").unwrap_or(1);
        let port = Port::take(&mut fields);
        let mut reference = fields.fields(&["ref"])?;
        let name = reference.text("name").unwrap_or_default();
        let namespace = object.take_namespace(&mut reference);
        reference.value(&["cluster"]);
        reference.finish();
        Some(Self {
            kind,
            namespace,
            name,
            weight,
            port,
            narrowed: has_unread_fields(&fields),
        })
    }

    /// The kind of the object that it names. Other destinations are services of the cluster, of
    /// which only the name is known.
    fn object_kind(&self) -> Option<&'static str> {
        match self.kind.as_str() {
            "EXTERNAL_SERVICE" => Some("ExternalService"),
            "UPSTREAM" => Some("Upstream"),
            _ => None,
        }
    }

    /// The backend that it names. The error says why there is none.
    fn find<'b>(&self, backends: &'b Backends) -> Result<&'b Backend, String> {
        let (kind, name) = (&self.kind, &self.name);
        let found = find(backends, self.object_kind(), &self.namespace, name);
        let is_other_port = |backend: &Backend| match (backend, self.port) {
            (Backend::Ai(_), _) | (_, Port::Any) => false,
            (Backend::Host(host), Port::Number(port)) => port != host.port,
            (Backend::Host(_), Port::Unknown) => true,
        };
        match found {
            None => Err(format!(
                "the {kind} `{name}` is not in the files: add its ExternalService or Upstream; {CLOSED_PATH}"
            )),
            Some(_) if self.weight == 0 => {
                Err(format!("the {kind} `{name}` has no weight: {CLOSED_PATH}"))
            }
            Some(backend) if !self.narrowed && is_other_port(backend) => Err(format!(
                "the {kind} `{name}` is known by another port: {CLOSED_PATH}"
            )),
            Some(backend) => Ok(backend),
        }
    }
}

/// The backend of the first destination.
fn destination<'b>(
    object: &Object,
    forward: &mut Fields<'_>,
    backends: &'b Backends,
) -> Option<&'b Backend> {
    let field = "destinations";
    let destinations = forward.list(field);
    if destinations.len() > 1 {
        forward.lost(field, "a route has one provider here: the first is used");
    }
    let Some(first) = destinations.into_iter().next() else {
        forward.lost(field, format!("there are none: {CLOSED_PATH}"));
        return None;
    };
    let Some(first) = Destination::read(first, object) else {
        forward.lost(field, format!("the first names nothing: {CLOSED_PATH}"));
        return None;
    };
    match first.find(backends) {
        Ok(backend) => Some(backend).filter(|_| !first.narrowed),
        Err(why) => {
            forward.lost(field, why);
            None
        }
    }
}
