//! The syntax of HTTP, as plain functions without state: paths, queries, credentials, media types, lists, hosts,
//! addresses, URLs, request ids.
//!
//! Does no IO and knows nothing of keys, routes or providers: it decides how a text is read, never what it means for a
//! request.

pub(crate) mod address;
pub(crate) mod authorization;
mod escaped_separators;
pub(crate) mod host;
pub(crate) mod list;
pub(crate) mod media;
pub(crate) mod network;
pub(crate) mod path;
pub(crate) mod query;
pub(crate) mod request_id;
pub(crate) mod url;
