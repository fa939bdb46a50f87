//! What a client or an address may do in a time, or at once: wrong keys, connections, requests; and how much of bodies all
//! clients together have held.
//!
//! Counts and decides; knows nothing of HTTP, Pingora, keys or responses. A caller reads the setting, passes it in, and
//! turns the decision into a response. `notice` holds the settings for that, which the configuration reads.

pub(crate) mod account;
pub(crate) mod admitted;
pub(crate) mod amount;
pub(crate) mod applied;
pub(crate) mod book;
pub(crate) mod budget;
pub(crate) mod by_address;
pub(crate) mod estimate;
pub(crate) mod failed_keys;
pub(crate) mod gcra;
pub(crate) mod held_bodies;
pub(crate) mod level;
pub(crate) mod lists;
pub(crate) mod moment;
pub(crate) mod notice;
pub(crate) mod of_key;
pub(crate) mod passed;
pub(crate) mod period;
pub(crate) mod plan;
pub(crate) mod rate;
pub(crate) mod reservation;
pub(crate) mod sample;
pub(crate) mod slot;
pub(crate) mod slots;
pub(crate) mod terms;
#[cfg(test)]
mod tests;
