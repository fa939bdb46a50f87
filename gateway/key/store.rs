//! The key store: all keys, and a table of their digests. Built once and never changed, so that all threads share it and
//! a reload replaces it as a whole.

use std::io;
use std::sync::Arc;

use jiff::Timestamp;
use subtle::Choice;
use thiserror::Error;

use super::client_key::{ClientKey, KeyEntry};
use super::digest::KeyDigest;
use super::format::is_malformed;
use super::outline::Outline;
use super::pages::{PagedKey, Pages, PagesBuilder};
use super::presented::PresentedKey;
use super::table::{Table, TableBuilder, TableEntry};

/// All keys of this gateway, by digest.
pub struct KeyStore {
    table: Table,
    keys: Pages,
    /// What the next version of the key file is compared with, if the file has a form that allows it.
    outline: Option<Outline>,
}

/// A key that is valid now.
#[derive(Clone, Copy)]
pub struct VerifiedKey<'s> {
    /// The key.
    pub key: PagedKey<'s>,
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
    /// The reason for a key of which it is known whether it is `malformed`. A key that is stored keeps its reason: whoever
    /// listed its digest knows it.
    ///
    /// Takes the bit, and does not compute it, so that every refusal computes it.
    #[must_use]
    pub fn or_malformed(self, malformed: Choice) -> Self {
        if self == Self::Unknown && malformed.into() {
            Self::Malformed
        } else {
            self
        }
    }

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
        let mut keys = PagesBuilder::with_room_for(expected);
        for KeyEntry { key, digests } in entries {
            let place = u32::try_from(keys.count()).unwrap_or(u32::MAX);
            for (digest, end) in digests {
                let taken = table.add(&digest, table_entry(&key, place, end))?;
                if let Some(taken) = taken {
                    let first = keys.get(taken.key as usize).unwrap_or(&key).id.clone();
                    let second = key.id;
                    return Err(StoreError::Duplicate { first, second });
                }
            }
            keys.push(key);
        }
        let (table, keys) = (table.finish()?, keys.finish());
        Ok(Self {
            table,
            keys,
            outline: None,
        })
    }

    /// The store of `table` and `keys`, which were read from the chunks of `outline`.
    pub(super) fn with_outline(table: Table, keys: Pages, outline: Outline) -> Self {
        Self {
            table,
            keys,
            outline: Some(outline),
        }
    }

    pub(super) fn outline(&self) -> Option<&Outline> {
        self.outline.as_ref()
    }

    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    pub(super) fn pages(&self) -> &Pages {
        &self.keys
    }

    /// Lets the first `counted` keys have metrics of their own, and no other key.
    pub(super) fn count_first(&mut self, counted: usize) {
        self.keys.count_first(counted);
    }

    /// Frees the store in steps, yielding to other work of the process.
    pub(crate) fn free(self) {
        self.keys.free();
    }

    /// All keys, in the order of their source.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &ClientKey> {
        self.keys.iter()
    }

    /// The number of keys.
    pub(crate) fn count(&self) -> usize {
        self.keys.count()
    }

    /// Verifies the presented key at the time `now`.
    ///
    /// All keys that are refused (missing, malformed, unknown, disabled, not yet valid, expired) take one path: digest, one
    /// slot of the table, a constant-time comparison of 32 bytes, format. A key that is accepted skips the format, which
    /// reveals nothing that the response does not. The table is searched for the digest, not for the key, so the timing
    /// does not show which bytes of a guess are right.
    ///
    /// # Errors
    /// Why the key is refused.
    pub fn verify(
        &self,
        presented: Option<&PresentedKey<'_>>,
        now: Timestamp,
    ) -> Result<VerifiedKey<'_>, KeyFailure> {
        let bytes = presented.map_or(&b""[..], PresentedKey::as_bytes);
        let verified = self.verify_bytes(bytes, now);
        match presented {
            Some(_) => verified,
            None => Err(KeyFailure::Missing),
        }
    }

    /// [`verify`](Self::verify) for the bytes of a key.
    ///
    /// # Errors
    /// Why the key is refused.
    pub fn verify_bytes(
        &self,
        presented: &[u8],
        now: Timestamp,
    ) -> Result<VerifiedKey<'_>, KeyFailure> {
        self.verify_digest(&KeyDigest::of(presented), now)
            .map_err(|why| why.or_malformed(is_malformed(presented)))
    }

    /// The id of the presented key, valid or not. For people who may read the key file anyway.
    pub(crate) fn key_id(&self, presented: &PresentedKey<'_>) -> Option<&Arc<str>> {
        let entry = self.table.find(&KeyDigest::of(presented.as_bytes()))?;
        self.keys.key(entry.key as usize).map(|key| &key.id)
    }

    /// The part of [`verify`](Self::verify) that does not see the key itself. Does not tell a malformed key from an unknown
    /// one.
    ///
    /// # Errors
    /// Why the key is refused.
    pub fn verify_digest(
        &self,
        digest: &KeyDigest,
        now: Timestamp,
    ) -> Result<VerifiedKey<'_>, KeyFailure> {
        let entry = self.table.find(digest).ok_or(KeyFailure::Unknown)?;
        check_validity(&entry, now)?;
        let key = self.keys.get(entry.key as usize);
        Ok(VerifiedKey {
            key: key.ok_or(KeyFailure::Unknown)?,
            digest: *digest,
        })
    }

    /// The key with this digest, valid or not, and the end of that digest, if it has one.
    pub(super) fn find(&self, digest: &KeyDigest) -> Option<(&ClientKey, Option<Timestamp>)> {
        let entry = self.table.find(digest)?;
        let key = self.keys.key(entry.key as usize)?;
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
pub(super) fn table_entry(key: &ClientKey, place: u32, end: Option<Timestamp>) -> TableEntry {
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

    fn entry(id: &str, keys: &[(&str, Option<&str>)]) -> KeyEntry {
        KeyEntry {
            key: ClientKey::new(id.into()),
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
    fn a_key_with_keygates_prefix_and_another_form_is_accepted_where_its_digest_is_stored() {
        // Only its owner can have listed it: a digest does not show the form of its key.
        let mut off = entry("off", &[("kg_off_abc", None)]);
        off.key.disabled = true;
        let store = KeyStore::build([entry("own", &[("kg_own_abc", None)]), off]).unwrap();
        assert_eq!(verify(&store, Some("kg_own_abc"), NOW).unwrap(), "own");
        for (cut, why) in [
            ("kg_own_ab", KeyFailure::Malformed),
            ("kg_own_abcd", KeyFailure::Malformed),
            ("kg_off_abc", KeyFailure::Disabled),
        ] {
            assert_eq!(verify(&store, Some(cut), NOW), Err(why), "{cut}");
        }
    }
}
