//! Routes: who may send a request, and which targets it may go to.
//!
//! A route is found by host and path alone, the most specific first; nothing else that a client sends chooses a
//! destination.

mod another;
mod cors;
mod definition;
mod overlap;
mod path;
mod pattern;
mod router;
mod target;
#[cfg(test)]
mod testing;
mod unmask;

pub use cors::{Cors, parse_origin};
pub use definition::{Access, Overlap, Route};
pub use path::{BadPath, NormalPath};
pub use pattern::{HostPattern, PathPrefix};
pub use router::{Match, Router};
pub use target::{Target, Targets};
