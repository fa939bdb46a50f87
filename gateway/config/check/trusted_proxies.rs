//! `trusted_proxies`, `proxy_protocol` and `client_ip_header` of `[server]`: which proxies in front may name a client's
//! address, and how.

use http::HeaderName;

use super::super::file::ServerFile;
use super::super::names::may_hold_key;
use super::checker::Checker;
use crate::document::{Located, Location, OneOrMany};
use crate::grammar::network::Network;
use crate::trusted_proxies::{NamedBy, TrustedProxies};

/// The header that most load balancers write.
const USUAL: HeaderName = HeaderName::from_static("x-forwarded-for");

impl Checker<'_> {
    pub(super) fn trusted_proxies(
        &self,
        file: &ServerFile,
        key_headers: &[HeaderName],
    ) -> Option<TrustedProxies> {
        let networks: Vec<_> = file
            .trusted_proxies
            .as_ref()
            .map(|given| self.networks(given))
            .unwrap_or_default();
        let is_named = file
            .trusted_proxies
            .as_ref()
            .is_some_and(|given| !given.value.0.is_empty());
        let protocol = file.proxy_protocol.as_ref().filter(|given| given.value);
        let header = file.client_ip_header.as_ref();
        for (name, at) in [
            ("proxy_protocol = true", protocol.map(|given| &given.at)),
            ("client_ip_header", header.map(|given| &given.at)),
        ] {
            if let (Some(at), false) = (at, is_named) {
                self.fatal(at, format!(
                    "server.{name} believes nobody: name the networks of the proxies in front in \
                     server.trusted_proxies, such as [\"10.0.0.0/8\"]"
                ));
            }
        }
        let named_by = match (protocol, header) {
            (Some(_), Some(header)) => {
                self.fatal(
                    &header.at,
                    "server.client_ip_header and server.proxy_protocol both say who the client is: say one of them",
                );
                NamedBy::ProxyProtocol
            }
            (Some(_), None) => NamedBy::ProxyProtocol,
            (None, Some(header)) => NamedBy::Header(self.client_ip_header(header, key_headers)?),
            (None, None) => NamedBy::Header(USUAL),
        };
        (!networks.is_empty()).then_some(TrustedProxies { networks, named_by })
    }

    fn networks(&self, given: &Located<OneOrMany>) -> Vec<Network> {
        let read = |text: &String| self.network(text, &given.at);
        given.value.0.iter().filter_map(read).collect()
    }

    fn network(&self, text: &str, at: &Location) -> Option<Network> {
        let Some(network) = Network::parse(text) else {
            self.fatal(at, format!(
                "server.trusted_proxies: `{text}` is neither an address nor a network, such as 10.0.0.0/8 or \
                 2001:db8::/32"
            ));
            return None;
        };
        if network.has_more_bits() {
            self.fatal(at, format!(
                "server.trusted_proxies: `{text}` has bits behind its prefix: say the network with zeros there, or \
                 the address alone"
            ));
        } else if network.is_everything() {
            self.warn(at, format!(
                "server.trusted_proxies: `{text}` is everybody: whoever can connect may say it is any address"
            ));
        }
        Some(network)
    }

    fn client_ip_header(
        &self,
        given: &Located<String>,
        key_headers: &[HeaderName],
    ) -> Option<HeaderName> {
        let name = HeaderName::try_from(given.value.as_str()).ok();
        let good = |name: &HeaderName| may_hold_key(name) && !key_headers.contains(name);
        let name = name.filter(good);
        if name.is_none() {
            self.fatal(&given.at, format!(
                "server.client_ip_header: `{}` cannot hold a client's address: name the header that the proxy \
                 writes, such as X-Forwarded-For, Forwarded or X-Real-IP",
                given.value
            ));
        }
        name
    }
}
