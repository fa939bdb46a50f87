//! The first line of a table of keys, if it names the columns. A table with an unknown column is refused: the column may
//! restrict the keys.

use zeroize::Zeroizing;

use crate::limit::of_key::{MAX_BUDGET, MAX_PARALLEL, RPM_LIMIT, SOFT_BUDGET, TPM_LIMIT};

/// The names of the columns, for messages.
pub(super) const COLUMNS: &str = "id, key, expires, not_before, disabled, comment, rpm_limit, tpm_limit, \
     max_parallel_requests, max_budget, soft_budget";
/// The greatest length of a column's name that is printed.
const LONGEST_PRINTED: usize = 40;

/// The meaning of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// The id of the key.
    Id,
    /// The key itself, or its digest.
    Secret,
    /// The start of validity.
    NotBefore,
    /// The end of validity.
    Expires,
    /// Whether the key is disabled.
    Disabled,
    /// A note for people.
    Comment,
    /// Requests per minute.
    RpmLimit,
    /// Tokens per minute.
    TpmLimit,
    /// Requests in flight.
    MaxParallel,
    /// A budget of money.
    MaxBudget,
    /// A percentage of the budget.
    SoftBudget,
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
            RPM_LIMIT => Some(Self::RpmLimit),
            TPM_LIMIT => Some(Self::TpmLimit),
            MAX_PARALLEL => Some(Self::MaxParallel),
            MAX_BUDGET => Some(Self::MaxBudget),
            SOFT_BUDGET => Some(Self::SoftBudget),
            _ => None,
        }
    }
}

/// The columns that the first line of a table names; `None` if the line is a key like the others.
///
/// A line that names a column and may also be a key is refused. Read as a key, the column's name would become a secret
/// that everybody can guess; and if the columns are swapped, each secret would become an id.
pub(super) fn columns_of(fields: &[Zeroizing<String>]) -> Result<Option<Vec<Column>>, String> {
    let found: Vec<Option<Column>> = fields.iter().map(|name| Column::named(name)).collect();
    if let ([None, Some(Column::Secret)], [_, second]) = (&*found, fields)
        && is_heading(second)
    {
        // `user,token`: the order of columns is that of a table without names.
        return Ok(Some(vec![Column::Id, Column::Secret]));
    }
    let has = |column| found.contains(&Some(column));
    let missing = match (has(Column::Id), has(Column::Secret)) {
        (true, true) => return all_columns(fields, &found).map(Some),
        (true, false) => "a key or a digest",
        (false, true) => "an id",
        (false, false) => return Ok(None),
    };
    Err(format!(
        "no column of those that this line names is {missing}: they are {COLUMNS}. If the line is a key, put a line \
         `id,key` before it"
    ))
}

/// Whether a text in the place of a key is the name of that column. `secret` is not on the list: it may be somebody's key.
fn is_heading(text: &str) -> bool {
    let headings = ["key", "api_key", "token", "hash", "sha256", "digest"];
    headings.contains(&&*text.to_ascii_lowercase())
}

/// All columns, if each is known and occurs once.
fn all_columns(
    fields: &[Zeroizing<String>],
    found: &[Option<Column>],
) -> Result<Vec<Column>, String> {
    let mut columns = Vec::with_capacity(found.len());
    for (place, (name, column)) in fields.iter().zip(found).enumerate() {
        let shown = if is_printable_name(name) {
            format!("`{}`", name.as_str())
        } else {
            (place + 1).to_string()
        };
        let Some(column) = *column else {
            return Err(format!(
                "column {shown} is not known, and what it says would be lost: take it out; there are {COLUMNS}"
            ));
        };
        if columns.contains(&column) {
            return Err(format!(
                "column {shown} is there twice, perhaps by another name"
            ));
        }
        columns.push(column);
    }
    Ok(columns)
}

/// Whether a field may be the name of a column, and so may be printed.
fn is_printable_name(field: &str) -> bool {
    let name = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    (1..=LONGEST_PRINTED).contains(&field.len()) && field.bytes().all(name)
}
