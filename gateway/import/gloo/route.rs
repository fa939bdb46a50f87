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
    /// Entries of its metadata without which a key is not let in.
    pub required: Vec<String>,
    /// The labels that a key must have, and how near the policy that says so is to the route.
    keys: Option<(Rank, BTreeMap<String, String>)>,
    /// Whether it is guarded by other means than keys, too, or in a way that cannot be read.
    closed: bool,
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

impl Found {
    /// Closes it, whatever else is said of it: open is what it must not become.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Keys with these labels may use it.
    pub(super) fn ask_for(&mut self, rank: Rank, labels: &BTreeMap<String, String>, notes: &Notes) {
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
                "imported".to_owned(),
                self.route.name.clone(),
            )]));
        }
        self.keys.as_ref().map(|(_, labels)| labels.clone())
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

/// A rule of a route object, without the paths that it is for.
struct Rule<'a> {
    object: &'a Object,
    hosts: &'a [String],
    name: &'a str,
    labels: &'a BTreeMap<String, String>,
    target: Option<&'a Backend>,
    rewrite: &'a Rewrite,
    /// The headers that it sets.
    headers: &'a BTreeMap<String, String>,
}

/// The routes of an `HTTPRoute`.
pub(super) fn http_route(object: &Object, backends: &Backends, notes: &Notes) -> Vec<Found> {
    let mut fields = object.fields(notes);
    let Some(mut spec) = fields.fields(&["spec"]) else {
        notes.lost(&object.title, "spec", "there is none");
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
        let ours = Rule {
            object,
            hosts: &hosts,
            name: &name,
            labels: &object.labels,
            target: backend_ref(object, &mut rule, backends),
            rewrite: &rewrite,
            headers: &templates,
        };
        let mut matches = rule.list("matches");
        if matches.is_empty() {
            // The Gateway API's default.
            found.extend(ours.at("/".to_owned(), notes));
        }
        for matched in &mut matches {
            let Some(path) = path(matched) else { continue };
            matched.lose(
                "method",
                "keygate chooses by host and path only: the route takes all of them",
            );
            let mut route = ours.at(path, notes);
            for unknown in ["headers", "queryParams"] {
                if matched.value(&[unknown]).is_some() {
                    matched.lost(unknown, "keygate chooses by host and path only, and this may be what keeps strangers out: nobody can use the route until it is given keys");
                    if let Some(route) = &mut route {
                        route.close();
                    }
                }
            }
            found.extend(route);
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
        "Exact" => path.lost("type", "what goes on behind the path is taken as well"),
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
                if rewrite.whole.is_some() {
                    path.lost(
                        "replaceFullPath",
                        "what goes on behind the route's path goes on there, too",
                    );
                }
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
        let kind = reference
            .text("kind")
            .unwrap_or_else(|| "Service".to_owned());
        for known in ["group", "port"] {
            reference.value(&[known]);
        }
        reference.finish();
        refs.push((weight, kind, namespace, name));
    }
    if refs.len() > 1 {
        rule.lost(
            "backendRefs",
            "a route has one provider here: the heaviest, or the first of equals",
        );
    }
    // The last of the greatest is what `max_by_key` gives; the first is what is meant.
    let (_, kind, namespace, name) = refs.into_iter().rev().max_by_key(|(weight, ..)| *weight)?;
    let found = find(backends, &namespace, &name).filter(|_| kind != "Service");
    if found.is_none() {
        rule.lost(
            "backendRefs",
            format!("the {kind} `{name}` is not among the files, or names no place: the rule is left out"),
        );
    }
    found
}

impl Rule<'_> {
    /// The route of it at a path; `None` if there is nothing that it goes to.
    fn at(&self, path: String, notes: &Notes) -> Option<Found> {
        let object = self.object;
        let provider = match self.target? {
            Backend::Ai(providers) => {
                let mut provider = providers.first()?.clone();
                if self
                    .rewrite
                    .prefix
                    .as_deref()
                    .is_some_and(|prefix| !prefix.trim_matches('/').is_empty())
                {
                    notes.lost(
                        &object.title,
                        "",
                        format!(
                            "the rewritten path of {path}: an AI provider's paths are its own here"
                        ),
                    );
                }
                if let Some(whole) = &self.rewrite.whole {
                    provider
                        .settings
                        .retain(|(name, _)| *name != "default_endpoint");
                    provider.settings.push(("default_endpoint", whole.clone()));
                }
                provider
            }
            Backend::Host(host) => at_host(host, &path, self.rewrite),
        };
        let name = if self.name.is_empty() {
            &object.name
        } else {
            self.name
        };
        let mut found = Found {
            route: PlannedRoute {
                name: name.to_owned(),
                hosts: self.hosts.to_vec(),
                path,
                headers: self.headers.clone(),
                ..PlannedRoute::default()
            },
            provider,
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
            keys: None,
            closed: self.rewrite.guarded,
        };
        // What was for nobody else is not for everybody.
        found.route.hosts.retain(|host| host != "*");
        Some(found)
    }
}

/// A host gets the path as it is, unless something else is to stand in its prefix's place.
fn at_host(host: &Host, path: &str, rewrite: &Rewrite) -> PlannedProvider {
    let front = rewrite.whole.as_deref().or(rewrite.prefix.as_deref());
    let front = front.unwrap_or(path);
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
        let ours = Rule {
            object,
            hosts: &hosts,
            name: &name,
            labels: &labels,
            target,
            rewrite: &rewrite,
            headers: &BTreeMap::new(),
        };
        let mut matchers = entry.list("matchers");
        if matchers.is_empty() {
            found.extend(ours.at("/".to_owned(), notes));
        }
        for matcher in &mut matchers {
            let Some(path) = uri(matcher) else { continue };
            found.extend(ours.at(path, notes));
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
        uri.lost("exact", "what goes on behind the path is taken as well");
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
