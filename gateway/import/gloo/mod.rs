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
mod limits;
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
mod selection;
mod shell;
mod target;
mod token;
mod traffic;
mod upstream;

use std::collections::BTreeMap;

use crate::import::error::ImportError;
use crate::import::fields::text_of;
use crate::import::gloo::backend::{Backend, Backends, Secrets};
use crate::import::gloo::draft::RouteDraft;
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
    let objects = read_patched_objects(files, patches, &notes)?;
    let mut plan = Plan::default();
    let secrets = read_secrets(&objects, &mut plan, &notes)?;
    let mut reader = Reader {
        plan: &mut plan,
        notes: &notes,
        objects: &objects,
        secrets: &secrets,
    };
    let backends = reader.backends()?;
    let mut routes = read_routes(&objects, &backends, &notes);
    reader.policies(&mut routes)?;
    reader.rate_limits(&mut routes);
    for name in DEFAULT_KEY_HEADERS {
        plan.key_headers.remove(name);
    }
    for found in &mut routes {
        guard::close(found, &objects, &notes);
    }
    for found in overlap::close(routes, &notes) {
        assemble::assemble(found, &mut plan, &notes, allow_open);
    }
    add_other_pool_members(backends, &mut plan);
    plan.limits.retain(|limit| !limit.routes.is_empty());
    plan.remove_limits_of_nobody(&notes);
    let first = plan
        .limits
        .iter()
        .find(|limit| limit.amounts.is_of_calendar());
    if let Some(title) = first.map(|limit| limit.from.0.clone()) {
        plan.note_ledger(&title, &notes);
    }
    plan.close(&notes);
    plan.notes = notes.into_vec();
    Ok(plan)
}

/// Reads the objects of all files, applies the patches, and merges the policies for backends into
/// the backends.
fn read_patched_objects(
    files: &[Input],
    patches: &[Input],
    notes: &Notes,
) -> Result<Vec<Object>, ImportError> {
    let mut objects = Vec::new();
    for file in files {
        read_objects(file, &mut objects, notes)?;
    }
    for file in patches {
        for patch in patch::patches(&file.name, &file.text)? {
            patch.apply(&mut objects)?;
        }
    }
    backend_policy::merge(&mut objects, notes);
    Ok(objects)
}

/// Reads the routes, whose policies are not known yet.
fn read_routes(objects: &[Object], backends: &Backends, notes: &Notes) -> Vec<RouteDraft> {
    let mut routes = Vec::new();
    for object in objects {
        match object.kind.as_str() {
            "HTTPRoute" => routes.extend(http_route::http_route(object, backends, notes)),
            "RouteTable" => routes.extend(route_table::route_table(object, backends, notes)),
            _ => {}
        }
    }
    routes
}

/// Adds the providers of pools behind the first, which no route uses.
fn add_other_pool_members(backends: Backends, plan: &mut Plan) {
    for backend in backends.into_values().flat_map(BTreeMap::into_values) {
        if let Backend::Ai(providers) = backend {
            for provider in providers.into_iter().skip(1) {
                plan.add_provider(provider);
            }
        }
    }
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

impl Reader<'_> {
    /// Reads the destinations of requests, and notes the objects that are not imported.
    fn backends(&mut self) -> Result<Backends, ImportError> {
        let mut backends = Backends::new();
        for object in self.objects {
            match object.kind.as_str() {
                "Upstream"
                | "Backend"
                | "ExternalService"
                | "AgentgatewayBackend"
                | "EnterpriseAgentgatewayBackend" => {
                    let place = (object.namespace.clone(), object.name.clone());
                    let of_kind: &mut BTreeMap<_, _> =
                        backends.entry(object.kind.clone()).or_default();
                    match self.read(object)? {
                        Some(backend) => of_kind.insert(place, backend),
                        // An older object of the same name does not replace it.
                        None => of_kind.remove(&place),
                    };
                }
                _ => note_other_kind(object, self.objects, self.notes),
            }
        }
        Ok(backends)
    }

    /// Reads the policies for routes.
    fn policies(&mut self, routes: &mut [RouteDraft]) -> Result<(), ImportError> {
        for object in self.objects {
            match object.kind.as_str() {
                "ExtAuthPolicy" => self.ext_auth(object, routes)?,
                "TransformationPolicy" => policy::transformation(object, self.notes, routes),
                "TrafficPolicy" | "AgentgatewayPolicy" | ENTERPRISE_POLICY => {
                    self.traffic(object, routes)?;
                }
                _ => {}
            }
        }
        Ok(())
    }
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
                "it configures the cluster: keygate has no use for it",
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
