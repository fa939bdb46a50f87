//! Imports `HTTPRoute` of the Gateway API, in which the matching rule with the longest path takes a
//! request.

use std::collections::BTreeMap;

use crate::import::fields::Fields;
use crate::import::gloo::backend::{Backend, Backends, find};
use crate::import::gloo::draft::RouteDraft;
use crate::import::gloo::object::Object;
use crate::import::gloo::rule::{CLOSED_PATH, Hosts, Rewrite, Rule, has_unread_fields};
use crate::import::gloo::selection::Selection;
use crate::import::notes::Notes;

/// Filters that reject nothing and do not change requests.
const HARMLESS_FILTERS: [&str; 3] = ["RequestMirror", "ResponseHeaderModifier", "CORS"];

/// The effects of a rule's filters.
#[derive(Default)]
struct Filters {
    rewrite: Rewrite,
    headers: BTreeMap<String, String>,
    /// Whether there are any.
    any: bool,
    /// Whether a filter that was not understood may reject requests.
    guarded: bool,
}

/// The routes of an `HTTPRoute`.
pub(super) fn http_route(object: &Object, backends: &Backends, notes: &Notes) -> Vec<RouteDraft> {
    let Some((fields, mut spec)) = object.spec(notes) else {
        return Vec::new();
    };
    let parents = spec.value(&["parentRefs"]).unwrap_or_default();
    if parents.as_array().is_some_and(|parents| parents.len() > 1) {
        spec.lost(
            "parentRefs",
            "there is one gateway here: whoever reaches it reaches the route",
        );
    }
    let hosts = spec.list_of_texts("hostnames");
    let hosts = Hosts::of(hosts, object, "spec.hostnames", notes);
    let rules = spec.list("rules");
    let mut found = Vec::new();
    if rules.is_empty() {
        spec.lost("rules", format!("there are none: {CLOSED_PATH}"));
        found.extend(nothing(object, &hosts).at(&Selection::everything(), notes));
    }
    for mut rule in rules {
        found.extend(routes_of(object, &hosts, &mut rule, backends, notes));
        rule.finish();
    }
    if has_unread_fields(&spec) {
        found.iter_mut().for_each(RouteDraft::close);
    }
    fields.finish();
    found
}

/// A rule without a destination.
fn nothing<'a>(object: &'a Object, hosts: &'a Hosts) -> Rule<'a> {
    const NONE: &BTreeMap<String, String> = &BTreeMap::new();
    const AS_IT_IS: &Rewrite = &Rewrite {
        prefix: None,
        whole: None,
    };
    Rule {
        object,
        hosts,
        name: "",
        labels: &object.labels,
        target: None,
        rewrite: AS_IT_IS,
        headers: NONE,
        order: None,
        guarded: true,
    }
}

/// The routes of one rule.
fn routes_of(
    object: &Object,
    hosts: &Hosts,
    rule: &mut Fields<'_>,
    backends: &Backends,
    notes: &Notes,
) -> Vec<RouteDraft> {
    let name = rule.text("name").unwrap_or_default();
    let filters = filters(rule);
    discard_timing(rule);
    let target = destination(object, rule, backends, &filters);
    let matches = rule.list("matches");
    let guarded = has_unread_fields(rule) || filters.guarded;
    let ours = Rule {
        name: &name,
        target,
        rewrite: &filters.rewrite,
        headers: &filters.headers,
        guarded,
        ..nothing(object, hosts)
    };
    ours.for_each(matches, selection, notes)
}

/// Takes and notes what a rule says about timeouts, retries and sessions.
fn discard_timing(rule: &mut Fields<'_>) {
    rule.discard(
        "timeouts",
        "keygate has timeouts in the provider: `[providers.NAME.timeouts]`",
    );
    rule.discard(
        "retry",
        "keygate tries again only where nothing can be done twice",
    );
    rule.value(&["sessionPersistence"]);
}

/// The destination of a rule's requests.
fn destination<'b>(
    object: &Object,
    rule: &mut Fields<'_>,
    backends: &'b Backends,
    filters: &Filters,
) -> Option<&'b Backend> {
    if rule.has("backendRefs") {
        return backend_ref(object, rule, backends);
    }
    let why = if filters.any {
        "there are none, and keygate does not answer by itself"
    } else {
        "there are none"
    };
    rule.lost("backendRefs", format!("{why}: {CLOSED_PATH}"));
    None
}

/// The requests that a match selects.
fn selection(matched: &mut Fields<'_>) -> Selection {
    let mut selection = match matched.fields(&["path"]) {
        Some(mut path) => {
            let selection = path_of(&mut path);
            path.finish();
            selection
        }
        None if matched.has("path") => Selection::anywhere(),
        None => Selection::everything(),
    };
    selection.restrict_by(&["method", "headers", "queryParams"], matched);
    selection
}

/// The requests that a path selects.
fn path_of(path: &mut Fields<'_>) -> Selection {
    let kind = path.text("type").unwrap_or_else(|| "PathPrefix".to_owned());
    let has_value = path.has("value");
    let value = match path.text("value") {
        Some(value) => value,
        None if has_value => return Selection::anywhere(),
        // The Gateway API's default.
        None => "/".to_owned(),
    };
    let selection = match kind.as_str() {
        "PathPrefix" => Selection::below(&value),
        "Exact" => Selection::exactly(&value),
        "RegularExpression" => Selection::matching(&value),
        _ => Selection::anywhere(),
    };
    match kind.as_str() {
        "PathPrefix" => {}
        "Exact" => path.lost(
            "type",
            "a path is a prefix in keygate: longer paths match as well",
        ),
        other => path.lost("type", format!("keygate has no paths by {other}")),
    }
    if ["PathPrefix", "Exact"].contains(&kind.as_str()) {
        selection.note_path(&value, path, "value");
    }
    selection
}

fn filters(rule: &mut Fields<'_>) -> Filters {
    let mut all = Filters {
        any: rule.has("filters"),
        ..Filters::default()
    };
    for mut filter in rule.list("filters") {
        let kind = filter.text("type").unwrap_or_default();
        if let Some(mut change) = filter.fields(&["urlRewrite"]) {
            change.discard("hostname", "`Host` is the provider's own here");
            if let Some(mut path) = change.fields(&["path"]) {
                rewritten(&mut path, &mut all.rewrite);
                path.finish();
            }
            all.guarded |= has_unread_fields(&change);
        } else if let Some(mut change) = filter.fields(&["requestHeaderModifier"]) {
            all.headers.extend(header_changes(&mut change));
            change.finish();
        } else {
            // The effect is not known: the filter may restrict clients.
            let guards = !HARMLESS_FILTERS.contains(&kind.as_str());
            all.guarded |= guards;
            let closed = if guards {
                ": nobody can use the route until it is given keys"
            } else {
                ""
            };
            filter.lost("", format!("keygate has no filter like {kind}{closed}"));
            continue;
        }
        filter.finish();
    }
    all
}

/// The headers that are set, and those that are removed, with empty values.
pub(super) fn header_changes(change: &mut Fields<'_>) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    for set in ["set", "add"] {
        for mut header in change.list(set) {
            if let (Some(name), Some(value)) = (header.text("name"), header.text("value")) {
                headers.insert(name, value);
            }
            header.finish();
        }
    }
    let removed = change.list_of_texts("remove").into_iter();
    headers.extend(removed.map(|name| (name, String::new())));
    headers
}

fn rewritten(path: &mut Fields<'_>, rewrite: &mut Rewrite) {
    path.value(&["type"]);
    rewrite.prefix = path.text("replacePrefixMatch");
    rewrite.whole = path.text("replaceFullPath");
    if rewrite.whole.is_some() {
        path.lost(
            "replaceFullPath",
            "keygate replaces the route's path only: the rest of a longer path stays",
        );
    }
}

/// A reference to a backend.
struct BackendRef {
    kind: String,
    namespace: String,
    name: String,
    weight: u64,
    /// Whether it has fields that were not understood, such as filters of its own.
    narrowed: bool,
}

impl BackendRef {
    fn read(mut reference: Fields<'_>, object: &Object) -> Self {
        let name = reference.text("name").unwrap_or_default();
        let namespace = object.take_namespace(&mut reference);
        let weight = reference.number("weight").unwrap_or(1);
        let kind = reference
            .text("kind")
            .unwrap_or_else(|| "Service".to_owned());
        for known in ["group", "port"] {
            reference.value(&[known]);
        }
        Self {
            kind,
            namespace,
            name,
            weight,
            narrowed: has_unread_fields(&reference),
        }
    }
}

/// The backend of a rule with the largest weight.
fn backend_ref<'b>(
    object: &Object,
    rule: &mut Fields<'_>,
    backends: &'b Backends,
) -> Option<&'b Backend> {
    let references = rule.list("backendRefs").into_iter();
    let references: Vec<BackendRef> = references
        .map(|reference| BackendRef::read(reference, object))
        .collect();
    if references.len() > 1 {
        rule.lost(
            "backendRefs",
            "a route has one provider here: the heaviest, or the first of equals",
        );
    }
    // `max_by_key` returns the last of equals, and the first is wanted.
    let heaviest = references.iter().rev().max_by_key(|it| it.weight)?;
    let (kind, name) = (&heaviest.kind, &heaviest.name);
    let found = find(backends, Some(kind), &heaviest.namespace, name);
    if found.is_none() {
        rule.lost(
            "backendRefs",
            format!(
                "the {kind} `{name}` is not in the files, or names no usable address: {CLOSED_PATH}"
            ),
        );
    } else if heaviest.weight == 0 {
        rule.lost(
            "backendRefs",
            format!("the {kind} `{name}` has no weight: {CLOSED_PATH}"),
        );
    }
    found.filter(|_| heaviest.weight > 0 && !heaviest.narrowed)
}
