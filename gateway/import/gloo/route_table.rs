//! Imports `RouteTable` of Gloo Platform, in which the first matching route takes a request.

use std::collections::BTreeMap;

use crate::import::fields::Fields;
use crate::import::gloo::backend::{Backend, Backends, find};
use crate::import::gloo::draft::{RouteDraft, Scope};
use crate::import::gloo::object::Object;
use crate::import::gloo::rule::{CLOSED_PATH, Hosts, Rewrite, Rule, Selection, has_unread_fields};
use crate::import::notes::Notes;

/// The routes of a `RouteTable`.
pub(super) fn route_table(object: &Object, backends: &Backends, notes: &Notes) -> Vec<RouteDraft> {
    let mut fields = object.fields(notes);
    let Some(mut spec) = fields.fields(&["spec"]) else {
        notes.lost(&object.title, "spec", "there is none");
        return Vec::new();
    };
    for ours in ["virtualGateways", "workloadSelectors", "weight"] {
        spec.value(&[ours]);
    }
    let hosts = spec.list_of_texts("hosts");
    let hosts = Hosts::of(hosts, object, "spec.hosts", notes);
    let mut found = Vec::new();
    for (order, mut entry) in spec.list("http").into_iter().enumerate() {
        found.extend(routes_of(
            object, &hosts, order, &mut entry, backends, notes,
        ));
        entry.finish();
    }
    if has_unread_fields(&spec) {
        found.iter_mut().for_each(RouteDraft::close);
    }
    fields.finish();
    found
}

/// The routes of one entry.
fn routes_of(
    object: &Object,
    hosts: &Hosts,
    order: usize,
    entry: &mut Fields<'_>,
    backends: &Backends,
    notes: &Notes,
) -> Vec<RouteDraft> {
    let name = entry.text("name").unwrap_or_default();
    let labels = entry.texts("labels");
    let mut rewrite = Rewrite::default();
    let (mut target, mut guarded) = (None, false);
    if let Some(mut forward) = entry.fields(&["forwardTo"]) {
        rewrite.prefix = forward.text("pathRewrite");
        target = destination(object, &mut forward, backends);
        let host = forward.text("hostRewrite");
        let own = target.and_then(|backend| match backend {
            Backend::Host(host) => Some(host.address.as_str()),
            Backend::Ai(_) => None,
        });
        if host.is_some() && host.as_deref() != own {
            forward.lost("hostRewrite", "`Host` is the provider's own here");
        }
        guarded = has_unread_fields(&forward);
    } else {
        entry.lost("", format!("it forwards nothing: {CLOSED_PATH}"));
    }
    let matchers = entry.list("matchers");
    guarded |= has_unread_fields(entry);
    let ours = Rule {
        object,
        hosts,
        name: &name,
        labels: &labels,
        target,
        rewrite: &rewrite,
        headers: &BTreeMap::new(),
        order: Some(order),
        guarded,
    };
    if matchers.is_empty() {
        return ours.at(&Selection::everything(), notes);
    }
    let mut found = Vec::new();
    for mut matcher in matchers {
        let selection = selection(&mut matcher);
        found.extend(ours.at(&selection, notes));
        matcher.finish();
    }
    found
}

/// The requests that a matcher selects.
fn selection(matcher: &mut Fields<'_>) -> Selection {
    matcher.value(&["name"]);
    let mut selection = match matcher.fields(&["uri"]) {
        Some(mut uri) => uri_of(&mut uri),
        None if matcher.has("uri") => Selection::anywhere(),
        None => Selection::everything(),
    };
    for some in ["method", "headers", "queryParameters"] {
        if matcher.value(&[some]).is_some() {
            matcher.lost(some, "keygate chooses by host and path only");
            selection.in_part();
        }
    }
    if matcher.unread().next().is_some() {
        selection.in_part();
    }
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
            uri.lost("exact", "keygate takes what goes on behind a path as well");
            Selection::below(exact, true)
        }
        (None, None, Some(regex)) => {
            uri.lost("regex", "keygate has no paths by regular expression");
            Selection::matching(regex)
        }
        _ => Selection::anywhere(),
    };
    let written = prefix.or(exact);
    if let Some(written) = written.filter(|written| *written != selection.path) {
        uri.lost(
            "",
            format!(
                "`{written}` is no path in its plain form: keygate has the path {}",
                selection.path
            ),
        );
    }
    if uri.unread().next().is_some() {
        selection.scope = Scope::Pattern;
    }
    uri.finish_known();
    selection
}

/// The first destination.
fn destination<'b>(
    object: &Object,
    forward: &mut Fields<'_>,
    backends: &'b Backends,
) -> Option<&'b Backend> {
    let mut destinations = forward.list("destinations");
    if destinations.len() > 1 {
        forward.lost(
            "destinations",
            "a route has one provider here: the first is used",
        );
    }
    if destinations.is_empty() {
        forward.lost("destinations", format!("there are none: {CLOSED_PATH}"));
        return None;
    }
    let mut first = destinations.remove(0);
    let kind = first.text("kind").unwrap_or_else(|| "SERVICE".to_owned());
    let weight = first.number("weight").unwrap_or(1);
    let port = first
        .fields(&["port"])
        .map(|mut port| port.number("number"));
    let Some(mut reference) = first.fields(&["ref"]) else {
        forward.lost(
            "destinations",
            format!("the first names nothing: {CLOSED_PATH}"),
        );
        return None;
    };
    let name = reference.text("name").unwrap_or_default();
    let namespace = reference
        .text("namespace")
        .unwrap_or_else(|| object.namespace.clone());
    reference.value(&["cluster"]);
    reference.finish();
    let narrowed = has_unread_fields(&first);
    // Other destinations are services of the cluster, of which only the name is known.
    let object_kind = match kind.as_str() {
        "EXTERNAL_SERVICE" => Some("ExternalService"),
        "UPSTREAM" => Some("Upstream"),
        _ => None,
    };
    let found = find(backends, object_kind, &namespace, &name);
    if found.is_none() {
        forward.lost("destinations", format!(
            "the {kind} `{name}` is not among the files: add its ExternalService or Upstream; {CLOSED_PATH}"
        ));
    } else if weight == 0 {
        forward.lost(
            "destinations",
            format!("the {kind} `{name}` has no weight: {CLOSED_PATH}"),
        );
    }
    let found = found.filter(|_| weight > 0 && !narrowed);
    found.filter(|backend| match (backend, port) {
        (Backend::Host(host), Some(port)) if port != Some(host.port) => {
            let why = format!("the {kind} `{name}` is known by another port: {CLOSED_PATH}");
            forward.lost("destinations", why);
            false
        }
        _ => true,
    })
}
