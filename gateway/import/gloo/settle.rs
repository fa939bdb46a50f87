//! Assembles a route once its policies are known: who may use it, where its token is, and which
//! headers it sets.

use std::collections::{BTreeMap, BTreeSet};

use http::HeaderName;

use super::super::{CLOSED_LABEL, Notes, Plan, PlannedExtractor};
use super::USUAL_KEY_HEADERS;
use super::found::Found;
use super::secret;
use crate::config::is_framing;
use crate::provider::{ALWAYS_STRIPPED, Kind};
use crate::template::{Extractor, HeaderTemplate, Source};

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

/// The header for the provider's token.
fn auth_header(found: &Found) -> &str {
    let set = found
        .provider
        .settings
        .iter()
        .find(|(name, _)| *name == "auth_header");
    let own = Kind::named(found.provider.kind).map_or("authorization", |kind| kind.auth_header);
    set.map_or(own, |(_, value)| value.as_str())
}

/// A template that writes the provider's token into a header becomes a setting of the provider: the
/// token then goes directly from the key's metadata into the header.
fn own_token(found: &mut Found, plan: &mut Plan, notes: &Notes) {
    let header = auth_header(found).to_owned();
    let named = |name: &&String| name.eq_ignore_ascii_case(&header);
    let Some(name) = found.route.headers.keys().find(named).cloned() else {
        return;
    };
    let text = found.route.headers.get(&name).cloned().unwrap_or_default();
    if text.is_empty() {
        // keygate removes the client's value in any case.
        found.route.headers.remove(&name);
        return;
    }
    let bare = text
        .trim()
        .strip_prefix("Bearer ")
        .unwrap_or(text.trim())
        .trim();
    if !bare.is_empty() && !bare.contains("{{") {
        literal_token(found, &name, text.trim(), plan, notes);
        return;
    }
    let extractor = bare
        .strip_prefix("{{")
        .and_then(|inner| inner.strip_suffix("}}"))
        .map(str::trim);
    let source = extractor.and_then(|name| found.route.extractors.get(name));
    if let Some(PlannedExtractor::Header {
        name: from,
        regex,
        group: 0,
    }) = source
        && regex == ".*"
        && let Some(entry) = found.from_metadata.get(&from.to_ascii_lowercase()).cloned()
    {
        let from = from.to_ascii_lowercase();
        notes.say(&found.title, &name, format!(
            "there, each key's `{entry}` is copied into `{from}` and from there into `{name}`, and the provider gets \
             the client's key and the token twice; here the provider has `token = \"key:{entry}\"`, gets the token \
             once and nothing of the client's, and a key without the entry is answered with 503"
        ));
        found.provider.token = format!("key:{entry}");
        let extractor = extractor.map(str::to_owned);
        found.route.headers.remove(&name);
        found.from_metadata.remove(&from);
        if let Some(extractor) = extractor {
            let still = found
                .route
                .headers
                .values()
                .any(|text| text.contains(&format!("{{{{ {extractor} }}}}")));
            if !still {
                found.route.extractors.remove(&extractor);
            }
        }
    } else if !["none", ""].contains(&found.provider.token.as_str()) {
        found.route.headers.remove(&name);
        notes.lost(&found.title, &name, "the provider's own token goes there");
    }
}

/// Moves a token that is written into a header to the secrets folder, and makes the provider write
/// it.
fn literal_token(found: &mut Found, header: &str, text: &str, plan: &mut Plan, notes: &Notes) {
    found.route.headers.remove(header);
    if !["none", ""].contains(&found.provider.token.as_str()) {
        return notes.lost(&found.title, header, "the provider has a token of its own");
    }
    let entry = secret::Entry::Text(text.to_owned().into());
    match entry.keep(plan, &format!("{}-token", found.route.name)) {
        Ok(reference) => {
            found.provider.token = reference;
            found
                .provider
                .settings
                .retain(|(name, _)| !name.starts_with("auth_"));
            // The token is written with the scheme that it has in the original.
            found
                .provider
                .settings
                .push(("auth_header", header.to_ascii_lowercase()));
            found.provider.settings.push(("auth_prefix", String::new()));
            notes.say(
                &found.title,
                header,
                "the token in it went into the folder of secrets",
            );
        }
        Err(why) => notes.lost(&found.title, header, format!("it {why}")),
    }
}

/// Returns whether a header of this name may hold a secret.
fn may_be_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let telling = [
        "auth",
        "key",
        "token",
        "secret",
        "password",
        "credential",
        "cookie",
    ];
    telling.iter().any(|part| name.contains(part))
}

/// Keeps the headers that keygate can set.
fn headers(found: &mut Found, plan: &Plan, notes: &Notes) {
    let title = found.title.clone();
    // A header that is made of another header with metadata is made of the metadata directly.
    for extractor in found.route.extractors.values_mut() {
        if let PlannedExtractor::Header {
            name,
            regex,
            group: 0,
        } = extractor
            && regex == ".*"
            && let Some(entry) = found.from_metadata.get(&name.to_ascii_lowercase())
        {
            *extractor = PlannedExtractor::Metadata(entry.clone());
        }
    }
    for (header, entry) in std::mem::take(&mut found.from_metadata) {
        if header == auth_header(found) {
            notes.lost(
                &title,
                &header,
                "the provider's token goes there: say `token = \"key:NAME\"`",
            );
            continue;
        }
        let extractor = PlannedExtractor::Metadata(entry.clone());
        found
            .route
            .extractors
            .entry(entry.clone())
            .or_insert(extractor);
        found
            .route
            .headers
            .entry(header)
            .or_insert_with(|| format!("{{{{ {entry} }}}}"));
    }
    let usable = extractors(found, plan, notes);
    let has_token = !["none", ""].contains(&found.provider.token.as_str());
    let auth = auth_header(found).to_owned();
    let is_key = |name: &str| USUAL_KEY_HEADERS.contains(&name);
    found.route.headers.retain(|name, text| {
        let parsed = HeaderName::try_from(name.as_str());
        let why = match parsed {
            Err(_) => Some("it is not the name of a header".to_owned()),
            Ok(header) if is_framing(&header) => Some("it belongs to the gateway".to_owned()),
            Ok(header)
                if has_token && (header.as_str() == auth || header == ALWAYS_STRIPPED[0]) =>
            {
                Some("the provider's own token goes there".to_owned())
            }
            Ok(header) => HeaderTemplate::parse(header, text, &usable).err(),
        };
        // keygate removes the clients' credentials in any case.
        let is_done = text.is_empty() && is_key(&name.to_ascii_lowercase());
        if let Some(why) = why.as_ref().filter(|_| !is_done) {
            notes.lost(&title, &format!("headers.{name}"), why.as_str());
        }
        why.is_none()
    });
    let used: BTreeMap<_, _> = std::mem::take(&mut found.route.extractors);
    found.route.extractors = used
        .into_iter()
        .filter(|(name, _)| {
            found
                .route
                .headers
                .values()
                .any(|text| text.contains(&format!("{{{{ {name} }}}}")))
        })
        .collect();
}

/// The extractors that can be used. Removes the others.
fn extractors(found: &mut Found, plan: &Plan, notes: &Notes) -> Vec<Extractor> {
    let title = found.title.clone();
    let is_key = |name: &str| USUAL_KEY_HEADERS.contains(&name) || plan.key_headers.contains(name);
    let mut usable = Vec::new();
    let mut unusable = BTreeSet::new();
    for (name, extractor) in &found.route.extractors {
        let source = match extractor {
            PlannedExtractor::Metadata(entry) => Ok(Source::Metadata(entry.clone())),
            PlannedExtractor::Header { name: header, .. }
                if is_key(&header.to_ascii_lowercase()) =>
            {
                Err(format!(
                    "`{header}` may hold the client's key: what a client writes there must not become a credential"
                ))
            }
            PlannedExtractor::Header {
                name: header,
                regex,
                group,
            } => match HeaderName::try_from(header.as_str()) {
                Ok(header) => {
                    Source::header(header, regex, usize::try_from(*group).unwrap_or(usize::MAX))
                }
                Err(_) => Err(format!("`{header}` is not the name of a header")),
            },
        };
        match source {
            Ok(source) => usable.push(Extractor {
                name: name.clone(),
                source,
            }),
            Err(why) => {
                notes.lost(&title, &format!("extractors.{name}"), why);
                unusable.insert(name.clone());
            }
        }
    }
    found
        .route
        .extractors
        .retain(|name, _| !unusable.contains(name));
    usable
}
