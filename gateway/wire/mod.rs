//! From bytes to meaning: JSON, compressed bodies, server-sent events, the frames of a WebSocket.
//!
//! Does no IO, and knows nothing of Pingora, keys or providers.

pub(crate) mod decoder;
pub(crate) mod json;
pub(crate) mod sse;
pub(crate) mod websocket;
