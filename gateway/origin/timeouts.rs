//! How long to wait for an origin in each part of an exchange.

use std::time::Duration;

/// How long to wait for an origin in each part of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a TCP connection, and again for its TLS handshake.
    pub(crate) connect: Duration,
    /// From the last byte of the request to the head of the response.
    pub(crate) first_byte: Duration,
    /// Between two chunks of a response; no longer than `first_byte`.
    pub(crate) idle: Duration,
    /// For the whole exchange; `None` is without limit.
    pub(crate) total: Option<Duration>,
    /// For the origin to take a chunk of the request.
    pub(crate) write: Duration,
    /// How long an unused connection is kept in the pool. Shorter than the origin keeps it: otherwise requests are sent
    /// on connections that the origin is just closing.
    pub(crate) pool_idle: Duration,
}

impl Default for Timeouts {
    /// Minutes for the first byte, because a model may reason that long before its first token.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(600),
            idle: Duration::from_secs(300),
            total: Some(Duration::from_secs(3600)),
            write: Duration::from_secs(60),
            pool_idle: Duration::from_secs(45),
        }
    }
}
