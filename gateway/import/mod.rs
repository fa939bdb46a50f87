//! Imports of other gateways' configurations: objects of Gloo, kgateway and agentgateway, and
//! `LiteLLM`'s file and tables.
//!
//! An import makes a [`Plan`] of the files to write, with a [`Note`](notes::Note) for everything that could not
//! be carried over or that changes its meaning. `keygate check` accepts whatever [`write()`]
//! writes. This module reads files that its caller has opened; it fetches nothing and does not
//! serve requests.

mod amounts;
mod error;
mod fields;
pub(crate) mod gloo;
mod limits;
pub(crate) mod litellm;
mod names;
mod notes;
mod plan;
mod planned;
mod planned_limit;
mod prices;
mod provider;
mod write;
mod yaml;

pub use self::plan::Plan;
pub use self::planned::PlannedRoute;
pub use self::prices::prices;
pub use self::write::{gateway, keys, write};
