//! The deadlines that Pingora has no timer for: the idle time within a response, the time that a whole exchange may
//! take, and the time that a client may leave what is sent to it unread.
//!
//! Pingora's own read timeout covers the wait for the head of a response, and its errors become an orderly 504. Once a
//! response has begun, no status can be sent any more: the watchdog drops the exchange, which closes the client's
//! connection without the end of the message and takes the provider's connection away. The exchange of a key that is
//! revoked meanwhile ends in the same way, where the configuration wants that.
//!
//! [`handle`] holds the deadlines, [`run`] drops what is late, [`app`] gives each exchange its watchdog. Nothing here
//! knows a request, a route or a provider.

pub(crate) mod app;
mod handle;
mod run;

pub(crate) use handle::{Abort, ConnectionTimeouts, Watchdog, with_current};
pub(crate) use run::{preface_received, run_connection, run_http1};
