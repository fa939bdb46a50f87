//! Routes: who may send a request, and which targets it may go to.
//!
//! A route is found by host and path alone, the most specific first; nothing else that a client sends chooses a
//! destination.

mod another;
mod cors;
mod definition;
mod escaped_separators;
mod overlap;
mod pattern;
mod router;
mod target;
#[cfg(test)]
mod testing;

pub(crate) use cors::{Cors, parse_origin};
pub(crate) use definition::{Access, Overlap, Route};
pub use escaped_separators::request_path;
pub(crate) use pattern::{HostPattern, PathPrefix};
pub(crate) use router::Router;
pub(crate) use target::{Target, Targets};

pub(crate) use crate::grammar::path::BadPath;
pub use crate::grammar::path::NormalPath;
