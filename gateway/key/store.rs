//! The key store: a map from digests to keys, built once and never changed, so that it can be
//! shared by every thread and swapped whole.
//!
//! The map holds numbers of openings, 4 bytes each; an opening holds its digest once. A lookup is
//! three places in memory: the map's control bytes, its slot, the opening.

use std::sync::Arc;

use ahash::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use jiff::Timestamp;
use subtle::ConstantTimeEq;

use super::format::{Form, form};
use super::{ClientKey, KeyDigest, KeyEntry, PresentedKey};

/// Every key that this gateway knows, by digest.
pub struct KeyStore {
    /// Places in `openings`, by the hash of their digests.
    index: HashTable<u32>,
    hasher: RandomState,
    openings: Vec<Opening>,
    keys: Vec<Arc<ClientKey>>,
}

/// One digest, what it opens, and all that decides whether it does now: a lookup reads nothing else,
/// least of all the key, which is somewhere else in memory.
struct Opening {
    digest: KeyDigest,
    key: Arc<ClientKey>,
    not_before: Option<Timestamp>,
    /// The end of the digest or of the key, whichever is earlier.
    expires: Option<Timestamp>,
    disabled: bool,
}

/// Why a key opened nothing. For the log and the metrics; the client is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyFailure {
    /// None was presented.
    Missing,
    /// It begins like a made key and its checksum is wrong.
    Malformed,
    /// No key has this digest.
    Unknown,
    /// Its key is disabled.
    Disabled,
    /// Its time has not come.
    NotYetValid,
    /// Its time is over.
    Expired,
}

impl KeyFailure {
    /// The label in metrics and logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing_key",
            Self::Malformed => "malformed_key",
            Self::Unknown => "unknown_key",
            Self::Disabled => "disabled_key",
            Self::NotYetValid => "key_not_yet_valid",
            Self::Expired => "expired_key",
        }
    }
}

/// Two keys with one digest: named by id, never by value.
#[derive(Debug, PartialEq, Eq)]
pub struct DuplicateDigest {
    /// The key that had the digest first.
    pub first: Arc<str>,
    /// The key that has it too.
    pub second: Arc<str>,
}

impl KeyStore {
    /// Builds the store. Fails on the first digest that two keys share.
    pub fn build(entries: impl IntoIterator<Item = KeyEntry>) -> Result<Self, DuplicateDigest> {
        let entries = entries.into_iter();
        let expected = entries.size_hint().0;
        let mut store = Self {
            index: HashTable::with_capacity(expected),
            hasher: RandomState::new(),
            openings: Vec::with_capacity(expected),
            keys: Vec::with_capacity(expected),
        };
        for entry in entries {
            let key = Arc::new(entry.key);
            for (digest, end) in entry.digests {
                store.insert(Opening {
                    digest,
                    not_before: key.not_before,
                    expires: match (end, key.expires) {
                        (Some(a), Some(b)) => Some(a.min(b)),
                        (a, b) => a.or(b),
                    },
                    disabled: key.disabled,
                    key: key.clone(),
                })?;
            }
            store.keys.push(key);
        }
        Ok(store)
    }

    fn insert(&mut self, opening: Opening) -> Result<(), DuplicateDigest> {
        let Self {
            index,
            hasher,
            openings,
            ..
        } = self;
        let at = |place: u32| openings.get(place as usize);
        let hash = hasher.hash_one(opening.digest);
        let same = |place: &u32| at(*place).is_some_and(|known| known.digest == opening.digest);
        let rehash = |place: &u32| at(*place).map_or(0, |known| hasher.hash_one(known.digest));
        match index.entry(hash, same, rehash) {
            Entry::Occupied(entry) => {
                let second = opening.key.id.clone();
                let first = at(*entry.get()).map_or_else(|| second.clone(), |o| o.key.id.clone());
                Err(DuplicateDigest { first, second })
            }
            Entry::Vacant(entry) => {
                // Four billion keys would need a terabyte before this saturates.
                entry.insert(u32::try_from(openings.len()).unwrap_or(u32::MAX));
                openings.push(opening);
                Ok(())
            }
        }
    }

    fn find(&self, digest: &KeyDigest) -> Option<&Opening> {
        let at = |place: u32| self.openings.get(place as usize);
        let hash = self.hasher.hash_one(digest);
        let same = |place: &u32| at(*place).is_some_and(|known| known.digest == *digest);
        self.index.find(hash, same).and_then(|place| at(*place))
    }

    /// All keys, in the order of their source.
    pub fn keys(&self) -> &[Arc<ClientKey>] {
        &self.keys
    }

    /// Whether `secret` is a key of this gateway's, whatever its state, or looks like one that it
    /// made: nothing to be sent anywhere else.
    pub fn is_ours(&self, secret: &[u8]) -> bool {
        form(secret) != Form::Foreign || self.find(&KeyDigest::of(secret)).is_some()
    }

    /// The key that `presented` opens at the time `now`.
    ///
    /// Missing, malformed, unknown, disabled, not yet valid and expired keys all take one path:
    /// digest, one probe of the map, one constant-time comparison of 32 bytes. The map is probed
    /// with a digest, not with the key, so which bytes of a guess are right is not in its timing.
    pub fn open(
        &self,
        presented: Option<&PresentedKey<'_>>,
        now: Timestamp,
    ) -> Result<&Arc<ClientKey>, KeyFailure> {
        let bytes = presented.map_or(&b""[..], PresentedKey::as_bytes);
        let form = form(bytes);
        let digest = KeyDigest::of(bytes);
        let opening = self.find(&digest);
        let stored = opening.map_or(&[0; 32], |opening| opening.digest.as_bytes());
        let equal = bool::from(stored.ct_eq(digest.as_bytes()));
        match (presented, form, opening) {
            (None, ..) => Err(KeyFailure::Missing),
            (_, Form::Broken, _) => Err(KeyFailure::Malformed),
            (_, _, Some(opening)) if equal => opening.at(now),
            _ => Err(KeyFailure::Unknown),
        }
    }
}

impl Opening {
    fn at(&self, now: Timestamp) -> Result<&Arc<ClientKey>, KeyFailure> {
        if self.disabled {
            Err(KeyFailure::Disabled)
        } else if self.not_before.is_some_and(|start| now < start) {
            Err(KeyFailure::NotYetValid)
        } else if self.expires.is_some_and(|end| now >= end) {
            Err(KeyFailure::Expired)
        } else {
            Ok(&self.key)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderName};
    use std::collections::BTreeMap;

    use crate::key::Labels;

    fn entry(id: &str, keys: &[(&str, Option<&str>)]) -> KeyEntry {
        KeyEntry {
            key: ClientKey {
                id: id.into(),
                labels: Labels::default(),
                metadata: BTreeMap::new(),
                not_before: None,
                expires: None,
                disabled: false,
            },
            digests: keys
                .iter()
                .map(|(key, end)| {
                    (
                        KeyDigest::of(key.as_bytes()),
                        end.map(|end| end.parse().unwrap()),
                    )
                })
                .collect(),
        }
    }

    fn open(store: &KeyStore, key: Option<&str>, now: &str) -> Result<String, KeyFailure> {
        let name = HeaderName::from_static("api-key");
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            headers.insert(name.clone(), key.parse().unwrap());
        }
        let presented = PresentedKey::find(&headers, None, [&name].into_iter()).unwrap();
        store
            .open(presented.as_ref(), now.parse().unwrap())
            .map(|key| key.id.to_string())
    }

    const NOW: &str = "2026-06-01T00:00:00Z";

    #[test]
    fn a_key_opens_between_its_times_and_not_otherwise() {
        let mut dated = entry("dated", &[("d", None)]);
        dated.key.not_before = Some("2026-01-01T00:00:00Z".parse().unwrap());
        dated.key.expires = Some("2027-01-01T00:00:00Z".parse().unwrap());
        let mut off = entry("off", &[("o", None)]);
        off.key.disabled = true;
        let store = KeyStore::build([entry("alice", &[("a", None)]), dated, off]).unwrap();

        assert_eq!(open(&store, Some("a"), NOW).unwrap(), "alice");
        assert_eq!(open(&store, Some("d"), NOW).unwrap(), "dated");
        assert_eq!(
            open(&store, Some("d"), "2025-12-31T23:59:59Z"),
            Err(KeyFailure::NotYetValid)
        );
        assert_eq!(
            open(&store, Some("d"), "2027-01-01T00:00:00Z"),
            Err(KeyFailure::Expired)
        );
        assert_eq!(open(&store, Some("o"), NOW), Err(KeyFailure::Disabled));
        assert_eq!(open(&store, Some("x"), NOW), Err(KeyFailure::Unknown));
        assert_eq!(
            open(&store, Some("kg_x_abc"), NOW),
            Err(KeyFailure::Malformed)
        );
        assert_eq!(open(&store, None, NOW), Err(KeyFailure::Missing));
    }

    #[test]
    fn both_keys_of_a_rotation_open_until_the_old_ones_end() {
        let rotated = entry("r", &[("old", Some("2026-06-02T00:00:00Z")), ("new", None)]);
        let store = KeyStore::build([rotated]).unwrap();
        assert!(open(&store, Some("old"), NOW).is_ok());
        assert!(open(&store, Some("new"), NOW).is_ok());
        assert_eq!(
            open(&store, Some("old"), "2026-06-02T00:00:00Z"),
            Err(KeyFailure::Expired)
        );
    }

    #[test]
    fn a_digest_that_two_keys_share_is_refused_by_their_ids() {
        let error = KeyStore::build([entry("a", &[("k", None)]), entry("b", &[("k", None)])]).err();
        assert_eq!(
            error,
            Some(DuplicateDigest {
                first: "a".into(),
                second: "b".into()
            })
        );
    }
}
