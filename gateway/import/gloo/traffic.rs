//! What is done to requests on a route: `TrafficPolicy` of kgateway.

use std::collections::BTreeMap;

use super::super::fields::Fields;
use super::super::{Notes, Plan};
use super::found::{Found, Rank};
use super::object::Object;
use super::policy::{accept_header, plain_template};
use super::secret::{self, Entry};
use super::upstream::{Secrets, alone};

/// What a policy of kgateway's is for.
enum Target {
    /// All routes.
    Gateway,
    /// Those of an object, or one rule of it.
    Route { name: String, rule: Option<String> },
    /// Those of objects with these labels.
    Labelled(BTreeMap<String, String>),
}

impl Target {
    /// How near it is to a route that it takes. A policy is for its own namespace.
    fn takes(&self, policy: &Object, found: &Found) -> Option<Rank> {
        let (kind, namespace, name) = &found.source;
        let here = *namespace == policy.namespace && kind == "HTTPRoute";
        match self {
            Self::Gateway => Some(Rank::Gateway),
            Self::Route { name: wanted, rule } => match rule {
                _ if !here || wanted != name => None,
                None => Some(Rank::Route),
                Some(rule) => (*rule == found.rule).then_some(Rank::Rule),
            },
            Self::Labelled(labels) => {
                let labelled = labels
                    .iter()
                    .all(|(name, value)| found.labels.get(name) == Some(value));
                (here && labelled).then_some(Rank::Route)
            }
        }
    }
}

/// What a policy is for, and whether it is for more than is read here.
fn targets(object: &Object, spec: &mut Fields<'_>, routes: &[Found]) -> (Vec<Target>, bool) {
    let (mut targets, mut unsure) = (Vec::new(), false);
    for (list, by_name) in [("targetRefs", true), ("targetSelectors", false)] {
        for mut target in spec.list(list) {
            let kind = target
                .text("kind")
                .unwrap_or_else(|| "HTTPRoute".to_owned());
            let name = target.text("name").unwrap_or_default();
            let (rule, labels) = (target.text("sectionName"), target.texts("matchLabels"));
            target.value(&["group"]);
            match (kind.as_str(), by_name) {
                ("Gateway", _) => targets.push(Target::Gateway),
                ("HTTPRoute", true) => targets.push(Target::Route { name, rule }),
                ("HTTPRoute", false) => targets.push(Target::Labelled(labels)),
                _ => {
                    target.lost(
                        "kind",
                        format!("keygate does not know policies for a {kind}"),
                    );
                    unsure = true;
                }
            }
            target.finish();
        }
    }
    for target in &targets {
        if !routes
            .iter()
            .any(|found| target.takes(object, found).is_some())
        {
            spec.lost(
                "targetRefs",
                "one of them is no route in the files: it does nothing",
            );
        }
    }
    (targets, unsure)
}

/// The fields of kgateway's policy that ask for a key.
const API_KEYS: [&str; 2] = ["apiKeyAuthentication", "apiKeyAuth"];

/// Whether a field of this name may keep somebody out: there are new ones in each version.
fn guards(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let telling = [
        "auth", "jwt", "oidc", "rbac", "acl", "access", "allow", "deny",
    ];
    telling.iter().any(|part| name.contains(part))
}

/// kgateway's policy, which names the routes it is for.
pub(super) fn traffic(
    object: &Object,
    plan: &mut Plan,
    notes: &Notes,
    secrets: &Secrets<'_>,
    routes: &mut [Found],
) -> Result<(), String> {
    let mut fields = object.fields(notes);
    let Some(mut spec) = fields.fields(&["spec"]) else {
        notes.lost(&object.title, "spec", "there is none");
        return Ok(());
    };
    let (targets, unsure) = targets(object, &mut spec, routes);
    let guards: Vec<String> = spec.unread().filter(|name| guards(name)).cloned().collect();
    if let Some(guard) = guards.first().filter(|_| unsure) {
        routes.iter_mut().for_each(Found::close);
        spec.lost(
            guard,
            "it is not read here for which routes: nobody can use any until they are given keys",
        );
    }
    let mut chosen: Vec<(Rank, &mut Found)> = routes
        .iter_mut()
        .filter_map(|found| {
            let rank = targets
                .iter()
                .filter_map(|target| target.takes(object, found))
                .max();
            Some((rank?, found))
        })
        .collect();
    if let Some(mut transformation) = spec.fields(&["transformation"]) {
        transformation.lose("response", "keygate does not change answers");
        if let Some(mut request) = transformation.fields(&["request"]) {
            request.lose("body", "keygate does not change bodies");
            for set in ["set", "add"] {
                for mut header in request.list(set) {
                    let (name, value) = (header.text("name"), header.text("value"));
                    header.finish();
                    let (Some(name), Some(value)) = (name, value) else {
                        continue;
                    };
                    for (_, found) in &mut chosen {
                        let text = plain_template(&value, &mut found.route.extractors);
                        found.route.headers.insert(name.clone(), text);
                    }
                }
            }
            for name in request.list_of_texts("remove") {
                for (_, found) in &mut chosen {
                    found.route.headers.insert(name.clone(), String::new());
                }
            }
            request.finish();
        }
        transformation.finish();
    }
    spec.lose("ai", "keygate does not change bodies");
    for guard in guards
        .iter()
        .filter(|guard| !API_KEYS.contains(&guard.as_str()))
    {
        for (_, found) in &mut chosen {
            found.close();
        }
        spec.value(&[guard]);
        spec.lost(
            guard,
            "keygate checks API keys only: nobody can use its routes until they are given some",
        );
    }
    if let Some(mut keys) = spec.fields(&API_KEYS) {
        kgateway_keys(object, &mut keys, plan, notes, secrets, &mut chosen)?;
        keys.finish();
    }
    spec.finish();
    fields.finish();
    Ok(())
}

/// kgateway's keys: each entry of a secret is a client's name and its key.
fn kgateway_keys(
    object: &Object,
    keys: &mut Fields<'_>,
    plan: &mut Plan,
    notes: &Notes,
    secrets: &Secrets<'_>,
    routes: &mut [(Rank, &mut Found)],
) -> Result<(), String> {
    for mut source in keys.list("keySources") {
        if let Some(header) = source.text("header")
            && !accept_header(&header, plan)
        {
            source.lost("header", "no key can stand there");
        }
        source.lose("cookie", "keygate takes no key from a cookie");
        source.finish();
    }
    keys.value(&["forwardCredential"]);
    let (mut names, mut labels) = (Vec::new(), BTreeMap::new());
    if let Some(mut reference) = keys.fields(&["secretRef"]) {
        let namespace = reference
            .text("namespace")
            .unwrap_or_else(|| object.namespace.clone());
        names.extend(reference.text("name").map(|name| (namespace, name)));
        reference.finish();
    }
    if let Some(mut selector) = keys.fields(&["secretSelector"]) {
        labels = selector.texts("matchLabels");
        if selector.unread().next().is_some() {
            // What narrows the choice further: none is better than too many.
            labels.clear();
        }
        selector.finish();
    }
    let mut selected = Vec::new();
    if !labels.is_empty() {
        let here = secrets
            .values()
            .filter(|secret| secret.namespace == object.namespace);
        let labelled = |secret: &&&Object| {
            labels
                .iter()
                .all(|(name, value)| secret.labels.get(name) == Some(value))
        };
        selected.extend(here.filter(labelled).copied());
    }
    for (namespace, name) in &names {
        match alone(secrets, namespace, name) {
            Some(secret) => selected.push(*secret),
            None => keys.lost(
                "secretRef",
                format!("the secret `{name}` is not in the files"),
            ),
        }
    }
    // A label of our own, so that the keys of one policy do not open the routes of another.
    let place = match object.namespace.as_str() {
        "" => object.name.clone(),
        namespace => format!("{namespace}/{}", object.name),
    };
    let mark = ("policy".to_owned(), place);
    for secret in selected {
        for (id, entry) in secret::data(secret)? {
            let Entry::Text(key) = entry else { continue };
            let marked = Object {
                labels: secret
                    .labels
                    .clone()
                    .into_iter()
                    .chain([mark.clone()])
                    .collect(),
                title: secret.title.clone(),
                kind: String::new(),
                group: String::new(),
                name: id.clone(),
                namespace: String::new(),
                body: serde_json::Value::Null,
            };
            secret::add(plan, notes, &marked, &id, &key, BTreeMap::new());
        }
    }
    for (rank, found) in routes {
        found.ask_for(*rank, &BTreeMap::from([mark.clone()]), notes);
    }
    Ok(())
}
