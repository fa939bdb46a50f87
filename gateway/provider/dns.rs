//! Names resolved in the background. A request never waits for DNS, and the last good answer is
//! kept when a later one fails.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Addresses;
use crate::address::is_metadata;

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
        let answer = tokio::time::timeout(LOOKUP_TIMEOUT, lookup).await;
        let why = match answer.map(|joined| joined.unwrap_or_else(|panic| Err(panic.into()))) {
            Ok(Ok(found)) => {
                // Whoever answers for a name chooses no metadata service by it.
                let found = found
                    .into_iter()
                    .filter(|address| !is_metadata(address.ip()));
                let found = with_a_route(found.collect());
                if found.is_empty() {
                    "no address, or none but link-local ones and metadata services".to_owned()
                } else {
                    self.learn(found);
                    self.failure.store(None);
                    return;
                }
            }
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
pub struct Resolver(Mutex<HashMap<(String, u16), Arc<Addresses>>>);

impl Resolver {
    /// The addresses of `host`, known already or empty until the next [`refresh`](Self::refresh).
    pub fn addresses(&self, host: &str, port: u16) -> Arc<Addresses> {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hosts
            .entry((host.to_owned(), port))
            .or_insert_with(|| Arc::new(Addresses::new(host, port)))
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
