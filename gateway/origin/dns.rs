//! Names resolved in the background. A request never waits for DNS, and the last good response is
//! kept when a later one fails.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::addresses::Addresses;
use super::url::BaseUrl;
use crate::grammar::address::{is_metadata, is_private};

/// How long one lookup may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

impl Addresses {
    fn is_fixed(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok()
    }

    async fn resolve(&self) {
        let Some(lookup) = Lookup::begin(&self.looking) else {
            return;
        };
        let (host, port) = (self.host.clone(), self.port);
        // Not by tokio's own function: that forgets of a lookup that takes too long, whose thread goes on.
        let lookup = tokio::task::spawn_blocking(move || {
            let _lookup = lookup;
            let found = (host.as_str(), port).to_socket_addrs();
            found.map(Iterator::collect::<Vec<_>>)
        });
        let response = tokio::time::timeout(LOOKUP_TIMEOUT, lookup).await;
        let why = match response.map(|joined| joined.unwrap_or_else(|panic| Err(panic.into()))) {
            Ok(Ok(found)) => match self.fit(found) {
                Ok(found) => {
                    self.learn(with_a_route(found));
                    self.failure.store(None);
                    return;
                }
                Err(why) => why.to_owned(),
            },
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {LOOKUP_TIMEOUT:?}"),
        };
        if self
            .failure
            .load()
            .as_ref()
            .is_none_or(|before| **before != why)
        {
            tracing::warn!(
                host = self.host,
                known = self.count(),
                "cannot resolve: {why}"
            );
        }
        self.failure.store(Some(Arc::new(why)));
    }
}

impl Addresses {
    /// Those of `found` that requests may go to. Whoever answers for a name chooses no metadata service by it, nor has
    /// tokens sent unencrypted through the Internet.
    fn fit(&self, mut found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, &'static str> {
        found.retain(|address| !is_metadata(address.ip()));
        if found.is_empty() {
            return Err("no address, or none but link-local ones and metadata services");
        }
        if self.private_only {
            found.retain(|address| is_private(address.ip()));
        }
        if found.is_empty() {
            return Err(
                "public addresses alone, and plain http goes to private ones: use https://",
            );
        }
        Ok(found)
    }
}

/// A lookup of one name, which has a thread for as long as the system takes for it. There is one at a time: a name that
/// nobody answers for must not use up the threads that reload the configuration.
struct Lookup(Arc<AtomicBool>);

impl Lookup {
    fn begin(going_on: &Arc<AtomicBool>) -> Option<Self> {
        let other = going_on.swap(true, Ordering::AcqRel);
        (!other).then(|| Self(going_on.clone()))
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Those of `found` that this machine has a route to; all of them, if it has none to any. The resolver also names
/// addresses of a family that the machine does not speak.
fn with_a_route(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let routed: Vec<_> = found.iter().copied().filter(has_route).collect();
    if routed.is_empty() { found } else { routed }
}

/// Whether this machine has a route to `address`. Asks the kernel by a datagram socket, which sends nothing.
fn has_route(address: &SocketAddr) -> bool {
    let any: IpAddr = if address.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let connected = UdpSocket::bind((any, 0)).and_then(|socket| socket.connect(address));
    // Other errors, as of too many open files, say nothing about the route.
    !connected.is_err_and(|error| {
        matches!(
            error.kind(),
            ErrorKind::NetworkUnreachable
                | ErrorKind::HostUnreachable
                | ErrorKind::AddrNotAvailable
                | ErrorKind::InvalidInput
                | ErrorKind::Unsupported
        ) || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
    })
}

/// The addresses of every host in use, shared by snapshots so that a reload begins with what is
/// already known.
#[derive(Default)]
pub struct Resolver(Mutex<HashMap<Place, Arc<Addresses>>>);

/// Host, port, and whether its private addresses alone count.
type Place = (String, u16, bool);

impl Resolver {
    /// The addresses of the host of `url`, known already or empty until the next [`refresh`](Self::refresh). Where the
    /// URL is plain http, those that its name has in a private network.
    pub fn addresses_of(&self, url: &BaseUrl) -> Arc<Addresses> {
        self.place(&url.host, url.port, !url.tls)
    }

    /// The addresses of `host` likewise, private or not.
    pub fn addresses(&self, host: &str, port: u16) -> Arc<Addresses> {
        self.place(host, port, false)
    }

    fn place(&self, host: &str, port: u16, private_only: bool) -> Arc<Addresses> {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hosts
            .entry((host.to_owned(), port, private_only))
            .or_insert_with(|| Arc::new(Addresses::new(host, port, private_only)))
            .clone()
    }

    /// Resolves again every name in use, at once; with `only_new`, those not known yet. Forgets
    /// hosts that no snapshot uses any more.
    pub async fn refresh(&self, only_new: bool) {
        let due: Vec<Arc<Addresses>> = {
            let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            hosts.retain(|_, addresses| Arc::strong_count(addresses) > 1);
            hosts
                .values()
                .filter(|addresses| !addresses.is_fixed() && (!only_new || addresses.count() == 0))
                .cloned()
                .collect()
        };
        let lookups: Vec<_> = due
            .into_iter()
            .map(|host| tokio::spawn(async move { host.resolve().await }))
            .collect();
        for lookup in lookups {
            // A lookup that panicked is a lookup that failed: the next round tries again.
            let _ = lookup.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_are_resolved_and_addresses_need_not_be() {
        let resolver = Resolver::default();
        let fixed = resolver.addresses("127.0.0.1", 80);
        assert_eq!(fixed.pick(3, &[]), Some(([127, 0, 0, 1], 80).into()));
        let named = resolver.addresses("localhost", 81);
        assert_eq!(named.pick(0, &[]), None);
        resolver.refresh(true).await;
        assert!(named.pick(0, &[]).unwrap().ip().is_loopback());
    }

    #[test]
    fn addresses_without_a_route_are_left_out_unless_there_are_no_others() {
        // This one has a route on no machine: a link-local address says of which link it is.
        let nowhere: SocketAddr = "[fe80::1]:80".parse().unwrap();
        let here: SocketAddr = ([127, 0, 0, 1], 80).into();
        assert!(has_route(&here));
        assert_eq!(with_a_route(vec![nowhere, here]), [here]);
        assert_eq!(with_a_route(vec![nowhere]), [nowhere]);
        assert!(with_a_route(Vec::new()).is_empty());
    }

    #[tokio::test]
    async fn a_name_has_one_lookup_at_a_time() {
        let resolver = Resolver::default();
        let named = resolver.addresses("localhost", 81);
        let hanging = Lookup::begin(&named.looking).unwrap();
        resolver.refresh(false).await;
        assert_eq!(named.count(), 0);
        drop(hanging);
        resolver.refresh(false).await;
        assert!(named.count() > 0);
    }

    #[tokio::test]
    async fn a_name_that_leads_to_a_metadata_service_leads_nowhere() {
        let resolver = Resolver::default();
        // Resolvers read it as 169.254.169.254, without asking anybody.
        let named = resolver.addresses("2852039166", 80);
        resolver.refresh(true).await;
        assert_eq!(named.pick(0, &[]), None);
        assert!(named.failure().unwrap().contains("metadata"));
    }

    #[tokio::test]
    async fn a_name_by_plain_http_leads_to_private_addresses_alone() {
        let resolver = Resolver::default();
        // Resolvers read these as 8.8.8.8 and 100.64.0.1, without asking anybody.
        let plain = |host: &str| {
            let tls = false;
            let (host, path) = (host.to_owned(), String::new());
            resolver.addresses_of(&BaseUrl {
                tls,
                host,
                port: 80,
                path,
            })
        };
        let (public, shared) = (plain("134744072"), plain("1681915905"));
        let encrypted = resolver.addresses("134744072", 80);
        resolver.refresh(true).await;
        assert_eq!(public.pick(0, &[]), None);
        assert!(public.failure().unwrap().contains("public addresses alone"));
        assert_eq!(shared.pick(0, &[]), Some(([100, 64, 0, 1], 80).into()));
        assert_eq!(encrypted.pick(0, &[]), Some(([8, 8, 8, 8], 80).into()));
    }

    #[tokio::test]
    async fn the_last_good_answer_is_kept_and_the_unused_forgotten() {
        let resolver = Resolver::default();
        let gone = resolver.addresses("name.invalid", 80);
        gone.learn(vec![([127, 0, 0, 1], 80).into()]);
        resolver.refresh(false).await;
        assert_eq!(gone.count(), 1);
        assert!(gone.failure().is_some());
        drop(gone);
        resolver.refresh(false).await;
        assert!(resolver.0.lock().unwrap().is_empty());
    }
}
