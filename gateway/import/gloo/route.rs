//! Which requests go where: `HTTPRoute` of the Gateway API, `RouteTable` of Gloo Platform.

use std::collections::BTreeMap;

use super::super::fields::Fields;
use super::super::{Notes, PlannedProvider, PlannedRoute};
use super::object::Object;
use super::upstream::{Backend, Backends, Host, find, hosted};

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
}

impl Found {
    /// Closes it where it was guarded by other means than keys: open is what it must not become.
    pub(super) fn close(&mut self) {
        let nobody = BTreeMap::from([("imported".to_owned(), "nobody".to_owned())]);
        self.route.keys.get_or_insert(nobody);
    }
}

/// How a path is changed on the way.
#[derive(Default)]
struct Rewrite {
    /// What stands in the prefix's place.
    prefix: Option<String>,
    /// What stands in the whole path's place.
    whole: Option<String>,
    /// Whether something that cannot be read may guard the route.
    guarded: bool,
}

/// The routes of an `HTTPRoute`.
pub(super) fn http_route(object: &Object, backends: &Backends, notes: &Notes) -> Vec<Found> {
    let mut fields = object.fields(notes);
    let Some(mut spec) = fields.fields(&["spec"]) else {
        notes.lost(&object.title, "spec", "there is none");
        return Vec::new();
    };
    // Which gateway it hangs on: there is one here.
    spec.value(&["parentRefs"]);
    let hosts = spec.list_of_texts("hostnames");
    let mut found = Vec::new();
    for mut rule in spec.list("rules") {
        let name = rule.text("name").unwrap_or_default();
        let mut templates = BTreeMap::new();
        let rewrite = filters(&mut rule, &mut templates);
        rule.lose(
            "timeouts",
            "keygate has timeouts in the provider: `[providers.NAME.timeouts]`",
        );
        rule.lose(
            "retry",
            "keygate tries again only where nothing can be done twice",
        );
        let target = backend_ref(object, &mut rule, backends);
        let mut matches = rule.list("matches");
        if matches.is_empty() {
            // The Gateway API's default.
            found.extend(one(
                object,
                &hosts,
                "/".to_owned(),
                target,
                &rewrite,
                &templates,
                (&name, &object.labels),
            ));
        }
        for matched in &mut matches {
            let Some(path) = path(matched) else { continue };
            for unknown in ["headers", "queryParams", "method"] {
                matched.lose(
                    unknown,
                    "keygate chooses by host and path only: the route takes all of them",
                );
            }
            found.extend(one(
                object,
                &hosts,
                path,
                target,
                &rewrite,
                &templates,
                (&name, &object.labels),
            ));
        }
        for matched in matches {
            matched.finish();
        }
        rule.finish();
    }
    spec.finish();
    fields.finish();
    found
}

/// The path that a match is about; `None` if it is no prefix.
fn path(matched: &mut Fields<'_>) -> Option<String> {
    let Some(mut path) = matched.fields(&["path"]) else {
        return Some("/".to_owned());
    };
    let value = path.text("value").unwrap_or_else(|| "/".to_owned());
    let kind = path.text("type").unwrap_or_else(|| "PathPrefix".to_owned());
    match kind.as_str() {
        "PathPrefix" => {}
        "Exact" => path.say("type", "what goes on behind the path is taken as well"),
        other => {
            path.lost(
                "type",
                format!("keygate has no paths by {other}: the match is left out"),
            );
            return None;
        }
    }
    path.finish();
    Some(value)
}

fn filters(rule: &mut Fields<'_>, templates: &mut BTreeMap<String, String>) -> Rewrite {
    let mut rewrite = Rewrite::default();
    for mut filter in rule.list("filters") {
        let kind = filter.text("type").unwrap_or_default();
        if let Some(mut change) = filter.fields(&["urlRewrite"]) {
            change.lose("hostname", "`Host` is the provider's own here");
            if let Some(mut path) = change.fields(&["path"]) {
                path.value(&["type"]);
                rewrite.prefix = path.text("replacePrefixMatch");
                rewrite.whole = path.text("replaceFullPath");
                path.finish();
            }
            change.finish();
        } else if let Some(mut change) = filter.fields(&["requestHeaderModifier"]) {
            for set in ["set", "add"] {
                for mut header in change.list(set) {
                    if let (Some(name), Some(value)) = (header.text("name"), header.text("value")) {
                        templates.insert(name, value);
                    }
                    header.finish();
                }
            }
            for name in change.list_of_texts("remove") {
                templates.insert(name, String::new());
            }
            change.finish();
        } else {
            // What an extension does is not said here: it may be what keeps strangers out.
            rewrite.guarded |= kind == "ExtensionRef";
            let closed = if rewrite.guarded {
                ": nobody can use the route until it is given keys"
            } else {
                ""
            };
            filter.lost("", format!("keygate has no filter like {kind}{closed}"));
            continue;
        }
        filter.finish();
    }
    rewrite
}

/// The backend of a rule: the heaviest of them.
fn backend_ref<'b>(
    object: &Object,
    rule: &mut Fields<'_>,
    backends: &'b Backends,
) -> Option<&'b Backend> {
    let mut refs = Vec::new();
    for mut reference in rule.list("backendRefs") {
        let name = reference.text("name").unwrap_or_default();
        let namespace = reference
            .text("namespace")
            .unwrap_or_else(|| object.namespace.clone());
        let weight = reference.number("weight").unwrap_or(1);
        for known in ["group", "kind", "port"] {
            reference.value(&[known]);
        }
        reference.finish();
        refs.push((weight, namespace, name));
    }
    if refs.len() > 1 {
        rule.lost(
            "backendRefs",
            "a route has one provider here: the heaviest, or the first of equals",
        );
    }
    // The last of the greatest is what `max_by_key` gives; the first is what is meant.
    let (_, namespace, name) = refs.into_iter().rev().max_by_key(|(weight, ..)| *weight)?;
    let found = find(backends, &namespace, &name);
    if found.is_none() {
        rule.lost(
            "backendRefs",
            format!("`{name}` is not among the files, or names no place: the rule is left out"),
        );
    }
    found
}

fn one(
    object: &Object,
    hosts: &[String],
    path: String,
    target: Option<&Backend>,
    rewrite: &Rewrite,
    templates: &BTreeMap<String, String>,
    (rule, labels): (&str, &BTreeMap<String, String>),
) -> Option<Found> {
    let provider = match target? {
        Backend::Ai(providers) => {
            let mut provider = providers.first()?.clone();
            if let Some(whole) = &rewrite.whole {
                provider
                    .settings
                    .retain(|(name, _)| *name != "default_endpoint");
                provider.settings.push(("default_endpoint", whole.clone()));
            }
            provider
        }
        Backend::Host(host) => at_host(host, &path, rewrite),
    };
    let name = if rule.is_empty() { &object.name } else { rule };
    let mut found = Found {
        route: PlannedRoute {
            name: name.to_owned(),
            hosts: hosts.iter().filter(|host| *host != "*").cloned().collect(),
            path,
            headers: templates.clone(),
            ..PlannedRoute::default()
        },
        provider,
        title: object.title.clone(),
        source: (
            object.kind.clone(),
            object.namespace.clone(),
            object.name.clone(),
        ),
        rule: rule.to_owned(),
        labels: labels.clone(),
        from_metadata: BTreeMap::new(),
    };
    if rewrite.guarded {
        found.close();
    }
    Some(found)
}

/// A host gets the path as it is, unless something else is to stand in its prefix's place.
fn at_host(host: &Host, path: &str, rewrite: &Rewrite) -> PlannedProvider {
    if let Some(whole) = &rewrite.whole {
        let mut provider = hosted(host, "");
        provider
            .settings
            .retain(|(name, _)| *name != "default_endpoint");
        provider.settings.push(("default_endpoint", whole.clone()));
        return provider;
    }
    let front = rewrite.prefix.as_deref().unwrap_or(path);
    hosted(host, if front == "/" { "" } else { front })
}

/// The routes of a `RouteTable`.
pub(super) fn route_table(object: &Object, backends: &Backends, notes: &Notes) -> Vec<Found> {
    let mut fields = object.fields(notes);
    let Some(mut spec) = fields.fields(&["spec"]) else {
        notes.lost(&object.title, "spec", "there is none");
        return Vec::new();
    };
    for ours in ["virtualGateways", "workloadSelectors", "weight"] {
        spec.value(&[ours]);
    }
    let hosts = spec.list_of_texts("hosts");
    let mut found = Vec::new();
    for mut entry in spec.list("http") {
        let name = entry.text("name").unwrap_or_default();
        let labels = entry.texts("labels");
        let mut rewrite = Rewrite::default();
        let mut target = None;
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
            forward.finish();
        } else {
            entry.lost("", "it forwards nothing: the route is left out");
        }
        let mut matchers = entry.list("matchers");
        if matchers.is_empty() {
            found.extend(one(
                object,
                &hosts,
                "/".to_owned(),
                target,
                &rewrite,
                &BTreeMap::new(),
                (&name, &labels),
            ));
        }
        for matcher in &mut matchers {
            let Some(path) = uri(matcher) else { continue };
            found.extend(one(
                object,
                &hosts,
                path,
                target,
                &rewrite,
                &BTreeMap::new(),
                (&name, &labels),
            ));
        }
        for matcher in matchers {
            matcher.finish();
        }
        entry.finish();
    }
    spec.finish();
    fields.finish();
    found
}

fn uri(matcher: &mut Fields<'_>) -> Option<String> {
    let Some(mut uri) = matcher.fields(&["uri"]) else {
        return Some("/".to_owned());
    };
    let path = uri.text("prefix").or_else(|| {
        let exact = uri.text("exact")?;
        uri.say("exact", "what goes on behind the path is taken as well");
        Some(exact)
    });
    if path.is_none() {
        uri.lost(
            "",
            "keygate has paths by prefix only: the matcher is left out",
        );
    }
    uri.finish();
    path
}

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
        forward.lost("destinations", "there are none: the route is left out");
        return None;
    }
    let mut first = destinations.remove(0);
    let kind = first.text("kind").unwrap_or_else(|| "SERVICE".to_owned());
    for known in ["port", "weight"] {
        first.value(&[known]);
    }
    let mut reference = first.fields(&["ref"])?;
    let name = reference.text("name").unwrap_or_default();
    let namespace = reference
        .text("namespace")
        .unwrap_or_else(|| object.namespace.clone());
    reference.value(&["cluster"]);
    reference.finish();
    first.finish();
    let found = find(backends, &namespace, &name);
    if found.is_none() {
        forward.lost("destinations", format!(
            "the {kind} `{name}` is not among the files: add its ExternalService or Upstream; the route is left out"
        ));
    }
    found
}
