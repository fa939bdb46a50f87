//! Assembles a route once its policies are known: who may use it, where its token is, and which
//! headers it sets.

use std::collections::BTreeMap;

use crate::import::gloo::draft::RouteDraft;
use crate::import::gloo::header_tokens::{may_be_secret, move_literal_token, move_token};
use crate::import::gloo::route_headers::headers;
use crate::import::notes::Notes;
use crate::import::plan::{CLOSED_LABEL, Plan};

/// Assembles a route and adds it to the plan.
pub(super) fn assemble(mut draft: RouteDraft, plan: &mut Plan, notes: &Notes, allow_open: bool) {
    let title = draft.title.clone();
    if !claim_path(&mut draft, plan, notes) {
        return;
    }
    draft.route.name = plan.route_names.unique(&draft.route.name);
    if draft.nowhere {
        // Policies may have added headers and tokens.
        draft.remove_destination();
        "It has no destination here: its requests are refused."
            .clone_into(&mut draft.route.comment);
    }
    move_token(&mut draft, plan, notes);
    let literal = |(name, text): &(&String, &String)| {
        may_be_secret(name) && !text.trim().is_empty() && !text.contains("{{")
    };
    let literals = draft.route.headers.iter().filter(literal);
    let literals: Vec<(String, String)> = literals
        .map(|(name, text)| (name.clone(), text.clone()))
        .collect();
    for (name, text) in literals {
        move_literal_token(&mut draft, &name, text.trim(), plan, notes);
    }
    headers(&mut draft, plan, notes);
    required(&mut draft, plan, notes);
    let name = &draft.route.name;
    if !draft.is_guarded() {
        if allow_open {
            notes.note(
                &title,
                "",
                format!("the route `{name}` is open to anyone who can reach it, as it was there"),
            );
        } else {
            notes.note(&title, "", format!(
                "nothing in the files asks for a key on the route `{name}`; here it takes any valid one: make one with \
                 `keygate keys create`, or import with --allow-open"
            ));
        }
    }
    draft.route.keys = match draft.key_labels() {
        Some(labels) => Some(labels),
        None if allow_open => None,
        None => Some(BTreeMap::new()),
    };
    for place in draft.limits() {
        limit(&draft.route.name, place, plan);
    }
    draft.route.provider = plan.add_provider(draft.provider);
    plan.routes.push(draft.route);
}

/// Lets a limit of the plan count the requests on a route.
fn limit(route: &str, place: usize, plan: &mut Plan) {
    if let Some(limit) = plan.limits.get_mut(place)
        && !limit.routes.iter().any(|known| known == route)
    {
        limit.routes.push(route.to_owned());
    }
}

/// Returns whether the path is free on at least one of the route's hosts. Of two routes with the
/// same host and path, the first stays.
fn claim_path(draft: &mut RouteDraft, plan: &mut Plan, notes: &Notes) -> bool {
    let any = draft.route.hosts.is_empty();
    let prefix = draft.route.path.trim_end_matches('/').to_owned();
    let places = plan.routes.iter().enumerate();
    let taken: Vec<usize> = places
        .filter(|(_, known)| known.path.trim_end_matches('/') == prefix)
        .filter(|(_, known)| {
            let mut hosts = draft.route.hosts.iter();
            (any && known.hosts.is_empty()) || hosts.any(|host| known.hosts.contains(host))
        })
        .map(|(place, _)| place)
        .collect();
    let is_taken = !taken.is_empty();
    for place in taken {
        yield_hosts(draft, place, plan, notes);
    }
    if any {
        return !is_taken;
    }
    !draft.route.hosts.is_empty()
}

/// Removes the hosts of a known route with the same path from `draft`.
fn yield_hosts(draft: &mut RouteDraft, place: usize, plan: &mut Plan, notes: &Notes) {
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
    let guard = draft.is_guarded().then(|| draft.key_labels()).flatten();
    let differs = draft.is_closed()
        || guard.is_some() && guard != known.keys
        || draft.provider.origin() != origin;
    if differs {
        // The two routes have different guards or destinations, so neither may replace the other.
        known.keys = closed;
        why += "; they are guarded in different ways or lead to different places, so nobody can use either until it is given keys";
    }
    draft.route.hosts.retain(|host| !known.hosts.contains(host));
    let known = known.name.clone();
    for place in draft.limits() {
        limit(&known, place, plan);
    }
    notes.lost(&draft.title, "path", why);
}

/// Closes the route if one of its keys lacks a required metadata entry: the original rejects such a
/// key.
fn required(draft: &mut RouteDraft, plan: &Plan, notes: &Notes) {
    let labels = draft.key_labels().unwrap_or_default();
    let lacking = draft.required.iter().find(|entry| {
        let mut keys = plan.keys.iter().filter(|key| !key.disabled);
        keys.any(|key| {
            let may = labels
                .iter()
                .all(|(name, value)| key.labels.get(name) == Some(value));
            may && !key.metadata.contains_key(entry.as_str())
        })
    });
    if let Some(entry) = lacking.cloned().filter(|_| !draft.is_closed()) {
        draft.close();
        notes.lost(&draft.title, "required", format!(
            "some of its keys have no `{entry}`, and were not let in: nobody can use the route until it is given keys"
        ));
    }
}
