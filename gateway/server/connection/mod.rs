//! One client connection: TLS, the HTTP version, request framing, and how many connections may be open.
//!
//! The modules stack up from the socket: [`stream`] reads and writes it, [`bounded_stream`], [`throttle`] and [`flush`]
//! are layers around it, and [`client`] serves a connection by HTTP/1.1 or [`http2`]. None of them knows routes, keys
//! or providers.

pub(crate) mod boundary;
pub(crate) mod bounded_stream;
pub(crate) mod chunked;
pub(crate) mod client;
pub(crate) mod coalescer;
pub(crate) mod count;
pub(crate) mod flush;
pub(crate) mod framing;
pub(crate) mod handler;
pub(crate) mod head;
mod held_body;
pub(crate) mod http2;
pub(crate) mod layer;
pub(crate) mod proxy_header;
pub(crate) mod slots;
pub(crate) mod spare_buffers;
mod stream;
pub(crate) mod throttle;
