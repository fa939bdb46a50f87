//! Which names a configuration may use: of headers, and of providers, routes and metadata.

use http::HeaderName;

/// Headers that frame a message or route it: only the gateway sets them.
pub(super) const FRAMING: [&str; 14] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "sec-websocket-protocol",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers that describe a body or a client: they go to the provider and cannot hold a key.
pub(super) const CANNOT_HOLD_KEY: [&str; 6] = [
    "accept",
    "accept-encoding",
    "content-encoding",
    "content-type",
    "date",
    "user-agent",
];

/// Whether a header frames a message or routes it: only the gateway sets it.
pub(crate) fn is_framing(name: &HeaderName) -> bool {
    FRAMING.contains(&name.as_str())
}

/// Whether a client's key may stand in a header of this name.
pub(crate) fn may_hold_key(name: &HeaderName) -> bool {
    !is_framing(name) && !CANNOT_HOLD_KEY.contains(&name.as_str())
}

/// Whether `text` can be the name of a provider, a route or a metadata entry.
pub(super) fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}
