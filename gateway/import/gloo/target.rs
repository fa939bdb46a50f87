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

/// The list of targets that are named.
const BY_NAME: &str = "targetRefs";

/// The lists of targets: by name, and by labels.
const LISTS: [&str; 2] = [BY_NAME, "targetSelectors"];

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

/// The targets of a policy.
#[derive(Default)]
pub(super) struct Targets {
    known: Vec<Target>,
    /// Whether there are others that were not understood.
    pub(super) unsure: bool,
}

/// A policy, apart from its targets.
struct Policy<'p> {
    object: &'p Object,
    /// Whether it has fields besides its targets.
    has_settings: bool,
}

impl Targets {
    /// Takes the targets of a policy.
    pub(super) fn take(object: &Object, spec: &mut Fields<'_>) -> Self {
        let policy = Policy {
            object,
            has_settings: spec.unread().any(|name| !LISTS.contains(&name.as_str())),
        };
        let mut targets = Self::default();
        for list in LISTS {
            for mut item in spec.list(list) {
                targets.add(&mut item, list, &policy);
                item.finish();
            }
        }
        // Targets of another field or type.
        let others = ["targetRef", "targetRefs", "targetSelectors"];
        targets.unsure |= others.iter().any(|name| spec.has(name));
        targets
    }

    /// Adds an item of the list `list`.
    fn add(&mut self, item: &mut Fields<'_>, list: &str, policy: &Policy<'_>) {
        let kind = item.text("kind").unwrap_or_else(|| "HTTPRoute".to_owned());
        let name = item.text("name").unwrap_or_default();
        let (rule, labels) = (item.text("sectionName"), item.texts("matchLabels"));
        item.value(&["group"]);
        let elsewhere = item.text("namespace");
        self.unsure |= elsewhere.is_some_and(|namespace| namespace != policy.object.namespace);
        self.unsure |= item.unread().next().is_some();
        match (kind.as_str(), list) {
            // A route may be served by any of a gateway's listeners.
            ("Gateway" | "ListenerSet" | "XListenerSet", _) => self.known.push(Target::Gateway),
            (kind, _) if OF_NO_ROUTE.contains(&kind) => {
                self.unsure |= policy.may_guard_routes_to(kind);
                if !BACKENDS.contains(&kind) {
                    let why =
                        format!("no route that is imported leads to a {kind}: it does nothing");
                    item.lost("kind", why);
                }
            }
            ("HTTPRoute", BY_NAME) => self.known.push(Target::Route { name, rule }),
            ("HTTPRoute", _) => self.known.push(Target::Labelled { labels, rule }),
            _ => {
                let why = format!("keygate does not know policies for a {kind}");
                item.lost("kind", why);
                self.unsure = true;
            }
        }
    }

    /// Notes the targets that are no route in the files.
    pub(super) fn note_unmatched(&self, object: &Object, spec: &Fields<'_>, routes: &[RouteDraft]) {
        for target in &self.known {
            let mut ranks = routes
                .iter()
                .filter_map(|found| target.takes(object, found));
            if ranks.next().is_none() {
                spec.lost(
                    "targetRefs",
                    "one of them is no route in the files: it does nothing",
                );
            }
        }
    }

    /// The places of the routes that each target selects, with how specific the target is.
    pub(super) fn each(&self, policy: &Object, routes: &[RouteDraft]) -> Vec<Vec<(Rank, usize)>> {
        let targets = self.known.iter().map(|target| {
            let places = routes.iter().enumerate();
            let chosen =
                places.filter_map(|(place, found)| Some((target.takes(policy, found)?, place)));
            chosen.collect()
        });
        targets.collect()
    }

    /// The routes that the policy applies to, each with how specific its target is.
    pub(super) fn routes<'f>(
        &self,
        policy: &Object,
        routes: &'f mut [RouteDraft],
    ) -> Vec<(Rank, &'f mut RouteDraft)> {
        let chosen = routes.iter_mut().filter_map(|found| {
            let targets = self.known.iter();
            let ranks = targets.filter_map(|target| target.takes(policy, found));
            Some((ranks.max()?, found))
        });
        chosen.collect()
    }
}

impl Policy<'_> {
    /// Returns whether the policy, which is for something of this kind, may guard the routes that
    /// lead to it. No imported route leads to a kind that is not a backend, and kgateway's policies
    /// apply to none of them.
    fn may_guard_routes_to(&self, kind: &str) -> bool {
        let is_of_kgateway = self.object.kind == "TrafficPolicy";
        self.has_settings && (BACKENDS.contains(&kind) || is_of_kgateway)
    }
}
