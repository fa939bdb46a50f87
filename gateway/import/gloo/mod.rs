//! Gloo Gateway's, Gloo Platform's and kgateway's objects, as YAML.
//!
//! What a route is made of stands in several objects: where it leads, who may use it, what is done to its
//! requests. They are read in that order, and put together at the end.

mod agentgateway;
mod ai;
mod backend_policy;
mod cel;
mod certificates;
mod found;
mod guard;
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

use std::collections::BTreeMap;

use self::object::Object;
use self::upstream::{Backend, Backends, Reader, Secrets};
use super::fields::text_of;
use super::{Notes, Plan, yaml};

/// The headers in which a client key may stand without being named.
const USUAL_KEY_HEADERS: [&str; 4] = ["authorization", "api-key", "x-api-key", "x-goog-api-key"];
/// Kinds that say how the cluster serves, which is not keygate's matter.
const OF_THE_CLUSTER: [&str; 21] = [
    "AgentgatewayParameters",
    "AuthServer",
    "Cluster",
    "ConfigMap",
    "Deployment",
    "EnterpriseAgentgatewayParameters",
    "ExtAuthServer",
    "Gateway",
    "GatewayClass",
    "GatewayParameters",
    "HTTPListenerPolicy",
    "HorizontalPodAutoscaler",
    "ListenerSet",
    "Namespace",
    "PodDisruptionBudget",
    "ReferenceGrant",
    "Service",
    "ServiceAccount",
    "VirtualGateway",
    "Workspace",
    "XListenerSet",
];

/// The kind whose objects name an `AuthConfig`.
const ENTERPRISE_POLICY: &str = "EnterpriseAgentgatewayPolicy";

/// The kinds that are read.
pub(super) const KNOWN: [&str; 13] = [
    "Secret",
    "Upstream",
    "Backend",
    backend_policy::BACKENDS[0],
    backend_policy::BACKENDS[1],
    "ExternalService",
    "HTTPRoute",
    "RouteTable",
    "ExtAuthPolicy",
    "TransformationPolicy",
    "TrafficPolicy",
    "AgentgatewayPolicy",
    ENTERPRISE_POLICY,
];

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
        read_objects(file, &mut objects, &notes)?;
    }
    for file in patches {
        for patch in patch::patches(&file.name, &file.text)? {
            patch.apply(&mut objects)?;
        }
    }
    backend_policy::merge(&mut objects, &notes);
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
            "ExtAuthPolicy" => policy::ext_auth(object, &mut plan, &notes, &secrets, &mut routes)?,
            "TransformationPolicy" => policy::transformation(object, &notes, &mut routes),
            "TrafficPolicy" | "AgentgatewayPolicy" | ENTERPRISE_POLICY => {
                let others = (objects.as_slice(), &secrets);
                traffic::traffic(object, &mut plan, &notes, others, &mut routes)?;
            }
            _ => {}
        }
    }
    for name in USUAL_KEY_HEADERS {
        plan.key_headers.remove(name);
    }
    for found in &mut routes {
        guard::close(found, &objects, &notes);
    }
    for found in overlap::close(routes, &notes) {
        settle::settle(found, &mut plan, &notes, allow_open);
    }
    // Those behind the first of a pool.
    for backend in backends.into_values().flat_map(BTreeMap::into_values) {
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

/// Adds the objects of a file.
fn read_objects(file: &Input, objects: &mut Vec<Object>, notes: &Notes) -> Result<(), String> {
    for document in yaml::read(&file.name, &file.text).map_err(|error| error.to_string())? {
        // `kubectl get -o yaml` of several.
        let kind = document.value.get("kind").and_then(text_of);
        let items = document
            .value
            .get("items")
            .and_then(|items| items.as_array());
        let items = match items {
            Some(items) if kind.is_some_and(|kind| kind.ends_with("List")) => {
                let items = items.iter().cloned().enumerate();
                items
                    .map(|(place, item)| (item, document.lines.below(&format!("items[{place}]"))))
                    .collect()
            }
            _ => vec![(document.value, document.lines)],
        };
        for (item, lines) in items {
            let line = lines.of("").unwrap_or(document.line);
            match Object::of(&file.name, line, item) {
                Some(object) => {
                    notes.know(&object.title, lines);
                    objects.push(object);
                }
                None => notes.lost(
                    &format!("{}:{line}", file.name),
                    "",
                    "it is no object: it has no `kind` or no `metadata.name`",
                ),
            }
        }
    }
    Ok(())
}

/// The secrets, and the places that requests can go to; client keys go into the plan.
fn places<'o>(
    objects: &'o [Object],
    plan: &mut Plan,
    notes: &Notes,
) -> Result<(Secrets<'o>, Backends), String> {
    let mut secrets = Secrets::new();
    // kgateway reads each entry of a secret as a key, whatever its type; Gloo has a type for it.
    let of_gloo = objects.iter().any(|object| object.kind == "ExtAuthPolicy");
    for object in objects.iter().filter(|object| object.kind == "Secret") {
        let place = (object.namespace.clone(), object.name.clone());
        if secrets.insert(place, object).is_some() {
            notes.lost(
                &object.title,
                "",
                "there is another one of its name: this one counts",
            );
        }
        let of_kgateway = objects
            .iter()
            .any(|policy| traffic::takes_keys_of(policy, object));
        let kind = object.body.get("type").and_then(text_of);
        if kind.as_deref() == Some("extauth.solo.io/apikey") && (of_gloo || !of_kgateway) {
            secret::api_key(plan, notes, object)?;
        }
        // A provider's token is checked here, whether anything refers to it or not.
        secret::entry(object, "Authorization")?;
    }
    let mut backends = Backends::new();
    for object in objects {
        match object.kind.as_str() {
            "Upstream"
            | "Backend"
            | "ExternalService"
            | "AgentgatewayBackend"
            | "EnterpriseAgentgatewayBackend" => {
                let mut reader = Reader {
                    plan,
                    notes,
                    secrets: &secrets,
                };
                let place = (object.namespace.clone(), object.name.clone());
                let of_kind: &mut BTreeMap<_, _> = backends.entry(object.kind.clone()).or_default();
                match reader.read(object)? {
                    Some(backend) => of_kind.insert(place, backend),
                    // Nor does an older one of its name stand in for it.
                    None => of_kind.remove(&place),
                };
            }
            // Read where a policy names it.
            "AuthConfig" if objects.iter().any(|it| it.kind == ENTERPRISE_POLICY) => {}
            kind if KNOWN.contains(&kind) => {}
            kind if OF_THE_CLUSTER.contains(&kind) => {
                notes.say(
                    &object.title,
                    "",
                    "says how the cluster serves: keygate has no use for it",
                );
            }
            "AgentgatewayModel" => notes.lost(
                &object.title,
                "",
                "it is chosen by the model that a request's body names, and keygate chooses by host and path: write a \
                 provider and a route for it",
            ),
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
