//! Rate limits of kgateway, agentgateway, Gloo Gateway and Gloo Platform, as `[[limits]]`.
//!
//! A limit is carried over if keygate counts the same requests together in the same time. All others
//! are listed.

mod bucket;
mod local;
mod raw;
mod scope;
mod service;

use crate::import::fields::Fields;
use crate::import::gloo::draft::{Mechanism, Rank, RouteDraft, RouteLimits};
use crate::import::gloo::kinds::ENTERPRISE_POLICY;
use crate::import::gloo::limits::local::Local;
use crate::import::gloo::limits::service::Services;
use crate::import::gloo::object::Object;
use crate::import::gloo::policy;
use crate::import::gloo::reader::Reader;
use crate::import::gloo::target::Targets;
use crate::import::notes::Notes;
use crate::import::planned_limit::{PlannedLimit, PlannedScope};

/// The note about limits of a policy whose targets are not understood.
const UNSURE: &str =
    "keygate cannot tell which routes it applies to: write it as a table [[limits]]";

/// The places of the routes among all, with how specific the policy is for each.
type Chosen = Vec<(Rank, usize)>;

impl Reader<'_> {
    /// Imports the rate limits of all policies, once the keys that they count are known.
    pub(super) fn rate_limits(&mut self, routes: &mut [RouteDraft]) {
        let mut services = Services::default();
        for object in self.objects {
            match object.kind.as_str() {
                "TrafficPolicy" => self.limits_of_traffic(object, routes, &mut services, false),
                "AgentgatewayPolicy" | ENTERPRISE_POLICY => {
                    self.limits_of_traffic(object, routes, &mut services, true);
                }
                "RateLimitPolicy" => self.limits_of_platform(object, routes, &mut services),
                _ => {}
            }
        }
        services.note_unused(self.objects, self.notes);
        services.note_windows(self.notes);
    }

    /// Imports the limits of kgateway's policy, or of agentgateway's.
    fn limits_of_traffic(
        &mut self,
        object: &Object,
        routes: &mut [RouteDraft],
        services: &mut Services,
        is_of_agentgateway: bool,
    ) {
        // Everything but the limits was read, and noted, before.
        let read = Notes::default();
        let Some((_, mut spec)) = object.spec(&read) else {
            return;
        };
        let targets = Targets::take(object, &mut spec);
        let Some((_, mut spec)) = object.spec(self.notes) else {
            return;
        };
        let part = if is_of_agentgateway {
            spec.fields(&["traffic"])
        } else {
            Some(spec)
        };
        let Some(mut part) = part else { return };
        if let Some(field) = ["rateLimit", "entRateLimit"]
            .into_iter()
            .find(|name| part.has(name))
            && targets.unsure
        {
            return part.lost(field, UNSURE);
        }
        let chosen = targets.each(object, routes);
        if is_of_agentgateway {
            if let Some(local) = local::agentgateway(&mut part, &object.name) {
                self.share(&local, &chosen, routes);
            }
        } else if let Some(local) = local::kgateway(&mut part, &object.name) {
            self.divide(&local, &chosen, routes);
        }
        if let Some(mut limit) = part.fields(&["entRateLimit"]) {
            let chosen: Chosen = chosen.into_iter().flatten().collect();
            self.limits_of_configs(object, &mut limit, &chosen, routes, services);
            limit.finish();
        }
    }

    /// Adds limits that each target of an agentgateway's policy has for itself.
    fn share(&mut self, local: &Local, chosen: &[Chosen], routes: &mut [RouteDraft]) {
        for target in chosen.iter().filter(|target| !target.is_empty()) {
            let places = self.add(&local.limits, &PlannedScope::Gateway);
            attach(target, routes, Mechanism::Local, &places);
        }
    }

    /// Adds limits that each route of kgateway has for itself, and a gateway for all of its routes.
    fn divide(&mut self, local: &Local, chosen: &[Chosen], routes: &mut [RouteDraft]) {
        let all = chosen.iter().flatten().copied();
        let (of_gateway, of_routes): (Chosen, Chosen) =
            all.partition(|(rank, _)| *rank == Rank::Gateway);
        for (target, scope) in [
            (of_gateway, PlannedScope::Gateway),
            (of_routes, PlannedScope::Route),
        ] {
            if !target.is_empty() {
                let places = self.add(&local.limits, &scope);
                attach(&target, routes, Mechanism::Local, &places);
            }
        }
    }

    /// Adds limits to the plan, whose routes are not known yet. Returns their places.
    fn add(&mut self, limits: &[PlannedLimit], of: &PlannedScope) -> Vec<usize> {
        let mut places = Vec::new();
        for limit in limits {
            places.push(self.plan.limits.len());
            self.plan.add_limit(PlannedLimit {
                of: of.clone(),
                ..limit.clone()
            });
        }
        places
    }

    /// Imports `entRateLimit`, which names `RateLimitConfig`s.
    fn limits_of_configs(
        &mut self,
        object: &Object,
        limit: &mut Fields<'_>,
        chosen: &Chosen,
        routes: &mut [RouteDraft],
        services: &mut Services,
    ) {
        let Some(mut global) = limit.fields(&["global"]) else {
            return;
        };
        // The service that counts; keygate counts itself.
        for own in ["backendRef", "domain", "extensionRef"] {
            global.value(&[own]);
        }
        let mut references = global.list("rateLimitConfigRefs");
        references.extend(global.fields(&["rateLimitConfigRef"]));
        let mut places = Vec::new();
        for mut reference in references {
            let name = reference.text("name").unwrap_or_default();
            let namespace = object.take_namespace(&mut reference);
            match services.config(self.objects, &namespace, &name) {
                Some(config) => {
                    places.extend(services.limits_of(self, config, config, chosen, routes));
                }
                None => reference.lost(
                    "",
                    format!("the RateLimitConfig `{name}` is not in the files"),
                ),
            }
            reference.finish();
        }
        if !places.is_empty() {
            attach(chosen, routes, Mechanism::Service, &places);
        }
        global.finish();
    }

    /// Imports Gloo Platform's policy, which names its routes by labels, and the server's
    /// configuration, which says how much it allows.
    fn limits_of_platform(
        &mut self,
        object: &Object,
        routes: &mut [RouteDraft],
        services: &mut Services,
    ) {
        let Some((_, mut spec)) = object.spec(self.notes) else {
            return;
        };
        if !spec.has("config") {
            return spec.lost(
                "",
                "it has no `config`, as Gloo's policies have: write it as a table [[limits]]",
            );
        }
        let Some(places) = policy::chosen_places(&mut spec, routes) else {
            return spec.lost("config", UNSURE);
        };
        let chosen: Chosen = places
            .into_iter()
            .map(|place| (Rank::Route, place))
            .collect();
        let Some(mut config) = spec.fields(&["config"]) else {
            return;
        };
        config.value(&["serverSettings"]);
        let limits = services.limits_of_policy(self, object, &mut config, &chosen, routes);
        attach(&chosen, routes, Mechanism::Service, &limits);
        config.finish();
        spec.finish();
    }
}

/// Attaches limits to the routes that a policy applies to.
fn attach(chosen: &Chosen, routes: &mut [RouteDraft], mechanism: Mechanism, places: &[usize]) {
    for (rank, place) in chosen {
        if let Some(found) = routes.get_mut(*place) {
            found.limits.push(RouteLimits {
                rank: *rank,
                mechanism,
                places: places.to_vec(),
            });
        }
    }
}
