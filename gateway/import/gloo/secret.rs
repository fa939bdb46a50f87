//! Secrets: the provider's token, or a client's key with what belongs to it.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use zeroize::Zeroizing;

use super::super::fields::text_of;
use super::super::{Notes, Plan, PlannedKey};
use super::object::Object;
use super::patch::variable_in;
use crate::key::KeyDigest;
use crate::secret::Secret;

/// A key shorter than this can be guessed.
const SHORT: usize = 20;

/// What a data entry of a secret is.
pub(super) enum Entry {
    /// This.
    Text(Zeroizing<String>),
    /// What stands in an environment variable, as the script that made it says.
    Variable(String),
}

/// The data of a secret, decoded. Fails with the entry that is not base64 or not text.
pub(super) fn data(object: &Object) -> Result<BTreeMap<String, Entry>, String> {
    let mut entries = BTreeMap::new();
    let maps = |name: &str| {
        object
            .body
            .get(name)
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
    };
    for (name, value) in maps("data") {
        let encoded = text_of(value).unwrap_or_default();
        let entry = if let Some(variable) = variable_in(&encoded) {
            Entry::Variable(variable.to_owned())
        } else {
            let compact: String = encoded.split_whitespace().collect();
            let decoded = STANDARD
                .decode(compact)
                .map_err(|_| format!("{}: data.{name}: is not base64", object.title))?;
            let text = String::from_utf8(decoded)
                .map_err(|_| format!("{}: data.{name}: is not text", object.title))?;
            Entry::Text(Zeroizing::new(text))
        };
        entries.insert(name.clone(), entry);
    }
    for (name, value) in maps("stringData") {
        let text = text_of(value).unwrap_or_default();
        entries.insert(name.clone(), Entry::Text(Zeroizing::new(text)));
    }
    Ok(entries)
}

impl Entry {
    /// Keeps it as a secret called `name`; gives the reference to it.
    pub(super) fn keep(self, plan: &mut Plan, name: &str) -> Result<String, &'static str> {
        match self {
            Self::Variable(variable) => Ok(format!("env:{variable}")),
            Self::Text(text) => {
                let trimmed = Zeroizing::new(text.trim().to_owned());
                Secret::new((*trimmed).clone())?;
                Ok(plan.keep_secret(name, trimmed))
            }
        }
    }
}

/// A secret of the type `extauth.solo.io/apikey`: the key under `api-key`, all else is its metadata.
pub(super) fn api_key(plan: &mut Plan, notes: &Notes, object: &Object) -> Result<(), String> {
    let mut entries = data(object)?;
    let key = entries
        .remove("api-key")
        .or_else(|| entries.remove("api_key"));
    let Some(Entry::Text(key)) = key else {
        notes.lost(
            &object.title,
            "data",
            "there is no `api-key` in it: it opens nothing",
        );
        return Ok(());
    };
    let mut metadata = BTreeMap::new();
    for (name, entry) in entries {
        match entry.keep(plan, &format!("{}-{name}", object.name)) {
            Ok(reference) => {
                metadata.insert(name, reference);
            }
            Err(why) => notes.lost(&object.title, &format!("data.{name}"), format!("it {why}")),
        }
    }
    add(plan, notes, object, &object.name, &key, metadata);
    Ok(())
}

/// Adds a client key of a secret.
pub(super) fn add(
    plan: &mut Plan,
    notes: &Notes,
    object: &Object,
    id: &str,
    key: &str,
    metadata: BTreeMap<String, String>,
) {
    // As it is presented: a header has no spaces at its ends.
    let presented = key.trim();
    if presented.is_empty() {
        return notes.lost(&object.title, "data", "the key in it is empty");
    }
    if presented.len() < SHORT {
        let cure = format!("keygate keys rotate {id}");
        notes.say(
            &object.title,
            "",
            format!("a weak key, which can be guessed: replace it with `{cure}`"),
        );
    }
    let added = plan.add_key(PlannedKey {
        id: id.to_owned(),
        digest: KeyDigest::of(presented.as_bytes()),
        labels: object.labels.clone(),
        metadata,
        expires: None,
        disabled: false,
        comment: format!("from {}", object.title),
    });
    if let Err(other) = added {
        let why = format!("it has the same key as `{other}`: one secret, two names");
        notes.lost(&object.title, "", why);
    }
}
