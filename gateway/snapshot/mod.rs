//! The configuration as used: a [`Snapshot`] is built whole beside the old one, and one pointer is swapped. A request
//! is admitted by the snapshot it began with, and then keeps only its [`Rules`].
//!
//! [`Live`] holds the state that survives a swap: metrics, resolved names, the outcome of the last reload.

mod live;
mod routes;
mod rules;

pub use self::live::Live;
pub(crate) use self::rules::{BuildError, Rules, Snapshot};
