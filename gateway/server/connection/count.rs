//! Counts open connections and enforces their limits: in total, and per client address.
//!
//! A connection of a trusted proxy that speaks the PROXY protocol counts for the client that its header names. One that
//! carries requests of many clients counts for no address.

use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use crate::config::ServerConfig;
use crate::grammar::address::client_network;
use crate::limit::by_address::{AtAddress, ByAddress};
use crate::runtime::descriptors;
use crate::runtime::in_flight::{InFlight, InFlightGuard};
use crate::server::connection::slots::{Slot, Slots};
use crate::snapshot::Live;

/// The open connections of clients, or those of the admin listener.
pub(crate) struct OpenConnections {
    live: Arc<Live>,
    open: Arc<InFlight>,
    by_address: Arc<ByAddress>,
    /// The slots of the admin listener, whatever the address. `None` for clients, whose limits are in the configuration.
    admin: Option<Arc<Slots>>,
}

/// Counts one connection as open until it is dropped.
pub(crate) struct ConnectionPermit {
    all: Arc<OpenConnections>,
    address: Option<AtAddress>,
    /// A trusted proxy sends a PROXY protocol header first.
    proxied: bool,
    /// Set on connections of the admin listener only.
    slot: Option<Slot>,
    _open: InFlightGuard,
}

impl OpenConnections {
    /// Those of clients, limited by the configuration that serves.
    pub(crate) fn new(live: Arc<Live>) -> Arc<Self> {
        Arc::new(Self {
            open: InFlight::new(live.metrics.connections.clone()),
            live,
            by_address: Arc::default(),
            admin: None,
        })
    }

    /// Those of the admin listener: up to `capacity`, counted apart from those of clients. See [`Slots`].
    pub(crate) fn for_admin(live: Arc<Live>, capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            open: Arc::default(),
            live,
            by_address: Arc::default(),
            admin: Some(Slots::new(capacity)),
        })
    }

    /// The configuration that serves, and its metrics.
    pub(crate) fn live(&self) -> &Live {
        &self.live
    }

    /// Admits a connection from the address `from`. `None` if a limit is reached, or if its file descriptor is one of the
    /// reserved ones.
    pub(crate) fn admit(
        self: &Arc<Self>,
        socket: &impl AsRawFd,
        from: IpAddr,
    ) -> Option<ConnectionPermit> {
        // Operators may use the reserved descriptors, to find out what is wrong.
        if self.admin.is_none() && descriptors::is_reserved(socket) {
            let refused = &self.live.metrics.connections_refused;
            refused.with_label_values(&["files"]).inc();
            return None;
        }
        self.enter(from)
    }

    fn enter(self: &Arc<Self>, from: IpAddr) -> Option<ConnectionPermit> {
        let refused = &self.live.metrics.connections_refused;
        if let Some(slots) = &self.admin {
            let taken = slots.take();
            if taken.one_is_closed {
                refused.with_label_values(&["admin"]).inc();
            }
            let slot = Some(taken.slot?);
            let mut permit = self.permit();
            permit.slot = slot;
            return Some(permit);
        }
        let snapshot = self.live.snapshot();
        let server = &snapshot.rules.server;
        if self.open.count() >= server.connections_at_most() {
            refused.with_label_values(&["total"]).inc();
            return None;
        }
        let mut permit = self.permit();
        let Some(proxies) = &server.limits.trusted_proxies else {
            return permit.count_for(from, server).then_some(permit);
        };
        let is_trusted = proxies.contains(from);
        permit.proxied = proxies.speak_proxy_protocol();
        if permit.proxied && !is_trusted {
            tracing::info!(peer = %from, "closed a connection: not of a network in server.trusted_proxies");
            refused.with_label_values(&["untrusted"]).inc();
            return None;
        }
        (is_trusted || permit.count_for(from, server)).then_some(permit)
    }

    /// A permit that counts for no address yet.
    fn permit(self: &Arc<Self>) -> ConnectionPermit {
        ConnectionPermit {
            all: self.clone(),
            address: None,
            proxied: false,
            slot: None,
            _open: self.open.enter(),
        }
    }

    /// Waits until no connection is open.
    pub(crate) async fn drained(&self) {
        self.open.drained().await;
    }
}

impl ConnectionPermit {
    /// Whether the connection starts with a PROXY protocol header.
    pub(crate) fn expects_proxy_header(&self) -> bool {
        self.proxied
    }

    /// Counts the connection for the client at `address`, which the trusted proxy has named. Returns false if that client
    /// has too many connections.
    pub(crate) fn count_for_client(&mut self, address: IpAddr) -> bool {
        let snapshot = self.all.live.snapshot();
        self.count_for(address, &snapshot.rules.server)
    }

    /// Counts the connection for `from`. Returns false if that address is at its limit. Loopback and private addresses
    /// have none.
    fn count_for(&mut self, from: IpAddr, server: &ServerConfig) -> bool {
        let Some(address) = client_network(from) else {
            return true;
        };
        let most = server.limits.max_connections_per_address;
        self.address = self.all.by_address.enter(address, most);
        if self.address.is_none() {
            let refused = &self.all.live.metrics.connections_refused;
            refused.with_label_values(&["address"]).inc();
        }
        self.address.is_some()
    }

    /// Counts and logs that the connection is closed for its bad PROXY protocol header.
    pub(crate) fn refuse_proxy_header(&self, peer: IpAddr, why: &str) {
        tracing::info!(%peer, "closed a connection: {why}");
        let refused = &self.all.live.metrics.connections_refused;
        refused.with_label_values(&["proxy_header"]).inc();
    }

    /// Notes that the connection waits for a request.
    pub(crate) fn mark_idle(&self) {
        if let Some(slot) = &self.slot {
            slot.mark_idle();
        }
    }

    /// Notes that the head of a request has arrived.
    pub(crate) fn mark_busy(&self) {
        if let Some(slot) = &self.slot {
            slot.mark_busy();
        }
    }

    /// Waits until the connection is evicted for a new one. A client's never is.
    pub(crate) async fn evicted(&self) {
        match &self.slot {
            Some(slot) => slot.evicted().await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Purpose, Resolved};
    use crate::metrics::Metrics;

    #[test]
    fn connections_are_limited_in_total_and_per_address() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.toml");
        let limits = "connections = 5\nconnections_per_address = 2";
        std::fs::write(&path, format!("[server.limits]\n{limits}\n")).unwrap();
        let config = Resolved::load(&path, Purpose::Start).unwrap_or_else(|e| panic!("{e}"));
        let metrics = Arc::new(Metrics::new().unwrap());
        let live = Live::start(config, metrics).unwrap_or_else(|e| panic!("{e}"));
        let connections = OpenConnections::new(Arc::new(live));
        let enter = |from: &str| connections.enter(from.parse().unwrap());
        let one = enter("8.8.8.8").unwrap();
        let _two = enter("8.8.8.8").unwrap();
        assert!(enter("8.8.8.8").is_none());
        drop(one);
        let _three = enter("8.8.8.8").unwrap();
        // The addresses of one IPv6 network count as one.
        let six = [enter("2001:db8::1"), enter("2001:db8::2")];
        assert!(six.iter().all(Option::is_some) && enter("2001:db8::ffff:3").is_none());
        assert_eq!(connections.by_address.addresses(), 2);
        let near = enter("127.0.0.1");
        assert!(near.is_some() && enter("127.0.0.1").is_none());
        drop((six, near));
        assert!(enter("10.0.0.1").is_some());
        assert_eq!(connections.by_address.addresses(), 1);
    }
}
