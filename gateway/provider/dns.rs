//! Names resolved in the background. A request never waits for DNS, and the last good answer is
//! kept when a later one fails.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::address::is_metadata;

/// How long one lookup may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// The addresses of one host and port, as last resolved.
pub struct Addresses {
    host: String,
    port: u16,
    list: ArcSwap<Vec<SocketAddr>>,
    failure: ArcSwapOption<String>,
}

impl Addresses {
    fn new(host: &str, port: u16) -> Self {
        let fixed = host
            .parse::<IpAddr>()
            .map(|ip| vec![SocketAddr::new(ip, port)]);
        Self {
            host: host.to_owned(),
            port,
            list: ArcSwap::from_pointee(fixed.unwrap_or_default()),
            failure: ArcSwapOption::empty(),
        }
    }

    /// The address for the `nth` attempt, taking turns; `None` while nothing is known.
    pub fn pick(&self, nth: usize) -> Option<SocketAddr> {
        let list = self.list.load();
        list.get(nth.checked_rem(list.len())?).copied()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.list.load().len()
    }

    /// Why the last lookup failed, if it did.
    pub fn failure(&self) -> Option<Arc<String>> {
        self.failure.load_full()
    }

    fn is_fixed(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok()
    }

    async fn resolve(&self) {
        let lookup = tokio::net::lookup_host((self.host.as_str(), self.port));
        let answer = tokio::time::timeout(LOOKUP_TIMEOUT, lookup).await;
        let why = match answer {
            Ok(Ok(found)) => {
                let mut found: Vec<_> = found.collect();
                // The resolver's order is its preference; only repetitions go.
                let mut seen = std::collections::HashSet::new();
                // Whoever answers for a name chooses no metadata service by it.
                found.retain(|address| !is_metadata(address.ip()) && seen.insert(*address));
                if found.is_empty() {
                    "no address, or none but link-local ones and metadata services".to_owned()
                } else {
                    if **self.list.load() != found {
                        self.list.store(Arc::new(found));
                    }
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
        assert_eq!(fixed.pick(3), Some(([127, 0, 0, 1], 80).into()));
        let named = resolver.addresses("localhost", 81);
        assert_eq!(named.pick(0), None);
        resolver.refresh(true).await;
        assert!(named.pick(0).unwrap().ip().is_loopback());
    }

    #[tokio::test]
    async fn a_name_that_leads_to_a_metadata_service_leads_nowhere() {
        let resolver = Resolver::default();
        // Resolvers read it as 169.254.169.254, without asking anybody.
        let named = resolver.addresses("2852039166", 80);
        resolver.refresh(true).await;
        assert_eq!(named.pick(0), None);
        assert!(named.failure().unwrap().contains("metadata"));
    }

    #[tokio::test]
    async fn the_last_good_answer_is_kept_and_the_unused_forgotten() {
        let resolver = Resolver::default();
        let gone = resolver.addresses("name.invalid", 80);
        gone.list.store(Arc::new(vec![([127, 0, 0, 1], 80).into()]));
        resolver.refresh(false).await;
        assert_eq!(gone.count(), 1);
        assert!(gone.failure().is_some());
        drop(gone);
        resolver.refresh(false).await;
        assert!(resolver.0.lock().unwrap().is_empty());
    }
}
