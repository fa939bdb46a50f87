//! What a newer key file takes away from the keys that serve, and nothing that it adds: for a gateway whose other files
//! cannot be taken over. A revocation must not wait for them, and a new key may be meant for routes that do not serve.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{ClientKey, KeyDigest, KeyEntry, KeyStore, KnownLabels, Labels};
use crate::runtime::background;

/// After how many keys others get their turn.
const KEYS_A_STEP: usize = 256;

/// Keys that open no more than the ones that serve.
pub struct Narrowed {
    /// The keys.
    pub entries: Vec<KeyEntry>,
    /// Whether they are all that the newer file says, so that it serves as a whole.
    pub whole: bool,
}

/// The keys of `newer`, each as far as `serving` has it as well: the same id and digest, the labels and metadata that
/// both have, the later beginning, the earlier end, and disabled if it is in one of them.
pub fn narrow(serving: &KeyStore, newer: Vec<KeyEntry>) -> Narrowed {
    let mut labels = KnownLabels::default();
    let mut whole = true;
    let mut entries = Vec::with_capacity(newer.len().min(serving.keys().len()));
    for (place, entry) in newer.into_iter().enumerate() {
        match narrow_key(serving, &entry, &mut labels) {
            Some((narrowed, all)) => {
                whole &= all;
                entries.push(narrowed);
            }
            None => whole = false,
        }
        if place.is_multiple_of(KEYS_A_STEP) {
            background::yield_to_others();
        }
    }
    Narrowed { entries, whole }
}

/// What is left of one key, if anything, and whether that is all that `newer` says of it.
fn narrow_key(
    serving: &KeyStore,
    newer: &KeyEntry,
    known: &mut KnownLabels,
) -> Option<(KeyEntry, bool)> {
    let holder = |digest: &KeyDigest| {
        let found = serving.holder(digest);
        found.filter(|(key, _)| key.id == newer.key.id)
    };
    let (before, _) = newer
        .digests
        .iter()
        .find_map(|(digest, _)| holder(digest))?;
    let key = narrow_client(before, &newer.key, known);
    let digests: Vec<_> = newer
        .digests
        .iter()
        .filter_map(|(digest, end)| Some((*digest, earlier(*end, holder(digest)?.1))))
        .collect();
    let ends = |of: &[(KeyDigest, Option<Timestamp>)]| -> Vec<_> {
        let ends = of.iter().map(|(_, end)| earlier(*end, newer.key.expires));
        ends.collect()
    };
    let whole = is_same(&key, &newer.key) && ends(&digests) == ends(&newer.digests);
    Some((KeyEntry { key, digests }, whole))
}

fn narrow_client(before: &ClientKey, newer: &ClientKey, known: &mut KnownLabels) -> ClientKey {
    // Destructured, so that whoever adds a field decides what becomes of it here.
    let ClientKey {
        id,
        labels,
        metadata,
        not_before,
        expires,
        disabled,
        counted,
    } = before;
    let common = labels
        .iter()
        .filter(|(name, value)| newer.labels.get(name) == Some(value))
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let metadata = metadata
        .iter()
        .filter(|(name, _)| newer.metadata.contains_key(*name))
        .map(|(name, secret)| (name.clone(), secret.clone()));
    ClientKey {
        id: id.clone(),
        labels: known.share(Labels::from(common.collect::<BTreeMap<_, _>>())),
        metadata: metadata.collect(),
        // Nothing is earlier than any time.
        not_before: (*not_before).max(newer.not_before),
        expires: earlier(*expires, newer.expires),
        disabled: *disabled || newer.disabled,
        counted: *counted,
    }
}

/// Whether `a` opens what `b` does, and with the same secrets.
fn is_same(a: &ClientKey, b: &ClientKey) -> bool {
    let secrets = |key: &ClientKey| -> Vec<_> {
        let all = key.metadata.keys().map(|name| key.metadata(name));
        all.map(|secret| secret.map(|secret| secret.expose().to_owned()))
            .collect()
    };
    a.labels == b.labels
        && a.not_before == b.not_before
        && a.expires == b.expires
        && a.disabled == b.disabled
        && a.metadata.keys().eq(b.metadata.keys())
        && secrets(a) == secrets(b)
}

/// The earlier of two ends; none is later than any.
fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::read;
    use super::*;

    fn hash(key: &str) -> String {
        KeyDigest::of(key.as_bytes()).to_string()
    }

    fn entries(text: &str) -> Vec<KeyEntry> {
        let (file, problems) = read(text);
        assert!(problems.is_empty(), "{problems:?}");
        file.entries
    }

    /// A key `id` that `secret` opens, with `more` lines.
    fn key(id: &str, secret: &str, more: &str) -> String {
        format!(
            "[[key]]\nid = \"{id}\"\nhashes = [\"{}\"]\n{more}\n",
            hash(secret)
        )
    }

    fn narrowed(serving: &str, newer: &str) -> (KeyStore, bool) {
        let serving = KeyStore::build(entries(serving)).unwrap();
        let Narrowed { entries, whole } = narrow(&serving, entries(newer));
        (KeyStore::build(entries).unwrap(), whole)
    }

    fn opens(keys: &KeyStore, secret: &str) -> bool {
        let now = "2026-06-01T00:00:00Z".parse().unwrap();
        keys.valid_until(&KeyDigest::of(secret.as_bytes()), now)
            .is_ok()
    }

    #[test]
    fn what_is_taken_away_is_gone_and_what_is_added_does_not_open() {
        let before = key("a", "1", "") + &key("b", "2", "") + &key("c", "3", "disabled = true");
        for (newer, opening, is_whole) in [
            (before.clone(), "12", true),
            (String::new(), "", true),
            (key("a", "1", ""), "1", true),
            (
                key("a", "1", "disabled = true") + &key("b", "2", ""),
                "2",
                true,
            ),
            (key("a", "1", "expires = 2026-01-01T00:00:00Z"), "", true),
            (key("a", "1", "not_before = 2027-01-01T00:00:00Z"), "", true),
            // A new key, a new secret, an old secret under another name, one that is enabled again.
            (before.clone() + &key("d", "4", ""), "12", false),
            (key("a", "4", "") + &key("b", "2", ""), "2", false),
            (key("a", "2", "") + &key("b", "1", ""), "", false),
            (key("c", "3", ""), "", false),
        ] {
            let (keys, whole) = narrowed(&before, &newer);
            let found: String = "1234"
                .chars()
                .filter(|c| opens(&keys, &c.to_string()))
                .collect();
            assert_eq!((&*found, whole), (opening, is_whole), "{newer}");
        }
    }

    #[test]
    fn an_end_is_never_moved_back_and_labels_and_metadata_are_those_of_both() {
        let (early, late) = ("2026-01-01T00:00:00Z", "2026-12-31T00:00:00Z");
        let serving = |end| key("a", "1", &format!("expires = {end}"));
        let (keys, whole) = narrowed(&serving(early), &serving(late));
        assert!(!opens(&keys, "1") && !whole);
        let rotated = |end| {
            let hashes = format!("{{ hash = \"{}\", expires = {end} }}", hash("1"));
            format!("[[key]]\nid = \"a\"\nhashes = [{hashes}]\n")
        };
        let (keys, whole) = narrowed(&rotated(early), &rotated(late));
        assert!(!opens(&keys, "1") && !whole);
        let (keys, whole) = narrowed(&rotated(late), &rotated(early));
        assert!(!opens(&keys, "1") && whole);
        let before =
            "labels = { t = \"x\", u = \"y\" }\nmetadata = { m = \"inline:1\", n = \"inline:2\" }";
        let newer =
            "labels = { t = \"x\", u = \"z\" }\nmetadata = { m = \"inline:9\", o = \"inline:2\" }";
        let (keys, whole) = narrowed(&key("a", "1", before), &key("a", "1", newer));
        let left = &keys.keys()[0];
        assert_eq!(left.labels.iter().collect::<Vec<_>>(), [("t", "x")]);
        assert_eq!(left.metadata.keys().collect::<Vec<_>>(), ["m"]);
        assert_eq!(left.metadata("m").unwrap().expose(), "1");
        assert!(!whole);
    }
}
