//! The key store: all keys, and a table of their digests. Built once and never changed, so that all threads share it and
//! a reload replaces it as a whole.

use std::io;
use std::sync::Arc;

use jiff::Timestamp;
use subtle::Choice;
use thiserror::Error;

use super::client_key::{ClientKey, KeyEntry};
use super::digest::KeyDigest;
use super::format::inspect;
use super::presented::PresentedKey;
use super::table::{Table, TableBuilder, TableEntry};
use crate::runtime::background;

/// The number of keys after which the building of a store yields to other work of the process.
const KEYS_A_STEP: usize = 256;

/// All keys of this gateway, by digest.
pub struct KeyStore {
    table: Table,
    keys: Vec<Arc<ClientKey>>,
}

/// What the lookup learns of a presented key: its digest, and whether it has keygate's prefix but is malformed. The key
/// cannot be recovered from it.
///
/// Computed in steps that depend on the key's length only.
#[derive(Clone, Copy)]
pub struct Fingerprint {
    /// For a malformed key, the complement of its digest: it matches no entry, and the lookup costs the same.
    digest: KeyDigest,
    malformed: Choice,
}

impl Fingerprint {
    /// The fingerprint of a presented key.
    pub fn of(presented: &[u8]) -> Self {
        let malformed = inspect(presented).malformed;
        let mut digest = KeyDigest::of(presented);
        // Flip every bit if malformed, without branching, so that both cases do the same work. By words, because the
        // compiler does not always vectorise a loop over bytes.
        let flip = 0_u64.wrapping_sub(u64::from(malformed.unwrap_u8()));
        for word in digest.0.as_chunks_mut::<8>().0 {
            *word = (u64::from_ne_bytes(*word) ^ flip).to_ne_bytes();
        }
        Self { digest, malformed }
    }
}

/// A key that is valid now.
#[derive(Clone, Copy)]
pub struct VerifiedKey<'s> {
    /// The key.
    pub key: &'s Arc<ClientKey>,
    /// The digest of the presented secret, one of the key's digests.
    pub(crate) digest: KeyDigest,
}

/// Why a key was refused. For the log and the metrics; the client does not learn it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyFailure {
    /// The request has no key.
    Missing,
    /// The key has keygate's prefix, but its length or checksum is wrong.
    Malformed,
    /// No key has the digest of the presented one.
    Unknown,
    /// The key is disabled.
    Disabled,
    /// The key's validity has not started.
    NotYetValid,
    /// The key's validity has ended.
    Expired,
}

impl KeyFailure {
    /// The value of the label in metrics and logs.
    pub(crate) fn label(self) -> &'static str {
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
#[derive(Debug, Error)]
pub enum StoreError {
    /// Two keys have the same digest; the error names their ids.
    #[error("keys `{first}` and `{second}` have the same hash")]
    Duplicate {
        /// The key that comes first.
        first: Arc<str>,
        /// The key that comes later.
        second: Arc<str>,
    },
    /// The system provided no memory.
    #[error("there is no memory for the keys: {0}")]
    Memory(#[from] io::Error),
}

impl StoreError {
    /// Whether building a store from the same keys may succeed later.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Memory(_))
    }
}

impl KeyStore {
    /// Builds the store from the keys of a source.
    ///
    /// # Errors
    /// The first digest that two keys share, or a lack of memory.
    pub fn build(entries: impl IntoIterator<Item = KeyEntry>) -> Result<Self, StoreError> {
        let entries = entries.into_iter();
        let expected = entries.size_hint().0;
        let mut table = TableBuilder::with_room_for(expected)?;
        let mut keys: Vec<Arc<ClientKey>> = Vec::with_capacity(expected);
        for KeyEntry { key, digests } in entries {
            let place = u32::try_from(keys.len()).unwrap_or(u32::MAX);
            for (digest, end) in digests {
                let taken = table.add(&digest, table_entry(&key, place, end))?;
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

    /// Frees the store in steps, yielding to other work of the process.
    pub(crate) fn free(self) {
        background::drop_in_steps(self.keys);
    }

    /// All keys, in the order of their source.
    pub(crate) fn keys(&self) -> &[Arc<ClientKey>] {
        &self.keys
    }

    /// Verifies the presented key at the time `now`.
    ///
    /// Missing, malformed, unknown, disabled, not yet valid and expired keys all take one path: format, digest, one slot of
    /// the table, a constant-time comparison of 32 bytes. The table is searched for the digest, not for the key, so the
    /// timing does not show which bytes of a guess are right.
    ///
    /// # Errors
    /// Why the key is refused.
    pub fn verify(
        &self,
        presented: Option<&PresentedKey<'_>>,
        now: Timestamp,
    ) -> Result<VerifiedKey<'_>, KeyFailure> {
        let bytes = presented.map_or(&b""[..], PresentedKey::as_bytes);
        let verified = self.verify_fingerprint(&Fingerprint::of(bytes), now);
        match presented {
            Some(_) => verified,
            None => Err(KeyFailure::Missing),
        }
    }

    /// The id of the presented key, valid or not. For people who may read the key file anyway.
    pub(crate) fn key_id(&self, presented: &PresentedKey<'_>) -> Option<&Arc<str>> {
        let entry = self.table.find(&KeyDigest::of(presented.as_bytes()))?;
        self.keys.get(entry.key as usize).map(|key| &key.id)
    }

    /// The second half of [`verify`](Self::verify), which does not see the key itself.
    ///
    /// # Errors
    /// Why the key is refused.
    pub fn verify_fingerprint(
        &self,
        fingerprint: &Fingerprint,
        now: Timestamp,
    ) -> Result<VerifiedKey<'_>, KeyFailure> {
        let found = self.table.find(&fingerprint.digest);
        if fingerprint.malformed.into() {
            return Err(KeyFailure::Malformed);
        }
        let entry = found.ok_or(KeyFailure::Unknown)?;
        check_validity(&entry, now)?;
        let key = self.keys.get(entry.key as usize);
        Ok(VerifiedKey {
            key: key.ok_or(KeyFailure::Unknown)?,
            digest: fingerprint.digest,
        })
    }

    /// The key with this digest, valid or not, and the end of that digest, if it has one.
    pub(super) fn find(&self, digest: &KeyDigest) -> Option<(&ClientKey, Option<Timestamp>)> {
        let entry = self.table.find(digest)?;
        let key = self.keys.get(entry.key as usize)?;
        let ends = (entry.valid_until != i64::MAX).then_some(entry.valid_until);
        Some((
            key,
            ends.and_then(|end| Timestamp::from_microsecond(end).ok()),
        ))
    }

    /// The end of the validity of a digest that is valid at the time `now`; [`Timestamp::MAX`] if it has no end.
    ///
    /// # Errors
    /// Why the digest is not valid.
    pub(crate) fn valid_until(
        &self,
        digest: &KeyDigest,
        now: Timestamp,
    ) -> Result<Timestamp, KeyFailure> {
        let entry = self.table.find(digest).ok_or(KeyFailure::Unknown)?;
        check_validity(&entry, now)?;
        Ok(Timestamp::from_microsecond(entry.valid_until).unwrap_or(Timestamp::MAX))
    }
}

/// The table entry of a digest of `key` that ends at `end`; `place` is the index of the key.
fn table_entry(key: &ClientKey, place: u32, end: Option<Timestamp>) -> TableEntry {
    let micros = |time: Timestamp| time.as_microsecond();
    let ends = [end, key.expires].into_iter().flatten().map(micros);
    TableEntry {
        key: place,
        valid_from: key.not_before.map_or(i64::MIN, micros),
        valid_until: ends.min().unwrap_or(i64::MAX),
        disabled: key.disabled,
    }
}

fn check_validity(entry: &TableEntry, now: Timestamp) -> Result<(), KeyFailure> {
    let now = now.as_microsecond();
    if entry.disabled {
        Err(KeyFailure::Disabled)
    } else if now < entry.valid_from {
        Err(KeyFailure::NotYetValid)
    } else if now >= entry.valid_until {
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

    fn verify(store: &KeyStore, key: Option<&str>, now: &str) -> Result<String, KeyFailure> {
        let name = HeaderName::from_static("api-key");
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            headers.insert(name.clone(), key.parse().unwrap());
        }
        let presented = PresentedKey::find(&headers, None, [&name].into_iter()).unwrap();
        store
            .verify(presented.as_ref(), now.parse().unwrap())
            .map(|verified| verified.key.id.to_string())
    }

    const NOW: &str = "2026-06-01T00:00:00Z";

    #[test]
    fn a_key_is_valid_between_its_start_and_its_end_only() {
        let mut dated = entry("dated", &[("d", None)]);
        dated.key.not_before = Some("2026-01-01T00:00:00Z".parse().unwrap());
        dated.key.expires = Some("2027-01-01T00:00:00Z".parse().unwrap());
        let mut off = entry("off", &[("o", None)]);
        off.key.disabled = true;
        let store = KeyStore::build([entry("alice", &[("a", None)]), dated, off]).unwrap();

        assert_eq!(verify(&store, Some("a"), NOW).unwrap(), "alice");
        assert_eq!(verify(&store, Some("d"), NOW).unwrap(), "dated");
        assert_eq!(
            verify(&store, Some("d"), "2025-12-31T23:59:59Z"),
            Err(KeyFailure::NotYetValid)
        );
        assert_eq!(
            verify(&store, Some("d"), "2027-01-01T00:00:00Z"),
            Err(KeyFailure::Expired)
        );
        assert_eq!(verify(&store, Some("o"), NOW), Err(KeyFailure::Disabled));
        assert_eq!(verify(&store, Some("x"), NOW), Err(KeyFailure::Unknown));
        assert_eq!(
            verify(&store, Some("kg_x_abc"), NOW),
            Err(KeyFailure::Malformed)
        );
        assert_eq!(verify(&store, None, NOW), Err(KeyFailure::Missing));
    }

    #[test]
    fn both_secrets_of_a_rotation_are_valid_until_the_old_one_ends() {
        let rotated = entry("r", &[("old", Some("2026-06-02T00:00:00Z")), ("new", None)]);
        let store = KeyStore::build([rotated]).unwrap();
        assert!(verify(&store, Some("old"), NOW).is_ok());
        assert!(verify(&store, Some("new"), NOW).is_ok());
        assert_eq!(
            verify(&store, Some("old"), "2026-06-02T00:00:00Z"),
            Err(KeyFailure::Expired)
        );
    }

    #[test]
    fn a_digest_that_two_keys_share_is_refused_with_their_ids() {
        let error = KeyStore::build([entry("a", &[("k", None)]), entry("b", &[("k", None)])]).err();
        let expected = "keys `a` and `b` have the same hash";
        assert_eq!(error.unwrap().to_string(), expected);
    }

    #[test]
    fn a_malformed_key_is_refused_even_where_its_digest_is_stored() {
        // An import could store it, from a list in which the key was cut off.
        let store = KeyStore::build([entry("cut", &[("kg_cut_abc", None)])]).unwrap();
        assert_eq!(
            verify(&store, Some("kg_cut_abc"), NOW),
            Err(KeyFailure::Malformed)
        );
    }
}
