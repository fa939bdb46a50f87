//! The keys that serve, restricted by a newer key file: what the file revokes is revoked, and what it adds is left out.
//!
//! Used when the rest of a newer configuration is refused. A revocation must not wait for the other files, and a new key
//! may be meant for routes that do not serve yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::client_key::{ClientKey, KeyEntry};
use super::digest::KeyDigest;
use super::known::Known;
use super::labels::Labels;
use super::store::KeyStore;
use crate::limit::of_key::{self, KeyLimits};
use crate::limit::slot::KeySlot;
use crate::runtime::background;

/// The number of keys after which the loop yields to other work of the process.
const KEYS_A_STEP: usize = 256;

/// Keys that allow no more than those that serve.
pub(crate) struct Restricted {
    /// The keys.
    pub(crate) entries: Vec<KeyEntry>,
    /// Whether they are exactly the keys of the newer file, so that it serves completely.
    pub(crate) whole: bool,
}

/// The intersection of `newer` with the keys of `serving`: keys with the same id and digest, the labels and metadata that
/// both have, the later start, the earlier end, and disabled if either is. Of limits, the lower ones of both apply.
pub(crate) fn restrict(serving: &KeyStore, newer: Vec<KeyEntry>) -> Restricted {
    let mut known = Known::default();
    let mut whole = true;
    let mut entries = Vec::with_capacity(newer.len().min(serving.count()));
    for (place, entry) in newer.into_iter().enumerate() {
        match restrict_entry(serving, &entry, &mut known) {
            Some((restricted, all)) => {
                whole &= all;
                entries.push(restricted);
            }
            None => whole = false,
        }
        if place.is_multiple_of(KEYS_A_STEP) {
            background::yield_to_others();
        }
    }
    Restricted { entries, whole }
}

/// The restricted key, if any of it is left, and whether it equals `newer`.
fn restrict_entry(
    serving: &KeyStore,
    newer: &KeyEntry,
    known: &mut Known,
) -> Option<(KeyEntry, bool)> {
    let find = |digest: &KeyDigest| {
        let found = serving.find(digest);
        found.filter(|(key, _)| key.id == newer.key.id)
    };
    let (before, _) = newer.digests.iter().find_map(|(digest, _)| find(digest))?;
    let key = restrict_key(before, &newer.key, known);
    let digests: Vec<_> = newer
        .digests
        .iter()
        .filter_map(|(digest, end)| Some((*digest, earlier(*end, find(digest)?.1))))
        .collect();
    let ends = |of: &[(KeyDigest, Option<Timestamp>)]| -> Vec<_> {
        let ends = of.iter().map(|(_, end)| earlier(*end, newer.key.expires));
        ends.collect()
    };
    let whole = is_same(&key, &newer.key) && ends(&digests) == ends(&newer.digests);
    Some((KeyEntry { key, digests }, whole))
}

fn restrict_key(before: &ClientKey, newer: &ClientKey, known: &mut Known) -> ClientKey {
    // Destructured, so that a new field does not compile until somebody decides how it is restricted.
    let ClientKey {
        id,
        labels,
        metadata,
        not_before,
        expires,
        disabled,
        counted,
        limits,
        slot: _,
    } = before;
    let common = labels
        .iter()
        .filter(|(name, value)| newer.labels.get(name) == Some(value))
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let metadata = metadata
        .iter()
        .filter(|(name, _)| newer.metadata.contains_key(name))
        .map(|(name, secret)| (name.clone(), secret.clone()));
    ClientKey {
        id: id.clone(),
        labels: known
            .labels
            .share(Labels::from(common.collect::<BTreeMap<_, _>>())),
        metadata: metadata.collect(),
        // `None` orders before every time.
        not_before: (*not_before).max(newer.not_before),
        expires: earlier(*expires, newer.expires),
        disabled: *disabled || newer.disabled,
        counted: *counted,
        limits: restrict_limits(limits.as_deref(), newer.limits.as_deref(), known),
        slot: KeySlot::default(),
    }
}

fn restrict_limits(
    before: Option<&KeyLimits>,
    newer: Option<&KeyLimits>,
    known: &mut Known,
) -> Option<Arc<KeyLimits>> {
    let limits = of_key::restrict(before, newer)?;
    Some(known.limits.share(limits))
}

/// Whether `a` and `b` allow the same and have the same secrets.
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
        && a.limits == b.limits
        && a.metadata.keys().eq(b.metadata.keys())
        && secrets(a) == secrets(b)
}

/// The earlier of two ends; `None`, no end, is later than any.
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

    /// A `[[key]]` with this id and secret, and `more` lines.
    fn key(id: &str, secret: &str, more: &str) -> String {
        format!(
            "[[key]]\nid = \"{id}\"\nhashes = [\"{}\"]\n{more}\n",
            hash(secret)
        )
    }

    fn restricted(serving: &str, newer: &str) -> (KeyStore, bool) {
        let serving = KeyStore::build(entries(serving)).unwrap();
        let Restricted { entries, whole } = restrict(&serving, entries(newer));
        (KeyStore::build(entries).unwrap(), whole)
    }

    fn opens(keys: &KeyStore, secret: &str) -> bool {
        let now = "2026-06-01T00:00:00Z".parse().unwrap();
        keys.valid_until(&KeyDigest::of(secret.as_bytes()), now)
            .is_ok()
    }

    #[test]
    fn revocations_apply_and_additions_do_not() {
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
            // A new key, a new secret, an old secret under another id, a key that is enabled again.
            (before.clone() + &key("d", "4", ""), "12", false),
            (key("a", "4", "") + &key("b", "2", ""), "2", false),
            (key("a", "2", "") + &key("b", "1", ""), "", false),
            (key("c", "3", ""), "", false),
        ] {
            let (keys, whole) = restricted(&before, &newer);
            let found: String = "1234"
                .chars()
                .filter(|c| opens(&keys, &c.to_string()))
                .collect();
            assert_eq!((&*found, whole), (opening, is_whole), "{newer}");
        }
    }

    #[test]
    fn an_end_is_never_extended_and_only_common_labels_and_metadata_are_kept() {
        let (early, late) = ("2026-01-01T00:00:00Z", "2026-12-31T00:00:00Z");
        let serving = |end| key("a", "1", &format!("expires = {end}"));
        let (keys, whole) = restricted(&serving(early), &serving(late));
        assert!(!opens(&keys, "1") && !whole);
        let rotated = |end| {
            let hashes = format!("{{ hash = \"{}\", expires = {end} }}", hash("1"));
            format!("[[key]]\nid = \"a\"\nhashes = [{hashes}]\n")
        };
        let (keys, whole) = restricted(&rotated(early), &rotated(late));
        assert!(!opens(&keys, "1") && !whole);
        let (keys, whole) = restricted(&rotated(late), &rotated(early));
        assert!(!opens(&keys, "1") && whole);
        let before =
            "labels = { t = \"x\", u = \"y\" }\nmetadata = { m = \"inline:1\", n = \"inline:2\" }";
        let newer =
            "labels = { t = \"x\", u = \"z\" }\nmetadata = { m = \"inline:9\", o = \"inline:2\" }";
        let (keys, whole) = restricted(&key("a", "1", before), &key("a", "1", newer));
        let left = keys.keys().next().unwrap();
        assert_eq!(left.labels.iter().collect::<Vec<_>>(), [("t", "x")]);
        assert_eq!(left.metadata.keys().collect::<Vec<_>>(), ["m"]);
        assert_eq!(left.metadata("m").unwrap().expose(), "1");
        assert!(!whole);
    }

    #[test]
    fn a_lower_limit_applies_and_a_higher_or_removed_one_does_not() {
        let (low, high) = ("rpm_limit = 5", "rpm_limit = 6");
        let per_day = "max_budget = \"5 per day\"";
        for (before, newer, left, is_whole) in [
            (low, low, "rpm_limit 5 per minute", true),
            (high, low, "rpm_limit 5 per minute", true),
            (low, high, "rpm_limit 5 per minute", false),
            (low, "", "rpm_limit 5 per minute", false),
            ("", low, "rpm_limit 5 per minute", true),
            ("", "", "", true),
            (
                low,
                per_day,
                "max_budget 5.00 per day, rpm_limit 5 per minute",
                false,
            ),
        ] {
            let (keys, whole) = restricted(&key("a", "1", before), &key("a", "1", newer));
            let limits = &keys.keys().next().unwrap().limits;
            let words = limits.iter().flat_map(|limits| limits.words());
            let words: Vec<_> = words
                .map(|(name, amount)| format!("{name} {amount}"))
                .collect();
            assert_eq!(
                (&*words.join(", "), whole),
                (left, is_whole),
                "{before} {newer}"
            );
        }
    }
}
