//! Client keys: what one is, how it is found in a request, and how it is looked up.
//!
//! Where keys come from and how they are looked up meet in one type: a source (the key file is the
//! first) hands over [`KeyEntry`]s, and [`KeyStore::build`] makes of them what requests are checked
//! against. Neither knows the other.
//!
//! Knows only digests of keys. The lookup is the same work for every reason a key may be refused;
//! the reason goes to the log and the metrics, never to the client.

pub mod edit;
pub mod file;
mod file_source;
pub mod format;
mod labels;
mod leak;
pub mod lock;
pub mod moment;
pub mod narrow;
mod presented;
pub mod rows;
mod source;
mod store;
mod table;

pub use file_source::KeyFileSource;
pub use labels::{KnownLabels, Labels};
pub use leak::is_our_credential;
pub use presented::{
    AmbiguousCredentials, PresentedKey, decoded, has_credential, has_parameter, is_key_protocol,
    remove_from_query, without_scheme,
};
pub use source::{KeySet, KeySource, KeySourceError, Revision};
pub use store::{Fingerprint, KeyFailure, KeyStore, StoreError, VerifiedKey};

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::secret::{Secret, SecretError};

/// SHA-256 of a whole key as it is presented, in memory and (as `sha256:<64 hex digits>`) in files.
///
/// `LiteLLM` keeps the same digest in its key table, so its keys can be taken over unseen.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// The digest of a presented key.
    pub fn of(presented: &[u8]) -> Self {
        Self(Sha256::digest(presented).into())
    }

    /// Reads `sha256:<64 hex digits>`.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let wanted = "expected `sha256:` and 64 hexadecimal digits";
        let hex = text.strip_prefix("sha256:").ok_or(wanted)?;
        // A sign is none, though Rust's parser takes `+f` for a number.
        if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wanted);
        }
        let mut bytes = [0; 32];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = hex
                .get(2 * i..2 * i + 2)
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
                .ok_or(wanted)?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A client's key: everything about it but the key.
#[derive(Clone)]
pub struct ClientKey {
    /// Its immutable name, the label in logs and metrics.
    pub id: Arc<str>,
    /// What selectors of routes look at.
    pub labels: Labels,
    /// Secrets that belong to this key, such as a provider token of its own.
    pub metadata: BTreeMap<String, Result<Secret, SecretError>>,
    /// It opens nothing before this time.
    pub not_before: Option<Timestamp>,
    /// It opens nothing from this time on.
    pub expires: Option<Timestamp>,
    /// It opens nothing at all.
    pub disabled: bool,
    /// Whether it has series of its own in the metrics; the others are counted together.
    pub counted: bool,
}

impl ClientKey {
    /// The metadata entry `name`, if it is there and could be fetched.
    pub fn metadata(&self, name: &str) -> Option<&Secret> {
        self.metadata.get(name)?.as_ref().ok()
    }
}

/// A key with the digests that open it, as a source of keys hands it over.
#[derive(Clone)]
pub struct KeyEntry {
    /// The key.
    pub key: ClientKey,
    /// Its digests, each with the end of its own validity; two while a rotation overlaps.
    pub digests: Vec<(KeyDigest, Option<Timestamp>)>,
}

/// Which keys a route takes: those that carry every one of these labels.
///
/// The empty selector takes any valid key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(pub BTreeMap<String, String>);

impl Selector {
    /// Whether `key` may come in.
    pub fn takes(&self, key: &ClientKey) -> bool {
        self.0
            .iter()
            .all(|(name, value)| key.labels.get(name) == Some(value.as_str()))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("any valid key");
        }
        for (i, (name, value)) in self.0.iter().enumerate() {
            write!(f, "{}{name} = {value}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// How long an id may be.
const LONGEST_ID: usize = 64;

/// Whether `id` can name a key: 1 to 64 letters, digits, `.`, `_`, `-`, `@`.
pub fn is_key_id(id: &str) -> bool {
    (1..=LONGEST_ID).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-@".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_written_and_read_alike() {
        let digest = KeyDigest::of(b"mysecretkey");
        // From `printf mysecretkey | sha256sum`.
        let sum = "2afe16a6d630d94cd07c68d5e35568655bf5f60bef29c4f1321fc857816afec9";
        assert_eq!(digest.to_string(), format!("sha256:{sum}"));
        assert!(KeyDigest::parse(&digest.to_string()) == Ok(digest));
        for bad in [
            "",
            "sha256:",
            "sha256:zz",
            "md5:00",
            &format!("sha256:{}", "g".repeat(64)),
            &format!("sha256:{}", "+f".repeat(32)),
        ] {
            assert!(KeyDigest::parse(bad).is_err(), "{bad}");
        }
    }
}
