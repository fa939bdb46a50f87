//! Imports `TrafficPolicy` of kgateway and `AgentgatewayPolicy` of agentgateway, which apply to
//! requests on routes.

use std::collections::BTreeMap;

use crate::import::error::ImportError;
use crate::import::fields::Fields;
use crate::import::gloo::auth::{UNSUPPORTED_AUTH, close_all};
use crate::import::gloo::backend_policy::{UNREAD_CONTENT, discard_harmless};
use crate::import::gloo::cel;
use crate::import::gloo::draft::{Rank, RouteDraft};
use crate::import::gloo::http_route::header_changes;
use crate::import::gloo::inja::plain_template;
use crate::import::gloo::object::Object;
use crate::import::gloo::policy_keys::API_KEYS;
use crate::import::gloo::reader::Reader;
use crate::import::gloo::target::Targets;
use crate::import::planned::PlannedExtractor;

/// Fields that restrict nobody. Any other field may, and each version has new ones.
const HARMLESS: [&str; 13] = [
    "ai",
    "autoHostRewrite",
    "buffer",
    "compression",
    "cors",
    "entRateLimit",
    "hashPolicies",
    "headerModifiers",
    "hostRewrite",
    "rateLimit",
    "retry",
    "timeouts",
    "transformation",
];

/// The gateway whose policy it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Kgateway,
    Agentgateway,
}

impl Origin {
    fn of(policy: &Object) -> Self {
        match policy.kind.as_str() {
            "TrafficPolicy" => Self::Kgateway,
            _ => Self::Agentgateway,
        }
    }

    /// The template for a header's value; `None` if keygate does not support it.
    fn template(
        self,
        value: &str,
        extractors: &mut BTreeMap<String, PlannedExtractor>,
    ) -> Option<String> {
        match self {
            Self::Kgateway => Some(plain_template(value, extractors)),
            Self::Agentgateway => cel::template(value, extractors),
        }
    }

    /// The parts of a policy that may apply to routes.
    fn parts(self, mut spec: Fields<'_>) -> Vec<Fields<'_>> {
        let mut parts = Vec::new();
        if self == Self::Agentgateway {
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
}

impl Reader<'_> {
    /// Imports kgateway's policy, which names its routes, or agentgateway's, which has the same
    /// fields below `traffic`.
    pub(super) fn traffic(
        &mut self,
        object: &Object,
        routes: &mut [RouteDraft],
    ) -> Result<(), ImportError> {
        let Some((fields, mut spec)) = object.spec(self.notes) else {
            return Ok(());
        };
        let targets = Targets::take(object, &mut spec);
        targets.note_unmatched(object, &spec, routes);
        for part in Origin::of(object).parts(spec) {
            self.traffic_part(object, part, &targets, routes)?;
        }
        fields.finish();
        Ok(())
    }

    /// Imports a part of a policy.
    fn traffic_part(
        &mut self,
        object: &Object,
        mut part: Fields<'_>,
        targets: &Targets,
        routes: &mut [RouteDraft],
    ) -> Result<(), ImportError> {
        if targets.unsure {
            close_all_if_guarded(&part, routes);
        }
        let mut chosen = targets.routes(object, routes);
        import_transformation(&mut part, &mut chosen, Origin::of(object));
        import_header_modifiers(&mut part, &mut chosen);
        if let Some(mut auth) = part.fields(&["entExtAuth"]) {
            if !self.auth_config(object, &mut auth, &mut chosen)? {
                close_all(&mut chosen);
                auth.lost("", UNSUPPORTED_AUTH);
            }
            auth.finish();
        }
        close_guarded(&mut part, &mut chosen, targets);
        if let Some(mut keys) = part.fields(&API_KEYS) {
            self.kgateway_keys(object, &mut keys, &mut chosen)?;
            keys.finish();
        }
        part.finish();
        Ok(())
    }

    /// Requires the keys of an `AuthConfig`. Returns whether it requires nothing else.
    fn auth_config(
        &mut self,
        object: &Object,
        auth: &mut Fields<'_>,
        chosen: &mut [(Rank, &mut RouteDraft)],
    ) -> Result<bool, ImportError> {
        // The service that checks keys; keygate checks them itself.
        auth.value(&["backendRef"]);
        let Some(mut reference) = auth.fields(&["authConfigRef"]) else {
            return Ok(false);
        };
        let name = reference.text("name").unwrap_or_default();
        let namespace = object.take_namespace(&mut reference);
        let Some(config) = find_auth_config(self.objects, &namespace, &name) else {
            reference.lost("", format!("the AuthConfig `{name}` is not in the files"));
            return Ok(false);
        };
        let narrowed = reference.unread().chain(auth.unread()).next().is_some();
        reference.finish();
        let mut fields = config.fields(self.notes);
        let Some(mut spec) = fields.fields(&["spec"]) else {
            return Ok(false);
        };
        let understood = self.require_keys(&mut spec, config, chosen)?;
        spec.finish();
        fields.finish();
        Ok(understood && !narrowed)
    }
}

/// The only `AuthConfig` of this name. A missing namespace matches any.
fn find_auth_config<'o>(objects: &'o [Object], namespace: &str, name: &str) -> Option<&'o Object> {
    let mut named = objects.iter().filter(|config| {
        let any_namespace = namespace.is_empty() || config.namespace.is_empty();
        config.kind == "AuthConfig"
            && config.name == name
            && (any_namespace || config.namespace == namespace)
    });
    let found = named.next()?;
    named.next().is_none().then_some(found)
}

/// Closes all routes if the part may restrict clients of any of them.
fn close_all_if_guarded(part: &Fields<'_>, routes: &mut [RouteDraft]) {
    if let Some(guard) = guards(part).first() {
        routes.iter_mut().for_each(RouteDraft::close);
        part.lost(
            guard,
            "keygate cannot tell which routes it applies to: nobody can use any until they are given keys",
        );
    }
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
    origin: Origin,
) {
    let Some(mut transformation) = part.fields(&["transformation"]) else {
        return;
    };
    transformation.discard("response", "keygate does not change responses");
    if let Some(mut request) = transformation.fields(&["request"]) {
        request.discard("body", "keygate does not change bodies");
        for set in ["set", "add"] {
            for mut header in request.list(set) {
                import_header(&mut header, chosen, origin);
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

/// Imports a header that a policy makes.
fn import_header(header: &mut Fields<'_>, chosen: &mut [(Rank, &mut RouteDraft)], origin: Origin) {
    let (Some(name), Some(value)) = (header.text("name"), header.text("value")) else {
        return;
    };
    for (_, found) in chosen.iter_mut() {
        if let Some(text) = origin.template(&value, &mut found.route.extractors) {
            found.route.headers.insert(name.clone(), text);
        }
    }
    if origin.template(&value, &mut BTreeMap::new()).is_none() {
        header.lost("value", cel::UNSUPPORTED_EXPRESSION);
    }
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
fn close_guarded(part: &mut Fields<'_>, chosen: &mut [(Rank, &mut RouteDraft)], targets: &Targets) {
    part.discard("ai", UNREAD_CONTENT);
    // Limits are read when all keys are known.
    part.value(&["rateLimit"]);
    part.value(&["entRateLimit"]);
    part.discard("hostRewrite", "`Host` is the provider's own here");
    if part.peek("phase").as_deref() == Some("PostRouting") {
        part.value(&["phase"]);
    }
    let others = guards(part).into_iter();
    for guard in others.filter(|guard| !API_KEYS.contains(&guard.as_str())) {
        close_all(chosen);
        let why = if chosen.is_empty() && !targets.unsure {
            "keygate does not know this field; no route has it"
        } else {
            "keygate checks API keys only: nobody can use its routes until they are given some"
        };
        part.discard(&guard, why);
    }
}
