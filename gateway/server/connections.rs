//! Connections of clients: how many there are, in all and of one address, and when they end.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use pingora_core::apps::ServerApp;
use pingora_core::listeners::tls::Acceptor;
use pingora_core::protocols::l4::stream::Stream as L4Stream;
use pingora_core::protocols::{ALPN, Stream};
use pingora_core::server::ShutdownWatch;

use crate::address::far_neighbourhood;
use crate::proxy::deadline;
use crate::proxy::in_flight::{InFlight, InFlightGuard};
use crate::snapshot::Live;

/// The connections that are open.
pub(super) struct Connections {
    live: Arc<Live>,
    open: Arc<InFlight>,
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

/// One of them.
pub(super) struct Connection<'c> {
    all: &'c Connections,
    address: Option<IpAddr>,
    _open: InFlightGuard,
}

impl Connections {
    pub(super) fn new(live: Arc<Live>) -> Arc<Self> {
        Arc::new(Self {
            open: InFlight::new(live.metrics.connections.clone()),
            live,
            by_address: Mutex::default(),
        })
    }

    /// One more, unless there are too many already.
    pub(super) fn enter(&self, from: Option<IpAddr>) -> Option<Connection<'_>> {
        let snapshot = self.live.snapshot();
        let server = &snapshot.rules.server;
        let refused = &self.live.metrics.connections_refused;
        if self.open.count() >= server.max_connections {
            refused.with_label_values(&["total"]).inc();
            return None;
        }
        let address = from.and_then(far_neighbourhood);
        if let Some(address) = address {
            let mut by_address = self.by_address();
            let count = by_address.entry(address).or_default();
            if *count >= server.max_connections_per_address {
                refused.with_label_values(&["address"]).inc();
                return None;
            }
            *count += 1;
        }
        Some(Connection {
            all: self,
            address,
            _open: self.open.enter(),
        })
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

impl Drop for Connection<'_> {
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

/// An application whose connections are counted from their first packet on, and must say something soon.
pub(super) struct Counted<A> {
    pub(super) app: Arc<A>,
    /// What makes them private. Pingora's own handshake comes before anything can be counted, and may take a minute.
    pub(super) tls: Option<Acceptor>,
    /// Whether HTTP/2 is spoken without TLS.
    pub(super) h2c: bool,
    /// Those that are open.
    pub(super) connections: Arc<Connections>,
    /// What those without a request end by, later than accepting ends.
    pub(super) quiet: Quiet,
}

/// When connections without a request end.
#[derive(Clone)]
pub(super) struct Quiet {
    /// Those of HTTP/1.1, where a request that is on its way is lost.
    pub(super) http1: ShutdownWatch,
    /// Those of HTTP/2, which says what is still answered.
    pub(super) http2: ShutdownWatch,
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> ServerApp for Counted<A> {
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        _shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let peer = peer_of(&stream);
        let _open = self.connections.enter(peer.map(|peer| peer.ip()))?;
        let within = self.connections.live.snapshot().rules.server.client_head;
        let work = async {
            // Boxed, for it is large and soon over.
            let mut stream = Box::pin(self.private(stream, peer)).await?;
            let quiet = if self.speaks_http2(&mut stream).await? {
                &self.quiet.http2
            } else {
                &self.quiet.http1
            };
            self.app.process_new(stream, quiet).await
        };
        deadline::connection(Instant::now() + within, work)
            .await
            .flatten()
    }

    /// Pingora calls it when accepting has ended, and closes then what has no request.
    async fn cleanup(&self) {
        // Gone is as good as quiet.
        let _ = self.quiet.http1.clone().wait_for(|quiet| *quiet).await;
        self.app.cleanup().await;
    }
}

impl<A> Counted<A> {
    /// The stream behind a TLS handshake, where there is one.
    async fn private(&self, stream: Stream, peer: Option<SocketAddr>) -> Option<Stream> {
        let Some(tls) = &self.tls else {
            return Some(stream);
        };
        let plain = stream.into_any().downcast::<L4Stream>().ok()?;
        let mut begun = Handshake {
            failures: &self.connections.live.metrics.tls_handshake_failures,
            over: false,
        };
        let done = tls.tls_handshake(*plain).await;
        begun.over = done.is_ok();
        match done {
            Ok(stream) => Some(Box::new(stream)),
            Err(error) => {
                // Whoever only looks whether the port is open is no news.
                if !left(&error) {
                    tracing::info!(
                        client = peer.map(tracing::field::display),
                        "TLS handshake: {error}"
                    );
                }
                None
            }
        }
    }

    /// `None` if it is closed. What is looked at is put back.
    async fn speaks_http2(&self, stream: &mut Stream) -> Option<bool> {
        if self.tls.is_some() {
            return Some(matches!(stream.selected_alpn_proto(), Some(ALPN::H2)));
        }
        let mut seen = [0; 24];
        if self.h2c {
            stream.try_peek(&mut seen).await.ok()?;
        }
        Some(seen.starts_with(b"PRI * HTTP/2.0"))
    }
}

/// One that goes on, or has ended one way or the other: in time, or dropped.
struct Handshake<'m> {
    failures: &'m prometheus::IntCounter,
    over: bool,
}

impl Drop for Handshake<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.failures.inc();
        }
    }
}

fn peer_of(stream: &Stream) -> Option<SocketAddr> {
    let digest = stream.get_socket_digest()?;
    digest.peer_addr()?.as_inet().copied()
}

/// Whether the other side closed the connection.
fn left(error: &pingora_core::Error) -> bool {
    let cause = error.root_cause().downcast_ref::<io::Error>();
    cause.is_some_and(|cause| {
        matches!(
            cause.kind(),
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
        )
    })
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
        let enter = |from: &str| connections.enter(Some(from.parse().unwrap()));
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
