//! The API keys that Gloo's `apiKeyAuth` requires.

use std::collections::BTreeMap;

use http::HeaderName;

use crate::config::may_hold_key;
use crate::import::error::ImportError;
use crate::import::fields::Fields;
use crate::import::gloo::backend::{Secrets, find_unique};
use crate::import::gloo::draft::{KeyCheck, Rank, RouteDraft};
use crate::import::gloo::object::Object;
use crate::import::gloo::policy_label::policy_label;
use crate::import::gloo::secret;
use crate::import::notes::Notes;
use crate::import::plan::Plan;

/// The header in which Gloo expects a key by default.
const DEFAULT_HEADER: &str = "api-key";

/// The note about a policy that requires more than a key.
pub(super) const UNSUPPORTED_AUTH: &str = "keygate checks one API key, by its labels, and nothing else: nobody can use its routes until they are given keys";

/// Closes routes.
pub(super) fn close_all(routes: &mut [(Rank, &mut RouteDraft)]) {
    for (_, found) in routes {
        found.close();
    }
}

/// Requires the keys of a list of `configs`. Returns whether the list requires exactly one key with
/// some labels, and nothing else.
pub(super) fn asks_for_keys(
    auth: &mut Fields<'_>,
    plan: &mut Plan,
    notes: &Notes,
    of: (&Object, &Secrets<'_>),
    routes: &mut [(Rank, &mut RouteDraft)],
) -> Result<bool, ImportError> {
    let (mut keys_asked, mut understood) = (0, true);
    for mut entry in auth.list("configs") {
        entry.value(&["name"]);
        if let Some(mut keys) = entry.fields(&["apiKeyAuth"]) {
            keys_asked += 1;
            understood &= api_key_auth(&mut keys, plan, notes, of, routes)?;
            keys.finish();
        } else {
            understood = false;
        }
        understood &= entry.unread().next().is_none();
        entry.finish();
    }
    Ok(understood && keys_asked == 1 && auth.unread().next().is_none())
}

/// Requires the keys of `apiKeyAuth`. Returns whether it requires a key with some labels, and
/// nothing else.
fn api_key_auth(
    keys: &mut Fields<'_>,
    plan: &mut Plan,
    notes: &Notes,
    (object, secrets): (&Object, &Secrets<'_>),
    routes: &mut [(Rank, &mut RouteDraft)],
) -> Result<bool, ImportError> {
    let header = keys
        .text("headerName")
        .unwrap_or_else(|| DEFAULT_HEADER.to_owned());
    if !accept_header(&header, plan) {
        keys.lost("headerName", "no key can stand there");
    }
    // The place of the labels in older versions.
    let mut labels = keys.texts("labelSelector");
    let mut understood = true;
    if let Some(mut storage) = keys.fields(&["k8sSecretApikeyStorage"]) {
        labels.extend(storage.texts("labelSelector"));
        if storage.has(REFS) {
            // The meaning of names together with labels is not documented.
            let named = named_keys(&mut storage, object, plan, notes, secrets)?;
            understood &= named.is_some() && labels.is_empty();
            labels.extend(named);
        }
        understood &= storage.unread().next().is_none();
        storage.finish();
    }
    if keys.has(REFS) {
        let named = named_keys(keys, object, plan, notes, secrets)?;
        understood &= named.is_some() && labels.is_empty();
        labels.extend(named);
    }
    if keys.value(&["aerospikeApikeyStorage"]).is_some() {
        keys.lost(
            "aerospikeApikeyStorage",
            "keygate chooses keys of the key file by their labels",
        );
        understood = false;
    }
    let (mut metadata, mut required) = (BTreeMap::new(), Vec::new());
    for name in ["headersFromMetadataEntry", "headersFromMetadata"] {
        if let Some(mut headers) = keys.fields(&[name]) {
            for (header, mut entry) in headers.all() {
                let must = entry.text("required").as_deref() == Some("true");
                if let Some(from) = entry.text("name") {
                    required.extend(must.then(|| from.clone()));
                    metadata.insert(header.to_ascii_lowercase(), from);
                }
                entry.finish();
            }
            headers.finish();
        }
    }
    understood &= keys.unread().next().is_none();
    for (rank, found) in routes {
        found.require_keys((*rank, KeyCheck::Service), &labels, notes);
        found.from_metadata.extend(metadata.clone());
        found.required.extend(required.clone());
    }
    Ok(understood && !labels.is_empty())
}

/// The field that names the secrets with the accepted keys.
const REFS: &str = "apiKeySecretRefs";

/// The label for the keys of the named secrets. Returns `None` if a reference was not understood. A
/// secret that is not in the files gives access to nothing.
fn named_keys(
    fields: &mut Fields<'_>,
    object: &Object,
    plan: &mut Plan,
    notes: &Notes,
    secrets: &Secrets<'_>,
) -> Result<Option<(String, String)>, ImportError> {
    let (mut found, mut understood) = (Vec::new(), true);
    for mut reference in fields.list(REFS) {
        let name = reference.text("name").unwrap_or_default();
        let namespace = reference.text("namespace");
        let namespace = namespace.as_deref().unwrap_or(&object.namespace);
        match find_unique(secrets, namespace, &name).copied() {
            None => reference.lost(
                "",
                format!("the secret `{name}` is not in the files: its key opens nothing"),
            ),
            Some(secret) => {
                if let Some(key) = secret::key_of(secret)? {
                    found.push((secret, secret.name.clone(), key));
                }
            }
        }
        understood &= reference.unread().next().is_none();
        reference.finish();
    }
    understood &= !fields.has(REFS);
    let mark = policy_label(object, &found, secrets, plan);
    for (secret, name, key) in &found {
        secret::add_labelled(plan, notes, secret, name, key, &mark);
    }
    Ok(understood.then_some(mark))
}

/// Accepts keys in another header. Returns whether it may hold a key.
pub(super) fn accept_header(name: &str, plan: &mut Plan) -> bool {
    let Ok(name) = HeaderName::try_from(name) else {
        return false;
    };
    let may = may_hold_key(&name);
    if may {
        plan.key_headers.insert(name.as_str().to_owned());
    }
    may
}
