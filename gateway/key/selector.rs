//! The selector of a route: which keys may use it, by their labels.

use std::collections::BTreeMap;
use std::fmt;

use super::client_key::ClientKey;

/// The labels, by name, that a key must have to use a route. An empty selector accepts any valid key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selector(pub(crate) BTreeMap<String, String>);

impl Selector {
    /// Whether `key` has every label of the selector.
    pub(crate) fn takes(&self, key: &ClientKey) -> bool {
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
