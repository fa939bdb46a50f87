//! The API keys that Gloo's `apiKeyAuth` requires.

use std::collections::BTreeMap;

use http::HeaderName;

use crate::config::may_hold_key;
use crate::import::error::ImportError;
use crate::import::fields::Fields;
use crate::import::gloo::backend::find_unique;
use crate::import::gloo::draft::{KeyCheck, Rank, RouteDraft};
use crate::import::gloo::object::Object;
use crate::import::gloo::policy_label::policy_label;
use crate::import::gloo::reader::Reader;
use crate::import::gloo::secret::{self, SecretKey};
use crate::import::plan::Plan;

/// The header in which Gloo expects a key by default.
const DEFAULT_HEADER: &str = "api-key";

/// The field that names the secrets with the accepted keys.
const REFS: &str = "apiKeySecretRefs";

/// The note about a policy that requires more than a key.
pub(super) const UNSUPPORTED_AUTH: &str = "keygate checks one API key, by its labels, and nothing else: nobody can use its routes until they are given keys";

/// Closes routes.
pub(super) fn close_all(routes: &mut [(Rank, &mut RouteDraft)]) {
    for (_, found) in routes {
        found.close();
    }
}

/// The labels that select the accepted keys.
struct KeyLabels {
    labels: BTreeMap<String, String>,
    /// Whether everything that selects keys was understood.
    understood: bool,
}

/// The entries of a key's metadata that are written into headers.
#[derive(Default)]
struct MetadataHeaders {
    /// The entries by the header's lower-case name.
    entries: BTreeMap<String, String>,
    /// The entries that a key must have to be accepted.
    required: Vec<String>,
}

impl Reader<'_> {
    /// Requires the keys of a list of `configs`, which is part of `object`. Returns whether the
    /// list requires exactly one key with some labels, and nothing else.
    pub(super) fn require_keys(
        &mut self,
        auth: &mut Fields<'_>,
        object: &Object,
        routes: &mut [(Rank, &mut RouteDraft)],
    ) -> Result<bool, ImportError> {
        let (mut required_keys, mut understood) = (0, true);
        for mut entry in auth.list("configs") {
            entry.value(&["name"]);
            if let Some(mut keys) = entry.fields(&["apiKeyAuth"]) {
                required_keys += 1;
                understood &= self.api_key_auth(&mut keys, object, routes)?;
                keys.finish();
            } else {
                understood = false;
            }
            understood &= entry.unread().next().is_none();
            entry.finish();
        }
        Ok(understood && required_keys == 1 && auth.unread().next().is_none())
    }

    /// Requires the keys of `apiKeyAuth`. Returns whether it requires a key with some labels, and
    /// nothing else.
    fn api_key_auth(
        &mut self,
        keys: &mut Fields<'_>,
        object: &Object,
        routes: &mut [(Rank, &mut RouteDraft)],
    ) -> Result<bool, ImportError> {
        self.accept_key_header(keys);
        let KeyLabels { labels, understood } = self.key_labels(keys, object)?;
        let has_other_storage = discard_other_storage(keys);
        let headers = MetadataHeaders::take(keys);
        let has_unread = keys.unread().next().is_some();
        for (rank, found) in routes {
            found.require_keys((*rank, KeyCheck::Service), &labels, self.notes);
            found.from_metadata.extend(headers.entries.clone());
            found.required.extend(headers.required.clone());
        }
        Ok(understood && !has_other_storage && !has_unread && !labels.is_empty())
    }

    /// Accepts keys in the header that `apiKeyAuth` names.
    fn accept_key_header(&mut self, keys: &mut Fields<'_>) {
        let named = keys.text("headerName");
        let header = named.as_deref().unwrap_or(DEFAULT_HEADER);
        if !accept_header(header, self.plan) {
            keys.lost("headerName", "no key can stand there");
        }
    }

    /// Takes the labels of the accepted keys, and the secrets that are named instead.
    fn key_labels(
        &mut self,
        keys: &mut Fields<'_>,
        object: &Object,
    ) -> Result<KeyLabels, ImportError> {
        let mut found = KeyLabels {
            // The place of the labels in older versions.
            labels: keys.texts("labelSelector"),
            understood: true,
        };
        if let Some(mut storage) = keys.fields(&["k8sSecretApikeyStorage"]) {
            found.labels.extend(storage.texts("labelSelector"));
            self.add_named_keys(&mut storage, object, &mut found)?;
            found.understood &= storage.unread().next().is_none();
            storage.finish();
        }
        self.add_named_keys(keys, object, &mut found)?;
        Ok(found)
    }

    /// Adds the label of the secrets that are named, if any are.
    fn add_named_keys(
        &mut self,
        fields: &mut Fields<'_>,
        object: &Object,
        found: &mut KeyLabels,
    ) -> Result<(), ImportError> {
        if !fields.has(REFS) {
            return Ok(());
        }
        let named = self.named_keys(fields, object)?;
        // The meaning of names together with labels is not documented.
        found.understood &= named.is_some() && found.labels.is_empty();
        found.labels.extend(named);
        Ok(())
    }

    /// The label for the keys of the named secrets. Returns `None` if a reference was not
    /// understood. A secret that is not in the files gives access to nothing.
    fn named_keys(
        &mut self,
        fields: &mut Fields<'_>,
        object: &Object,
    ) -> Result<Option<(String, String)>, ImportError> {
        let (mut found, mut understood) = (Vec::new(), true);
        for mut reference in fields.list(REFS) {
            let name = reference.text("name").unwrap_or_default();
            let namespace = object.take_namespace(&mut reference);
            match find_unique(self.secrets, &namespace, &name).copied() {
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
        let label = policy_label(object, &found, self.secrets, self.plan);
        for (secret, id, key) in &found {
            let key = SecretKey { secret, id, key };
            secret::add_labelled(self.plan, self.notes, &key, &label);
        }
        Ok(understood.then_some(label))
    }
}

/// Takes and notes a storage of keys besides the secrets. Returns whether there was one.
fn discard_other_storage(keys: &mut Fields<'_>) -> bool {
    let name = "aerospikeApikeyStorage";
    let is_set = keys.value(&[name]).is_some();
    if is_set {
        keys.lost(name, "keygate chooses keys of the key file by their labels");
    }
    is_set
}

impl MetadataHeaders {
    fn take(keys: &mut Fields<'_>) -> Self {
        let mut headers = Self::default();
        for name in ["headersFromMetadataEntry", "headersFromMetadata"] {
            if let Some(mut fields) = keys.fields(&[name]) {
                for (header, mut entry) in fields.all() {
                    headers.add(&header, &mut entry);
                    entry.finish();
                }
                fields.finish();
            }
        }
        headers
    }

    fn add(&mut self, header: &str, entry: &mut Fields<'_>) {
        let is_required = entry.text("required").as_deref() == Some("true");
        if let Some(from) = entry.text("name") {
            self.required.extend(is_required.then(|| from.clone()));
            self.entries.insert(header.to_ascii_lowercase(), from);
        }
    }
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
