//! How many connections of clients there are, in all and of one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError};

use super::seats::{Seat, Seats};
use crate::address::far_neighbourhood;
use crate::descriptors;
use crate::proxy::in_flight::{InFlight, InFlightGuard};
use crate::snapshot::Live;

/// The connections that are open.
pub(super) struct Connections {
    live: Arc<Live>,
    open: Arc<InFlight>,
    by_address: Mutex<HashMap<IpAddr, usize>>,
    /// Those of the admin listener, whoever they are of; how many clients may have, the configuration says.
    admin: Option<Arc<Seats>>,
}

/// One of them.
pub(super) struct Connection {
    all: Arc<Connections>,
    address: Option<IpAddr>,
    /// Of the admin listener alone.
    seat: Option<Seat>,
    _open: InFlightGuard,
}

impl Connections {
    pub(super) fn new(live: Arc<Live>) -> Arc<Self> {
        Arc::new(Self {
            open: InFlight::new(live.metrics.connections.clone()),
            live,
            by_address: Mutex::default(),
            admin: None,
        })
    }

    /// Those of the admin listener: `most`, which are not among those of clients. Who only waits gives way to the next.
    pub(super) fn of_admin(live: Arc<Live>, most: usize) -> Arc<Self> {
        Arc::new(Self {
            open: Arc::default(),
            live,
            by_address: Mutex::default(),
            admin: Some(Seats::new(most)),
        })
    }

    /// What serves now.
    pub(super) fn live(&self) -> &Live {
        &self.live
    }

    /// One more, unless it took the last descriptors, or there are too many already.
    pub(super) fn admit(
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
            return seated.seat.map(|seat| self.connection(None, Some(seat)));
        }
        let snapshot = self.live.snapshot();
        let server = &snapshot.rules.server;
        if self.open.count() >= server.connections_at_most() {
            refused.with_label_values(&["total"]).inc();
            return None;
        }
        let address = far_neighbourhood(from);
        if let Some(address) = address {
            let mut by_address = self.by_address();
            let count = by_address.entry(address).or_default();
            if *count >= server.max_connections_per_address {
                refused.with_label_values(&["address"]).inc();
                return None;
            }
            *count += 1;
        }
        Some(self.connection(address, None))
    }

    fn connection(self: &Arc<Self>, address: Option<IpAddr>, seat: Option<Seat>) -> Connection {
        Connection {
            all: self.clone(),
            address,
            seat,
            _open: self.open.enter(),
        }
    }

    /// Waits until there is none.
    pub(super) async fn drained(&self) {
        self.open.drained().await;
    }

    fn by_address(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// A request is waited for.
    pub(super) fn waits(&self) {
        if let Some(seat) = &self.seat {
            seat.waits();
        }
    }

    /// The head of a request is there.
    pub(super) fn answers(&self) {
        if let Some(seat) = &self.seat {
            seat.answers();
        }
    }

    /// Waits until it is to give way to another one; that of a client never is.
    pub(super) async fn gives_way(&self) {
        match &self.seat {
            Some(seat) => seat.closed().await,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        let mut by_address = self.all.by_address();
        if let Some(count) = by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Purpose};
    use crate::metrics::Metrics;

    #[test]
    fn one_address_has_so_many_connections_and_all_together_have_so_many() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.toml");
        let limits = "connections = 5\nconnections_per_address = 2";
        std::fs::write(&path, format!("[server.limits]\n{limits}\n")).unwrap();
        let config = Config::load(&path, Purpose::Start).unwrap_or_else(|e| panic!("{e}"));
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
        assert_eq!(connections.by_address().len(), 2);
        let near = enter("127.0.0.1");
        assert!(near.is_some() && enter("127.0.0.1").is_none());
        drop((six, near));
        assert!(enter("10.0.0.1").is_some());
        assert_eq!(connections.by_address().len(), 1);
    }
}
