//! Merges agentgateway's policies for backends into the backends.
//!
//! agentgateway merges the settings of a backend field by field: the `policies` of one of its
//! providers take precedence over those of the backend, and these over an `AgentgatewayPolicy`. A
//! policy for a provider takes precedence over one for the whole backend.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::import::fields::{Fields, text_of, texts};
use crate::import::gloo::kinds::BACKENDS;
use crate::import::gloo::object::Object;
use crate::import::notes::Notes;

/// The note about settings for the content of requests.
pub(super) const UNREAD_CONTENT: &str = "keygate changes no bodies and looks at no content: what a prompt guard blocks there goes to the provider here";

/// The backend settings of a policy.
struct BackendPolicy {
    /// The title of the policy.
    title: String,
    namespace: String,
    targets: Vec<Target>,
    settings: Map<String, Value>,
}

/// The backends that a policy applies to.
struct Target {
    kind: String,
    /// The name; without one, the labels decide.
    name: Option<String>,
    labels: BTreeMap<String, String>,
    /// The provider of the backend, if the policy applies to one only.
    section: Option<String>,
}

impl Target {
    fn takes(&self, policy: &BackendPolicy, backend: &Object) -> bool {
        let any_namespace = policy.namespace.is_empty() || backend.namespace.is_empty();
        let has = |(name, value): (&String, &String)| backend.labels.get(name) == Some(value);
        backend.kind == self.kind
            && (any_namespace || policy.namespace == backend.namespace)
            && self.name.as_ref().is_none_or(|name| *name == backend.name)
            && self.labels.iter().all(has)
    }
}

/// Merges policies into backends.
struct Merger<'n> {
    /// Each backend's own policies, by its index.
    own: BTreeMap<usize, Value>,
    /// The policy that set a field.
    sources: BTreeMap<FieldPlace, String>,
    notes: &'n Notes,
}

/// A field of a backend's policies: the index of the backend, the provider within it, and the
/// field.
type FieldPlace = (usize, String, String);

/// Merges the policies for backends into the backends, and the policies of each backend into its
/// providers.
pub(super) fn merge(objects: &mut [Object], notes: &Notes) {
    let all: Vec<BackendPolicy> = objects.iter_mut().filter_map(take_backend_policy).collect();
    let own = objects.iter().enumerate().filter_map(|(number, object)| {
        let policies = object.body.pointer("/spec/policies")?;
        Some((number, policies.clone()))
    });
    let mut merger = Merger {
        own: own.collect(),
        sources: BTreeMap::new(),
        notes,
    };
    for policy in &all {
        for target in &policy.targets {
            merger.merge_target(policy, target, objects);
        }
    }
    for backend in objects
        .iter_mut()
        .filter(|object| BACKENDS.contains(&object.kind.as_str()))
    {
        merge_into_providers(backend);
    }
}

impl Merger<'_> {
    /// Merges a policy into the backends that are one of its targets.
    fn merge_target(&mut self, policy: &BackendPolicy, target: &Target, objects: &mut [Object]) {
        let mut found = false;
        for (number, backend) in objects.iter_mut().enumerate() {
            if target.takes(policy, backend) {
                found = true;
                self.merge_into(policy, target, number, backend);
            }
        }
        if !found {
            let why = "one of its backends is not in the files: there, it does nothing";
            self.notes.lost(&policy.title, "spec.targetRefs", why);
        }
    }

    /// Adds the settings of a policy that the backend, or its provider, does not have itself.
    fn merge_into(
        &mut self,
        policy: &BackendPolicy,
        target: &Target,
        number: usize,
        backend: &mut Object,
    ) {
        let title = backend.title.clone();
        let Some(spec) = backend.body.get_mut("spec").and_then(Value::as_object_mut) else {
            return;
        };
        let section = target.section.as_deref().unwrap_or_default();
        let Some(policies) = policies_of(spec, target.section.as_deref()) else {
            let why = format!("there is no `{section}` in {title}: there, it does nothing");
            return self.notes.lost(&policy.title, "spec.targetRefs", why);
        };
        for (field, value) in &policy.settings {
            let place = (number, section.to_owned(), field.clone());
            match self.choice(&place, value, target, policies) {
                Choice::Keep => continue,
                Choice::Set => {
                    policies.insert(field.clone(), value.clone());
                }
                Choice::Conflict => {
                    // No reader accepts this value, so the provider is left out.
                    policies.insert(field.clone(), json!({"said twice": true}));
                    let other = self.sources.get(&place).unwrap_or(&title);
                    let why = format!(
                        "{other} has another value for {title}, and keygate cannot tell which applies"
                    );
                    let field = format!("spec.backend.{field}");
                    self.notes.lost(&policy.title, &field, why);
                }
            }
            self.sources.insert(place, policy.title.clone());
        }
    }

    /// What becomes of a field of `policies` that a policy sets to `value`.
    fn choice(
        &self,
        place: &FieldPlace,
        value: &Value,
        target: &Target,
        policies: &Map<String, Value>,
    ) -> Choice {
        let (number, _, field) = place;
        // The backend's own setting for all its providers.
        let above = self.own.get(number).and_then(|own| own.get(field));
        let above = above.filter(|_| target.section.is_some());
        match policies.get(field) {
            Some(known) if known == value => Choice::Keep,
            // The target's own setting takes precedence.
            Some(_) if !self.sources.contains_key(place) => Choice::Keep,
            None if above.is_none_or(|above| above == value) => Choice::Set,
            _ => Choice::Conflict,
        }
    }
}

/// What becomes of a field that a policy sets.
enum Choice {
    /// It stays as it is.
    Keep,
    /// It gets the policy's value.
    Set,
    /// Something else sets it to another value.
    Conflict,
}

/// The `policies` of a backend, or of the provider of this name within it, which are added if there
/// are none. Returns `None` if there is no such provider, or they are not understood.
fn policies_of<'s>(
    spec: &'s mut Map<String, Value>,
    section: Option<&str>,
) -> Option<&'s mut Map<String, Value>> {
    let level = match section {
        None => spec,
        Some(section) => providers(spec).find(|provider| {
            let name = provider.get("name").and_then(text_of);
            name.as_deref() == Some(section)
        })?,
    };
    let policies = level.entry("policies").or_insert_with(|| json!({}));
    policies.as_object_mut()
}

/// Takes the backend settings out of a policy. Returns `None` if the policy applies to something
/// else.
fn take_backend_policy(policy: &mut Object) -> Option<BackendPolicy> {
    if !["AgentgatewayPolicy", super::ENTERPRISE_POLICY].contains(&policy.kind.as_str()) {
        return None;
    }
    let spec = policy.body.get_mut("spec")?.as_object_mut()?;
    let mut targets = Vec::new();
    for (list, by_name) in [("targetRefs", true), ("targetSelectors", false)] {
        let items = spec.get(list).and_then(Value::as_array);
        for item in items.into_iter().flatten() {
            let text = |name: &str| item.get(name).and_then(text_of);
            let others = ["kind", "group", "name", "matchLabels", "sectionName"];
            let known = item
                .as_object()?
                .keys()
                .all(|name| others.contains(&name.as_str()));
            let kind = text("kind").filter(|kind| known && BACKENDS.contains(&kind.as_str()))?;
            targets.push(Target {
                kind,
                name: if by_name { Some(text("name")?) } else { None },
                labels: item.get("matchLabels").map(texts).unwrap_or_default(),
                section: text("sectionName"),
            });
        }
    }
    if targets.is_empty() {
        return None;
    }
    let settings = match spec.remove("backend")? {
        Value::Object(settings) => settings,
        other => {
            // A value of another type is noted when the policy is read.
            spec.insert("backend".to_owned(), other);
            return None;
        }
    };
    Some(BackendPolicy {
        title: policy.title.clone(),
        namespace: policy.namespace.clone(),
        targets,
        settings,
    })
}

/// The providers of a backend that has several.
fn providers(spec: &mut Map<String, Value>) -> impl Iterator<Item = &mut Map<String, Value>> {
    let groups = spec
        .get_mut("ai")
        .and_then(|ai| ai.get_mut("groups"))
        .and_then(Value::as_array_mut);
    let members = groups.into_iter().flatten().filter_map(|group| {
        let providers = group.get_mut("providers")?.as_array_mut()?;
        Some(providers.iter_mut().filter_map(Value::as_object_mut))
    });
    members.flatten()
}

/// Adds the backend's policies to its providers, unless they have their own.
fn merge_into_providers(backend: &mut Object) {
    let Some(spec) = backend.body.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    let Some(Value::Object(of_all)) = spec.get("policies").cloned() else {
        return;
    };
    let mut any = false;
    for provider in providers(spec) {
        let policies = provider.entry("policies").or_insert_with(|| json!({}));
        // A value of another type is noted and leaves the provider out.
        let Some(policies) = policies.as_object_mut() else {
            continue;
        };
        for (field, value) in &of_all {
            policies
                .entry(field.clone())
                .or_insert_with(|| value.clone());
        }
        any = true;
    }
    if any {
        spec.remove("policies");
    }
}

/// Takes and notes the settings of a backend that change neither where requests go nor who may send
/// them.
pub(super) fn discard_harmless(settings: &mut Fields<'_>) {
    settings.discard("ai", UNREAD_CONTENT);
    for limits in ["http", "tcp", "health"] {
        settings.discard(
            limits,
            "keygate has timeouts and the version of HTTP in the provider: `[providers.NAME]`",
        );
    }
}
