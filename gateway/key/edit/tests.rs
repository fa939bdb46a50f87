//! Tests: edits of a key file keep everything that they are not about.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::key::KeyDigest;
use crate::key::file::read;
use crate::limit::of_key::LimitSettings;

pub(super) fn new_key(id: &str) -> NewKey {
    NewKey {
        id: id.to_owned(),
        digest: KeyDigest::of(id.as_bytes()),
        labels: BTreeMap::from([("team".to_owned(), "search".to_owned())]),
        metadata: BTreeMap::from([("tier".to_owned(), "inline:gold".to_owned())]),
        not_before: None,
        expires: Some("2027-01-31T12:00:00Z".parse().unwrap()),
        disabled: false,
        limits: LimitSettings::default(),
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
fn concurrent_edits_lose_nothing() {
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
fn disabling_enabling_and_deleting_a_key_changes_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.toml");
    for id in ["a", "b", "c"] {
        add(&path, &[new_key(id)]).unwrap();
    }
    let text = std::fs::read_to_string(&path)
        .unwrap()
        .replacen("[[key]]", "# The keys of the house.\n\n# of a\n[[key]]", 1)
        .replace("id = \"b\"", "id = \"b\" # of b");
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
fn deleting_a_key_keeps_a_comment_that_an_empty_line_separates_from_it() {
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
