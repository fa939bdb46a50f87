//! The proxies in front of this gateway (load balancers, ingresses, CDNs), and the client addresses that they report.
//!
//! Only a proxy whose own address is in a network of the configuration is believed. Plain functions: no IO, no session.

mod forwarded;
pub(crate) mod proxy_protocol;

use std::net::{IpAddr, SocketAddr};

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName};

use crate::grammar::network::Network;

/// The proxies that may report a client's address, and how they do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedProxies {
    /// The networks of the proxies.
    pub networks: Vec<Network>,
    /// How they report the client's address.
    pub named_by: NamedBy,
}

/// How a proxy reports the client's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedBy {
    /// Once for each connection, by a PROXY protocol header before its first byte.
    ProxyProtocol,
    /// In each request, by this header. `Forwarded` is read by RFC 7239, any other header as a list of addresses.
    Header(HeaderName),
}

/// The client of a request, as far as known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// The client's address; its port is 0 if the proxy reports none.
    pub address: SocketAddr,
    /// The source of the address.
    pub named: Named,
}

/// The source of a client's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// The connection.
    ByConnection,
    /// A header of the request. Requests of other clients may come over the same connection.
    ByHeader,
    /// None: the address is a trusted proxy's, and many clients may be behind it.
    Nowhere,
}

impl TrustedProxies {
    /// Whether `address` is that of a trusted proxy.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let mut networks = self.networks.iter();
        networks.any(|network| network.contains(address))
    }

    /// Whether the proxies begin each connection with a PROXY protocol header.
    pub(crate) fn speak_proxy_protocol(&self) -> bool {
        self.named_by == NamedBy::ProxyProtocol
    }

    /// The client of a request that came with these headers over a connection of `peer`.
    ///
    /// Each proxy appends the address from which it got the request to the list that it got. So the list is read from its
    /// end, up to the first address that is not a trusted proxy's; if all are, the last one read counts. Reading stops at
    /// an element that is no address, because no trusted proxy vouches for anything before it.
    pub fn client(&self, peer: SocketAddr, headers: &HeaderMap) -> Client {
        let direct = Client {
            address: peer,
            named: Named::ByConnection,
        };
        match &self.named_by {
            NamedBy::Header(name) if self.contains(peer.ip()) => self.named(peer, name, headers),
            // The PROXY header has set the peer's address to the client's, or the peer is the client itself.
            _ => direct,
        }
    }

    fn named(&self, peer: SocketAddr, name: &HeaderName, headers: &HeaderMap) -> Client {
        let read = if name == FORWARDED {
            forwarded::forwarded_elements
        } else {
            forwarded::list_elements
        };
        let mut client = Client {
            address: peer,
            named: Named::Nowhere,
        };
        let lines = headers.get_all(name).iter().rev();
        for named in lines.flat_map(|line| read(line.as_bytes())) {
            let Some(address) = named else {
                client.named = Named::Nowhere;
                break;
            };
            client = Client {
                address,
                named: Named::ByHeader,
            };
            if !self.contains(address.ip()) {
                break;
            }
        }
        client
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn proxies(named_by: NamedBy) -> TrustedProxies {
        let networks = ["10.0.0.0/8", "192.0.2.1"].map(|text| Network::parse(text).unwrap());
        TrustedProxies {
            networks: networks.to_vec(),
            named_by,
        }
    }

    fn client_of(header: &str, peer: &str, lines: &[&str]) -> (String, bool) {
        let name: HeaderName = header.parse().unwrap();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(&name, HeaderValue::from_str(line).unwrap());
        }
        let peer = SocketAddr::new(peer.parse().unwrap(), 9);
        let client = proxies(NamedBy::Header(name)).client(peer, &headers);
        (client.address.to_string(), client.named == Named::Nowhere)
    }

    #[test]
    fn the_last_address_that_is_no_trusted_proxy_is_the_client() {
        for (peer, lines, client, is_proxy) in [
            // Not a trusted proxy: its header is ignored.
            ("8.8.8.8", &["1.1.1.1"][..], "8.8.8.8:9", false),
            ("10.0.0.1", &["1.1.1.1"], "1.1.1.1:0", false),
            ("192.0.2.1", &["1.1.1.1"], "1.1.1.1:0", false),
            ("192.0.2.2", &["1.1.1.1"], "192.0.2.2:9", false),
            // The addresses in front were written by the client itself.
            ("10.0.0.1", &["6.6.6.6, 1.1.1.1"], "1.1.1.1:0", false),
            ("10.0.0.1", &["6.6.6.6", "1.1.1.1"], "1.1.1.1:0", false),
            (
                "10.0.0.1",
                &["6.6.6.6,1.1.1.1 , 10.9.9.9"],
                "1.1.1.1:0",
                false,
            ),
            ("10.0.0.1", &["10.1.1.1, 10.2.2.2"], "10.1.1.1:0", false),
            // No header, or no address in it.
            ("10.0.0.1", &[], "10.0.0.1:9", true),
            ("10.0.0.1", &[""], "10.0.0.1:9", true),
            ("10.0.0.1", &["unknown"], "10.0.0.1:9", true),
            (
                "10.0.0.1",
                &["6.6.6.6, unknown, 10.2.2.2"],
                "10.2.2.2:0",
                true,
            ),
            ("10.0.0.1", &["nonsense, 1.1.1.1"], "1.1.1.1:0", false),
        ] {
            let found = client_of("x-forwarded-for", peer, lines);
            assert_eq!(found, (client.to_owned(), is_proxy), "{peer} {lines:?}");
        }
    }

    #[test]
    fn forwarded_is_read_as_its_rfc_has_it() {
        for (lines, client, is_proxy) in [
            (&["for=1.1.1.1"][..], "1.1.1.1:0", false),
            (
                &["for=6.6.6.6, For=\"[2001:db8::1]:47\";proto=https"],
                "[2001:db8::1]:47",
                false,
            ),
            (
                &["for=6.6.6.6;by=10.0.0.1", "by=_x; for=1.1.1.1"],
                "1.1.1.1:0",
                false,
            ),
            (&["for=6.6.6.6, for=_hidden"], "10.0.0.1:9", true),
            (&["1.1.1.1"], "10.0.0.1:9", true),
        ] {
            let found = client_of("forwarded", "10.0.0.1", lines);
            assert_eq!(found, (client.to_owned(), is_proxy), "{lines:?}");
        }
    }

    #[test]
    fn with_the_proxy_protocol_no_header_counts() {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", HeaderValue::from_static("6.6.6.6"));
        let peer = "10.0.0.1:9".parse().unwrap();
        let client = proxies(NamedBy::ProxyProtocol).client(peer, &headers);
        assert_eq!(client.address, peer);
    }

    proptest::proptest! {
        /// The address that the proxy appends counts, whatever a client writes in front of it.
        #[test]
        fn what_a_client_writes_changes_nothing(sent in "[ -~]{0,40}", split in proptest::bool::ANY) {
            for (header, added) in [("x-forwarded-for", "1.1.1.1"), ("forwarded", "for=1.1.1.1")] {
                let (one, two) = (format!("{sent}, {added}"), [sent.as_str(), added]);
                let found = if split {
                    client_of(header, "10.0.0.1", &two)
                } else {
                    client_of(header, "10.0.0.1", &[&one])
                };
                proptest::prop_assert_eq!(found, ("1.1.1.1:0".to_owned(), false));
            }
        }
    }
}
