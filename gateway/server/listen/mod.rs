//! Accepting connections: the sockets, bound here or inherited, the accept loop, and the TLS settings.

pub(crate) mod accept;
pub(crate) mod listeners;
mod proxy_app;
pub(crate) mod sockets;
pub(crate) mod tls;
