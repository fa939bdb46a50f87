//! Gloo Gateway's, Gloo Platform's and kgateway's objects, as YAML.
//!
//! What a route is made of stands in several objects: where it leads, who may use it, what is done to its
//! requests. They are read in that order, and put together at the end.

mod ai;
mod found;
mod http_route;
mod object;
mod overlap;
mod patch;
mod path;
mod policy;
mod route_table;
mod rule;
mod secret;
mod settle;
mod traffic;
mod upstream;

use self::object::Object;
use self::upstream::{Backend, Backends, Reader, Secrets};
use super::fields::text_of;
use super::{Notes, Plan, documents};

/// The headers in which a client key may stand without being named.
const USUAL_KEY_HEADERS: [&str; 4] = ["authorization", "api-key", "x-api-key", "x-goog-api-key"];
/// Kinds that say how the cluster serves, which is not keygate's matter.
const OF_THE_CLUSTER: [&str; 12] = [
    "AuthServer",
    "Cluster",
    "ConfigMap",
    "Deployment",
    "ExtAuthServer",
    "Gateway",
    "GatewayClass",
    "GatewayParameters",
    "Namespace",
    "Service",
    "VirtualGateway",
    "Workspace",
];

/// The kinds that are read.
const KNOWN: [&str; 10] = [
    "Secret",
    "Upstream",
    "Backend",
    "AgentgatewayBackend",
    "ExternalService",
    "HTTPRoute",
    "RouteTable",
    "ExtAuthPolicy",
    "TransformationPolicy",
    "TrafficPolicy",
];

/// Whether an object that is not read may be what guards routes: there are many, and new ones each year.
fn may_guard(object: &Object) -> bool {
    let named = [
        "Policy",
        "Option",
        "Config",
        "Extension",
        "Filter",
        "Authentication",
    ];
    let targets = [
        "targetRef",
        "targetRefs",
        "targetSelectors",
        "applyToRoutes",
        "applyToDestinations",
    ];
    let spec = object.body.get("spec");
    !KNOWN.contains(&object.kind.as_str())
        && (named.iter().any(|end| object.kind.ends_with(end))
            || targets
                .iter()
                .any(|target| spec.is_some_and(|spec| spec.get(target).is_some())))
}

/// Whether routes of other objects are behind it, and behind what guards it.
fn delegates(object: &Object) -> bool {
    let under = |value: &serde_json::Value, name: &str| -> Vec<serde_json::Value> {
        let list = value.get(name).and_then(|list| list.as_array());
        list.cloned().unwrap_or_default()
    };
    let Some(spec) = object.body.get("spec") else {
        return false;
    };
    let to_routes = |reference: &serde_json::Value| {
        let says = |name: &str| reference.get(name).and_then(text_of).unwrap_or_default();
        says("kind").ends_with("Route") || says("group").starts_with("delegation.")
    };
    under(spec, "http")
        .iter()
        .any(|route| route.get("delegate").is_some())
        || under(spec, "rules")
            .iter()
            .any(|rule| under(rule, "backendRefs").iter().any(to_routes))
}

/// A file with its name.
pub struct Input {
    /// Its name, for messages.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Reads objects, and patches on them. Routes that nothing there asks a key for are open here only with
/// `allow_open`; else any valid key opens them. Fails on what cannot be read at all, naming file and line.
pub fn read(files: &[Input], patches: &[Input], allow_open: bool) -> Result<Plan, String> {
    let notes = Notes::default();
    let mut objects = Vec::new();
    for file in files {
        for (line, document) in
            documents(&file.name, &file.text).map_err(|error| error.to_string())?
        {
            // `kubectl get -o yaml` of several.
            let items = match document.get("items").and_then(|items| items.as_array()) {
                Some(items)
                    if document
                        .get("kind")
                        .and_then(text_of)
                        .is_some_and(|kind| kind.ends_with("List")) =>
                {
                    items.clone()
                }
                _ => vec![document],
            };
            for item in items {
                match Object::of(&file.name, line, item) {
                    Some(object) => objects.push(object),
                    None => notes.lost(
                        &format!("{}:{line}", file.name),
                        "",
                        "it is no object: it has no `kind` or no `metadata.name`",
                    ),
                }
            }
        }
    }
    for file in patches {
        for patch in patch::patches(&file.name, &file.text)? {
            patch.apply(&mut objects)?;
        }
    }
    let mut plan = Plan::default();
    let (secrets, backends) = places(&objects, &mut plan, &notes)?;
    let mut routes = Vec::new();
    for object in &objects {
        match object.kind.as_str() {
            "HTTPRoute" => routes.extend(http_route::http_route(object, &backends, &notes)),
            "RouteTable" => routes.extend(route_table::route_table(object, &backends, &notes)),
            _ => {}
        }
    }
    for object in &objects {
        match object.kind.as_str() {
            "ExtAuthPolicy" => policy::ext_auth(object, &mut plan, &notes, &mut routes),
            "TransformationPolicy" => policy::transformation(object, &notes, &mut routes),
            "TrafficPolicy" => traffic::traffic(object, &mut plan, &notes, &secrets, &mut routes)?,
            _ => {}
        }
    }
    for name in USUAL_KEY_HEADERS {
        plan.key_headers.remove(name);
    }
    let guard = objects
        .iter()
        .find(|object| may_guard(object) || delegates(object));
    for found in &mut routes {
        if let Some(guard) = guard.filter(|_| !found.is_guarded()) {
            found.close();
            let why = format!(
                "{} may guard it, which keygate cannot read: nobody can use it until it is given keys",
                guard.title
            );
            notes.lost(&found.title, "", why);
        }
    }
    for found in overlap::close(routes, &notes) {
        settle::settle(found, &mut plan, &notes, allow_open);
    }
    // Those behind the first of a pool.
    for backend in backends.into_values() {
        if let Backend::Ai(providers) = backend {
            for provider in providers.into_iter().skip(1) {
                plan.add_provider(provider);
            }
        }
    }
    plan.close(&notes);
    plan.notes = notes.into_vec();
    Ok(plan)
}

/// The secrets, and the places that requests can go to; client keys go into the plan.
fn places<'o>(
    objects: &'o [Object],
    plan: &mut Plan,
    notes: &Notes,
) -> Result<(Secrets<'o>, Backends), String> {
    let mut secrets = Secrets::new();
    for object in objects.iter().filter(|object| object.kind == "Secret") {
        let place = (object.namespace.clone(), object.name.clone());
        if secrets.insert(place, object).is_some() {
            notes.lost(
                &object.title,
                "",
                "there is another one of its name: this one counts",
            );
        }
        if object.body.get("type").and_then(text_of).as_deref() == Some("extauth.solo.io/apikey") {
            secret::api_key(plan, notes, object)?;
        }
        // A provider's token is checked here, whether anything refers to it or not.
        secret::entry(object, "Authorization")?;
    }
    let mut backends = Backends::new();
    for object in objects {
        match object.kind.as_str() {
            "Upstream" | "Backend" | "ExternalService" | "AgentgatewayBackend" => {
                let mut reader = Reader {
                    plan,
                    notes,
                    secrets: &secrets,
                };
                if let Some(backend) = reader.read(object)? {
                    backends.insert((object.namespace.clone(), object.name.clone()), backend);
                }
            }
            kind if KNOWN.contains(&kind) => {}
            kind if OF_THE_CLUSTER.contains(&kind) => {
                notes.say(
                    &object.title,
                    "",
                    "says how the cluster serves: keygate has no use for it",
                );
            }
            _ => {
                let group = if object.group.is_empty() {
                    "the core group"
                } else {
                    &object.group
                };
                notes.lost(
                    &object.title,
                    "",
                    format!("keygate does not know this kind of object (of {group})"),
                );
            }
        }
    }
    Ok((secrets, backends))
}
