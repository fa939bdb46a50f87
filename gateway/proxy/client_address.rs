//! The client's address: that of its connection, or the one that a trusted proxy names.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;

use crate::grammar::address::client_network;
use crate::snapshot::Rules;
use crate::trusted_proxies::Named;

/// The address of a request's client.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ClientAddress {
    /// The address for the access line. Its port is 0 where the proxy names none.
    pub(super) address: Option<SocketAddr>,
    /// The address that the limits per address count the request for. `None` where many clients may share it.
    pub(super) limited: Option<IpAddr>,
    /// Whether the connection counts for no address, so that each request has to.
    pub(super) shares_connection: bool,
}

impl ClientAddress {
    /// The address of a request with `headers` on a connection from `peer`.
    pub(super) fn of(peer: Option<SocketAddr>, headers: &HeaderMap, rules: &Rules) -> Self {
        let Some(peer) = peer else {
            return Self::default();
        };
        let (mut address, mut named) = (peer, Named::ByConnection);
        if let Some(proxies) = &rules.server.limits.trusted_proxies {
            let client = proxies.client(peer, headers);
            (address, named) = (client.address, client.named);
        }
        let is_known = named != Named::Nowhere;
        Self {
            address: Some(address),
            limited: client_network(address.ip()).filter(|_| is_known),
            shares_connection: named == Named::ByHeader,
        }
    }
}
