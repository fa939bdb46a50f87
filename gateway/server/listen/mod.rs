//! Where clients come in: sockets of our own or inherited ones, the accept loop, TLS.

pub(crate) mod accept;
pub(crate) mod listening;
pub(crate) mod proxy_header;
pub(crate) mod sockets;
pub(crate) mod tls;
