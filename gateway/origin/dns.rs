//! Resolves names in the background. A request never waits for DNS, and when a lookup fails, the addresses of the last
//! successful one are kept.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::addresses::Addresses;
use super::url::BaseUrl;
use crate::grammar::address::{is_metadata, is_private};

/// The timeout of one lookup.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a name has no addresses.
#[derive(Debug, thiserror::Error)]
enum LookupError {
    /// The system cannot resolve the name, or the lookup broke off.
    #[error(transparent)]
    Failed(#[from] io::Error),
    /// The system did not respond in time.
    #[error("no response within {LOOKUP_TIMEOUT:?}")]
    TimedOut,
    /// Requests may be sent to none of the addresses that were found: why.
    #[error("{0}")]
    NotAllowed(&'static str),
}

impl Addresses {
    fn is_fixed(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok()
    }

    async fn resolve(&self) {
        let Some(lookup) = Lookup::begin(&self.looking_up) else {
            return;
        };
        let found = self.look_up(lookup).await;
        match found.and_then(|found| self.allowed(found)) {
            Ok(addresses) => {
                self.learn(with_a_route(addresses));
                self.failure.store(None);
            }
            Err(error) => self.lookup_failed(error.to_string()),
        }
    }

    async fn look_up(&self, lookup: Lookup) -> Result<Vec<SocketAddr>, LookupError> {
        let (host, port) = (self.host.clone(), self.port);
        // `tokio::net::lookup_host` would drop the lookup at the timeout, while its thread goes on: here the thread holds
        // `lookup` to its end.
        let resolving = tokio::task::spawn_blocking(move || {
            let _lookup = lookup;
            let found = (host.as_str(), port).to_socket_addrs();
            found.map(Iterator::collect::<Vec<_>>)
        });
        match tokio::time::timeout(LOOKUP_TIMEOUT, resolving).await {
            Ok(Ok(found)) => Ok(found?),
            Ok(Err(panic)) => Err(io::Error::from(panic).into()),
            Err(_) => Err(LookupError::TimedOut),
        }
    }

    /// Records a failure, and logs it unless the lookup before failed for the same reason.
    fn lookup_failed(&self, why: String) {
        let is_new = self.failure.load().as_deref() != Some(&why);
        if is_new {
            tracing::warn!(
                host = self.host,
                known = self.count(),
                "cannot resolve: {why}"
            );
        }
        self.failure.store(Some(Arc::new(why)));
    }

    /// The addresses in `found` that requests may be sent to. Whoever controls a name must not be able to direct requests
    /// to a metadata service, or tokens unencrypted through the Internet.
    fn allowed(&self, mut found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, LookupError> {
        found.retain(|address| !is_metadata(address.ip()));
        if found.is_empty() {
            let why = "no address, or none but link-local ones and metadata services";
            return Err(LookupError::NotAllowed(why));
        }
        if self.private_only {
            found.retain(|address| is_private(address.ip()));
        }
        if found.is_empty() {
            let why = "public addresses alone, and plain http goes to private ones: use https://";
            return Err(LookupError::NotAllowed(why));
        }
        Ok(found)
    }
}

/// A running lookup of one name. It occupies a thread until the system gives up. There is one at a time for each name, so
/// that a name without a responding server does not use up the threads that reload the configuration.
struct Lookup(Arc<AtomicBool>);

impl Lookup {
    /// `None` while another lookup of the name runs.
    fn begin(running: &Arc<AtomicBool>) -> Option<Self> {
        let was_running = running.swap(true, Ordering::AcqRel);
        (!was_running).then(|| Self(running.clone()))
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// The addresses in `found` that this machine has a route to; all of them if it has a route to none. The resolver also
/// returns addresses of a family that the machine has no network for.
fn with_a_route(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let routed: Vec<_> = found.iter().copied().filter(has_route).collect();
    if routed.is_empty() { found } else { routed }
}

/// Whether this machine has a route to `address`. Connecting a UDP socket makes the kernel check, and sends nothing.
fn has_route(address: &SocketAddr) -> bool {
    let any: IpAddr = if address.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let connected = UdpSocket::bind((any, 0)).and_then(|socket| socket.connect(address));
    // Other errors, such as too many open files, say nothing about the route.
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

/// The addresses of every host in use. Snapshots share it, so that a reload starts with the addresses already known.
#[derive(Default)]
pub struct Resolver(Mutex<HashMap<Host, Arc<Addresses>>>);

/// Name, port, and whether only private addresses are used.
type Host = (String, u16, bool);

impl Resolver {
    /// The addresses of the host of `url`: known already, or empty until the next [`refresh`](Self::refresh). For a plain
    /// http URL, the private addresses of the host only.
    pub(crate) fn addresses_of(&self, url: &BaseUrl) -> Arc<Addresses> {
        self.host(&url.host, url.port, !url.tls)
    }

    /// The addresses of `host`, private or not.
    pub fn addresses(&self, host: &str, port: u16) -> Arc<Addresses> {
        self.host(host, port, false)
    }

    fn host(&self, host: &str, port: u16, private_only: bool) -> Arc<Addresses> {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hosts
            .entry((host.to_owned(), port, private_only))
            .or_insert_with(|| Arc::new(Addresses::new(host, port, private_only)))
            .clone()
    }

    /// Resolves all names in use, at the same time; with `only_new`, those without an address yet. Removes hosts that no
    /// snapshot uses any more.
    pub(crate) async fn refresh(&self, only_new: bool) {
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
            // A lookup that panicked has failed: the next refresh tries again.
            let _ = lookup.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_are_resolved_and_addresses_are_known_without_a_lookup() {
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
        // No machine has a route to this address: it lacks the scope that a link-local address needs.
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
        let hanging = Lookup::begin(&named.looking_up).unwrap();
        resolver.refresh(false).await;
        assert_eq!(named.count(), 0);
        drop(hanging);
        resolver.refresh(false).await;
        assert!(named.count() > 0);
    }

    #[tokio::test]
    async fn a_name_that_leads_to_a_metadata_service_leads_nowhere() {
        let resolver = Resolver::default();
        // Resolvers read this name as 169.254.169.254, without a query.
        let named = resolver.addresses("2852039166", 80);
        resolver.refresh(true).await;
        assert_eq!(named.pick(0, &[]), None);
        assert!(named.failure().unwrap().contains("metadata"));
    }

    #[tokio::test]
    async fn a_name_by_plain_http_leads_to_private_addresses_alone() {
        let resolver = Resolver::default();
        // Resolvers read these names as 8.8.8.8 and 100.64.0.1, without a query.
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
    async fn a_failed_lookup_keeps_the_last_addresses_and_unused_hosts_are_removed() {
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
