//! Finds gateways that require client certificates, which keygate does not: clients without one are
//! rejected there.

use serde_json::Value;

use crate::import::fields::text_of;
use crate::import::gloo::draft::{RouteDraft, is_source};
use crate::import::gloo::object::Object;

/// The kinds of objects that configure client connections.
const GATEWAYS: [&str; 4] = ["Gateway", "ListenerSet", "VirtualGateway", "XListenerSet"];

/// Fields of `tls` that restrict nobody. Any other may.
const HARMLESS: [&str; 12] = [
    "backend",
    "certificateRefs",
    "cipherSuites",
    "credentialName",
    "httpsRedirect",
    "maxProtocolVersion",
    "minProtocolVersion",
    "name",
    "parameters",
    "port",
    "protocol",
    "secretName",
];

/// The modes in which a client needs no certificate.
const MODES: [&str; 5] = ["", "disable", "passthrough", "simple", "terminate"];

/// Suffixes of options that configure encryption only.
const OPTIONS: [&str; 5] = [
    "alpn-protocols",
    "cipher-suites",
    "ecdh-curves",
    "max-tls-version",
    "minimum-tls-version",
];

/// Returns whether `object` is a gateway that may require certificates from the clients of a route.
pub(super) fn may_require_certificates(
    object: &Object,
    draft: &RouteDraft,
    objects: &[Object],
) -> bool {
    GATEWAYS.contains(&object.kind.as_str())
        && object.body.get("spec").is_some_and(has_restricting_tls)
        && objects
            .iter()
            .filter(|source| is_source(source, draft))
            .any(|source| leads_to(object, source))
}

/// Returns whether a `tls` field, at any depth, may require certificates.
fn has_restricting_tls(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.iter().any(|(name, value)| match name.as_str() {
            "tls" => may_restrict(value),
            _ => has_restricting_tls(value),
        }),
        Value::Array(items) => items.iter().any(has_restricting_tls),
        _ => false,
    }
}

/// Returns whether the contents of `tls` may restrict clients.
fn may_restrict(tls: &Value) -> bool {
    let Value::Object(fields) = tls else {
        return !tls.is_null();
    };
    fields.iter().any(|(name, value)| match name.as_str() {
        "mode" => {
            text_of(value).is_none_or(|mode| !MODES.contains(&mode.to_ascii_lowercase().as_str()))
        }
        "options" => value.as_object().is_none_or(|options| {
            let known = |name: &String| OPTIONS.iter().any(|known| name.ends_with(known));
            !options.keys().all(known)
        }),
        name => !HARMLESS.contains(&name) && !value.is_null(),
    })
}

/// Returns whether the gateway may serve a route object: unless that names only other objects of
/// the gateway's kind.
fn leads_to(gateway: &Object, source: &Object) -> bool {
    let spec = source.body.get("spec");
    let list = |name: &str| spec.and_then(|spec| spec.get(name)?.as_array());
    let named = list("virtualGateways").or_else(|| list("parentRefs"));
    let is_other = |reference: &Value| {
        let text = |name: &str| reference.get(name).and_then(text_of);
        let kind = text("kind");
        let same_kind = kind.is_none_or(|kind| kind == gateway.kind);
        let namespace = text("namespace").unwrap_or_else(|| source.namespace.clone());
        let any_namespace = namespace.is_empty() || gateway.namespace.is_empty();
        let here = text("name").is_none_or(|name| name == gateway.name)
            && (any_namespace || namespace == gateway.namespace);
        same_kind && !here
    };
    named.is_none_or(|named| named.is_empty() || !named.iter().all(is_other))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_may_ask_for_certificates_is_told_from_what_does_not() {
        for (spec, expected) in [
            (json!({}), false),
            (
                json!({"listeners": [{"tls": {"mode": "Terminate", "certificateRefs": []}}]}),
                false,
            ),
            (
                json!({"listeners": [{"tls": {"frontendValidation": {"caCertificateRefs": []}}}]}),
                true,
            ),
            (
                json!({"tls": {"frontend": {"default": {"validation": {}}}}}),
                true,
            ),
            (
                json!({"tls": {"backend": {"clientCertificateRef": {"name": "c"}}}}),
                false,
            ),
            (
                json!({"listeners": [{"tls": {"mode": "MUTUAL", "secretName": "t"}}]}),
                true,
            ),
            (
                json!({"listeners": [{"tls": {"mode": "SIMPLE", "secretName": "t"}}]}),
                false,
            ),
            (
                json!({"servers": [{"tls": {"mode": "OPTIONAL_MUTUAL"}}]}),
                true,
            ),
            (
                json!({"listeners": [{"tls": {"options": {"kgateway.dev/verify-subject-alt-names": "a"}}}]}),
                true,
            ),
            (
                json!({"listeners": [{"tls": {"options": {"kgateway.dev/cipher-suites": "a"}}}]}),
                false,
            ),
            (json!({"listeners": [{"tls": {"mode": ["MUTUAL"]}}]}), true),
            (json!({"listeners": [{"tls": "MUTUAL"}]}), true),
        ] {
            assert_eq!(has_restricting_tls(&spec), expected, "{spec}");
        }
    }
}
