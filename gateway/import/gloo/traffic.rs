//! Imports `TrafficPolicy` of kgateway and `AgentgatewayPolicy` of agentgateway, which apply to
//! requests on routes.

use std::collections::BTreeMap;

use serde_json::Value;
use zeroize::Zeroizing;

use super::super::fields::{Fields, text_of, texts};
use super::super::{Notes, Plan};
use super::backend_policy::{BACKENDS, list_harmless};
use super::cel;
use super::found::{Found, Means, Rank};
use super::http_route::header_changes;
use super::object::Object;
use super::policy::{NOT_KEYS, accept_header, asks_for_keys, close_all, plain_template};
use super::secret::{self, Entry};
use super::upstream::Secrets;

/// A target of a policy.
enum Target {
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
    fn takes(&self, policy: &Object, found: &Found) -> Option<Rank> {
        let (kind, namespace, name) = &found.source;
        let unsaid = namespace.is_empty() || policy.namespace.is_empty();
        let here = (unsaid || *namespace == policy.namespace) && kind == "HTTPRoute";
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
fn targets(object: &Object, spec: &mut Fields<'_>, routes: &[Found]) -> (Vec<Target>, bool) {
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

/// The fields of kgateway's policy that require a key.
const API_KEYS: [&str; 2] = ["apiKeyAuthentication", "apiKeyAuth"];

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
    routes: &mut [Found],
) -> Result<(), String> {
    let mut fields = object.fields(notes);
    let Some(mut spec) = fields.fields(&["spec"]) else {
        notes.lost(&object.title, "spec", "there is none");
        return Ok(());
    };
    let (targets, unsure) = targets(object, &mut spec, routes);
    let of_kgateway = object.kind == "TrafficPolicy";
    let mut parts = Vec::new();
    if !of_kgateway {
        parts.extend(spec.fields(&["traffic"]));
        parts.extend(spec.fields(&["backend"]).map(|mut backend| {
            list_harmless(&mut backend);
            backend
        }));
        parts.extend(spec.fields(&["frontend"]).map(|mut frontend| {
            list_front(&mut frontend);
            frontend
        }));
    }
    parts.push(spec);
    for mut said in parts {
        if unsure && let Some(guard) = guards(&said).first() {
            routes.iter_mut().for_each(Found::close);
            said.lost(
                guard,
                "it is not read here for which routes: nobody can use any until they are given keys",
            );
        }
        let chosen = routes.iter_mut().filter_map(|found| {
            let ranks = targets.iter();
            let ranks = ranks.filter_map(|target| target.takes(object, found));
            Some((ranks.max()?, found))
        });
        let mut chosen: Vec<(Rank, &mut Found)> = chosen.collect();
        transformed(&mut said, &mut chosen, of_kgateway);
        modified(&mut said, &mut chosen);
        if let Some(mut auth) = said.fields(&["entExtAuth"]) {
            if !auth_config(
                object,
                &mut auth,
                plan,
                notes,
                (objects, secrets),
                &mut chosen,
            )? {
                close_all(&mut chosen);
                auth.lost("", NOT_KEYS);
            }
            auth.finish();
        }
        guarded(&mut said, &mut chosen, unsure);
        if let Some(mut keys) = said.fields(&API_KEYS) {
            kgateway_keys(object, &mut keys, plan, notes, secrets, &mut chosen)?;
            keys.finish();
        }
        said.finish();
    }
    fields.finish();
    Ok(())
}

/// Requires the keys of an `AuthConfig`. Returns whether it requires nothing else.
fn auth_config(
    object: &Object,
    auth: &mut Fields<'_>,
    plan: &mut Plan,
    notes: &Notes,
    (objects, secrets): (&[Object], &Secrets<'_>),
    chosen: &mut [(Rank, &mut Found)],
) -> Result<bool, String> {
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
        let unsaid = namespace.is_empty() || config.namespace.is_empty();
        config.kind == "AuthConfig"
            && config.name == name
            && (unsaid || config.namespace == namespace)
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
fn guards(said: &Fields<'_>) -> Vec<String> {
    let names = said.unread();
    let names = names.filter(|name| !HARMLESS.contains(&name.as_str()));
    names.cloned().collect()
}

/// Imports the headers that a policy makes.
fn transformed(said: &mut Fields<'_>, chosen: &mut [(Rank, &mut Found)], of_kgateway: bool) {
    let Some(mut transformation) = said.fields(&["transformation"]) else {
        return;
    };
    transformation.lose("response", "keygate does not change answers");
    if let Some(mut request) = transformation.fields(&["request"]) {
        request.lose("body", "keygate does not change bodies");
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
                    header.lost("value", cel::NOT_HERE);
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
fn modified(said: &mut Fields<'_>, chosen: &mut [(Rank, &mut Found)]) {
    let Some(mut modifiers) = said.fields(&["headerModifiers"]) else {
        return;
    };
    modifiers.lose("response", "keygate does not change answers");
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
fn list_front(frontend: &mut Fields<'_>) {
    for own in ["accessLog", "http", "metrics", "tcp", "tracing"] {
        frontend.lose(
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
fn guarded(said: &mut Fields<'_>, chosen: &mut [(Rank, &mut Found)], unsure: bool) {
    said.lose(
        "ai",
        "keygate changes no bodies and looks at no content: what a prompt guard keeps back there goes to the provider here",
    );
    said.lose("rateLimit", "keygate has no limits yet");
    said.lose("hostRewrite", "`Host` is the provider's own here");
    if said.peek("phase").as_deref() == Some("PostRouting") {
        said.value(&["phase"]);
    }
    let others = guards(said).into_iter();
    for guard in others.filter(|guard| !API_KEYS.contains(&guard.as_str())) {
        close_all(chosen);
        let why = if chosen.is_empty() && !unsure {
            "keygate does not know this field; no route has it"
        } else {
            "keygate checks API keys only: nobody can use its routes until they are given some"
        };
        said.lose(&guard, why);
    }
}

/// Returns whether a policy takes its keys from a secret: by its name, or by its labels in the
/// policy's own namespace.
pub(super) fn takes_keys_of(policy: &Object, secret: &Object) -> bool {
    let spec = policy.body.get("spec");
    let said = match policy.kind.as_str() {
        "TrafficPolicy" => spec,
        "AgentgatewayPolicy" | "EnterpriseAgentgatewayPolicy" => {
            spec.and_then(|spec| spec.get("traffic"))
        }
        _ => None,
    };
    let Some(keys) = API_KEYS.iter().find_map(|name| said?.get(name)) else {
        return false;
    };
    let reference = keys.get("secretRef");
    let says = |name: &str| reference.and_then(|reference| text_of(reference.get(name)?));
    let namespace = says("namespace").unwrap_or_else(|| policy.namespace.clone());
    // A missing namespace matches any.
    let unsaid = namespace.is_empty() || secret.namespace.is_empty();
    let by_name =
        says("name").as_ref() == Some(&secret.name) && (unsaid || namespace == secret.namespace);
    let selector = keys.get("secretSelector").and_then(Value::as_object);
    // A selector with further conditions selects nothing: too few keys are better than too many.
    let selector = selector.filter(|selector| selector.len() == 1);
    let labels = selector.and_then(|selector| Some(texts(selector.get("matchLabels")?)));
    let by_labels = labels.is_some_and(|labels| {
        let has = |(name, value): (&String, &String)| secret.labels.get(name) == Some(value);
        !labels.is_empty() && secret.namespace == policy.namespace && labels.iter().all(has)
    });
    by_name || by_labels
}

/// Imports kgateway's keys: each entry of a secret is a client's name and its key.
fn kgateway_keys(
    object: &Object,
    keys: &mut Fields<'_>,
    plan: &mut Plan,
    notes: &Notes,
    secrets: &Secrets<'_>,
    routes: &mut [(Rank, &mut Found)],
) -> Result<(), String> {
    for mut source in keys.list("keySources") {
        if let Some(header) = source.text("header")
            && !accept_header(&header, plan)
        {
            source.lost("header", "no key can stand there");
        }
        source.lose("cookie", "keygate takes no key from a cookie");
        let query = source.text("query");
        if query.is_some_and(|name| !["key", "api-key"].contains(&name.as_str())) {
            source.lost(
                "query",
                "keygate takes keys from `?key=` and `?api-key=` only",
            );
        }
        source.finish();
    }
    said_of_clients(keys);
    let chosen: Vec<&Object> = secrets
        .values()
        .filter(|secret| takes_keys_of(object, secret))
        .copied()
        .collect();
    if let Some(mut reference) = keys.fields(&["secretRef"]) {
        let name = reference.text("name").unwrap_or_default();
        if !chosen.iter().any(|secret| secret.name == name) {
            reference.lost("", format!("the secret `{name}` is not in the files"));
        }
        for known in ["namespace", "group", "kind"] {
            reference.value(&[known]);
        }
        reference.finish();
    }
    if let Some(mut selector) = keys.fields(&["secretSelector"]) {
        selector.value(&["matchLabels"]);
        selector.finish();
    }
    if keys.unread().next().is_some() {
        keys.lost(
            "",
            "keygate checks the key and nothing else: nobody can use its routes until they are given some",
        );
        close_all(routes);
    }
    let mut found = Vec::new();
    for secret in chosen {
        for (name, entry) in secret::data(secret)? {
            match entry {
                Entry::Text(text) => match bare_key(text) {
                    Some(key) => found.push((secret, name, key)),
                    None => notes.lost(
                        &secret.title,
                        &format!("data.{name}"),
                        "there is no `key` in it: it opens nothing",
                    ),
                },
                Entry::Variable(variable) => notes.lost(
                    &secret.title,
                    &format!("data.{name}"),
                    format!("the key stands in {variable}: add it with `keygate keys import`"),
                ),
            }
        }
    }
    let mark = mark(object, &found, secrets, plan);
    for (secret, name, key) in &found {
        // The entry's name is the client's, unless it is the name that the secret's type defines.
        let id = if secret::KEY_ENTRIES.contains(&name.as_str()) {
            &secret.name
        } else {
            name
        };
        secret::add_marked(plan, notes, secret, id, key, &mark);
    }
    for (rank, found) in routes {
        let labels = BTreeMap::from([mark.clone()]);
        found.ask_for((*rank, Means::Gateway), &labels, notes);
    }
    Ok(())
}

/// Notes how the policy treats requests with a key, or without one, if keygate does it differently.
fn said_of_clients(keys: &mut Fields<'_>) {
    keys.lose(
        "clientIdHeader",
        "keygate does not tell the provider which client asks: the access log does",
    );
    if keys
        .text("forwardCredential")
        .is_some_and(|said| said == "true")
    {
        keys.lost(
            "forwardCredential",
            "the client's key never goes to the provider here",
        );
    }
    let mode = keys.text("mode").unwrap_or_default();
    if !["", "Strict"].contains(&mode.as_str()) {
        keys.lost(
            "mode",
            format!("`{mode}` lets in requests without a key there: here there must be one"),
        );
    }
}

/// The key of an entry. agentgateway also has it as JSON together with metadata.
fn bare_key(text: Zeroizing<String>) -> Option<Zeroizing<String>> {
    if !text.trim_start().starts_with('{') {
        return Some(text);
    }
    let value: Value = serde_json::from_str(&text).ok()?;
    value.get("key")?.as_str().map(|key| key.to_owned().into())
}

/// A key that was found: the secret, the entry's name, and the key.
pub(super) type KeyEntry<'o> = (&'o Object, String, Zeroizing<String>);

/// A label for the keys of one policy, so that they do not open the routes of another. No secret
/// has a label of this name, no key has it for another policy, and no object of another kind with
/// the same name gets the same label.
pub(super) fn mark(
    policy: &Object,
    keys: &[KeyEntry<'_>],
    secrets: &Secrets<'_>,
    plan: &mut Plan,
) -> (String, String) {
    let place = match policy.namespace.as_str() {
        "" => policy.name.clone(),
        namespace => format!("{namespace}/{}", policy.name),
    };
    let is_taken = |name: &str| {
        let of_secrets = secrets
            .values()
            .any(|secret| secret.labels.contains_key(name));
        let mut keys = keys.iter();
        of_secrets
            || plan.marks.contains(&(name.to_owned(), place.clone()))
            || keys.any(|(_, _, key)| {
                let labels = plan.labels_of(key.trim());
                labels.is_some_and(|labels| labels.get(name).is_some_and(|held| *held != place))
            })
    };
    let mut names = (1..).map(|number| match number {
        1 => "policy".to_owned(),
        number => format!("policy-{number}"),
    });
    let name = names.find(|name| !is_taken(name)).unwrap_or_default();
    let mark = (name, place);
    plan.marks.insert(mark.clone());
    mark
}
