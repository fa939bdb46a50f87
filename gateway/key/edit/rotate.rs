//! The rotation of a key: it gets a new digest, and its old digests stay valid for a while.

use jiff::Timestamp;
use std::path::Path;
use toml_edit::{Array, InlineTable, Item, Table, TableLike, Value, value};

use super::error::EditError;
use super::tables::{date, edit_tables, find};
use crate::document::parse_moment;
use crate::key::digest::KeyDigest;

/// A new secret for a key, for [`rotate`].
pub(crate) struct Rotation {
    /// The digest of the new secret.
    pub(crate) digest: KeyDigest,
    /// The end of the old digests, unless they end earlier.
    pub(crate) overlap_end: Timestamp,
    /// Whether old digests are removed at once if the key is disabled or has expired. It may be disabled because its
    /// secret leaked; and the secrets of an expired key were refused until now.
    pub(crate) drop_old_if_invalid: bool,
    /// The new end of the key; `None` keeps the present one.
    pub(crate) expires: Option<Timestamp>,
    /// The present time: old digests that have ended by now are removed.
    pub(crate) now: Timestamp,
}

/// Gives a key a new digest beside its old ones.
///
/// # Errors
/// There is no such key, it has expired and gets no new end, its hashes cannot be read, the gateway would refuse the
/// file, or it could not be written.
pub(crate) fn rotate(path: &Path, id: &str, rotation: &Rotation) -> Result<(), EditError> {
    let Rotation {
        digest,
        overlap_end,
        drop_old_if_invalid,
        expires,
        now,
    } = *rotation;
    edit_tables(path, |tables| {
        let table = find(tables, id)?;
        if expires.is_none() {
            refuse_if_expired(id, table, now)?;
        }
        let is_invalid = is_disabled(table) || end_if_past(table, now).is_some();
        let overlap_end = if drop_old_if_invalid && is_invalid {
            now
        } else {
            overlap_end
        };
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

/// Refuses a key that has expired: its new secret would never be valid, and nobody would notice.
fn refuse_if_expired(id: &str, table: &Table, now: Timestamp) -> Result<(), EditError> {
    match end_if_past(table, now) {
        Some(end) => Err(EditError::Invalid(format!(
            "key `{id}` expired at {end}, and a new secret would never be valid: give the key a new end as well, with \
             --expires 90d for instance"
        ))),
        None => Ok(()),
    }
}

fn is_disabled(table: &Table) -> bool {
    table.get("disabled").and_then(Item::as_bool) == Some(true)
}

/// The end of the key, if it has passed.
fn end_if_past(table: &Table, now: Timestamp) -> Option<Timestamp> {
    let end = table.get("expires").and_then(time_of);
    end.filter(|end| *end <= now)
}

/// Reads a time as a key file may write it: a TOML date or a string.
fn time_of(item: &Item) -> Option<Timestamp> {
    let date = item.as_datetime().map(ToString::to_string);
    let written = date.or_else(|| item.as_str().map(str::to_owned));
    parse_moment(&written?)
}

/// The digests of a key, each with its end, in any form that the key file allows. A form that is not understood is an
/// error: taken for a digest without an end, or for none, it would change what is valid.
fn hashes_of(id: &str, table: &Table) -> Result<Vec<(String, Option<Timestamp>)>, EditError> {
    let invalid = |what: &str| EditError::Invalid(format!("key `{id}` has {what}"));
    let whole = |entry: &dyn TableLike| {
        let text = entry
            .get("hash")
            .and_then(Item::as_str)
            .ok_or_else(|| invalid("a hash that is none"))?;
        let end = entry.get("expires").map(|end| {
            let why = "a hash whose `expires` is no date with time and offset";
            time_of(end).ok_or_else(|| invalid(why))
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

#[cfg(test)]
mod tests {
    use super::super::add::add;
    use super::super::tests::new_key;
    use super::*;
    use crate::key::file::read;

    const NOW: &str = "2026-06-01T00:00:00Z";

    fn rotate_at(path: &Path, secret: &str, end: &str, now: &str) {
        let rotation = Rotation {
            digest: KeyDigest::of(secret.as_bytes()),
            overlap_end: end.parse().unwrap(),
            drop_old_if_invalid: true,
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
        // A later overlap does not extend an earlier one, and a digest that has ended is removed.
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
        // A date or a string, one hash or several, inline or not: every form that `read` accepts.
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
            let ends: Vec<_> = after.entries[0]
                .digests
                .iter()
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
    fn a_key_that_has_expired_gets_no_secret_without_a_new_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let mut rotation = Rotation {
            digest: KeyDigest::of(b"new"),
            overlap_end: "2026-06-02T00:00:00Z".parse().unwrap(),
            drop_old_if_invalid: true,
            expires: None,
            now: NOW.parse().unwrap(),
        };
        for written in ["2026-06-01T00:00:00Z", "\"2026-05-01T00:00:00+02:00\""] {
            let digest = KeyDigest::of(b"old");
            let text =
                format!("[[key]]\nid = \"a\"\nhashes = [\"{digest}\"]\nexpires = {written}\n");
            std::fs::write(&path, &text).unwrap();
            rotation.expires = None;
            let refused = rotate(&path, "a", &rotation).unwrap_err().to_string();
            assert!(
                refused.contains("expired at") && refused.contains("--expires"),
                "{refused}"
            );
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
            rotation.expires = Some("2026-07-01T00:00:00Z".parse().unwrap());
            rotate(&path, "a", &rotation).unwrap();
        }
    }

    #[test]
    fn rotating_an_invalid_key_removes_its_old_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let old = KeyDigest::of(b"old");
        for (state, drop_old_if_invalid, left) in [
            ("disabled = true\n", true, 1),
            // An explicit overlap is kept.
            ("disabled = true\n", false, 2),
            ("disabled = false\n", true, 2),
            ("expires = 2026-05-31T00:00:00Z\n", true, 1),
            ("expires = \"2026-05-31T00:00:00Z\"\n", true, 1),
            ("expires = 2026-05-31T00:00:00Z\n", false, 2),
            ("expires = 2026-06-30T00:00:00Z\n", true, 2),
            ("", true, 2),
        ] {
            let text = format!("[[key]]\nid = \"a\"\nhashes = [\"{old}\"]\n{state}");
            std::fs::write(&path, &text).unwrap();
            let rotation = Rotation {
                digest: KeyDigest::of(b"new"),
                overlap_end: "2026-06-02T00:00:00Z".parse().unwrap(),
                drop_old_if_invalid,
                expires: Some("2026-07-01T00:00:00Z".parse().unwrap()),
                now: NOW.parse().unwrap(),
            };
            rotate(&path, "a", &rotation).unwrap();
            let (file, _) = read(&std::fs::read_to_string(&path).unwrap());
            assert_eq!(
                file.entries[0].digests.len(),
                left,
                "{state}{drop_old_if_invalid}"
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
                drop_old_if_invalid: true,
                expires: None,
                now: NOW.parse().unwrap(),
            };
            let refused = rotate(&path, "a", &rotation);
            assert!(matches!(refused, Err(EditError::Invalid(_))), "{text}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }
}
