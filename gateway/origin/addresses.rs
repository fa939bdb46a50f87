//! The addresses of one host and port: which one the next connection uses, and which ones failed.
//!
//! Addresses take turns. An address that could not be connected to is left out until a connection to it succeeds. That is
//! tried in the background, so that no request waits for it. If all addresses have failed, all take turns. An address
//! keeps its state when the name is resolved again.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};

/// How long after its first failure an address is tried in the background. The time doubles with each further failure.
const FIRST_RETRY: Duration = Duration::from_secs(10);

/// How often the time doubles at most: up to 320 seconds.
const MAX_DOUBLINGS: u32 = 5;

/// The timeout of a connection in the background.
const RETRY_TIMEOUT: Duration = Duration::from_secs(5);

/// The addresses of one host and port, as last resolved.
pub struct Addresses {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Whether only private addresses are used, because requests to it are not encrypted.
    pub(crate) private_only: bool,
    list: ArcSwap<Vec<Arc<Candidate>>>,
    /// Why the last lookup failed.
    pub(crate) failure: ArcSwapOption<String>,
    /// How many requests on shared connections were aborted. Counted here, because the count must outlive a reload.
    pub(crate) aborted: AtomicU64,
    /// Whether a lookup of the name is running.
    pub(crate) looking_up: Arc<AtomicBool>,
}

/// One address. The list of the next lookup shares it, so that it keeps its state.
struct Candidate {
    address: SocketAddr,
    /// Whether it is left out, because the last connection to it failed.
    out: AtomicBool,
    /// How often it was left out since a request last reached it.
    failures: AtomicU32,
}

impl Candidate {
    fn new(address: SocketAddr) -> Self {
        Self {
            address,
            out: AtomicBool::new(false),
            failures: AtomicU32::new(0),
        }
    }

    fn is_out(&self) -> bool {
        self.out.load(Ordering::Relaxed)
    }
}

impl Addresses {
    /// The addresses of `host`: one if it is an address, none yet if it is a name.
    pub fn new(host: &str, port: u16, private_only: bool) -> Self {
        let addresses = Self {
            host: host.to_owned(),
            port,
            private_only,
            list: ArcSwap::default(),
            failure: ArcSwapOption::empty(),
            aborted: AtomicU64::new(0),
            looking_up: Arc::default(),
        };
        if let Ok(ip) = host.parse() {
            addresses.learn(vec![SocketAddr::new(ip, port)]);
        }
        addresses
    }

    /// Replaces the addresses by those that the host's name was resolved to, in the resolver's order, without duplicates.
    pub fn learn(&self, mut found: Vec<SocketAddr>) {
        let mut seen = std::collections::HashSet::new();
        found.retain(|address| seen.insert(*address));
        let before = self.list.load();
        if !before.iter().map(|known| &known.address).eq(&found) {
            let known = |address| {
                before
                    .iter()
                    .find(|known| known.address == address)
                    .cloned()
            };
            let candidate =
                |address| known(address).unwrap_or_else(|| Arc::new(Candidate::new(address)));
            let list = found.into_iter().map(candidate).collect();
            self.list.store(Arc::new(list));
        }
    }

    /// The address for the `nth` attempt, of a request that could not reach the addresses in `failed` (oldest first).
    /// `None` while no address is known.
    pub fn pick(&self, nth: usize, failed: &[SocketAddr]) -> Option<SocketAddr> {
        let list = self.list.load();
        let next = list.get(nth.checked_rem(list.len())?)?;
        if failed.is_empty() && !next.is_out() {
            return Some(next.address);
        }
        pick_another(&list, nth, failed)
    }

    /// How many addresses there are.
    pub(crate) fn count(&self) -> usize {
        self.list.load().len()
    }

    /// Why the last lookup failed, if it did.
    pub(crate) fn failure(&self) -> Option<Arc<String>> {
        self.failure.load_full()
    }

    /// Records that no connection to `address` could be made. From now on it is left out, unless it is the only one.
    pub(crate) fn failed(self: &Arc<Self>, address: SocketAddr) {
        let list = self.list.load();
        let Some(candidate) = list.iter().find(|known| known.address == address) else {
            return;
        };
        if list.len() == 1 || candidate.out.swap(true, Ordering::Relaxed) {
            return;
        }
        let failures = candidate.failures.fetch_add(1, Ordering::Relaxed);
        let delay = FIRST_RETRY * 2_u32.pow(failures.min(MAX_DOUBLINGS));
        tracing::warn!(
            host = self.host,
            %address,
            retry_seconds = delay.as_secs(),
            "no connection can be made to this address: it is left out"
        );
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(retry(Arc::downgrade(self), address, delay));
        }
    }

    /// Records that a request reached `address` over a new connection.
    pub(crate) fn reached(&self, address: SocketAddr) {
        let list = self.list.load();
        let known = list.iter().find(|known| known.address == address);
        if let Some(candidate) = known
            && candidate.failures.load(Ordering::Relaxed) > 0
        {
            candidate.failures.store(0, Ordering::Relaxed);
            candidate.out.store(false, Ordering::Relaxed);
        }
    }

    /// Whether `address` is one of these and is left out.
    fn is_out(&self, address: SocketAddr) -> bool {
        let list = self.list.load();
        let mut out = list.iter().filter(|known| known.is_out());
        out.any(|known| known.address == address)
    }

    /// Uses `address` again, after a connection to it was made in the background.
    fn let_in(&self, address: SocketAddr) {
        let list = self.list.load();
        if let Some(known) = list.iter().find(|known| known.address == address) {
            known.out.store(false, Ordering::Relaxed);
            tracing::info!(host = self.host, %address, "connections can be made to this address again");
        }
    }
}

/// The `nth` of the best addresses for a request that could not reach those in `failed`. Best is an address that the
/// request has not tried, then one that is not left out, then one of another family than the last failure.
#[cold]
fn pick_another(list: &[Arc<Candidate>], nth: usize, failed: &[SocketAddr]) -> Option<SocketAddr> {
    let rank = |candidate: &Arc<Candidate>| {
        let same_family = failed
            .last()
            .is_some_and(|last| last.is_ipv4() == candidate.address.is_ipv4());
        let tried = failed.contains(&candidate.address);
        let rank = (tried, candidate.is_out(), same_family);
        (rank, candidate.address)
    };
    // Each rank is computed once: another request may change it meanwhile.
    let ranked: Vec<_> = list.iter().map(rank).collect();
    let best = ranked.iter().map(|(rank, _)| *rank).min()?;
    let equals = ranked.iter().filter(|(rank, _)| *rank == best);
    let nth = nth.checked_rem(equals.clone().count())?;
    equals.map(|(_, address)| *address).nth(nth)
}

/// Tries to connect to an address that is left out, until that succeeds or the address is no longer used.
async fn retry(addresses: Weak<Addresses>, address: SocketAddr, mut delay: Duration) {
    loop {
        tokio::time::sleep(delay).await;
        if !addresses.upgrade().is_some_and(|all| all.is_out(address)) {
            return;
        }
        let connecting = tokio::net::TcpStream::connect(address);
        if let Ok(Ok(_)) = tokio::time::timeout(RETRY_TIMEOUT, connecting).await {
            if let Some(all) = addresses.upgrade() {
                all.let_in(address);
            }
            return;
        }
        delay = (delay * 2).min(FIRST_RETRY * 2_u32.pow(MAX_DOUBLINGS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: u8) -> SocketAddr {
        ([127, 0, 0, host], 80).into()
    }

    fn known(found: &[SocketAddr]) -> Arc<Addresses> {
        let addresses = Addresses::new("name.test", 80, false);
        addresses.learn(found.to_vec());
        Arc::new(addresses)
    }

    fn turns(addresses: &Addresses, count: usize) -> Vec<SocketAddr> {
        (0..count)
            .map(|nth| addresses.pick(nth, &[]).unwrap())
            .collect()
    }

    #[test]
    fn addresses_take_turns_and_those_that_failed_are_left_out_until_they_are_reached() {
        let [a, b, c] = [1, 2, 3].map(address);
        let addresses = known(&[a, b, c, a]);
        assert_eq!(turns(&addresses, 4), [a, b, c, a]);
        addresses.failed(b);
        assert_eq!(turns(&addresses, 6), [a, c, c, a, a, c]);
        addresses.failed(a);
        assert_eq!(turns(&addresses, 3), [c, c, c]);
        // If all have failed, all take turns.
        addresses.failed(c);
        assert_eq!(turns(&addresses, 3), [a, b, c]);
        addresses.reached(b);
        assert_eq!(turns(&addresses, 3), [b, b, b]);
    }

    #[test]
    fn a_request_tries_new_addresses_first_and_the_other_family_before_the_same() {
        let [a, b] = [1, 2].map(address);
        let six: SocketAddr = "[2001:db8::1]:80".parse().unwrap();
        let also_six: SocketAddr = "[2001:db8::2]:80".parse().unwrap();
        let addresses = known(&[six, also_six, a, b]);
        for nth in 0..8 {
            let mut failed: Vec<SocketAddr> = Vec::new();
            for _ in 0..4 {
                failed.push(addresses.pick(nth, &failed).unwrap());
            }
            assert_ne!(failed[0].is_ipv4(), failed[1].is_ipv4(), "{failed:?}");
            let all: std::collections::BTreeSet<_> = failed.iter().collect();
            assert_eq!(all.len(), 4, "{failed:?}");
        }
        // An address that is left out comes after all others, whatever its family.
        addresses.failed(six);
        addresses.failed(also_six);
        assert_eq!(addresses.pick(0, &[a]), Some(b));
        assert!(addresses.pick(0, &[a, b]).unwrap().is_ipv6());
    }

    #[test]
    fn a_failed_address_stays_left_out_when_the_name_is_resolved_again() {
        let [a, b, c] = [1, 2, 3].map(address);
        let addresses = known(&[a, b]);
        addresses.failed(a);
        addresses.learn(vec![c, a, b]);
        assert_eq!(turns(&addresses, 3), [c, b, b]);
    }

    #[test]
    fn the_only_address_is_never_left_out() {
        let addresses = known(&[address(1)]);
        addresses.failed(address(1));
        assert!(!addresses.is_out(address(1)));
        assert_eq!(
            addresses.pick(7, &[address(1), address(1)]),
            Some(address(1))
        );
    }

    #[tokio::test]
    async fn an_address_is_used_again_after_a_connection_in_the_background() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let back = listener.local_addr().unwrap();
        let addresses = known(&[back, address(1)]);
        addresses.failed(back);
        assert!(addresses.is_out(back));
        retry(Arc::downgrade(&addresses), back, Duration::from_millis(1)).await;
        assert!(!addresses.is_out(back));
        // No request has reached it: the next failure counts as a further one.
        let list = addresses.list.load();
        assert_eq!(list[0].failures.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn an_address_that_is_no_longer_used_is_not_tried_again() {
        let addresses = known(&[address(1), address(2)]);
        addresses.failed(address(1));
        let trying = retry(
            Arc::downgrade(&addresses),
            address(1),
            Duration::from_millis(1),
        );
        addresses.learn(vec![address(2)]);
        trying.await;
        let trying = retry(
            Arc::downgrade(&addresses),
            address(2),
            Duration::from_millis(1),
        );
        drop(addresses);
        trying.await;
    }
}
