//! Imports of other gateways' configurations: objects of Gloo, kgateway and agentgateway, and
//! `LiteLLM`'s file and tables.
//!
//! An import makes a [`Plan`] of the files to write, with a [`Note`] for everything that could not
//! be carried over or that changes its meaning. `keygate check` accepts whatever [`write()`]
//! writes. This module reads files that its caller has opened; it fetches nothing and does not
//! serve requests.

mod error;
mod fields;
pub mod gloo;
pub mod litellm;
mod names;
mod notes;
mod plan;
mod planned;
mod prices;
mod provider;
mod write;
mod yaml;

pub use self::error::ImportError;
pub use self::notes::{Note, Notes};
pub use self::plan::Plan;
pub use self::planned::{PlannedExtractor, PlannedKey, PlannedPrice, PlannedRates, PlannedRoute};
pub use self::prices::prices;
pub use self::provider::PlannedProvider;
pub use self::write::{gateway, keys, write};
pub use self::yaml::{YamlError, documents};
