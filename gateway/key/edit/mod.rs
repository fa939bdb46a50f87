//! Edits of the key file that touch nothing but what they are about: comments and order stay.
//!
//! Each edit reads the file under a lock, changes it, has the reader that serves read the result, writes
//! it beside the file, syncs and renames. Whatever happens meanwhile, the file is the old one or the new
//! one, and two editors at once wait for each other. An edit whose result would be refused by a gateway
//! changes nothing. What an editor that was killed left beside the file, the next one takes away.

mod read_back;
mod rotate;
mod write;

pub use rotate::{Rotation, rotate};

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::io;
use std::path::Path;

use jiff::Timestamp;
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, value};

use super::KeyDigest;
use write::edit_document;

/// A key to be written into a key file: what [`add`] needs to know.
pub struct NewKey {
    /// Its id; must be free.
    pub id: String,
    /// The digest of its secret.
    pub digest: KeyDigest,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// References to its secrets, as written.
    pub metadata: BTreeMap<String, String>,
    /// When it begins.
    pub not_before: Option<Timestamp>,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// Whether it opens nothing until it is enabled.
    pub disabled: bool,
    /// When it was made.
    pub created: Timestamp,
    /// A note for people.
    pub comment: Option<String>,
}

/// Longer than most ids, and shorter than any key that was made here.
const LONG_ID: usize = 32;

/// Why the file is as it was.
#[derive(Debug)]
pub enum EditError {
    /// It could not be read or written.
    Io(io::Error),
    /// It isn't a key file, or a gateway would refuse it with the change.
    Invalid(String),
    /// There is no key of this id in it.
    NoSuchKey(String),
    /// There is a key of this id in it already.
    Taken(String),
    /// It was changed, and the disk did not confirm that the change is kept.
    Unconfirmed(io::Error),
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Invalid(why) => write!(f, "{why}; nothing was changed"),
            // Who is after a leaked key may have given the key itself, which is not to be repeated.
            Self::NoSuchKey(id) if id.len() > LONG_ID => {
                write!(
                    f,
                    "there is no key of this id: `keygate keys list` shows them"
                )
            }
            Self::NoSuchKey(id) => write!(f, "there is no key `{id}`"),
            Self::Taken(id) => write!(f, "there is a key `{id}` already"),
            Self::Unconfirmed(error) => write!(
                f,
                "the file is changed, but the disk did not confirm it ({error}): after a crash it may \
                 be the old one again"
            ),
        }
    }
}

impl std::error::Error for EditError {}

impl From<io::Error> for EditError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Adds keys at the end of the file, which is made (mode 0600) if it is not there: all or none. Comments at the end of
/// the file stay where they are, before the keys.
pub fn add(path: &Path, keys: &[NewKey]) -> Result<(), EditError> {
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

/// The comments behind the last key, with an empty line that parts them from the next one.
fn comments_at_end(document: &DocumentMut) -> Option<String> {
    let trailing = document.trailing().as_str()?.trim_end();
    (!trailing.is_empty()).then(|| format!("{trailing}\n\n"))
}

fn id_of(table: &Table) -> Option<String> {
    table.get("id")?.as_str().map(str::to_owned)
}

/// Closes a key, or opens it again.
pub fn set_disabled(path: &Path, id: &str, disabled: bool) -> Result<(), EditError> {
    edit(path, |tables| {
        let table = find(tables, id)?;
        if disabled {
            table.insert("disabled", value(true));
        } else {
            table.remove("disabled");
        }
        Ok(())
    })
}

/// Takes a key out of the file, with the comment right above it. A comment that an empty line parts
/// from it stays.
pub fn delete(path: &Path, id: &str) -> Result<(), EditError> {
    edit_document(path, |document| {
        let tables = tables_of(document)?;
        let at = position(tables, id).ok_or_else(|| EditError::NoSuchKey(id.to_owned()))?;
        let above = tables
            .get(at)
            .and_then(|table| table.decor().prefix()?.as_str())
            .map(|text| text.replace("\r\n", "\n"));
        let stays =
            above.and_then(|text| Some(text.split_at(text.rfind("\n\n")? + 1).0.to_owned()));
        tables.remove(at);
        if position(tables, id).is_some() {
            // Which of them is meant is not known, and what is left would open.
            return Err(EditError::Invalid(format!(
                "key `{id}` is in the file more than once: take out by hand those that are to go"
            )));
        }
        let Some(stays) = stays else { return Ok(()) };
        if let Some(next) = tables.get_mut(at) {
            let own = next
                .decor()
                .prefix()
                .and_then(|own| own.as_str())
                .unwrap_or_default();
            let both = format!("{stays}{own}");
            next.decor_mut().set_prefix(both);
        } else {
            let trailing = format!(
                "{stays}{}",
                document.trailing().as_str().unwrap_or_default()
            );
            document.set_trailing(trailing);
        }
        Ok(())
    })
}

fn position(tables: &ArrayOfTables, id: &str) -> Option<usize> {
    tables
        .iter()
        .position(|table| table.get("id").and_then(Item::as_str) == Some(id))
}

fn find<'t>(tables: &'t mut ArrayOfTables, id: &str) -> Result<&'t mut Table, EditError> {
    let found = position(tables, id).and_then(|at| tables.get_mut(at));
    found.ok_or_else(|| EditError::NoSuchKey(id.to_owned()))
}

fn edit(
    path: &Path,
    change: impl FnOnce(&mut ArrayOfTables) -> Result<(), EditError>,
) -> Result<(), EditError> {
    edit_document(path, |document| change(tables_of(document)?))
}

fn tables_of(document: &mut DocumentMut) -> Result<&mut ArrayOfTables, EditError> {
    document
        .entry("key")
        .or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()))
        .as_array_of_tables_mut()
        .ok_or_else(|| EditError::Invalid("`key` is not written as [[key]]".to_owned()))
}

/// A timestamp of jiff is written as TOML wants it: RFC 3339 in UTC. Whole seconds will do.
fn date(time: Timestamp) -> Result<toml_edit::Datetime, EditError> {
    let whole = Timestamp::from_second(time.as_second()).unwrap_or(time);
    let text = whole.to_string();
    text.parse()
        .map_err(|_| EditError::Invalid(format!("{text} is no date that TOML knows")))
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
    if let Some(comment) = &key.comment {
        table.insert("comment", value(comment));
    }
    table
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;
    use crate::key::file::read;

    pub(super) fn new_key(id: &str) -> NewKey {
        NewKey {
            id: id.to_owned(),
            digest: KeyDigest::of(id.as_bytes()),
            labels: BTreeMap::from([("team".to_owned(), "search".to_owned())]),
            metadata: BTreeMap::from([("tier".to_owned(), "inline:gold".to_owned())]),
            not_before: None,
            expires: Some("2027-01-31T12:00:00Z".parse().unwrap()),
            disabled: false,
            created: "2026-05-01T00:00:00Z".parse().unwrap(),
            comment: Some("for \"tests\"".to_owned()),
        }
    }

    #[test]
    fn adding_a_key_keeps_comments_and_order_and_refuses_a_taken_id() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        add(&path, &[new_key("a")]).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let commented = format!(
            "# ours\n{}# end of a\n",
            std::fs::read_to_string(&path).unwrap()
        );
        std::fs::write(&path, &commented).unwrap();
        add(&path, &[new_key("b")]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("# ours\n[[key]]\nid = \"a\"") && text.contains("# end of a"),
            "{text}"
        );
        let (file, problems) = read(&text);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(file.entries.len(), 2);
        assert_eq!(
            file.entries[1].key.expires.unwrap().to_string(),
            "2027-01-31T12:00:00Z"
        );
        let error = add(&path, &[new_key("b")]).unwrap_err();
        assert!(matches!(error, EditError::Taken(id) if id == "b"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn comments_at_the_end_of_the_file_stay_where_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let hash = KeyDigest::of(b"first");
        let first = format!("[[key]]\nid = \"first\"\nhashes = [\"{hash}\"]\n");
        for before in [
            "# The keys of the house.\n".to_owned(),
            // The last line has no end.
            "# The keys of the house.".to_owned(),
            format!("{first}\n# Of the nightly jobs:\n"),
            format!("{first}# of first\n"),
        ] {
            std::fs::write(&path, &before).unwrap();
            add(&path, &[new_key("a"), new_key("b")]).unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            let rest = text.strip_prefix(before.trim_end());
            let added = rest.is_some_and(|rest| rest.starts_with("\n\n[[key]]\nid = \"a\"\n"));
            assert!(added, "{text}");
            // The comment is nobody's: it does not go with the key that came below it.
            delete(&path, "a").unwrap();
            delete(&path, "b").unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            assert_eq!(text.trim_end(), before.trim_end());
        }
    }

    #[test]
    fn root_makes_keys_for_the_owner_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let owner = |path: &Path| std::fs::metadata(path).unwrap().uid();
        if std::os::unix::fs::chown(folder.path(), Some(65534), None).is_err() {
            assert_ne!(owner(folder.path()), 0, "root could not give a folder away");
            return;
        }
        let path = folder.path().join("keys.toml");
        for id in ["a", "b"] {
            add(&path, &[new_key(id)]).unwrap();
            assert_eq!(owner(&path), 65534);
            assert_eq!(owner(&folder.path().join("keys.toml.lock")), 65534);
        }
    }

    #[test]
    fn editors_at_once_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let path = &path;
                scope.spawn(move || {
                    for i in 0..10 {
                        add(path, &[new_key(&format!("k{worker}-{i}"))]).unwrap();
                    }
                });
            }
        });
        let (file, problems) = read(&std::fs::read_to_string(&path).unwrap());
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(file.entries.len(), 40);
    }

    #[test]
    fn a_key_is_closed_opened_and_deleted_and_nothing_else_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        for id in ["a", "b", "c"] {
            add(&path, &[new_key(id)]).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.replacen("[[key]]", "# The keys of the house.\n\n# of a\n[[key]]", 1);
        let text = text.replace("id = \"b\"", "id = \"b\" # of b");
        std::fs::write(&path, &text).unwrap();
        set_disabled(&path, "b", true).unwrap();
        let (file, _) = read(&std::fs::read_to_string(&path).unwrap());
        assert_eq!(
            file.entries
                .iter()
                .map(|e| e.key.disabled)
                .collect::<Vec<_>>(),
            [false, true, false]
        );
        set_disabled(&path, "b", false).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        delete(&path, "a").unwrap();
        let left = std::fs::read_to_string(&path).unwrap();
        assert!(
            left.starts_with("# The keys of the house.\n\n[[key]]\nid = \"b\" # of b"),
            "{left}"
        );
        delete(&path, "c").unwrap();
        delete(&path, "b").unwrap();
        assert!(
            std::fs::read_to_string(&path)
                .unwrap()
                .starts_with("# The keys of the house.")
        );
        for gone in [delete(&path, "b"), set_disabled(&path, "b", true)] {
            assert!(matches!(gone, Err(EditError::NoSuchKey(_))));
        }
    }

    #[test]
    fn a_comment_apart_from_a_key_stays_whatever_ends_its_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let (a, b) = (KeyDigest::of(b"a"), KeyDigest::of(b"b"));
        let text = format!(
            "[[key]]\nid = \"a\"\nhashes = [\"{a}\"]\n\n# Of the nightly jobs:\n\n# of b\n[[key]]\nid = \"b\"\n\
             hashes = [\"{b}\"]\n"
        );
        for text in [text.clone(), text.replace('\n', "\r\n")] {
            std::fs::write(&path, text).unwrap();
            delete(&path, "b").unwrap();
            let left = std::fs::read_to_string(&path).unwrap();
            assert!(left.ends_with("\n\n# Of the nightly jobs:\n"), "{left:?}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        for (broken, why) in [
            ("[[key]]\nid = \n", "line 2 is not valid TOML"),
            ("key = 3\n", "not written as [[key]]"),
        ] {
            std::fs::write(&path, broken).unwrap();
            let error = add(&path, &[new_key("a")]).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), broken);
        }
    }

    #[test]
    fn keys_are_added_all_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        add(&path, &[new_key("a")]).unwrap();
        let before = std::fs::read_to_string(&path).unwrap();
        assert!(add(&path, &[new_key("b"), new_key("a")]).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), before);
    }
}
