//! Assembles a route once its policies are known: who may use it, where its token is, and which
//! headers it sets.

use std::collections::BTreeMap;

use crate::import::gloo::draft::Found;
use crate::import::gloo::header_tokens::{literal_token, may_be_secret, own_token};
use crate::import::gloo::route_headers::headers;
use crate::import::notes::Notes;
use crate::import::plan::{CLOSED_LABEL, Plan};

/// Assembles a route and adds it to the plan.
pub(super) fn settle(mut found: Found, plan: &mut Plan, notes: &Notes, allow_open: bool) {
    let title = found.title.clone();
    if !find_room(&mut found, plan, notes) {
        return;
    }
    found.route.name = plan.route_names.like(&found.route.name);
    if found.nowhere {
        // Policies may have added headers and tokens.
        found.lead_nowhere();
        "Where its requests went cannot be said here: they are refused."
            .clone_into(&mut found.route.comment);
    }
    own_token(&mut found, plan, notes);
    let literal = |(name, text): &(&String, &String)| {
        may_be_secret(name) && !text.trim().is_empty() && !text.contains("{{")
    };
    let literals = found.route.headers.iter().filter(literal);
    let literals: Vec<(String, String)> = literals
        .map(|(name, text)| (name.clone(), text.clone()))
        .collect();
    for (name, text) in literals {
        literal_token(&mut found, &name, text.trim(), plan, notes);
    }
    headers(&mut found, plan, notes);
    required(&mut found, plan, notes);
    let name = &found.route.name;
    if !found.is_guarded() {
        if allow_open {
            notes.say(
                &title,
                "",
                format!("the route `{name}` is open to anyone who can reach it, as it was there"),
            );
        } else {
            notes.say(&title, "", format!(
                "nothing in the files asks for a key on the route `{name}`; here it takes any valid one: make one with \
                 `keygate keys create`, or import with --allow-open"
            ));
        }
    }
    found.route.keys = match found.labels_of_keys() {
        Some(labels) => Some(labels),
        None if allow_open => None,
        None => Some(BTreeMap::new()),
    };
    found.route.provider = plan.add_provider(found.provider);
    plan.routes.push(found.route);
}

/// Returns whether the path is free on at least one of the route's hosts. Of two routes with the
/// same host and path, the first stays.
fn find_room(found: &mut Found, plan: &mut Plan, notes: &Notes) -> bool {
    let any = found.route.hosts.is_empty();
    let prefix = found.route.path.trim_end_matches('/').to_owned();
    let places = plan.routes.iter().enumerate();
    let taken: Vec<usize> = places
        .filter(|(_, known)| known.path.trim_end_matches('/') == prefix)
        .filter(|(_, known)| {
            let mut hosts = found.route.hosts.iter();
            (any && known.hosts.is_empty()) || hosts.any(|host| known.hosts.contains(host))
        })
        .map(|(place, _)| place)
        .collect();
    let is_taken = !taken.is_empty();
    for place in taken {
        share_place(found, place, plan, notes);
    }
    if any {
        return !is_taken;
    }
    !found.route.hosts.is_empty()
}

/// Removes the hosts of a known route with the same path from `found`.
fn share_place(found: &mut Found, place: usize, plan: &mut Plan, notes: &Notes) {
    let origin = plan.routes.get(place).and_then(|known| {
        let mut providers = plan.providers.iter();
        providers
            .find(|provider| provider.name == known.provider)?
            .origin()
    });
    let Some(known) = plan.routes.get_mut(place) else {
        return;
    };
    let closed = Some(BTreeMap::from([(
        CLOSED_LABEL.to_owned(),
        known.name.clone(),
    )]));
    let mut why = format!(
        "the route `{}` has the path {} already: this one is left out",
        known.name, known.path
    );
    let guard = found.is_guarded().then(|| found.labels_of_keys()).flatten();
    let differs = found.is_closed()
        || guard.is_some() && guard != known.keys
        || found.provider.origin() != origin;
    if differs {
        // The two routes have different guards or destinations, so neither may replace the other.
        known.keys = closed;
        why += "; they are guarded in different ways or lead to different places, so nobody can use either until it is given keys";
    }
    found.route.hosts.retain(|host| !known.hosts.contains(host));
    notes.lost(&found.title, "path", why);
}

/// Closes the route if one of its keys lacks a required metadata entry: the original rejects such a
/// key.
fn required(found: &mut Found, plan: &Plan, notes: &Notes) {
    let labels = found.labels_of_keys().unwrap_or_default();
    let lacking = found.required.iter().find(|entry| {
        let mut keys = plan.keys.iter().filter(|key| !key.disabled);
        keys.any(|key| {
            let may = labels
                .iter()
                .all(|(name, value)| key.labels.get(name) == Some(value));
            may && !key.metadata.contains_key(entry.as_str())
        })
    });
    if let Some(entry) = lacking.cloned().filter(|_| !found.is_closed()) {
        found.close();
        notes.lost(&found.title, "required", format!(
            "some of its keys have no `{entry}`, and were not let in: nobody can use the route until it is given keys"
        ));
    }
}
