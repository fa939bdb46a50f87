//! Objects that are not read, and may be what guards routes: there are many, and new ones each year.

use serde_json::Value;

use super::super::Notes;
use super::super::fields::{text_of, texts};
use super::KNOWN;
use super::found::Found;
use super::object::Object;

/// How the kinds of objects end that may guard routes.
const TELLING: [&str; 6] = [
    "Policy",
    "Option",
    "Config",
    "Extension",
    "Filter",
    "Authentication",
];
/// Kinds that keep nobody out.
const HARMLESS: [&str; 17] = [
    "AccessLogPolicy",
    "ActiveHealthCheckPolicy",
    "BackendConfigPolicy",
    "BackendTLSPolicy",
    "CORSPolicy",
    "ConnectionPolicy",
    "FailoverPolicy",
    "HeaderManipulationPolicy",
    "ListenerConnectionPolicy",
    "LoadBalancerPolicy",
    "MirrorPolicy",
    "OutlierDetectionPolicy",
    "RateLimitClientConfig",
    "RateLimitPolicy",
    "RateLimitServerConfig",
    "RateLimitServerSettings",
    "RetryTimeoutPolicy",
];
/// Where objects say which routes they are for.
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

/// Closes a route that an object which is not read may guard: where nothing else asks for a key, any such
/// object; else one that says that it is for the route, or for routes in a way that is not read.
pub(super) fn close(found: &mut Found, objects: &[Object], notes: &Notes) {
    let mut objects = objects.iter();
    let guard = if found.is_guarded() {
        objects.find(|object| may_guard(object) && reaches(object, found))
    } else {
        objects.find(|object| may_guard(object) || delegates(object))
    };
    if let Some(guard) = guard.filter(|_| !found.is_closed()) {
        found.close();
        let why = format!(
            "{} may guard it, which keygate cannot read: nobody can use it until it is given keys",
            guard.title
        );
        notes.lost(&found.title, "", why);
    }
}

/// Whether an object that is not read may be what guards routes.
fn may_guard(object: &Object) -> bool {
    let kind = object.kind.as_str();
    let spec = object.body.get("spec");
    let has = |target: &str| spec.is_some_and(|spec| spec.get(target).is_some());
    !KNOWN.contains(&kind)
        && !HARMLESS.contains(&kind)
        && (TELLING.iter().any(|end| kind.ends_with(end))
            || TARGETS.iter().any(|target| has(target)))
}

/// Whether an object says that it is for a route. One that says no target has its effect through others.
fn reaches(object: &Object, found: &Found) -> bool {
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
            "targetRef" | "targetRefs" => names(object, target, found),
            "applyToRoutes" => {
                let labels = target.pointer("/route/labels").map(texts);
                labels.is_none_or(|labels| {
                    let has =
                        |(name, value): (&String, &String)| found.labels.get(name) == Some(value);
                    labels.iter().all(has)
                })
            }
            _ => true,
        })
    })
}

/// Whether a reference names the object of a route, or something that is no route.
fn names(object: &Object, target: &Value, found: &Found) -> bool {
    let says = |name: &str| target.get(name).and_then(text_of);
    let (kind, namespace, name) = &found.source;
    if says("kind").as_deref() != Some("HTTPRoute") {
        return true;
    }
    let wanted = says("namespace").unwrap_or_else(|| object.namespace.clone());
    let unsaid = wanted.is_empty() || namespace.is_empty();
    kind == "HTTPRoute" && says("name").as_ref() == Some(name) && (unsaid || wanted == *namespace)
}

/// Whether routes of other objects are behind it, and behind what guards it.
fn delegates(object: &Object) -> bool {
    let under = |value: &Value, name: &str| -> Vec<Value> {
        let list = value.get(name).and_then(|list| list.as_array());
        list.cloned().unwrap_or_default()
    };
    let Some(spec) = object.body.get("spec") else {
        return false;
    };
    let to_routes = |reference: &Value| {
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
