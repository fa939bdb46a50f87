//! Imports `TrafficPolicy` of kgateway and `AgentgatewayPolicy` of agentgateway, which apply to
//! requests on routes.

use std::collections::BTreeMap;

use crate::import::error::ImportError;
use crate::import::fields::Fields;
use crate::import::gloo::auth::{UNSUPPORTED_AUTH, asks_for_keys, close_all};
use crate::import::gloo::backend::Secrets;
use crate::import::gloo::backend_policy::discard_harmless;
use crate::import::gloo::cel;
use crate::import::gloo::draft::{Rank, RouteDraft};
use crate::import::gloo::http_route::header_changes;
use crate::import::gloo::inja::plain_template;
use crate::import::gloo::object::Object;
use crate::import::gloo::policy_keys::{API_KEYS, kgateway_keys};
use crate::import::gloo::target::targets;
use crate::import::notes::Notes;
use crate::import::plan::Plan;

/// Fields that restrict nobody. Any other field may, and each version has new ones.
const HARMLESS: [&str; 12] = [
    "ai",
    "autoHostRewrite",
    "buffer",
    "compression",
    "cors",
    "hashPolicies",
    "headerModifiers",
    "hostRewrite",
    "rateLimit",
    "retry",
    "timeouts",
    "transformation",
];

/// Imports kgateway's policy, which names its routes, or agentgateway's, which has the same fields
/// below `traffic`.
pub(super) fn traffic(
    object: &Object,
    plan: &mut Plan,
    notes: &Notes,
    (objects, secrets): (&[Object], &Secrets<'_>),
    routes: &mut [RouteDraft],
) -> Result<(), ImportError> {
    let mut fields = object.fields(notes);
    let Some(mut spec) = fields.fields(&["spec"]) else {
        notes.lost(&object.title, "spec", "there is none");
        return Ok(());
    };
    let (targets, unsure) = targets(object, &mut spec, routes);
    let of_kgateway = object.kind == "TrafficPolicy";
    let parts = parts_of(spec, of_kgateway);
    for mut part in parts {
        if unsure && let Some(guard) = guards(&part).first() {
            routes.iter_mut().for_each(RouteDraft::close);
            part.lost(
                guard,
                "it is not read here for which routes: nobody can use any until they are given keys",
            );
        }
        let chosen = routes.iter_mut().filter_map(|found| {
            let ranks = targets.iter();
            let ranks = ranks.filter_map(|target| target.takes(object, found));
            Some((ranks.max()?, found))
        });
        let mut chosen: Vec<(Rank, &mut RouteDraft)> = chosen.collect();
        import_transformation(&mut part, &mut chosen, of_kgateway);
        import_header_modifiers(&mut part, &mut chosen);
        if let Some(mut auth) = part.fields(&["entExtAuth"]) {
            let of = (objects, secrets);
            if !auth_config(object, &mut auth, plan, notes, of, &mut chosen)? {
                close_all(&mut chosen);
                auth.lost("", UNSUPPORTED_AUTH);
            }
            auth.finish();
        }
        close_guarded(&mut part, &mut chosen, unsure);
        if let Some(mut keys) = part.fields(&API_KEYS) {
            kgateway_keys(object, &mut keys, plan, notes, secrets, &mut chosen)?;
            keys.finish();
        }
        part.finish();
    }
    fields.finish();
    Ok(())
}

/// The parts of a policy that may apply to routes.
fn parts_of(mut spec: Fields<'_>, of_kgateway: bool) -> Vec<Fields<'_>> {
    let mut parts = Vec::new();
    if !of_kgateway {
        parts.extend(spec.fields(&["traffic"]));
        parts.extend(spec.fields(&["backend"]).map(|mut backend| {
            discard_harmless(&mut backend);
            backend
        }));
        parts.extend(spec.fields(&["frontend"]).map(|mut frontend| {
            discard_frontend(&mut frontend);
            frontend
        }));
    }
    parts.push(spec);
    parts
}

/// Requires the keys of an `AuthConfig`. Returns whether it requires nothing else.
fn auth_config(
    object: &Object,
    auth: &mut Fields<'_>,
    plan: &mut Plan,
    notes: &Notes,
    (objects, secrets): (&[Object], &Secrets<'_>),
    chosen: &mut [(Rank, &mut RouteDraft)],
) -> Result<bool, ImportError> {
    // The service that checks keys; keygate checks them itself.
    auth.value(&["backendRef"]);
    let Some(mut reference) = auth.fields(&["authConfigRef"]) else {
        return Ok(false);
    };
    let name = reference.text("name").unwrap_or_default();
    let namespace = reference
        .text("namespace")
        .unwrap_or_else(|| object.namespace.clone());
    let mut named = objects.iter().filter(|config| {
        let any_namespace = namespace.is_empty() || config.namespace.is_empty();
        config.kind == "AuthConfig"
            && config.name == name
            && (any_namespace || config.namespace == namespace)
    });
    let (Some(config), None) = (named.next(), named.next()) else {
        reference.lost("", format!("the AuthConfig `{name}` is not in the files"));
        return Ok(false);
    };
    let narrowed = reference.unread().chain(auth.unread()).next().is_some();
    reference.finish();
    let mut fields = config.fields(notes);
    let Some(mut spec) = fields.fields(&["spec"]) else {
        return Ok(false);
    };
    let understood = asks_for_keys(&mut spec, plan, notes, (config, secrets), chosen)?;
    spec.finish();
    fields.finish();
    Ok(understood && !narrowed)
}

/// The fields that may restrict clients.
fn guards(part: &Fields<'_>) -> Vec<String> {
    let names = part.unread();
    let names = names.filter(|name| !HARMLESS.contains(&name.as_str()));
    names.cloned().collect()
}

/// Imports the headers that a policy makes.
fn import_transformation(
    part: &mut Fields<'_>,
    chosen: &mut [(Rank, &mut RouteDraft)],
    of_kgateway: bool,
) {
    let Some(mut transformation) = part.fields(&["transformation"]) else {
        return;
    };
    transformation.discard("response", "keygate does not change responses");
    if let Some(mut request) = transformation.fields(&["request"]) {
        request.discard("body", "keygate does not change bodies");
        for set in ["set", "add"] {
            for mut header in request.list(set) {
                let (name, value) = (header.text("name"), header.text("value"));
                let (Some(name), Some(value)) = (name, value) else {
                    header.finish();
                    continue;
                };
                for (_, found) in chosen.iter_mut() {
                    let extractors = &mut found.route.extractors;
                    let text = if of_kgateway {
                        Some(plain_template(&value, extractors))
                    } else {
                        cel::template(&value, extractors)
                    };
                    if let Some(text) = text {
                        found.route.headers.insert(name.clone(), text);
                    }
                }
                if !of_kgateway && cel::template(&value, &mut BTreeMap::new()).is_none() {
                    header.lost("value", cel::UNSUPPORTED_EXPRESSION);
                }
                header.finish();
            }
        }
        for name in request.list_of_texts("remove") {
            for (_, found) in chosen.iter_mut() {
                found.route.headers.insert(name.clone(), String::new());
            }
        }
        request.finish();
    }
    transformation.finish();
}

/// Imports the headers that a policy sets literally.
fn import_header_modifiers(part: &mut Fields<'_>, chosen: &mut [(Rank, &mut RouteDraft)]) {
    let Some(mut modifiers) = part.fields(&["headerModifiers"]) else {
        return;
    };
    modifiers.discard("response", "keygate does not change responses");
    if let Some(mut request) = modifiers.fields(&["request"]) {
        let headers = header_changes(&mut request);
        for (_, found) in chosen.iter_mut() {
            found.route.headers.extend(headers.clone());
        }
        request.finish();
    }
    modifiers.finish();
}

/// Takes and notes agentgateway's settings for client connections that do not affect who may
/// connect.
fn discard_frontend(frontend: &mut Fields<'_>) {
    for own in ["accessLog", "http", "metrics", "tcp", "tracing"] {
        frontend.discard(
            own,
            "keygate has its own: `[server]`, `[limits]` and `[telemetry]` in gateway.toml",
        );
    }
    if let Some(tls) = frontend.fields(&["tls"]) {
        let harmless = [
            "alpnProtocols",
            "cipherSuites",
            "handshakeTimeout",
            "maxProtocolVersion",
            "minProtocolVersion",
        ];
        if tls.unread().any(|name| !harmless.contains(&name.as_str())) {
            // It may require client certificates: it stays, as something that guards.
            frontend.put("tls", tls);
        } else {
            tls.lost("", "keygate has its own: `[server.tls]`");
        }
    }
}

/// Closes the routes that something besides keys guards.
fn close_guarded(part: &mut Fields<'_>, chosen: &mut [(Rank, &mut RouteDraft)], unsure: bool) {
    part.discard(
        "ai",
        "keygate changes no bodies and looks at no content: what a prompt guard keeps back there goes to the provider here",
    );
    part.discard("rateLimit", "keygate has no limits yet");
    part.discard("hostRewrite", "`Host` is the provider's own here");
    if part.peek("phase").as_deref() == Some("PostRouting") {
        part.value(&["phase"]);
    }
    let others = guards(part).into_iter();
    for guard in others.filter(|guard| !API_KEYS.contains(&guard.as_str())) {
        close_all(chosen);
        let why = if chosen.is_empty() && !unsure {
            "keygate does not know this field; no route has it"
        } else {
            "keygate checks API keys only: nobody can use its routes until they are given some"
        };
        part.discard(&guard, why);
    }
}
