//! Whose a request is: the address that its connection has, or that a trusted proxy names.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;

use crate::grammar::address::client_network;
use crate::snapshot::Rules;
use crate::trusted_proxies::Named;

/// The client of a request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ClientAddress {
    /// As the access line says it. Its port is 0 where the proxy names none.
    pub(super) address: Option<SocketAddr>,
    /// What the limits of one address count it for; nothing where that may be many clients.
    pub(super) limited: Option<IpAddr>,
    /// Whether its connection counts for no address, so that the request has to.
    pub(super) shares_connection: bool,
}

impl ClientAddress {
    /// That of a request with these headers on a connection of `peer`.
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
