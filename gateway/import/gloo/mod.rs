//! Imports objects of Gloo Gateway, Gloo Platform, kgateway and agentgateway from YAML.
//!
//! A route is defined by several objects: its destination, who may use it, and how its requests are
//! changed. They are read in that order and assembled at the end.

mod agentgateway;
mod ai;
mod ai_settings;
mod assemble;
mod auth;
mod backend;
mod backend_policy;
mod cel;
mod certificates;
mod draft;
mod guard;
mod header_tokens;
mod http_route;
mod inja;
mod kinds;
mod object;
mod overlap;
mod patch;
mod path;
mod policy;
mod policy_keys;
mod policy_label;
mod reader;
mod route_headers;
mod route_table;
mod rule;
mod secret;
mod target;
mod token;
mod traffic;
mod upstream;

use std::collections::BTreeMap;

use crate::import::error::ImportError;
use crate::import::fields::text_of;
use crate::import::gloo::backend::{Backend, Backends, Secrets};
use crate::import::gloo::kinds::{CLUSTER_KINDS, ENTERPRISE_POLICY, KNOWN};
use crate::import::gloo::object::Object;
use crate::import::gloo::reader::Reader;
use crate::import::notes::Notes;
use crate::import::plan::{DEFAULT_KEY_HEADERS, Plan};
use crate::import::yaml;

/// An input file.
pub struct Input {
    /// The name, for messages.
    pub name: String,
    /// The text.
    pub text: String,
}

/// Imports objects, after applying patches to them. A route that requires no key in the files
/// becomes open only with `allow_open`; otherwise it takes any valid key. The error names file and
/// line of an input that cannot be read at all.
pub fn read(files: &[Input], patches: &[Input], allow_open: bool) -> Result<Plan, ImportError> {
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
    let secrets = read_secrets(&objects, &mut plan, &notes)?;
    let backends = read_backends(&objects, &mut plan, &notes, &secrets)?;
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
    for name in DEFAULT_KEY_HEADERS {
        plan.key_headers.remove(name);
    }
    for found in &mut routes {
        guard::close(found, &objects, &notes);
    }
    for found in overlap::close(routes, &notes) {
        assemble::assemble(found, &mut plan, &notes, allow_open);
    }
    // The providers of pools behind the first.
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
fn read_objects(file: &Input, objects: &mut Vec<Object>, notes: &Notes) -> Result<(), ImportError> {
    for document in yaml::read(&file.name, &file.text)? {
        // The output of `kubectl get -o yaml` for several objects.
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
                    notes.register_lines(&object.title, lines);
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

/// Reads the secrets. Client keys are added to the plan.
fn read_secrets<'o>(
    objects: &'o [Object],
    plan: &mut Plan,
    notes: &Notes,
) -> Result<Secrets<'o>, ImportError> {
    let mut secrets = Secrets::new();
    // kgateway reads each entry of a secret as a key, whatever the secret's type; Gloo has a type
    // for keys.
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
            .any(|policy| policy_keys::takes_keys_of(policy, object));
        let kind = object.body.get("type").and_then(text_of);
        if kind.as_deref() == Some("extauth.solo.io/apikey") && (of_gloo || !of_kgateway) {
            secret::api_key(plan, notes, object)?;
        }
        // Check a provider's token even if nothing refers to it.
        secret::entry(object, "Authorization")?;
    }
    Ok(secrets)
}

/// Reads the destinations of requests, and notes the objects that are not imported.
fn read_backends(
    objects: &[Object],
    plan: &mut Plan,
    notes: &Notes,
    secrets: &Secrets<'_>,
) -> Result<Backends, ImportError> {
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
                    secrets,
                };
                let place = (object.namespace.clone(), object.name.clone());
                let of_kind: &mut BTreeMap<_, _> = backends.entry(object.kind.clone()).or_default();
                match reader.read(object)? {
                    Some(backend) => of_kind.insert(place, backend),
                    // An older object of the same name does not replace it.
                    None => of_kind.remove(&place),
                };
            }
            _ => note_other_kind(object, objects, notes),
        }
    }
    Ok(backends)
}

/// Notes what happens to an object that is neither a secret nor a destination.
fn note_other_kind(object: &Object, objects: &[Object], notes: &Notes) {
    match object.kind.as_str() {
        // It is read when a policy refers to it.
        "AuthConfig" if objects.iter().any(|it| it.kind == ENTERPRISE_POLICY) => {}
        kind if KNOWN.contains(&kind) => {}
        kind if CLUSTER_KINDS.contains(&kind) => {
            notes.note(
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
