//! Edits of the key file that touch nothing but what they are about: comments and order stay.
//!
//! Each edit reads the file under a lock, changes it, writes the new one beside it, syncs and renames.
//! Whatever happens meanwhile, the file is the old one or the new one, and two editors at once wait
//! for each other. What an editor that was killed left beside the file, the next one takes away.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use jiff::Timestamp;
use toml_edit::{
    Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, TableLike, Value, value,
};

use super::{KeyDigest, lock};
use crate::regular_file::ReadError;
use crate::secret::{LARGEST_KEYS, Private};

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
    /// It isn't a key file.
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

/// Adds keys at the end of the file, which is made (mode 0600) if it is not there: all or none.
pub fn add(path: &Path, keys: &[NewKey]) -> Result<(), EditError> {
    edit(path, |tables| {
        for key in keys {
            if position(tables, &key.id).is_some() {
                return Err(EditError::Taken(key.id.clone()));
            }
            tables.push(table_of(key));
        }
        Ok(())
    })
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
            .and_then(|table| table.decor().prefix()?.as_str());
        let stays =
            above.and_then(|text| Some(text.split_at(text.rfind("\n\n")? + 1).0.to_owned()));
        tables.remove(at);
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

/// A new secret for a key: what [`rotate`] needs to know.
pub struct Rotation {
    /// The digest of the new secret.
    pub digest: KeyDigest,
    /// When the old ones end, if they do not earlier.
    pub overlap_end: Timestamp,
    /// When the key ends; left out, when it did before.
    pub expires: Option<Timestamp>,
    /// Old digests that are over by now go.
    pub now: Timestamp,
}

/// Gives a key a new digest beside its old ones.
pub fn rotate(path: &Path, id: &str, rotation: &Rotation) -> Result<(), EditError> {
    let Rotation {
        digest,
        overlap_end,
        expires,
        now,
    } = *rotation;
    edit(path, |tables| {
        let table = find(tables, id)?;
        let mut hashes = Array::from_iter([digest.to_string()]);
        for (text, end) in hashes_of(id, table)? {
            let end = end.map_or(overlap_end, |end| end.min(overlap_end));
            if end > now {
                let mut entry = InlineTable::new();
                entry.insert("hash", text.into());
                entry.insert("expires", date(end)?.into());
                hashes.push(entry);
            }
        }
        table.insert("hashes", value(hashes));
        if let Some(end) = expires {
            table.insert("expires", value(date(end)?));
        }
        Ok(())
    })
}

/// The digests of a key, with the end of each that has one, in any way that a key file may write them: what is not
/// understood here must not be taken for one that has no end, or for none.
fn hashes_of(id: &str, table: &Table) -> Result<Vec<(String, Option<Timestamp>)>, EditError> {
    let invalid = |what: &str| EditError::Invalid(format!("key `{id}` has {what}"));
    let whole = |entry: &dyn TableLike| {
        let text = entry.get("hash").and_then(Item::as_str);
        let text = text.ok_or_else(|| invalid("a hash that is none"))?;
        let end = entry.get("expires").map(|end| {
            let date = end.as_datetime().map(ToString::to_string);
            let written = date.or_else(|| end.as_str().map(str::to_owned));
            let end = written.and_then(|end| end.parse().ok());
            end.ok_or_else(|| invalid("a hash whose `expires` is no date with time and offset"))
        });
        Ok((text.to_owned(), end.transpose()?))
    };
    let one = |entry: &Value| match entry {
        Value::InlineTable(entry) => whole(entry),
        Value::String(text) => Ok((text.value().clone(), None)),
        _ => Err(invalid("a hash that is none")),
    };
    match table.get("hashes") {
        None => Ok(Vec::new()),
        Some(Item::Value(Value::Array(entries))) => entries.iter().map(one).collect(),
        Some(Item::Value(entry)) => Ok(vec![one(entry)?]),
        Some(Item::ArrayOfTables(entries)) => entries.iter().map(|entry| whole(entry)).collect(),
        Some(_) => Err(invalid("`hashes` that are no list")),
    }
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

fn edit_document(
    path: &Path,
    change: impl FnOnce(&mut DocumentMut) -> Result<(), EditError>,
) -> Result<(), EditError> {
    let _lock = lock::take(path)?;
    let text = match Private::read(path, LARGEST_KEYS) {
        // If others can read it, they cannot any more when it is replaced.
        Ok(file) => file.text,
        Err(ReadError::Absent) => String::new(),
        Err(ReadError::Io(error)) => return Err(error.into()),
        Err(ReadError::Unfit(why)) => return Err(EditError::Invalid(format!("it {why}"))),
    };
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        let before = error
            .span()
            .and_then(|span| text.get(..span.start))
            .unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        EditError::Invalid(format!(
            "line {line} is not valid TOML: {}",
            error.message()
        ))
    })?;
    change(&mut document)?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    replace(path, folder, &document.to_string())?;
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(EditError::Unconfirmed)
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
    for (name, time) in [("not_before", key.not_before), ("expires", key.expires)] {
        if let Some(date) = time.and_then(|time| date(time).ok()) {
            table.insert(name, value(date));
        }
    }
    if let Some(comment) = &key.comment {
        table.insert("comment", value(comment));
    }
    table
}

/// Writes beside the file, syncs, and renames over it: after a crash it is the old one or the new.
/// The owner stays; a new file gets its folder's, so that root can make keys for the service's user.
fn replace(path: &Path, folder: &Path, text: &str) -> io::Result<()> {
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    prefix.push(".new-");
    clear(folder, &prefix)?;
    let mut new = tempfile::Builder::new()
        .prefix(&prefix)
        .permissions(std::fs::Permissions::from_mode(0o600))
        .tempfile_in(folder)?;
    lock::give_to_owner(new.as_file(), path, folder)?;
    new.write_all(text.as_bytes())?;
    new.as_file().sync_all()?;
    new.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Takes away the unfinished files of editors that were killed: whoever holds the lock is the only one
/// that is at work.
fn clear(folder: &Path, prefix: &OsString) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name
            .as_encoded_bytes()
            .starts_with(prefix.as_encoded_bytes())
        {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::key::file::read;

    fn new_key(id: &str) -> NewKey {
        NewKey {
            id: id.to_owned(),
            digest: KeyDigest::of(id.as_bytes()),
            labels: BTreeMap::from([("team".to_owned(), "search".to_owned())]),
            metadata: BTreeMap::from([("tier".to_owned(), "inline:gold".to_owned())]),
            not_before: None,
            expires: Some("2027-01-31T12:00:00Z".parse().unwrap()),
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

    const NOW: &str = "2026-06-01T00:00:00Z";

    fn rotate_at(path: &Path, secret: &str, end: &str, now: &str) {
        let rotation = Rotation {
            digest: KeyDigest::of(secret.as_bytes()),
            overlap_end: end.parse().unwrap(),
            expires: Some("2028-01-01T00:00:00Z".parse().unwrap()),
            now: now.parse().unwrap(),
        };
        rotate(path, "a", &rotation).unwrap();
        let (file, _) = read(&std::fs::read_to_string(path).unwrap());
        assert_eq!(file.entries[0].key.expires, rotation.expires);
    }

    #[test]
    fn rotations_overlap_and_the_old_goes_when_it_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        add(&path, &[new_key("a")]).unwrap();
        rotate_at(&path, "second", "2026-06-02T00:00:00Z", NOW);
        let digests = |path: &Path| {
            let (file, problems) = read(&std::fs::read_to_string(path).unwrap());
            assert!(problems.is_empty(), "{problems:?}");
            let ends = file.entries[0].digests.iter();
            ends.map(|(digest, end)| (*digest, end.map(|end| end.to_string())))
                .collect::<Vec<_>>()
        };
        let of = |secret: &str| KeyDigest::of(secret.as_bytes());
        let second = "2026-06-02T00:00:00Z".to_owned();
        assert!(digests(&path) == [(of("second"), None), (of("a"), Some(second.clone()))]);
        // A later end does not lengthen an earlier one, and what is over goes.
        rotate_at(&path, "third", "2026-07-01T00:00:00Z", NOW);
        assert!(digests(&path)[2] == (of("a"), Some(second)));
        rotate_at(
            &path,
            "fourth",
            "2026-07-01T00:00:00Z",
            "2026-06-03T00:00:00Z",
        );
        assert_eq!(digests(&path).len(), 3);
        assert!(digests(&path).iter().all(|(digest, _)| *digest != of("a")));
    }

    #[test]
    fn a_rotation_understands_every_way_that_hashes_may_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let digest = |secret: &str| KeyDigest::of(secret.as_bytes()).to_string();
        let (old, over) = (digest("old"), digest("over"));
        // A date or a text, one or many, inline or not: all that `read` takes.
        for hashes in [
            format!(
                "hashes = [\"{old}\", {{ hash = \"{over}\", expires = \"2026-01-01T00:00:00Z\" }}]"
            ),
            format!("hashes = \"{old}\""),
            format!(
                "[[key.hashes]]\nhash = \"{old}\"\n[[key.hashes]]\nhash = \"{over}\"\nexpires = 2026-01-01T00:00:00Z"
            ),
        ] {
            let text = format!("[[key]]\nid = \"a\"\n{hashes}\n");
            let (before, problems) = read(&text);
            assert!(problems.is_empty(), "{text}\n{problems:?}");
            assert!(
                before.entries[0]
                    .digests
                    .iter()
                    .any(|(digest, _)| digest.to_string() == old)
            );
            std::fs::write(&path, &text).unwrap();
            rotate_at(&path, "new", "2026-06-02T00:00:00Z", NOW);
            let (after, _) = read(&std::fs::read_to_string(&path).unwrap());
            let ends = after.entries[0].digests.iter();
            let ends: Vec<_> = ends
                .map(|(digest, end)| (digest.to_string(), end.map(|end| end.to_string())))
                .collect();
            let until = Some("2026-06-02T00:00:00Z".to_owned());
            assert_eq!(
                ends,
                [(digest("new"), None), (old.clone(), until)],
                "{text}"
            );
        }
    }

    #[test]
    fn a_rotation_refuses_hashes_that_it_does_not_understand() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let old = KeyDigest::of(b"old");
        for hashes in [
            format!("hashes = [{{ hash = \"{old}\", expires = \"soon\" }}]"),
            format!("hashes = [{{ hash = \"{old}\", expires = 3 }}]"),
            "hashes = [{ expires = 2026-01-01T00:00:00Z }]".to_owned(),
            "hashes = [3]".to_owned(),
            "[key.hashes]\nnone = true".to_owned(),
        ] {
            let text = format!("[[key]]\nid = \"a\"\n{hashes}\n");
            std::fs::write(&path, &text).unwrap();
            let rotation = Rotation {
                digest: KeyDigest::of(b"new"),
                overlap_end: "2026-06-02T00:00:00Z".parse().unwrap(),
                expires: None,
                now: NOW.parse().unwrap(),
            };
            let refused = rotate(&path, "a", &rotation);
            assert!(matches!(refused, Err(EditError::Invalid(_))), "{text}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
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
    fn what_a_killed_editor_left_is_taken_away_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        for left in [
            ".keys.toml.new-AbCdEf",
            ".other-keys.toml.new-x",
            "keys.new",
        ] {
            std::fs::write(folder.path().join(left), "half").unwrap();
        }
        add(&path, &[new_key("a")]).unwrap();
        let mut left: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let expected = [
            ".other-keys.toml.new-x",
            "keys.new",
            "keys.toml",
            "keys.toml.lock",
        ];
        assert_eq!(left, expected);
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
