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

pub use cors::{Cors, parse_origin};
pub use definition::{Access, Overlap, Route};
pub use escaped_separators::request_path;
pub use pattern::{HostPattern, PathPrefix};
pub use router::{Match, Router};
pub use target::{Target, Targets};

pub use crate::grammar::path::{BadPath, NormalPath};
