//! One connection of a client: what is read, what is written, and how long each may take.

pub(crate) mod boundary;
pub(crate) mod chunks;
pub(crate) mod client;
pub(crate) mod connections;
pub(crate) mod flush;
pub(crate) mod head;
pub(crate) mod http2;
pub(crate) mod layer;
pub(crate) mod pace;
pub(crate) mod seats;
pub(crate) mod socket;
