//! How many connections of clients there are, in all and of one address. A connection of a trusted proxy counts for the
//! client that it is for, once that is known; one that carries requests of many clients counts for no address.

use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use crate::config::ServerConfig;
use crate::grammar::address::client_network;
use crate::limit::by_address::{AtAddress, ByAddress};
use crate::runtime::descriptors;
use crate::runtime::in_flight::{InFlight, InFlightGuard};
use crate::server::connection::seats::{Seat, Seats};
use crate::snapshot::Live;

/// The connections that are open.
pub(crate) struct Connections {
    live: Arc<Live>,
    open: Arc<InFlight>,
    by_address: Arc<ByAddress>,
    /// Those of the admin listener, whoever they are of; how many clients may have, the configuration says.
    admin: Option<Arc<Seats>>,
}

/// One of them.
pub(crate) struct Connection {
    all: Arc<Connections>,
    address: Option<AtAddress>,
    /// Whether a trusted proxy says first who the client is.
    proxied: bool,
    /// Of the admin listener alone.
    seat: Option<Seat>,
    _open: InFlightGuard,
}

impl Connections {
    pub(crate) fn new(live: Arc<Live>) -> Arc<Self> {
        Arc::new(Self {
            open: InFlight::new(live.metrics.connections.clone()),
            live,
            by_address: Arc::default(),
            admin: None,
        })
    }

    /// Those of the admin listener: `most`, which are not among those of clients. Who only waits gives way to the next.
    pub(crate) fn of_admin(live: Arc<Live>, most: usize) -> Arc<Self> {
        Arc::new(Self {
            open: Arc::default(),
            live,
            by_address: Arc::default(),
            admin: Some(Seats::new(most)),
        })
    }

    /// What serves now.
    pub(crate) fn live(&self) -> &Live {
        &self.live
    }

    /// One more, unless it took the last descriptors, or there are too many already.
    pub(crate) fn admit(
        self: &Arc<Self>,
        socket: &impl AsRawFd,
        from: IpAddr,
    ) -> Option<Connection> {
        // Operators have the last ones as well: they are to see what is wrong.
        if self.admin.is_none() && descriptors::is_reserved(socket) {
            let refused = &self.live.metrics.connections_refused;
            refused.with_label_values(&["files"]).inc();
            return None;
        }
        self.enter(from)
    }

    fn enter(self: &Arc<Self>, from: IpAddr) -> Option<Connection> {
        let refused = &self.live.metrics.connections_refused;
        if let Some(seats) = &self.admin {
            let seated = seats.take();
            if seated.one_is_closed {
                refused.with_label_values(&["admin"]).inc();
            }
            let seat = Some(seated.seat?);
            let mut connection = self.connection();
            connection.seat = seat;
            return Some(connection);
        }
        let snapshot = self.live.snapshot();
        let server = &snapshot.rules.server;
        if self.open.count() >= server.connections_at_most() {
            refused.with_label_values(&["total"]).inc();
            return None;
        }
        let mut connection = self.connection();
        let Some(proxies) = &server.limits.trusted_proxies else {
            return connection.is_of(from, server).then_some(connection);
        };
        let is_trusted = proxies.contains(from);
        connection.proxied = proxies.speak_proxy_protocol();
        if connection.proxied && !is_trusted {
            tracing::info!(peer = %from, "closed a connection: not of a network in server.trusted_proxies");
            refused.with_label_values(&["untrusted"]).inc();
            return None;
        }
        (is_trusted || connection.is_of(from, server)).then_some(connection)
    }

    /// One that counts for no address yet.
    fn connection(self: &Arc<Self>) -> Connection {
        Connection {
            all: self.clone(),
            address: None,
            proxied: false,
            seat: None,
            _open: self.open.enter(),
        }
    }

    /// Waits until there is none.
    pub(crate) async fn drained(&self) {
        self.open.drained().await;
    }
}

impl Connection {
    /// Whether it begins with a PROXY protocol header.
    pub(crate) fn begins_with_proxy_header(&self) -> bool {
        self.proxied
    }

    /// The trusted proxy says that it is for the client at `address`. Whether it may be there.
    pub(crate) fn is_for(&mut self, address: IpAddr) -> bool {
        let snapshot = self.all.live.snapshot();
        self.is_of(address, &snapshot.rules.server)
    }

    /// Counts it for `from`, unless that has as many as it may.
    fn is_of(&mut self, from: IpAddr, server: &ServerConfig) -> bool {
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

    /// No good header came, for the reason `why`.
    pub(crate) fn has_no_proxy_header(&self, peer: IpAddr, why: &str) {
        tracing::info!(%peer, "closed a connection: {why}");
        let refused = &self.all.live.metrics.connections_refused;
        refused.with_label_values(&["proxy_header"]).inc();
    }

    /// A request is waited for.
    pub(crate) fn waits(&self) {
        if let Some(seat) = &self.seat {
            seat.waits();
        }
    }

    /// The head of a request is there.
    pub(crate) fn responses(&self) {
        if let Some(seat) = &self.seat {
            seat.responses();
        }
    }

    /// Waits until it is to give way to another one; that of a client never is.
    pub(crate) async fn gives_way(&self) {
        match &self.seat {
            Some(seat) => seat.closed().await,
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
    fn one_address_has_so_many_connections_and_all_together_have_so_many() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.toml");
        let limits = "connections = 5\nconnections_per_address = 2";
        std::fs::write(&path, format!("[server.limits]\n{limits}\n")).unwrap();
        let config = Resolved::load(&path, Purpose::Start).unwrap_or_else(|e| panic!("{e}"));
        let metrics = Arc::new(Metrics::new().unwrap());
        let live = Live::start(config, metrics).unwrap_or_else(|e| panic!("{e}"));
        let connections = Connections::new(Arc::new(live));
        let enter = |from: &str| connections.enter(from.parse().unwrap());
        let one = enter("8.8.8.8").unwrap();
        let _two = enter("8.8.8.8").unwrap();
        assert!(enter("8.8.8.8").is_none());
        drop(one);
        let _three = enter("8.8.8.8").unwrap();
        // Those of one network are one.
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
