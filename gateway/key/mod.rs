//! Client keys: their format, how a request presents one, and how it is verified.
//!
//! A source of keys (the key file) returns [`KeyEntry`]s, and [`KeyStore::build`] makes of them the table against which
//! requests are verified. From a key file in the form that `keygate keys` writes, the source makes the store itself
//! (`plain_file`), and takes over from the one that serves what has not changed.
//!
//! This module keeps digests of keys only. The store does the same work for every reason to refuse a key; the reason
//! goes to the log and the metrics, never to the client.

mod client_key;
mod collected;
mod credential;
pub(crate) mod csv;
mod detect;
mod digest;
mod earlier;
pub(crate) mod edit;
pub(crate) mod file;
mod file_source;
pub(crate) mod format;
mod known;
mod labels;
mod limits;
pub(crate) mod lock;
mod metadata;
mod outline;
mod pages;
mod plain;
mod plain_file;
mod plain_limits;
mod plain_reader;
#[cfg(test)]
mod plain_tests;
mod presented;
mod query;
pub(crate) mod restrict;
mod selector;
mod source;
mod store;
mod table;
pub(crate) mod time;
mod window;

pub(crate) use client_key::is_key_id;
pub use client_key::{ClientKey, KeyEntry};
pub(crate) use credential::is_our_credential;
pub use digest::KeyDigest;
pub(crate) use file_source::KeyFileSource;
pub use labels::{KnownLabels, Labels};
pub(crate) use pages::KeptKey;
pub use presented::PresentedKey;
pub(crate) use presented::{AmbiguousCredentials, is_key_protocol};
pub(crate) use query::has_credential;
pub use query::remove_from_query;
pub(crate) use selector::Selector;
pub(crate) use source::{KeySet, KeySource, LoadedKeys, Revision};
pub use store::{KeyFailure, KeyStore};
pub(crate) use store::{StoreError, VerifiedKey};
