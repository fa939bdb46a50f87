//! The syntax of HTTP, as plain functions without state: hosts, addresses, ids.
//!
//! Does no IO and knows nothing of keys, routes or providers.

pub mod address;
pub mod host;
pub mod network;
pub mod request_id;
