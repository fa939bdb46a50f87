//! The key store: keys, and a table of the digests that open them. Built once and never changed, so that
//! it can be shared by every thread and swapped whole.

use std::fmt;
use std::io;
use std::sync::Arc;

use jiff::Timestamp;
use subtle::Choice;

use super::format::form;
use super::table::{Table, TableBuilder, TableEntry};
use super::{ClientKey, KeyDigest, KeyEntry, PresentedKey};
use crate::runtime::background;

/// After how many keys the building of a store gives way to others.
const KEYS_A_STEP: usize = 256;

/// Every key that this gateway knows, by digest.
pub struct KeyStore {
    table: Table,
    keys: Vec<Arc<ClientKey>>,
}

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
pub struct VerifiedKey<'s> {
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

/// Why a store could not be built.
#[derive(Debug)]
pub enum StoreError {
    /// Two keys have one digest: named by id, never by value.
    Duplicate {
        /// The key that had the digest first.
        first: Arc<str>,
        /// The key that has it too.
        second: Arc<str>,
    },
    /// The system gave no memory.
    Memory(io::Error),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate { first, second } => {
                write!(f, "keys `{first}` and `{second}` have the same hash")
            }
            Self::Memory(error) => write!(f, "there is no memory for the keys: {error}"),
        }
    }
}

impl StoreError {
    /// Whether the same keys may make a store a moment later.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Memory(_))
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::Memory(error)
    }
}

impl KeyStore {
    /// Builds the store from what a source of keys hands over. Fails on the first digest that two keys
    /// share.
    pub fn build(entries: impl IntoIterator<Item = KeyEntry>) -> Result<Self, StoreError> {
        let entries = entries.into_iter();
        let expected = entries.size_hint().0;
        let mut table = TableBuilder::with_room_for(expected)?;
        let mut keys: Vec<Arc<ClientKey>> = Vec::with_capacity(expected);
        for KeyEntry { key, digests } in entries {
            let place = u32::try_from(keys.len()).unwrap_or(u32::MAX);
            for (digest, end) in digests {
                let taken = table.add(&digest, opening(&key, place, end))?;
                if let Some(taken) = taken {
                    let first = keys.get(taken.key as usize).map_or(&key.id, |key| &key.id);
                    return Err(StoreError::Duplicate {
                        first: first.clone(),
                        second: key.id,
                    });
                }
            }
            keys.push(Arc::new(key));
            if keys.len().is_multiple_of(KEYS_A_STEP) {
                background::yield_to_others();
            }
        }
        let table = table.finish()?;
        Ok(Self { table, keys })
    }

    /// Frees it, giving way to others meanwhile.
    pub fn free(self) {
        background::drop_in_steps(self.keys);
    }

    /// All keys, in the order of their source.
    pub fn keys(&self) -> &[Arc<ClientKey>] {
        &self.keys
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
    ) -> Result<VerifiedKey<'_>, KeyFailure> {
        let bytes = presented.map_or(&b""[..], PresentedKey::as_bytes);
        let opened = self.look_up(&Fingerprint::of(bytes), now);
        match presented {
            Some(_) => opened,
            None => Err(KeyFailure::Missing),
        }
    }

    /// The id of the key that is presented, whether it opens or not: for people who know the keys anyway.
    pub fn known(&self, presented: &PresentedKey<'_>) -> Option<&Arc<str>> {
        let opening = self.table.find(&KeyDigest::of(presented.as_bytes()))?;
        self.keys.get(opening.key as usize).map(|key| &key.id)
    }

    /// The second half of [`open`](Self::open), which does not see the key.
    pub fn look_up(
        &self,
        fingerprint: &Fingerprint,
        now: Timestamp,
    ) -> Result<VerifiedKey<'_>, KeyFailure> {
        let found = self.table.find(&fingerprint.digest);
        if fingerprint.malformed.into() {
            return Err(KeyFailure::Malformed);
        }
        let opening = found.ok_or(KeyFailure::Unknown)?;
        opens_at(&opening, now)?;
        let key = self.keys.get(opening.key as usize);
        Ok(VerifiedKey {
            key: key.ok_or(KeyFailure::Unknown)?,
            digest: fingerprint.digest,
        })
    }

    /// The key that `digest` belongs to, whether it opens or not, and the end of that digest, if it has one.
    pub(super) fn holder(&self, digest: &KeyDigest) -> Option<(&ClientKey, Option<Timestamp>)> {
        let opening = self.table.find(digest)?;
        let key = self.keys.get(opening.key as usize)?;
        let ends = (opening.ends != i64::MAX).then_some(opening.ends);
        Some((
            key,
            ends.and_then(|end| Timestamp::from_microsecond(end).ok()),
        ))
    }

    /// Until when a digest opens, if it does at the time `now` and nothing is changed.
    pub fn valid_until(&self, digest: &KeyDigest, now: Timestamp) -> Result<Timestamp, KeyFailure> {
        let opening = self.table.find(digest).ok_or(KeyFailure::Unknown)?;
        opens_at(&opening, now)?;
        Ok(Timestamp::from_microsecond(opening.ends).unwrap_or(Timestamp::MAX))
    }
}

/// What a digest of `key`, which is the one in this `place`, opens until `end`.
fn opening(key: &ClientKey, place: u32, end: Option<Timestamp>) -> TableEntry {
    let micros = |time: Timestamp| time.as_microsecond();
    let ends = [end, key.expires].into_iter().flatten().map(micros);
    TableEntry {
        key: place,
        begins: key.not_before.map_or(i64::MIN, micros),
        ends: ends.min().unwrap_or(i64::MAX),
        disabled: key.disabled,
    }
}

fn opens_at(opening: &TableEntry, now: Timestamp) -> Result<(), KeyFailure> {
    let now = now.as_microsecond();
    if opening.disabled {
        Err(KeyFailure::Disabled)
    } else if now < opening.begins {
        Err(KeyFailure::NotYetValid)
    } else if now >= opening.ends {
        Err(KeyFailure::Expired)
    } else {
        Ok(())
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
                counted: true,
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
        let said = "keys `a` and `b` have the same hash";
        assert_eq!(error.unwrap().to_string(), said);
    }

    #[test]
    fn a_malformed_key_is_refused_even_where_its_digest_is_stored() {
        // As it could be by an import of a key that was cut off.
        let store = KeyStore::build([entry("cut", &[("kg_cut_abc", None)])]).unwrap();
        assert_eq!(
            open(&store, Some("kg_cut_abc"), NOW),
            Err(KeyFailure::Malformed)
        );
    }
}
