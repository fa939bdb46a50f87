//! What is done to requests on a route: `ExtAuthPolicy` and `TransformationPolicy` of Gloo Platform,
//! `TrafficPolicy` of kgateway.

use std::collections::BTreeMap;

use http::HeaderName;

use super::super::fields::Fields;
use super::super::{Notes, Plan, PlannedExtractor};
use super::object::Object;
use super::route::Found;
use super::secret::{self, Entry};
use super::upstream::Secrets;
use crate::config::may_hold_key;

/// Headers that Gloo takes a key from where nothing else is said.
const DEFAULT_HEADER: &str = "api-key";

/// The routes that a policy of Gloo Platform's applies to.
fn chosen<'f>(spec: &mut Fields<'_>, routes: &'f mut [Found]) -> Vec<&'f mut Found> {
    let mut selectors = Vec::new();
    for mut target in spec.list("applyToRoutes") {
        if let Some(mut route) = target.fields(&["route"]) {
            selectors.push(route.texts("labels"));
            route.finish();
        }
        target.finish();
    }
    let takes = |selector: &BTreeMap<String, String>, route: &Found| {
        selector
            .iter()
            .all(|(name, value)| route.labels.get(name) == Some(value))
    };
    for selector in &selectors {
        if !routes.iter().any(|route| takes(selector, route)) {
            let labels: Vec<String> = selector.iter().map(|(k, v)| format!("{k}: {v}")).collect();
            spec.lost(
                "applyToRoutes",
                format!(
                    "no route has the labels {}: it does nothing",
                    labels.join(", ")
                ),
            );
        }
    }
    if selectors.is_empty() {
        spec.lost("applyToRoutes", "it says no routes: it does nothing");
    }
    let chosen = |route: &&mut Found| selectors.iter().any(|selector| takes(selector, route));
    routes.iter_mut().filter(chosen).collect()
}

/// Who may use a route.
pub(super) fn ext_auth(object: &Object, plan: &mut Plan, notes: &Notes, routes: &mut [Found]) {
    let mut fields = object.fields(notes);
    let Some(mut spec) = fields.fields(&["spec"]) else {
        return notes.lost(&object.title, "spec", "there is none");
    };
    let mut routes = chosen(&mut spec, routes);
    let Some(mut config) = spec.fields(&["config"]) else {
        return notes.lost(&object.title, "spec.config", "there is none");
    };
    // The service that checks keys there: keygate does it itself.
    config.value(&["server"]);
    let mut closed = false;
    if let Some(mut auth) = config.fields(&["glooAuth"]) {
        for mut entry in auth.list("configs") {
            entry.value(&["name"]);
            if let Some(mut keys) = entry.fields(&["apiKeyAuth"]) {
                closed = true;
                api_key_auth(&mut keys, plan, &mut routes);
                keys.finish();
            }
            entry.finish();
        }
        auth.finish();
    }
    config.finish();
    spec.finish();
    fields.finish();
    if !closed {
        for found in routes {
            found.close();
        }
        notes.lost(
            &object.title,
            "spec.config",
            "keygate checks API keys only: nobody can use its routes until they are given some",
        );
    }
}

fn api_key_auth(keys: &mut Fields<'_>, plan: &mut Plan, routes: &mut [&mut Found]) {
    let header = keys
        .text("headerName")
        .unwrap_or_else(|| DEFAULT_HEADER.to_owned());
    if !accept_header(&header, plan) {
        keys.lost("headerName", "no key can stand there");
    }
    let mut labels = BTreeMap::new();
    if let Some(mut storage) = keys.fields(&["k8sSecretApikeyStorage"]) {
        labels = storage.texts("labelSelector");
        storage.lose(
            "apiKeySecretRefs",
            "choose keys by their labels: `keys = { name = \"value\" }` in the route",
        );
        storage.finish();
    }
    let mut metadata = BTreeMap::new();
    for name in ["headersFromMetadataEntry", "headersFromMetadata"] {
        if let Some(mut headers) = keys.fields(&[name]) {
            for (header, mut entry) in headers.all() {
                if let Some(from) = entry.text("name") {
                    metadata.insert(header.to_ascii_lowercase(), from);
                }
                if entry.text("required").as_deref() == Some("true") {
                    entry.lost(
                        "required",
                        "a key without the entry is let in, without the header",
                    );
                }
                entry.finish();
            }
            headers.finish();
        }
    }
    for found in routes {
        found.route.keys = Some(labels.clone());
        found.from_metadata.extend(metadata.clone());
    }
}

/// Takes keys from one more header, if it can hold one.
fn accept_header(name: &str, plan: &mut Plan) -> bool {
    let Ok(name) = HeaderName::try_from(name) else {
        return false;
    };
    let may = may_hold_key(&name);
    if may {
        plan.key_headers.insert(name.as_str().to_owned());
    }
    may
}

/// What is changed in a request.
pub(super) fn transformation(object: &Object, notes: &Notes, routes: &mut [Found]) {
    let mut fields = object.fields(notes);
    let Some(mut spec) = fields.fields(&["spec"]) else {
        return notes.lost(&object.title, "spec", "there is none");
    };
    let mut routes = chosen(&mut spec, routes);
    let Some(mut config) = spec.fields(&["config"]) else {
        return notes.lost(&object.title, "spec.config", "there is none");
    };
    config.lose("response", "keygate does not change answers");
    config.value(&["phase"]);
    if let Some(mut request) = config.fields(&["request"]) {
        if let Some(mut template) = request.fields(&["injaTemplate"]) {
            template.lose("body", "keygate does not change bodies");
            template.lose(
                "parseBodyBehavior",
                "keygate reads no body: audio and uploads pass",
            );
            template.value(&["passthrough"]);
            let mut extractors = BTreeMap::new();
            if let Some(mut all) = template.fields(&["extractors"]) {
                for (name, mut extractor) in all.all() {
                    let group = extractor.number("subgroup").unwrap_or(0);
                    let regex = extractor.text("regex").unwrap_or_else(|| ".*".to_owned());
                    match extractor.text("header") {
                        Some(header) => {
                            let planned = PlannedExtractor::Header {
                                name: header,
                                regex,
                                group,
                            };
                            extractors.insert(name, planned);
                        }
                        None => extractor.lost("", "keygate extracts from headers only"),
                    }
                    extractor.finish();
                }
                all.finish();
            }
            let mut headers = BTreeMap::new();
            if let Some(mut all) = template.fields(&["headers"]) {
                for (name, mut header) in all.all() {
                    headers.insert(name, header.text("text").unwrap_or_default());
                    header.finish();
                }
                all.finish();
            }
            for found in &mut routes {
                found.route.extractors.extend(extractors.clone());
                for (name, text) in &headers {
                    let text = plain_template(text, &mut found.route.extractors);
                    found.route.headers.insert(name.clone(), text);
                }
            }
            template.finish();
        }
        request.finish();
    }
    config.finish();
    spec.finish();
    fields.finish();
}

/// A template without functions: `{{ header("x") }}` and `{{ extraction("x") }}` are names of extractors.
fn plain_template(text: &str, extractors: &mut BTreeMap<String, PlannedExtractor>) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((inner, behind)) = after.split_once("}}") else {
            break;
        };
        plain.push_str(before);
        let call = |function: &str| {
            let argument = inner
                .trim()
                .strip_prefix(function)?
                .trim()
                .strip_prefix('(')?
                .strip_suffix(')')?;
            Some(argument.trim().trim_matches(['"', '\'']).to_owned())
        };
        let name = if let Some(header) = call("header").or_else(|| call("request_header")) {
            let extractor = PlannedExtractor::Header {
                name: header.clone(),
                regex: ".*".to_owned(),
                group: 0,
            };
            extractors.entry(header.clone()).or_insert(extractor);
            header
        } else {
            call("extraction").unwrap_or_else(|| inner.trim().to_owned())
        };
        plain.extend(["{{ ", &name, " }}"]);
        rest = behind;
    }
    plain.push_str(rest);
    plain
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
    let mut targets = Vec::new();
    for mut target in spec.list("targetRefs") {
        let name = target.text("name").unwrap_or_default();
        let kind = target
            .text("kind")
            .unwrap_or_else(|| "HTTPRoute".to_owned());
        target.value(&["group"]);
        targets.push((kind, name, target.text("sectionName")));
        target.finish();
    }
    let takes = |(kind, name, section): &(String, String, Option<String>), found: &Found| {
        let on_gateway = kind == "Gateway";
        let on_route = found.source.0 == *kind && found.source.2 == *name;
        on_gateway
            || (on_route
                && section
                    .as_ref()
                    .is_none_or(|section| *section == found.rule))
    };
    for target in &targets {
        if !routes.iter().any(|found| takes(target, found)) {
            spec.lost(
                "targetRefs",
                format!(
                    "there is no route of the {} `{}`: it does nothing",
                    target.0, target.1
                ),
            );
        }
    }
    let mut chosen: Vec<&mut Found> = routes
        .iter_mut()
        .filter(|found| targets.iter().any(|target| takes(target, found)))
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
                    for found in &mut chosen {
                        let text = plain_template(&value, &mut found.route.extractors);
                        found.route.headers.insert(name.clone(), text);
                    }
                }
            }
            for name in request.list_of_texts("remove") {
                for found in &mut chosen {
                    found.route.headers.insert(name.clone(), String::new());
                }
            }
            request.finish();
        }
        transformation.finish();
    }
    spec.lose("ai", "keygate does not change bodies");
    for guard in [
        "extAuth",
        "jwt",
        "jwtAuthentication",
        "basicAuth",
        "oauth2",
        "rbac",
    ] {
        if spec.value(&[guard]).is_some() {
            for found in &mut chosen {
                found.close();
            }
            spec.lost(
                guard,
                "keygate checks API keys only: nobody can use its routes until they are given some",
            );
        }
    }
    if let Some(mut keys) = spec.fields(&["apiKeyAuthentication", "apiKeyAuth"]) {
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
    routes: &mut [&mut Found],
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
        names.extend(reference.text("name"));
        reference.value(&["namespace"]);
        reference.finish();
    }
    if let Some(mut selector) = keys.fields(&["secretSelector"]) {
        labels = selector.texts("matchLabels");
        selector.finish();
    }
    let mut selected = Vec::new();
    for secret in secrets.values() {
        let by_labels = !labels.is_empty()
            && labels
                .iter()
                .all(|(name, value)| secret.labels.get(name) == Some(value));
        if by_labels || names.contains(&secret.name) {
            selected.push(*secret);
        }
    }
    for name in &names {
        if !selected.iter().any(|secret| secret.name == *name) {
            keys.lost(
                "secretRef",
                format!("the secret `{name}` is not in the files"),
            );
        }
    }
    // A label of our own, so that the keys of one policy do not open the routes of another.
    let mark = ("policy".to_owned(), object.name.clone());
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
    for found in routes {
        found.route.keys = Some(BTreeMap::from([mark.clone()]));
    }
    Ok(())
}
