//! The `[[key]]` tables of a key file, as `toml_edit` reads them.

use std::path::Path;

use jiff::Timestamp;
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table};

use super::error::EditError;
use super::write::edit_document;

/// Edits the tables of the key file at `path`, or leaves the file as it is.
pub(super) fn edit_tables(
    path: &Path,
    change: impl FnOnce(&mut ArrayOfTables) -> Result<(), EditError>,
) -> Result<(), EditError> {
    edit_document(path, |document| change(tables_of(document)?))
}

/// The tables of a key file; none in an empty file.
pub(super) fn tables_of(document: &mut DocumentMut) -> Result<&mut ArrayOfTables, EditError> {
    document
        .entry("key")
        .or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()))
        .as_array_of_tables_mut()
        .ok_or_else(|| EditError::Invalid("`key` is not written as [[key]]".to_owned()))
}

/// The index of the first key with this id.
pub(super) fn position(tables: &ArrayOfTables, id: &str) -> Option<usize> {
    tables
        .iter()
        .position(|table| table.get("id").and_then(Item::as_str) == Some(id))
}

/// The first key with this id.
pub(super) fn find<'t>(
    tables: &'t mut ArrayOfTables,
    id: &str,
) -> Result<&'t mut Table, EditError> {
    let found = position(tables, id).and_then(|at| tables.get_mut(at));
    found.ok_or_else(|| EditError::NoSuchKey(id.to_owned()))
}

/// A timestamp as a TOML date: RFC 3339 in UTC, in whole seconds.
pub(super) fn date(time: Timestamp) -> Result<toml_edit::Datetime, EditError> {
    let whole = Timestamp::from_second(time.as_second()).unwrap_or(time);
    let text = whole.to_string();
    text.parse()
        .map_err(|_| EditError::Invalid(format!("{text} is no date that TOML knows")))
}
