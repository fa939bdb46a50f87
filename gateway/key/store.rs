//! The key store: a table of digests, built once and never changed, so that it can be shared by every
//! thread and swapped whole.
//!
//! A slot holds one digest and all that decides whether it opens now, in one line of the cache. The
//! first slot that is looked at is the right one more often than not, so a lookup in a store that is
//! larger than the caches costs one miss, and seldom a second.

use std::sync::Arc;

use ahash::RandomState;
use jiff::Timestamp;
use subtle::{Choice, ConstantTimeEq};

use super::format::form;
use super::{ClientKey, KeyDigest, KeyEntry, PresentedKey};

/// Slots for each two digests: a third of the table is empty.
const SLOTS_FOR_TWO: usize = 3;
/// How many slots are made at least.
const LEAST_SLOTS: usize = 4;

/// Every key that this gateway knows, by digest.
pub struct KeyStore {
    /// A digest stands in the slot of its hash or in the next ones behind it, with no empty slot
    /// between.
    slots: Box<[Slot]>,
    hasher: RandomState,
    digests: usize,
    keys: Vec<Arc<ClientKey>>,
}

/// One digest and what decides about it. As long as a line of the cache, and in one.
#[derive(Clone)]
#[repr(align(64))]
struct Slot {
    digest: KeyDigest,
    /// When it begins to open, in microseconds since 1970.
    begins: i64,
    /// When it ends: the end of the digest or of the key, whichever is earlier.
    ends: i64,
    /// The place of its key in `keys`, from 1; 0 is an empty slot.
    key: u32,
    disabled: bool,
}

const EMPTY: Slot = Slot {
    digest: KeyDigest([0; 32]),
    begins: i64::MIN,
    ends: i64::MAX,
    key: 0,
    disabled: true,
};

/// What a lookup may know of a presented key: its digest, and whether its form is that of a made key
/// with something wrong. Nothing leads back from here to the key's bytes.
///
/// Made in steps that depend on the key's length only.
#[derive(Clone, Copy)]
pub struct Fingerprint {
    /// Of a malformed key, it is nobody's: that key is refused without being looked up.
    digest: KeyDigest,
    malformed: Choice,
}

impl Fingerprint {
    /// The fingerprint of a key as it is presented.
    pub fn of(presented: &[u8]) -> Self {
        let malformed = form(presented).broken;
        let mut digest = KeyDigest::of(presented);
        // Turned over, so that what is not looked up costs the same as what is.
        let turn = 0_u8.wrapping_sub(malformed.unwrap_u8());
        for byte in &mut digest.0 {
            *byte ^= turn;
        }
        Self { digest, malformed }
    }
}

/// A key that opens now.
#[derive(Clone, Copy)]
pub struct Opened<'s> {
    /// The key.
    pub key: &'s Arc<ClientKey>,
    /// The one of its digests that was presented.
    pub digest: KeyDigest,
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
    /// Builds the store from what a source of keys hands over. Fails on the first digest that two keys
    /// share.
    pub fn build(entries: impl IntoIterator<Item = KeyEntry>) -> Result<Self, DuplicateDigest> {
        let entries = entries.into_iter();
        let expected = entries.size_hint().0;
        let mut store = Self {
            slots: empty_slots(expected),
            hasher: RandomState::new(),
            digests: 0,
            keys: Vec::with_capacity(expected),
        };
        for KeyEntry { key, digests } in entries {
            store.keys.push(Arc::new(key));
            for (digest, end) in digests {
                store.add(digest, end)?;
            }
        }
        Ok(store)
    }

    /// Adds a digest of the key that came last.
    fn add(&mut self, digest: KeyDigest, end: Option<Timestamp>) -> Result<(), DuplicateDigest> {
        let Some(key) = self.keys.last() else {
            return Ok(());
        };
        if let Some(taken) = self.find(&digest) {
            let second = key.id.clone();
            let first = self.key(taken).map_or(&second, |key| &key.id).clone();
            return Err(DuplicateDigest { first, second });
        }
        let micros = |time: Timestamp| time.as_microsecond();
        let ends = [end, key.expires].into_iter().flatten().map(micros);
        let slot = Slot {
            digest,
            begins: key.not_before.map_or(i64::MIN, micros),
            ends: ends.min().unwrap_or(i64::MAX),
            // Four billion keys would need a terabyte before this saturates.
            key: u32::try_from(self.keys.len()).unwrap_or(u32::MAX),
            disabled: key.disabled,
        };
        self.digests += 1;
        if self.slots.len() < slots_for(self.digests) {
            let larger = empty_slots(self.digests + self.digests / 4);
            let old = std::mem::replace(&mut self.slots, larger);
            for slot in old.into_iter().filter(|slot| slot.key != 0) {
                self.put(slot);
            }
        }
        self.put(slot);
        Ok(())
    }

    fn put(&mut self, slot: Slot) {
        let mut place = self.place(&slot.digest);
        // A third of the slots is empty.
        while let Some(there) = self.slots.get_mut(place) {
            if there.key == 0 {
                *there = slot;
                return;
            }
            place = next(place, self.slots.len());
        }
    }

    /// The slot where a digest stands unless others are in its way.
    fn place(&self, digest: &KeyDigest) -> usize {
        let hash = u128::from(self.hasher.hash_one(digest));
        // Less than the number of slots, and as even as the hash.
        ((hash * self.slots.len() as u128) >> 64) as usize
    }

    fn find(&self, digest: &KeyDigest) -> Option<&Slot> {
        let mut place = self.place(digest);
        loop {
            let slot = self.slots.get(place)?;
            if slot.key == 0 {
                return None;
            }
            if slot.digest.0.ct_eq(&digest.0).into() {
                return Some(slot);
            }
            place = next(place, self.slots.len());
        }
    }

    fn key(&self, slot: &Slot) -> Option<&Arc<ClientKey>> {
        self.keys.get((slot.key as usize).checked_sub(1)?)
    }

    /// All keys, in the order of their source.
    pub fn keys(&self) -> &[Arc<ClientKey>] {
        &self.keys
    }

    /// Whether `secret` is a key of this gateway's, whatever its state, or looks like one that it
    /// made: nothing to be sent anywhere else.
    pub fn is_ours(&self, secret: &[u8]) -> bool {
        form(secret).ours.into() || self.find(&KeyDigest::of(secret)).is_some()
    }

    /// The key that `presented` opens at the time `now`.
    ///
    /// Missing, malformed, unknown, disabled, not yet valid and expired keys all take one path: form,
    /// digest, one place in the table, constant-time comparison of 32 bytes. The table is asked for a
    /// digest and not for the key, so which bytes of a guess are right is not in its timing.
    pub fn open(
        &self,
        presented: Option<&PresentedKey<'_>>,
        now: Timestamp,
    ) -> Result<Opened<'_>, KeyFailure> {
        let bytes = presented.map_or(&b""[..], PresentedKey::as_bytes);
        let opened = self.look_up(&Fingerprint::of(bytes), now);
        match presented {
            Some(_) => opened,
            None => Err(KeyFailure::Missing),
        }
    }

    /// The second half of [`open`](Self::open), which does not see the key.
    pub fn look_up(
        &self,
        fingerprint: &Fingerprint,
        now: Timestamp,
    ) -> Result<Opened<'_>, KeyFailure> {
        let found = self.find(&fingerprint.digest);
        if fingerprint.malformed.into() {
            return Err(KeyFailure::Malformed);
        }
        let slot = found.ok_or(KeyFailure::Unknown)?;
        slot.at(now)?;
        let key = self.key(slot).ok_or(KeyFailure::Unknown)?;
        Ok(Opened {
            key,
            digest: slot.digest,
        })
    }

    /// Whether the key that a digest belongs to still opens at the time `now`.
    pub fn still_opens(&self, digest: &KeyDigest, now: Timestamp) -> Result<(), KeyFailure> {
        self.find(digest).ok_or(KeyFailure::Unknown)?.at(now)
    }
}

impl Slot {
    fn at(&self, now: Timestamp) -> Result<(), KeyFailure> {
        let now = now.as_microsecond();
        if self.disabled {
            Err(KeyFailure::Disabled)
        } else if now < self.begins {
            Err(KeyFailure::NotYetValid)
        } else if now >= self.ends {
            Err(KeyFailure::Expired)
        } else {
            Ok(())
        }
    }
}

fn slots_for(digests: usize) -> usize {
    (digests * SLOTS_FOR_TWO / 2).max(LEAST_SLOTS)
}

fn empty_slots(digests: usize) -> Box<[Slot]> {
    vec![EMPTY; slots_for(digests)].into_boxed_slice()
}

fn next(place: usize, slots: usize) -> usize {
    if place + 1 == slots { 0 } else { place + 1 }
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
            .map(|opened| opened.key.id.to_string())
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

    #[test]
    fn a_store_that_grows_finds_every_digest_and_no_other() {
        // No hint of its size, so that it has to grow.
        let entries = (0..1000).map(|i| entry(&format!("k{i}"), &[(&format!("s{i}"), None)]));
        let mut unsized_entries = entries.collect::<Vec<_>>().into_iter();
        let store = KeyStore::build(std::iter::from_fn(|| unsized_entries.next())).unwrap();
        for i in 0..1000 {
            let found = open(&store, Some(&format!("s{i}")), NOW);
            assert_eq!(found, Ok(format!("k{i}")));
            assert_eq!(
                open(&store, Some(&format!("t{i}")), NOW),
                Err(KeyFailure::Unknown)
            );
        }
        assert_eq!(std::mem::size_of::<Slot>(), 64);
    }

    #[test]
    fn a_malformed_key_is_refused_even_where_its_digest_is_stored() {
        // As it could be by an import of a key that was cut off.
        let store = KeyStore::build([entry("cut", &[("kg_cut_abc", None)])]).unwrap();
        assert_eq!(
            open(&store, Some("kg_cut_abc"), NOW),
            Err(KeyFailure::Malformed)
        );
        assert!(store.is_ours(b"kg_anything") && !store.is_ours(b"sk-1"));
    }
}
