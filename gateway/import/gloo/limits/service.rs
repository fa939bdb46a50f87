//! The limits of a rate limit service: which counters exist, and which routes each counts.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::import::amounts::{PlannedAmounts, TOKENS};
use crate::import::fields::Fields;
use crate::import::gloo::draft::{Rank, RouteDraft};
use crate::import::gloo::limits::raw::{self, Matched};
use crate::import::gloo::limits::scope::scope;
use crate::import::gloo::object::Object;
use crate::import::gloo::reader::Reader;
use crate::import::notes::Notes;
use crate::import::plan::Plan;
use crate::import::planned_limit::PlannedLimit;
use crate::limit::terms::Counts;

/// What was found of the service so far.
#[derive(Default)]
pub(super) struct Services {
    /// The limits in the plan, by the object and the counter.
    counters: BTreeMap<(String, String), usize>,
    /// The notes about limits that are left out: the object, the field, and the reason.
    noted: BTreeSet<(String, String, String)>,
    /// The titles of the configurations that policies name.
    used: BTreeSet<String>,
    /// The title of the first object whose limits were carried over.
    first: Option<String>,
    is_of_calendar: bool,
}

/// The routes of a policy among all, and how specific it is for each.
type Chosen = [(Rank, usize)];

/// The object of this kind and name. A missing namespace matches any.
fn find<'o>(objects: &'o [Object], kind: &str, namespace: &str, name: &str) -> Option<&'o Object> {
    let mut named = objects.iter().filter(|object| {
        let any_namespace = namespace.is_empty() || object.namespace.is_empty();
        object.kind == kind
            && object.name == name
            && (any_namespace || object.namespace == namespace)
    });
    let found = named.next()?;
    named.next().is_none().then_some(found)
}

impl Services {
    /// The `RateLimitConfig` of this name.
    pub(super) fn config<'o>(
        &mut self,
        objects: &'o [Object],
        namespace: &str,
        name: &str,
    ) -> Option<&'o Object> {
        let found = find(objects, "RateLimitConfig", namespace, name)?;
        self.used.insert(found.title.clone());
        Some(found)
    }

    /// The limits of the actions in `client`, whose amounts are in `server`: their places in the plan.
    pub(super) fn limits_of(
        &mut self,
        reader: &mut Reader<'_>,
        client: &Object,
        server: &Object,
        chosen: &Chosen,
        routes: &[RouteDraft],
    ) -> Vec<usize> {
        let Some(actions) = raw_of(client, "/spec/raw") else {
            reader
                .notes
                .lost(&client.title, "spec", "it has no `raw` limits");
            return Vec::new();
        };
        let from = Origin {
            client,
            field: "spec.raw.rateLimits",
            is_after_auth: true,
        };
        self.all(reader, actions, &from, server, chosen, routes)
    }

    /// The limits of Gloo Platform's policy.
    pub(super) fn limits_of_policy(
        &mut self,
        reader: &mut Reader<'_>,
        policy: &Object,
        config: &mut Fields<'_>,
        chosen: &Chosen,
        routes: &[RouteDraft],
    ) -> Vec<usize> {
        let phase = config.value(&["phase"]);
        let is_after_auth = phase.is_some_and(|phase| phase.get("postAuthz").is_some());
        let mut named = |field: &str, kind: &str| {
            let mut reference = config.fields(&[field])?;
            let name = reference.text("name").unwrap_or_default();
            let namespace = policy.take_namespace(&mut reference);
            reference.value(&["cluster"]);
            let found = find(reader.objects, kind, &namespace, &name);
            if found.is_none() {
                reference.lost("", format!("the {kind} `{name}` is not in the files"));
            }
            reference.finish();
            found
        };
        let server = named("ratelimitServerConfig", "RateLimitServerConfig");
        let client = named("ratelimitClientConfig", "RateLimitClientConfig");
        config.value(&["raw"]);
        let own = raw_of(policy, "/spec/config/raw");
        let theirs = client.and_then(|client| raw_of(client, "/spec/raw"));
        let (Some(server), Some(actions)) = (server, own.or(theirs)) else {
            config.lost(
                "",
                "it says not both what to count and how much: it is left out",
            );
            return Vec::new();
        };
        let from = Origin {
            client: policy,
            field: "spec.config.raw.rateLimits",
            is_after_auth,
        };
        self.all(reader, actions, &from, server, chosen, routes)
    }

    fn all(
        &mut self,
        reader: &mut Reader<'_>,
        actions: &Map<String, Value>,
        from: &Origin<'_>,
        server: &Object,
        chosen: &Chosen,
        routes: &[RouteDraft],
    ) -> Vec<usize> {
        let empty = Map::new();
        let descriptors = raw_of(server, "/spec/raw").unwrap_or(&empty);
        let items = actions.get("rateLimits").and_then(Value::as_array);
        let mut places = Vec::new();
        for (number, item) in items.into_iter().flatten().enumerate() {
            let item = item.as_object().unwrap_or(&empty);
            let theirs: Vec<&RouteDraft> = chosen
                .iter()
                .filter_map(|(_, place)| routes.get(*place))
                .collect();
            let found = raw::limits(item, descriptors).and_then(|found| {
                let found = found.into_iter();
                let limits =
                    found.map(|matched| self.limit(reader.plan, &matched, from, server, &theirs));
                limits.collect::<Result<Vec<_>, _>>()
            });
            match found {
                Ok(found) => places.extend(found.into_iter().flatten()),
                Err(why) => {
                    let field = format!("{}[{number}]", from.field);
                    let why = format!("{why}: it is left out");
                    // Several policies may name the same configuration.
                    if self
                        .noted
                        .insert((from.client.title.clone(), field.clone(), why.clone()))
                    {
                        reader.notes.lost(&from.client.title, &field, why);
                    }
                }
            }
        }
        places
    }

    /// The place of a limit in the plan. Policies that lead to the same counter share its limit.
    fn limit(
        &mut self,
        plan: &mut Plan,
        matched: &Matched,
        from: &Origin<'_>,
        server: &Object,
        routes: &[&RouteDraft],
    ) -> Result<Option<usize>, String> {
        if routes.is_empty() {
            return Ok(None);
        }
        let kind = if matched.tokens { "tokens" } else { "requests" };
        let counter = format!("{}#{kind}", matched.counter);
        let Some(of) = scope(plan, &matched.counted, from.is_after_auth, routes)? else {
            return Ok(None);
        };
        let place = (server.title.clone(), counter);
        if let Some(known) = self.counters.get(&place) {
            return Ok(Some(*known));
        }
        let counts = if matched.tokens {
            Counts::Tokens(TOKENS[0].1)
        } else {
            Counts::Requests
        };
        let mut amounts = PlannedAmounts::default();
        amounts.add(counts, matched.amount);
        let added = plan.limits.len();
        plan.add_limit(PlannedLimit {
            name: server.name.clone(),
            of,
            amounts,
            from: (from.client.title.clone(), from.field.to_owned()),
            ..PlannedLimit::default()
        });
        self.counters.insert(place, added);
        self.is_of_calendar |= matched.is_of_calendar;
        self.first.get_or_insert_with(|| server.title.clone());
        Ok(Some(added))
    }

    /// Notes how the service counts time.
    pub(super) fn note_windows(&self, notes: &Notes) {
        let Some(title) = &self.first else { return };
        notes.note(
            title,
            "",
            "the rate limit service begins to count anew with each second, minute or hour; keygate gives back what was used \
             continuously, so that a client that was idle may send as much at once, and then as much as it may there",
        );
        if self.is_of_calendar {
            notes.note(
                title,
                "",
                "a week, month or year is 7, 30 or 365 days there, counted from 1970; here it is one of the calendar",
            );
        }
    }

    /// Notes the configurations that no policy names.
    pub(super) fn note_unused(&self, objects: &[Object], notes: &Notes) {
        let configs = objects
            .iter()
            .filter(|object| object.kind == "RateLimitConfig");
        for config in configs.filter(|config| !self.used.contains(&config.title)) {
            notes.lost(
                &config.title,
                "",
                "no policy that keygate reads names it: if it limits something there, write it as a table [[limits]]",
            );
        }
    }
}

/// The object at a place in another.
fn raw_of<'o>(object: &'o Object, pointer: &str) -> Option<&'o Map<String, Value>> {
    object.body.pointer(pointer).and_then(Value::as_object)
}

/// Where actions stand.
struct Origin<'o> {
    client: &'o Object,
    field: &'static str,
    /// Whether headers are those that the check of keys sets.
    is_after_auth: bool,
}
