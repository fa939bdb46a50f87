//! Disabling, enabling and deleting a key.

use std::path::Path;

use toml_edit::{ArrayOfTables, DocumentMut, value};

use super::error::EditError;
use super::tables::{edit_tables, find, position, tables_of};
use super::write::edit_document;

/// Disables a key, or enables it again.
///
/// # Errors
/// The file has no such key, the gateway would refuse the file, or it could not be written.
pub(crate) fn set_disabled(path: &Path, id: &str, disabled: bool) -> Result<(), EditError> {
    edit_tables(path, |tables| {
        let table = find(tables, id)?;
        if disabled {
            table.insert("disabled", value(true));
        } else {
            table.remove("disabled");
        }
        Ok(())
    })
}

/// Removes a key from the file, with the comment directly above it. A comment that an empty line separates from the key
/// stays.
///
/// # Errors
/// The file has no such key or more than one, the gateway would refuse the file, or it could not be written.
pub(crate) fn delete(path: &Path, id: &str) -> Result<(), EditError> {
    edit_document(path, |document| {
        let tables = tables_of(document)?;
        let at = position(tables, id).ok_or_else(|| EditError::NoSuchKey(id.to_owned()))?;
        let kept = separate_comment(tables, at);
        tables.remove(at);
        if position(tables, id).is_some() {
            // Which of them the caller means is unknown, and the remaining one would stay valid.
            return Err(EditError::Invalid(format!(
                "key `{id}` is in the file more than once: take out by hand those that are to go"
            )));
        }
        if let Some(kept) = kept {
            put_before(document, at, &kept)?;
        }
        Ok(())
    })
}

/// The comment above the key at `at` that an empty line separates from it.
fn separate_comment(tables: &ArrayOfTables, at: usize) -> Option<String> {
    let decor = tables.get(at)?.decor();
    let above = decor.prefix()?.as_str()?.replace("\r\n", "\n");
    let (kept, _) = above.split_at(above.rfind("\n\n")? + 1);
    Some(kept.to_owned())
}

/// Puts a comment before the key that is now at `at`, or at the end of the file if there is none.
fn put_before(document: &mut DocumentMut, at: usize, comment: &str) -> Result<(), EditError> {
    if let Some(next) = tables_of(document)?.get_mut(at) {
        let own = next.decor().prefix().and_then(|own| own.as_str());
        let both = format!("{comment}{}", own.unwrap_or_default());
        next.decor_mut().set_prefix(both);
    } else {
        let trailing = document.trailing().as_str().unwrap_or_default();
        let both = format!("{comment}{trailing}");
        document.set_trailing(both);
    }
    Ok(())
}
