//! Adding keys to the key file.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use jiff::Timestamp;
use toml_edit::{Array, DocumentMut, InlineTable, Table, value};

use super::error::EditError;
use super::limits;
use super::tables::{date, tables_of};
use super::write::edit_document;
use crate::key::digest::KeyDigest;
use crate::limit::of_key::LimitSettings;

/// A key that [`add`] writes into a key file.
pub(crate) struct NewKey {
    /// The id; no key of the file may have it.
    pub(crate) id: String,
    /// The digest of the secret.
    pub(crate) digest: KeyDigest,
    /// The labels.
    pub(crate) labels: BTreeMap<String, String>,
    /// References to secrets of the key, as written in the file.
    pub(crate) metadata: BTreeMap<String, String>,
    /// The start of validity.
    pub(crate) not_before: Option<Timestamp>,
    /// The end of validity.
    pub(crate) expires: Option<Timestamp>,
    /// Whether the key is written as disabled.
    pub(crate) disabled: bool,
    /// The settings of its limits.
    pub(crate) limits: LimitSettings,
    /// The time at which the key was made.
    pub(crate) created: Timestamp,
    /// A note for people.
    pub(crate) comment: Option<String>,
}

/// Appends keys to the file: all of them or none. Creates the file with mode 0600 if there is none. Comments at the end
/// of the file stay where they are, before the new keys.
///
/// # Errors
/// An id is taken, the gateway would refuse the file, or it could not be written.
pub(crate) fn add(path: &Path, keys: &[NewKey]) -> Result<(), EditError> {
    edit_document(path, |document| {
        let mut tables: Vec<Table> = keys.iter().map(table_of).collect();
        if let (Some(first), Some(comments)) = (tables.first_mut(), comments_at_end(document)) {
            first.decor_mut().set_prefix(comments);
            document.set_trailing("");
        }
        let all = tables_of(document)?;
        let mut ids: HashSet<String> = all.iter().filter_map(id_of).collect();
        for (key, table) in keys.iter().zip(tables) {
            if !ids.insert(key.id.clone()) {
                return Err(EditError::Taken(key.id.clone()));
            }
            all.push(table);
        }
        Ok(())
    })
}

/// The comments after the last key, followed by an empty line that separates them from the next key.
fn comments_at_end(document: &DocumentMut) -> Option<String> {
    let trailing = document.trailing().as_str()?.trim_end();
    (!trailing.is_empty()).then(|| format!("{trailing}\n\n"))
}

fn id_of(table: &Table) -> Option<String> {
    table.get("id")?.as_str().map(str::to_owned)
}

fn table_of(key: &NewKey) -> Table {
    let mut table = Table::new();
    table.insert("id", value(&key.id));
    table.insert("hashes", value(Array::from_iter([key.digest.to_string()])));
    for (name, map) in [("labels", &key.labels), ("metadata", &key.metadata)] {
        if !map.is_empty() {
            table.insert(name, value(map.iter().collect::<InlineTable>()));
        }
    }
    for (name, time) in [
        ("not_before", key.not_before),
        ("expires", key.expires),
        ("created", Some(key.created)),
    ] {
        if let Some(date) = time.and_then(|time| date(time).ok()) {
            table.insert(name, value(date));
        }
    }
    if key.disabled {
        table.insert("disabled", value(true));
    }
    limits::write(&mut table, &key.limits);
    if let Some(comment) = &key.comment {
        table.insert("comment", value(comment));
    }
    table
}
