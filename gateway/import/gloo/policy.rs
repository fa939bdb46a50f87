//! Imports the policies of Gloo Platform for routes: `ExtAuthPolicy` and `TransformationPolicy`.

use std::collections::BTreeMap;

use http::HeaderName;

use super::super::fields::Fields;
use super::super::{Notes, Plan, PlannedExtractor};
use super::found::{Found, Means, Rank};
use super::object::Object;
use super::secret;
use super::traffic::mark;
use super::upstream::{Secrets, alone};
use crate::config::may_hold_key;

/// The header in which Gloo expects a key by default.
const DEFAULT_HEADER: &str = "api-key";

/// The routes that a policy of Gloo Platform applies to. If its targets are not understood, returns
/// all routes and `true`, so that the policy can close them.
fn chosen<'f>(spec: &mut Fields<'_>, routes: &'f mut [Found]) -> (Vec<&'f mut Found>, bool) {
    let mut selectors = Vec::new();
    let mut unsure = false;
    for mut target in spec.list("applyToRoutes") {
        match target.fields(&["route"]) {
            Some(mut route) => {
                selectors.push(route.texts("labels"));
                route.finish();
            }
            None => unsure = true,
        }
        target.finish();
    }
    let others = [
        "applyToDestinations",
        "applyToWorkloads",
        "applyToRouteTables",
    ];
    for other in others {
        if spec.value(&[other]).is_some() {
            spec.lost(other, "keygate has policies for routes only");
            unsure = true;
        }
    }
    let takes = |selector: &BTreeMap<String, String>, route: &Found| {
        selector
            .iter()
            .all(|(name, value)| route.labels.get(name) == Some(value))
    };
    for selector in &selectors {
        if !routes.iter().any(|route| takes(selector, route)) {
            let labels: Vec<String> = selector.iter().map(|(k, v)| format!("{k}: {v}")).collect();
            let labels = labels.join(", ");
            spec.lost(
                "applyToRoutes",
                format!("no route has the labels {labels}: it does nothing"),
            );
        }
    }
    if selectors.is_empty() && !unsure {
        spec.lost("applyToRoutes", "it says no routes");
        unsure = true;
    }
    let chosen = |route: &&mut Found| selectors.iter().any(|selector| takes(selector, route));
    if unsure {
        return (routes.iter_mut().collect(), true);
    }
    (routes.iter_mut().filter(chosen).collect(), false)
}

/// Imports `ExtAuthPolicy`: who may use a route.
pub(super) fn ext_auth(
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
    let (routes, unsure) = chosen(&mut spec, routes);
    let routes = routes.into_iter().map(|found| (Rank::Route, found));
    let mut routes: Vec<(Rank, &mut Found)> = routes.collect();
    let mut understood = false;
    if let Some(mut config) = spec.fields(&["config"]) {
        // The service that checks keys; keygate checks them itself.
        config.value(&["server"]);
        if let Some(mut auth) = config.fields(&["glooAuth"]) {
            understood = asks_for_keys(&mut auth, plan, notes, (object, secrets), &mut routes)?;
            auth.finish();
        }
        understood &= config.unread().next().is_none();
        config.finish();
    }
    if unsure || !understood {
        close_all(&mut routes);
        spec.lost("config", NOT_KEYS);
    }
    spec.finish();
    fields.finish();
    Ok(())
}

/// The note about a policy that requires more than a key.
pub(super) const NOT_KEYS: &str = "keygate checks one API key, by its labels, and nothing else: nobody can use its routes until they are given keys";

/// Closes routes.
pub(super) fn close_all(routes: &mut [(Rank, &mut Found)]) {
    for (_, found) in routes {
        found.close();
    }
}

/// Requires the keys of a list of `configs`. Returns whether the list requires exactly one key with
/// some labels, and nothing else.
pub(super) fn asks_for_keys(
    auth: &mut Fields<'_>,
    plan: &mut Plan,
    notes: &Notes,
    of: (&Object, &Secrets<'_>),
    routes: &mut [(Rank, &mut Found)],
) -> Result<bool, String> {
    let (mut keys_asked, mut understood) = (0, true);
    for mut entry in auth.list("configs") {
        entry.value(&["name"]);
        if let Some(mut keys) = entry.fields(&["apiKeyAuth"]) {
            keys_asked += 1;
            understood &= api_key_auth(&mut keys, plan, notes, of, routes)?;
            keys.finish();
        } else {
            understood = false;
        }
        understood &= entry.unread().next().is_none();
        entry.finish();
    }
    Ok(understood && keys_asked == 1 && auth.unread().next().is_none())
}

/// Requires the keys of `apiKeyAuth`. Returns whether it requires a key with some labels, and
/// nothing else.
fn api_key_auth(
    keys: &mut Fields<'_>,
    plan: &mut Plan,
    notes: &Notes,
    (object, secrets): (&Object, &Secrets<'_>),
    routes: &mut [(Rank, &mut Found)],
) -> Result<bool, String> {
    let header = keys
        .text("headerName")
        .unwrap_or_else(|| DEFAULT_HEADER.to_owned());
    if !accept_header(&header, plan) {
        keys.lost("headerName", "no key can stand there");
    }
    // The place of the labels in older versions.
    let mut labels = keys.texts("labelSelector");
    let mut understood = true;
    if let Some(mut storage) = keys.fields(&["k8sSecretApikeyStorage"]) {
        labels.extend(storage.texts("labelSelector"));
        if storage.has(REFS) {
            // The meaning of names together with labels is not documented.
            let named = named_keys(&mut storage, object, plan, notes, secrets)?;
            understood &= named.is_some() && labels.is_empty();
            labels.extend(named);
        }
        understood &= storage.unread().next().is_none();
        storage.finish();
    }
    if keys.has(REFS) {
        let named = named_keys(keys, object, plan, notes, secrets)?;
        understood &= named.is_some() && labels.is_empty();
        labels.extend(named);
    }
    if keys.value(&["aerospikeApikeyStorage"]).is_some() {
        keys.lost(
            "aerospikeApikeyStorage",
            "keygate chooses keys of the key file by their labels",
        );
        understood = false;
    }
    let (mut metadata, mut required) = (BTreeMap::new(), Vec::new());
    for name in ["headersFromMetadataEntry", "headersFromMetadata"] {
        if let Some(mut headers) = keys.fields(&[name]) {
            for (header, mut entry) in headers.all() {
                let must = entry.text("required").as_deref() == Some("true");
                if let Some(from) = entry.text("name") {
                    required.extend(must.then(|| from.clone()));
                    metadata.insert(header.to_ascii_lowercase(), from);
                }
                entry.finish();
            }
            headers.finish();
        }
    }
    understood &= keys.unread().next().is_none();
    for (rank, found) in routes {
        found.ask_for((*rank, Means::Service), &labels, notes);
        found.from_metadata.extend(metadata.clone());
        found.required.extend(required.clone());
    }
    Ok(understood && !labels.is_empty())
}

/// The field that names the secrets with the accepted keys.
const REFS: &str = "apiKeySecretRefs";

/// The label for the keys of the named secrets. Returns `None` if a reference was not understood. A
/// secret that is not in the files gives access to nothing.
fn named_keys(
    fields: &mut Fields<'_>,
    object: &Object,
    plan: &mut Plan,
    notes: &Notes,
    secrets: &Secrets<'_>,
) -> Result<Option<(String, String)>, String> {
    let (mut found, mut understood) = (Vec::new(), true);
    for mut reference in fields.list(REFS) {
        let name = reference.text("name").unwrap_or_default();
        let namespace = reference.text("namespace");
        let namespace = namespace.as_deref().unwrap_or(&object.namespace);
        match alone(secrets, namespace, &name).copied() {
            None => reference.lost(
                "",
                format!("the secret `{name}` is not in the files: its key opens nothing"),
            ),
            Some(secret) => {
                if let Some(key) = secret::key_of(secret)? {
                    found.push((secret, secret.name.clone(), key));
                }
            }
        }
        understood &= reference.unread().next().is_none();
        reference.finish();
    }
    understood &= !fields.has(REFS);
    let mark = mark(object, &found, secrets, plan);
    for (secret, name, key) in &found {
        secret::add_marked(plan, notes, secret, name, key, &mark);
    }
    Ok(understood.then_some(mark))
}

/// Accepts keys in another header. Returns whether it may hold a key.
pub(super) fn accept_header(name: &str, plan: &mut Plan) -> bool {
    let Ok(name) = HeaderName::try_from(name) else {
        return false;
    };
    let may = may_hold_key(&name);
    if may {
        plan.key_headers.insert(name.as_str().to_owned());
    }
    may
}

/// Imports `TransformationPolicy`: changes of requests.
pub(super) fn transformation(object: &Object, notes: &Notes, routes: &mut [Found]) {
    let mut fields = object.fields(notes);
    let Some(mut spec) = fields.fields(&["spec"]) else {
        return notes.lost(&object.title, "spec", "there is none");
    };
    let (mut routes, unsure) = chosen(&mut spec, routes);
    if unsure {
        routes.clear();
    }
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

/// Converts a template to one without functions: `{{ header("x") }}` and `{{ extraction("x") }}`
/// become names of extractors.
pub(super) fn plain_template(
    text: &str,
    extractors: &mut BTreeMap<String, PlannedExtractor>,
) -> String {
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
