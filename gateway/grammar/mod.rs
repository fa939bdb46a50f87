//! The syntax of HTTP, as plain functions without state: paths, queries, credentials, media types, lists, hosts,
//! addresses, request ids.
//!
//! Does no IO and knows nothing of keys, routes or providers: it says how a text is read, never what it means for a
//! request.

pub mod address;
pub(crate) mod authorization;
mod escaped_separators;
pub mod host;
pub(crate) mod list;
pub(crate) mod media;
pub mod network;
pub mod path;
pub mod query;
pub mod request_id;
