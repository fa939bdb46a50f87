//! The first line of a table of keys, where it names the columns. What a column that is not known says
//! of a key might be that it opens less: a table with one is refused.

use zeroize::Zeroizing;

/// The names to choose columns by, for people.
pub(super) const COLUMNS: &str = "id, key, expires, not_before, disabled, comment";
/// Longer than any name of a column that is told.
const LONGEST: usize = 40;

/// What a column is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// The id.
    Id,
    /// The key, or its digest.
    Secret,
    /// When the key begins.
    NotBefore,
    /// When it ends.
    Expires,
    /// Whether it opens nothing.
    Disabled,
    /// A note for people.
    Comment,
}

impl Column {
    fn named(name: &str) -> Option<Self> {
        match &*name.to_ascii_lowercase() {
            "id" | "key_id" | "key_alias" | "alias" | "name" => Some(Self::Id),
            "key" | "api_key" | "token" | "hash" | "sha256" | "digest" | "secret" => {
                Some(Self::Secret)
            }
            "not_before" => Some(Self::NotBefore),
            "expires" | "expires_at" => Some(Self::Expires),
            "disabled" | "blocked" => Some(Self::Disabled),
            "comment" | "note" | "description" => Some(Self::Comment),
            _ => None,
        }
    }
}

/// The columns that the first line of a table names; `None` if it is a key as the others.
///
/// A line that names a column and may still be a key is refused. Taken for a key, the name of a column would be a
/// secret that everybody guesses, and where the columns are the other way round, each secret would be an id.
pub(super) fn columns_of(fields: &[Zeroizing<String>]) -> Result<Option<Vec<Column>>, String> {
    let found: Vec<Option<Column>> = fields.iter().map(|name| Column::named(name)).collect();
    if let ([None, Some(Column::Secret)], [_, second]) = (&*found, fields)
        && is_heading(second)
    {
        // `user,token`: whatever it calls them, it is the order of lines without names.
        return Ok(Some(vec![Column::Id, Column::Secret]));
    }
    let has = |column| found.contains(&Some(column));
    let lacking = match (has(Column::Id), has(Column::Secret)) {
        (true, true) => return every(fields, &found).map(Some),
        (true, false) => "a key or a digest",
        (false, true) => "an id",
        (false, false) => return Ok(None),
    };
    Err(format!(
        "no column of those that this line names is {lacking}: they are {COLUMNS}. If the line is a key, put a line \
         `id,key` before it"
    ))
}

/// Whether a text that stands where keys do is the name of their column, whatever stands before it. A
/// word like `secret` may be somebody's key.
fn is_heading(text: &str) -> bool {
    let headings = ["key", "api_key", "token", "hash", "sha256", "digest"];
    headings.contains(&&*text.to_ascii_lowercase())
}

/// All columns, if each is known and there once.
fn every(fields: &[Zeroizing<String>], found: &[Option<Column>]) -> Result<Vec<Column>, String> {
    let mut columns = Vec::with_capacity(found.len());
    for (place, (name, column)) in fields.iter().zip(found).enumerate() {
        let told = if is_name(name) {
            format!("`{}`", name.as_str())
        } else {
            (place + 1).to_string()
        };
        let Some(column) = *column else {
            return Err(format!(
                "column {told} is not known, and what it says would be lost: take it out; there are {COLUMNS}"
            ));
        };
        if columns.contains(&column) {
            return Err(format!(
                "column {told} is there twice, perhaps by another name"
            ));
        }
        columns.push(column);
    }
    Ok(columns)
}

/// Whether a field may be the name of a column, and may be told.
fn is_name(field: &str) -> bool {
    let name = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    (1..=LONGEST).contains(&field.len()) && field.bytes().all(name)
}
