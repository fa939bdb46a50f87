//! Finds objects of unknown kinds that may guard routes. There are many such kinds, and new ones
//! each year.

use serde_json::Value;

use crate::import::fields::{text_of, texts};
use crate::import::gloo::certificates;
use crate::import::gloo::draft::{RouteDraft, is_source};
use crate::import::gloo::kinds::KNOWN;
use crate::import::gloo::object::Object;
use crate::import::notes::Notes;

/// Suffixes of kinds that may guard routes.
const GUARD_SUFFIXES: [&str; 6] = [
    "Policy",
    "Option",
    "Config",
    "Extension",
    "Filter",
    "Authentication",
];

/// Kinds that restrict nobody.
const HARMLESS: [&str; 16] = [
    "AccessLogPolicy",
    "ActiveHealthCheckPolicy",
    "BackendConfigPolicy",
    "BackendTLSPolicy",
    "CORSPolicy",
    "ConnectionPolicy",
    "FailoverPolicy",
    // Policies refer to it, and determine what it does to routes.
    "GatewayExtension",
    "HTTPListenerPolicy",
    "HeaderManipulationPolicy",
    "ListenerConnectionPolicy",
    "LoadBalancerPolicy",
    "MirrorPolicy",
    "OutlierDetectionPolicy",
    "RateLimitServerSettings",
    "RetryTimeoutPolicy",
];

/// Fields in which objects name their targets.
const TARGETS: [&str; 8] = [
    "applyToDestinations",
    "applyToListeners",
    "applyToRouteTables",
    "applyToRoutes",
    "applyToWorkloads",
    "targetRef",
    "targetRefs",
    "targetSelectors",
];

/// Closes a route that an object of an unknown kind may guard: one that names the route as a
/// target, or targets that are not understood; and if nothing else requires a key, also one that
/// names no target.
pub(super) fn close(draft: &mut RouteDraft, objects: &[Object], notes: &Notes) {
    let is_attached = objects
        .iter()
        .any(|object| is_source(object, draft) && is_attached(object));
    let guards = |object: &&Object| {
        let is_behind = !is_attached && delegates_to(object, draft)
            || certificates::may_require_certificates(object, draft, objects);
        if draft.is_guarded() {
            is_behind || may_guard(object) && reaches(object, draft)
        } else {
            may_guard(object) && (reaches(object, draft) || !says_targets(object))
                || delegates(object)
                || is_behind
        }
    };
    let guard = objects.iter().find(guards);
    if let Some(guard) = guard.filter(|_| !draft.is_closed()) {
        draft.close();
        let why = format!(
            "{} may guard it, which keygate cannot read: nobody can use it until it is given keys",
            guard.title
        );
        notes.lost(&draft.title, "", why);
    }
}

/// Returns whether a gateway serves a route object directly, rather than through another route
/// object.
fn is_attached(object: &Object) -> bool {
    let Some(spec) = object.body.get("spec") else {
        return false;
    };
    let gateways = spec.get("virtualGateways").and_then(Value::as_array);
    let parents = spec.get("parentRefs").and_then(Value::as_array);
    let mut parents = parents.into_iter().flatten();
    gateways.is_some_and(|gateways| !gateways.is_empty())
        || parents.any(|parent| {
            let kind = parent.get("kind").and_then(text_of);
            kind.is_none_or(|kind| kind == "Gateway")
        })
}

/// Returns whether an object of an unknown kind may guard routes.
fn may_guard(object: &Object) -> bool {
    let kind = object.kind.as_str();
    let spec = object.body.get("spec");
    let has = |target: &str| spec.is_some_and(|spec| spec.get(target).is_some());
    !KNOWN.contains(&kind)
        && !HARMLESS.contains(&kind)
        && (GUARD_SUFFIXES.iter().any(|end| kind.ends_with(end))
            || TARGETS.iter().any(|target| has(target)))
}

/// Returns whether an object names its targets. Other objects take effect where something refers to
/// them.
fn says_targets(object: &Object) -> bool {
    let spec = object.body.get("spec");
    let has = |target: &str| spec.is_some_and(|spec| spec.get(target).is_some());
    TARGETS.iter().any(|target| has(target))
}

/// Returns whether an object names a route as its target.
pub(super) fn reaches(object: &Object, draft: &RouteDraft) -> bool {
    let Some(spec) = object.body.get("spec") else {
        return false;
    };
    let list = |name: &str| match spec.get(name) {
        Some(Value::Array(items)) => items.clone(),
        Some(item) => vec![item.clone()],
        None => Vec::new(),
    };
    TARGETS.iter().any(|name| {
        list(name).iter().any(|target| match *name {
            "targetRef" | "targetRefs" => names(object, target, draft),
            "applyToRoutes" => {
                let labels = target.pointer("/route/labels").map(texts);
                labels.is_none_or(|labels| {
                    let has =
                        |(name, value): (&String, &String)| draft.labels.get(name) == Some(value);
                    labels.iter().all(has)
                })
            }
            _ => true,
        })
    })
}

/// Returns whether a reference names the object of a route, or something that is not a route.
fn names(object: &Object, target: &Value, draft: &RouteDraft) -> bool {
    let text = |name: &str| target.get(name).and_then(text_of);
    let (kind, namespace, name) = &draft.source;
    if text("kind").as_deref() != Some("HTTPRoute") {
        return true;
    }
    let wanted = text("namespace").unwrap_or_else(|| object.namespace.clone());
    let any_namespace = wanted.is_empty() || namespace.is_empty();
    kind == "HTTPRoute"
        && text("name").as_ref() == Some(name)
        && (any_namespace || wanted == *namespace)
}

/// Returns whether an object delegates to other route objects, which its guards then protect as
/// well.
fn delegates(object: &Object) -> bool {
    !delegations(object).is_empty()
}

/// Returns whether an object delegates to the object of a route, by name, or by labels or a
/// wildcard, which are not evaluated.
fn delegates_to(object: &Object, draft: &RouteDraft) -> bool {
    let (kind, namespace, name) = &draft.source;
    *kind == object.kind
        && delegations(object).iter().any(|reference| {
            let text = |field: &str| reference.get(field).and_then(text_of);
            let named = text("name").filter(|name| name != "*");
            let by_group = text("group").is_some_and(|group| group.starts_with("delegation."));
            let wanted = text("namespace").unwrap_or_else(|| object.namespace.clone());
            let any_namespace = wanted.is_empty() || namespace.is_empty() || named.is_none();
            (by_group || named.is_none_or(|named| named == *name))
                && (any_namespace || wanted == *namespace)
        })
}

/// The references to objects to which an object delegates.
fn delegations(object: &Object) -> Vec<&Value> {
    let Some(spec) = object.body.get("spec") else {
        return Vec::new();
    };
    let to_routes = |reference: &&Value| {
        let text = |name: &str| reference.get(name).and_then(text_of).unwrap_or_default();
        text("kind").ends_with("Route") || text("group").starts_with("delegation.")
    };
    let rules = items(spec, "rules").flat_map(|rule| items(rule, "backendRefs"));
    let tables = items(spec, "http").filter_map(|route| route.get("delegate"));
    let tables = tables.flat_map(|delegate| match delegate.get("routeTables") {
        Some(Value::Array(tables)) => tables.iter().collect(),
        _ => vec![delegate],
    });
    rules.filter(to_routes).chain(tables).collect()
}

/// The items of a list field.
fn items<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    let list = value.get(name).and_then(Value::as_array);
    list.into_iter().flatten()
}
