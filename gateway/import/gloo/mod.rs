//! Gloo Gateway's, Gloo Platform's and kgateway's objects, as YAML.
//!
//! What a route is made of stands in several objects: where it leads, who may use it, what is done to its
//! requests. They are read in that order, and put together at the end.

mod object;
mod patch;
mod policy;
mod route;
mod secret;
mod upstream;

use std::collections::{BTreeMap, BTreeSet};

use http::HeaderName;

use self::object::Object;
use self::route::Found;
use self::upstream::{Backend, Backends, Reader, Secrets};
use super::fields::text_of;
use super::{Notes, Plan, PlannedExtractor, documents};
use crate::config::is_framing;
use crate::provider::{ALWAYS_STRIPPED, Kind};
use crate::route::{HostPattern, PathPrefix};
use crate::template::{Extractor, HeaderTemplate, Source};

/// The headers in which a client key may stand without being named.
const USUAL_KEY_HEADERS: [&str; 4] = ["authorization", "api-key", "x-api-key", "x-goog-api-key"];
/// Kinds that say how the cluster serves, which is not keygate's matter.
const OF_THE_CLUSTER: [&str; 12] = [
    "AuthServer",
    "Cluster",
    "ConfigMap",
    "Deployment",
    "ExtAuthServer",
    "Gateway",
    "GatewayClass",
    "GatewayParameters",
    "Namespace",
    "Service",
    "VirtualGateway",
    "Workspace",
];

/// Kinds by which somebody may have guarded routes, in ways that keygate does not read.
const GUARDS: [&str; 8] = [
    "AccessPolicy",
    "AuthConfig",
    "AuthorizationPolicy",
    "GatewayExtension",
    "JWTPolicy",
    "RouteOption",
    "SecurityPolicy",
    "VirtualHostOption",
];

/// A file with its name.
pub struct Input {
    /// Its name, for messages.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Reads objects, and patches on them. Fails on what cannot be read at all, naming file and line.
pub fn read(files: &[Input], patches: &[Input]) -> Result<Plan, String> {
    let notes = Notes::default();
    let mut objects = Vec::new();
    for file in files {
        for (line, document) in
            documents(&file.name, &file.text).map_err(|error| error.to_string())?
        {
            // `kubectl get -o yaml` of several.
            let items = match document.get("items").and_then(|items| items.as_array()) {
                Some(items)
                    if document
                        .get("kind")
                        .and_then(text_of)
                        .is_some_and(|kind| kind.ends_with("List")) =>
                {
                    items.clone()
                }
                _ => vec![document],
            };
            for item in items {
                match Object::of(&file.name, line, item) {
                    Some(object) => objects.push(object),
                    None => notes.lost(
                        &format!("{}:{line}", file.name),
                        "",
                        "it is no object: it has no `kind` or no `metadata.name`",
                    ),
                }
            }
        }
    }
    for file in patches {
        for patch in patch::patches(&file.name, &file.text)? {
            patch.apply(&mut objects)?;
        }
    }
    let mut plan = Plan::default();
    let (secrets, backends) = places(&objects, &mut plan, &notes)?;
    let mut routes = Vec::new();
    for object in &objects {
        match object.kind.as_str() {
            "HTTPRoute" => routes.extend(route::http_route(object, &backends, &notes)),
            "RouteTable" => routes.extend(route::route_table(object, &backends, &notes)),
            _ => {}
        }
    }
    for object in &objects {
        match object.kind.as_str() {
            "ExtAuthPolicy" => policy::ext_auth(object, &mut plan, &notes, &mut routes),
            "TransformationPolicy" => policy::transformation(object, &notes, &mut routes),
            "TrafficPolicy" => policy::traffic(object, &mut plan, &notes, &secrets, &mut routes)?,
            _ => {}
        }
    }
    for name in USUAL_KEY_HEADERS {
        plan.key_headers.remove(name);
    }
    let guard = objects
        .iter()
        .find(|object| GUARDS.contains(&object.kind.as_str()));
    for mut found in routes {
        if let Some(guard) = guard.filter(|_| found.route.keys.is_none()) {
            found.close();
            let why = format!(
                "{} may guard it, which keygate cannot read: nobody can use it until it is given keys",
                guard.title
            );
            notes.lost(&found.title, "", why);
        }
        settle(found, &mut plan, &notes);
    }
    // Those behind the first of a pool.
    for backend in backends.into_values() {
        if let Backend::Ai(providers) = backend {
            for provider in providers.into_iter().skip(1) {
                plan.add_provider(provider);
            }
        }
    }
    plan.close(&notes);
    plan.notes = notes.into_vec();
    Ok(plan)
}

/// The secrets, and the places that requests can go to; client keys go into the plan.
fn places<'o>(
    objects: &'o [Object],
    plan: &mut Plan,
    notes: &Notes,
) -> Result<(Secrets<'o>, Backends), String> {
    let mut secrets = Secrets::new();
    for object in objects.iter().filter(|object| object.kind == "Secret") {
        let place = (object.namespace.clone(), object.name.clone());
        if secrets.insert(place, object).is_some() {
            notes.lost(
                &object.title,
                "",
                "there is another one of its name: this one counts",
            );
        }
        if object.body.get("type").and_then(text_of).as_deref() == Some("extauth.solo.io/apikey") {
            secret::api_key(plan, notes, object)?;
        }
        // Whatever is in it is checked here, whether anything refers to it or not.
        secret::data(object)?;
    }
    let mut backends = Backends::new();
    for object in objects {
        match object.kind.as_str() {
            "Upstream" | "Backend" | "ExternalService" => {
                let mut reader = Reader {
                    plan,
                    notes,
                    secrets: &secrets,
                };
                if let Some(backend) = reader.read(object)? {
                    backends.insert((object.namespace.clone(), object.name.clone()), backend);
                }
            }
            "Secret"
            | "HTTPRoute"
            | "RouteTable"
            | "ExtAuthPolicy"
            | "TransformationPolicy"
            | "TrafficPolicy" => {}
            kind if OF_THE_CLUSTER.contains(&kind) => {
                notes.say(
                    &object.title,
                    "",
                    "says how the cluster serves: keygate has no use for it",
                );
            }
            _ => {
                let group = if object.group.is_empty() {
                    "the core group"
                } else {
                    &object.group
                };
                notes.lost(
                    &object.title,
                    "",
                    format!("keygate does not know this kind of object (of {group})"),
                );
            }
        }
    }
    Ok((secrets, backends))
}

/// Puts a route together, and into the plan.
fn settle(mut found: Found, plan: &mut Plan, notes: &Notes) {
    let title = found.title.clone();
    if PathPrefix::parse(&found.route.path).is_err() {
        return notes.lost(
            &title,
            "path",
            format!(
                "`{}` is no path in its plain form: the route is left out",
                found.route.path
            ),
        );
    }
    found.route.hosts.retain(|host| {
        let good = HostPattern::parse(host).is_ok();
        if !good {
            notes.lost(
                &title,
                "hostnames",
                format!("`{host}` is no host that keygate knows"),
            );
        }
        good
    });
    let prefix = found.route.path.trim_end_matches('/').to_owned();
    let taken = plan.routes.iter().find(|known| {
        let hosts = known.hosts.is_empty() && found.route.hosts.is_empty();
        let shared = found
            .route
            .hosts
            .iter()
            .any(|host| known.hosts.contains(host));
        known.path.trim_end_matches('/') == prefix && (hosts || shared)
    });
    if let Some(known) = taken {
        let why = format!(
            "the route `{}` has the path {} already: this one is left out",
            known.name, known.path
        );
        return notes.lost(&title, "path", why);
    }
    let names = plan.routes.iter().map(|known| known.name.as_str());
    found.route.name = Plan::name_like(&found.route.name, &names);
    if let Some((name, why)) = found.provider.fault() {
        let why = format!("the provider's {name} {why}: the route is left out");
        return notes.lost(&title, "", why);
    }
    own_token(&mut found, plan, notes);
    headers(&mut found, plan, notes);
    if found.route.keys.is_none() {
        notes.say(&title, "", format!(
            "nothing there asks for a key, so the route `{}` is open to anyone who can reach it; to close it, take \
             `auth = \"none\"` out and make keys with `keygate keys create`",
            found.route.name
        ));
    }
    found.route.provider = plan.add_provider(found.provider);
    plan.routes.push(found.route);
}

/// The header that the token of the route's provider goes in.
fn auth_header(found: &Found) -> &str {
    let set = found
        .provider
        .settings
        .iter()
        .find(|(name, _)| *name == "auth_header");
    let own = Kind::named(found.provider.kind).map_or("authorization", |kind| kind.auth_header);
    set.map_or(own, |(_, value)| value.as_str())
}

/// Where a template writes the provider's token, the provider does: what is copied around there goes
/// straight from the key's metadata to its place here.
fn own_token(found: &mut Found, plan: &mut Plan, notes: &Notes) {
    let header = auth_header(found).to_owned();
    let named = |name: &&String| name.eq_ignore_ascii_case(&header);
    let Some(name) = found.route.headers.keys().find(named).cloned() else {
        return;
    };
    let text = found.route.headers.get(&name).cloned().unwrap_or_default();
    let bare = text
        .trim()
        .strip_prefix("Bearer ")
        .unwrap_or(text.trim())
        .trim();
    if !bare.is_empty() && !bare.contains("{{") {
        let entry = secret::Entry::Text(bare.to_owned().into());
        if let Ok(reference) = entry.keep(plan, &format!("{}-token", found.route.name)) {
            found.route.headers.remove(&name);
            found.provider.token = reference;
            notes.say(
                &found.title,
                &name,
                "the token in it went into the folder of secrets",
            );
            return;
        }
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

/// What is left of the headers that are made: those that keygate can make.
fn headers(found: &mut Found, plan: &Plan, notes: &Notes) {
    let title = found.title.clone();
    // What a header is made of is read where it comes from.
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
        if let Some(why) = &why {
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

/// The extractors that can be used; the others go.
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
