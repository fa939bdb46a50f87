//! The routes that a policy of kgateway or agentgateway applies to.

use std::collections::BTreeMap;

use crate::import::fields::Fields;
use crate::import::gloo::draft::{Rank, RouteDraft};
use crate::import::gloo::kinds::BACKENDS;
use crate::import::gloo::object::Object;

/// A target of a policy.
pub(super) enum Target {
    /// All routes.
    Gateway,
    /// The routes of an object, or of one of its rules.
    Route { name: String, rule: Option<String> },
    /// The routes of objects with these labels, or of one rule of each.
    Labelled {
        labels: BTreeMap<String, String>,
        rule: Option<String>,
    },
}

impl Target {
    /// How specific the target is for a route, if it selects the route. A policy applies to its own
    /// namespace; a missing namespace matches any.
    pub(super) fn takes(&self, policy: &Object, found: &RouteDraft) -> Option<Rank> {
        let (kind, namespace, name) = &found.source;
        let any_namespace = namespace.is_empty() || policy.namespace.is_empty();
        let here = (any_namespace || *namespace == policy.namespace) && kind == "HTTPRoute";
        let (is_meant, rule) = match self {
            Self::Gateway => return Some(Rank::Gateway),
            Self::Route { name: wanted, rule } => (wanted == name, rule),
            Self::Labelled { labels, rule } => {
                let has = |(name, value): (&String, &String)| found.labels.get(name) == Some(value);
                (labels.iter().all(has), rule)
            }
        };
        match rule {
            _ if !here || !is_meant => None,
            None => Some(Rank::Route),
            Some(rule) => (*rule == found.rule).then_some(Rank::Rule),
        }
    }
}

/// Kinds of targets that are not imported as routes.
const OF_NO_ROUTE: [&str; 7] = [
    "AgentgatewayModel",
    BACKENDS[0],
    BACKENDS[1],
    "GRPCRoute",
    "InferencePool",
    "Service",
    "TCPRoute",
];

/// The targets of a policy, and whether it has others that were not understood.
pub(super) fn targets(
    object: &Object,
    spec: &mut Fields<'_>,
    routes: &[RouteDraft],
) -> (Vec<Target>, bool) {
    let (mut targets, mut unsure) = (Vec::new(), false);
    for (list, by_name) in [("targetRefs", true), ("targetSelectors", false)] {
        for mut target in spec.list(list) {
            let kind = target
                .text("kind")
                .unwrap_or_else(|| "HTTPRoute".to_owned());
            let name = target.text("name").unwrap_or_default();
            let (rule, labels) = (target.text("sectionName"), target.texts("matchLabels"));
            target.value(&["group"]);
            let elsewhere = target.text("namespace");
            unsure |= elsewhere.is_some_and(|namespace| namespace != object.namespace);
            unsure |= target.unread().next().is_some();
            match (kind.as_str(), by_name) {
                // A route may be served by any of a gateway's listeners.
                ("Gateway" | "ListenerSet" | "XListenerSet", _) => targets.push(Target::Gateway),
                (kind, _) if OF_NO_ROUTE.contains(&kind) => {
                    unsure |= may_guard_routes(object, spec, kind);
                    if !BACKENDS.contains(&kind) {
                        let why =
                            format!("no route that is imported leads to a {kind}: it does nothing");
                        target.lost("kind", why);
                    }
                }
                ("HTTPRoute", true) => targets.push(Target::Route { name, rule }),
                ("HTTPRoute", false) => targets.push(Target::Labelled { labels, rule }),
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
    // Targets of another field or type.
    let others = ["targetRef", "targetRefs", "targetSelectors"];
    unsure |= others.iter().any(|name| spec.has(name));
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

/// Returns whether a policy for something that is not a route may guard the routes that lead to it.
fn may_guard_routes(object: &Object, spec: &Fields<'_>, kind: &str) -> bool {
    let targets = ["targetRefs", "targetSelectors"];
    let more = spec.unread().any(|name| !targets.contains(&name.as_str()));
    // No imported route leads to the other kinds, and kgateway's policies apply to none of them.
    more && (BACKENDS.contains(&kind) || object.kind == "TrafficPolicy")
}
