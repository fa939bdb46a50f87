//! Routes, keys and prices to be written.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::import::amounts::PlannedAmounts;
use crate::key::KeyDigest;
use crate::usage::{Cost, Rate};

/// A route to be written.
#[derive(Clone, Default)]
pub struct PlannedRoute {
    /// The unique name.
    pub(crate) name: String,
    /// The hosts; empty for any.
    pub(crate) hosts: Vec<String>,
    /// The path prefix.
    pub(crate) path: String,
    /// A comment in the file; may be empty.
    pub(crate) comment: String,
    /// The name of the provider.
    pub(crate) provider: String,
    /// The labels that a key must have. `None` makes the route open to anyone.
    pub keys: Option<BTreeMap<String, String>>,
    /// The extractors, by name.
    pub(crate) extractors: BTreeMap<String, PlannedExtractor>,
    /// The header templates by header; an empty template removes the header.
    pub(crate) headers: BTreeMap<String, String>,
    /// Whether the gateway asks providers to report the usage of streams on this route.
    pub(crate) exact_streams: bool,
    /// The title of the object that the route comes from.
    pub(crate) from: String,
}

/// An extractor to be written.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum PlannedExtractor {
    /// Takes a value from a header of the client's request.
    Header {
        /// The name of the header.
        name: String,
        /// The regular expression that the value must match.
        regex: String,
        /// The capture group to take.
        group: u64,
    },
    /// Takes a value from the key's metadata.
    Metadata(String),
}

/// A client key to be written.
#[derive(Clone)]
pub struct PlannedKey {
    /// The unique id.
    pub(crate) id: String,
    /// The digest of the key.
    pub(crate) digest: KeyDigest,
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// References to secrets that belong to the key.
    pub(crate) metadata: BTreeMap<String, String>,
    /// The limits of its own.
    pub(crate) limits: PlannedAmounts,
    /// The expiry time.
    pub(crate) expires: Option<Timestamp>,
    /// Whether the key is disabled.
    pub disabled: bool,
    /// A comment in the file.
    pub(crate) comment: String,
}

/// Prices of a million tokens, by their names in a price file.
pub(crate) type PlannedRates = BTreeMap<&'static str, Rate>;

/// A `[[price]]` to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlannedPrice {
    /// Model names, or prefixes of them that end with `*`.
    pub(crate) models: Vec<String>,
    /// The name of the provider.
    pub(crate) provider: String,
    /// The price of one request.
    pub(crate) per_request: Option<Cost>,
    /// The price of one web search.
    pub(crate) per_search: Option<Cost>,
    /// The token prices of each tier, by the length above which it applies and its service. The
    /// entry of length 0 without a service is the price itself; each other entry has all the prices
    /// that this one has.
    pub(crate) rates: BTreeMap<(u64, Option<&'static str>), PlannedRates>,
}

/// A model whose price is not known.
pub(super) struct Unpriced {
    /// The name of the provider.
    pub(super) provider: String,
    pub(super) model: String,
    /// The title of the entry that names the model.
    pub(super) title: String,
}
