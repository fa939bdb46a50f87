//! Reads secrets: a provider's token, or a client's key with its metadata.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::grammar::authorization::without_bearer;
use crate::import::amounts::PlannedAmounts;
use crate::import::error::ImportError;
use crate::import::fields::text_of;
use crate::import::gloo::object::Object;
use crate::import::gloo::patch::variable_in;
use crate::import::notes::Notes;
use crate::import::plan::{CLOSED_LABEL, Plan};
use crate::import::planned::PlannedKey;
use crate::key::KeyDigest;
use crate::secret::Secret;

/// Keys shorter than this, in bytes, can be guessed.
const SHORT: usize = 20;

/// The entries that may hold the key, in a secret of the type `extauth.solo.io/apikey`.
pub(super) const KEY_ENTRIES: [&str; 2] = ["api-key", "api_key"];

/// A data entry of a secret.
pub(super) enum Entry {
    /// The text itself.
    Text(Zeroizing<String>),
    /// The name of an environment variable with the text, from the script that created the entry.
    Variable(String),
}

/// Decodes an entry of a secret. The error names the entry if it is not base64 or not text.
pub(super) fn entry(object: &Object, name: &str) -> Result<Option<Entry>, ImportError> {
    let value = |map: &str| {
        object
            .body
            .get(map)
            .and_then(|map| map.get(name))
            .and_then(text_of)
    };
    if let Some(text) = value("stringData") {
        return Ok(Some(Entry::Text(Zeroizing::new(text))));
    }
    let Some(encoded) = value("data") else {
        return Ok(None);
    };
    if let Some(variable) = variable_in(&encoded) {
        return Ok(Some(Entry::Variable(variable.to_owned())));
    }
    let place = format!("{}: data.{name}", object.title);
    let compact: String = encoded.split_whitespace().collect();
    let decoded = STANDARD
        .decode(compact)
        .map_err(|_| ImportError::new(&place, "is not base64"))?;
    let text = String::from_utf8(decoded).map_err(|_| ImportError::new(&place, "is not text"))?;
    Ok(Some(Entry::Text(Zeroizing::new(text))))
}

/// All entries of a secret.
pub(super) fn data(object: &Object) -> Result<BTreeMap<String, Entry>, ImportError> {
    let names = ["data", "stringData"]
        .into_iter()
        .filter_map(|map| object.body.get(map)?.as_object());
    let names: BTreeSet<&String> = names.flat_map(|map| map.keys()).collect();
    let mut entries = BTreeMap::new();
    for name in names {
        entries.extend(entry(object, name)?.map(|entry| (name.clone(), entry)));
    }
    Ok(entries)
}

impl Entry {
    /// Adds the entry to the plan as a secret called `name`, and returns the reference to it.
    pub(super) fn add_to(self, plan: &mut Plan, name: &str) -> Result<String, &'static str> {
        match self {
            Self::Variable(variable) => Ok(format!("env:{variable}")),
            Self::Text(text) => {
                let trimmed = Zeroizing::new(text.trim().to_owned());
                Secret::new((*trimmed).clone())?;
                if without_bearer(trimmed.as_bytes()).is_empty() {
                    return Err("holds the word `Bearer` and no token");
                }
                Ok(plan.add_secret(name, trimmed))
            }
        }
    }
}

/// The client key in a secret of the type `extauth.solo.io/apikey`, if there is one.
pub(super) fn key_of(object: &Object) -> Result<Option<Zeroizing<String>>, ImportError> {
    for name in KEY_ENTRIES {
        if let Some(Entry::Text(key)) = entry(object, name)? {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

/// Imports a secret of the type `extauth.solo.io/apikey`: the key in `api-key`, and the other
/// entries as its metadata.
pub(super) fn api_key(plan: &mut Plan, notes: &Notes, object: &Object) -> Result<(), ImportError> {
    let mut entries = data(object)?;
    let mut names = KEY_ENTRIES.iter();
    let key = names.find_map(|name| entries.remove(*name));
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
        match entry.add_to(plan, &format!("{}-{name}", object.name)) {
            Ok(reference) => {
                metadata.insert(name, reference);
            }
            Err(why) => notes.lost(&object.title, &format!("data.{name}"), format!("it {why}")),
        }
    }
    let key = SecretKey {
        secret: object,
        id: &object.name,
        key: &key,
    };
    add(plan, notes, &key, metadata);
    Ok(())
}

/// A client key in a secret.
pub(super) struct SecretKey<'k> {
    pub(super) secret: &'k Object,
    /// The id that the key gets here.
    pub(super) id: &'k str,
    pub(super) key: &'k str,
}

/// Adds a client key.
fn add(plan: &mut Plan, notes: &Notes, key: &SecretKey<'_>, metadata: BTreeMap<String, String>) {
    let Some(planned) = key.planned(notes) else {
        return;
    };
    if let Err(other) = plan.add_key(PlannedKey {
        metadata,
        ..planned
    }) {
        let why = format!("it has the same key as `{other}`: one secret, two names");
        notes.lost(&key.secret.title, "", why);
    }
}

/// Adds a client key with a label. If the key was added before, adds only the label.
pub(super) fn add_labelled(
    plan: &mut Plan,
    notes: &Notes,
    key: &SecretKey<'_>,
    (name, value): &(String, String),
) {
    if plan.label_key(key.key.trim(), name, value) {
        return;
    }
    if let Some(mut planned) = key.planned(notes) {
        planned.labels.insert(name.clone(), value.clone());
        let _ = plan.add_key(planned);
    }
}

impl SecretKey<'_> {
    /// The key to be written, without metadata; `None` if it is empty.
    fn planned(&self, notes: &Notes) -> Option<PlannedKey> {
        let title = &self.secret.title;
        // Headers have no spaces at their ends.
        let presented = self.key.trim();
        if presented.is_empty() {
            notes.lost(title, "data", "the key in it is empty");
            return None;
        }
        if presented.len() < SHORT {
            let cure = format!("keygate keys rotate {}", self.id);
            let what = format!("a weak key, which can be guessed: replace it with `{cure}`");
            notes.note(title, "", what);
        }
        Some(PlannedKey {
            id: self.id.to_owned(),
            digest: KeyDigest::of(presented.as_bytes()),
            labels: client_labels(self.secret, notes),
            metadata: BTreeMap::new(),
            limits: PlannedAmounts::default(),
            expires: None,
            disabled: false,
            comment: format!("from {title}"),
        })
    }
}

/// The labels of a secret that its key gets.
fn client_labels(secret: &Object, notes: &Notes) -> BTreeMap<String, String> {
    let mut labels = secret.labels.clone();
    // The label would give the key access to a closed route.
    if labels.remove(CLOSED_LABEL).is_some() {
        let field = format!("metadata.labels.{CLOSED_LABEL}");
        let why = "keygate has it for routes that are closed: the key comes without it";
        notes.lost(&secret.title, &field, why);
    }
    labels
}
