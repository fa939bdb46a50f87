//! What a client or an address may do in a time: failed keys, requests at once.
//!
//! Counts; knows nothing of sessions or responses.

pub mod by_address;
pub mod failed_keys;
