//! Connections to origins over HTTP/1.1, kept per serving thread.
//!
//! Pingora's own pool costs a request a spawned task, a timer, a lock and a `getpeername`, and its HTTP/1.1 session sends
//! a request's head and body separately. [`OriginConnector`] replaces both by Pingora's public API: for a peer with a
//! custom ALPN, Pingora asks a custom connector for a connection, and speaks its own HTTP/1.1 over the stream that comes
//! back. That stream sends the head together with the body ([`stream`]), and returns to [`pool`] when Pingora drops it.
//!
//! HTTP/2 and upgraded connections take Pingora's own way. See `docs/adr/0009-origin-connections.md`.

mod connector;
mod error;
mod head;
mod pool;
mod stream;

pub(crate) use connector::{OriginConnector, is_own_connection, own_connections, was_kept};
pub(crate) use error::ConnectionError;
