//! How to connect to one origin: a template peer with every timeout set, cloned for each attempt.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr as StdAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pingora_core::connectors::L4Connect;
use pingora_core::connectors::http::Connector;
use pingora_core::protocols::ALPN;
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::upstreams::peer::{HttpPeer, PeerOptions};
use pingora_core::{Error, ErrorType, Result};

use super::addresses::Addresses;
use super::ca_bundle::CaBundle;
use super::connection::own_connections;
use super::egress_proxy::EgressProxy;
use super::reserve::refuse_reserved;
use super::timeouts::Timeouts;
use super::tunnel::{Tunnel, TunnelError};
use super::url::BaseUrl;

/// Streams on one HTTP/2 connection to an origin. RFC 9113 recommends that servers allow at least 100.
const MAX_H2_STREAMS: u32 = 100;

/// Bytes of one HTTP/2 response that an origin may send before the client has taken them. With a round trip of 100 ms,
/// this limits one response to 2.5 MB/s.
const H2_STREAM_WINDOW: u32 = 256 << 10;

/// The same limit for all responses on one connection. It is larger than the windows of all streams together, so that
/// clients that do not read leave room for the responses of others.
const H2_CONNECTION_WINDOW: u32 = 32 << 20;

const _: () = assert!(MAX_H2_STREAMS * H2_STREAM_WINDOW < H2_CONNECTION_WINDOW);

/// How many requests may be aborted before new ones use a new HTTP/2 connection. Servers close a connection on which many
/// streams are reset (Envoy after 500), which would end the responses of all other clients on it.
const MAX_ABORTED: u64 = 100;

/// The protocol that is spoken to an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HttpVersion {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2: over TLS by ALPN, over plain TCP with prior knowledge.
    Http2,
    /// HTTP/2 where the origin offers it by ALPN, else HTTP/1.1. Over TLS only.
    Auto,
}

/// An [`Endpoint`] as configured.
pub struct EndpointSpec<'s> {
    /// Scheme, host and port.
    pub(crate) url: &'s BaseUrl,
    /// The name that the certificate must have; also sent as SNI. Unused without TLS.
    pub(crate) sni: &'s str,
    /// The certificates to trust instead of the system's.
    pub(crate) ca: Option<&'s CaBundle>,
    /// The protocol to speak.
    pub(crate) http: HttpVersion,
    /// How long to wait.
    pub(crate) timeouts: Timeouts,
    /// The proxy to tunnel through.
    pub(crate) proxy: Option<&'s EgressProxy>,
}

/// How to connect to one origin.
pub struct Endpoint {
    /// How long to wait in each part of an exchange.
    pub(crate) timeouts: Timeouts,
    addresses: Arc<Addresses>,
    /// Counts attempts, so that addresses take turns.
    turn: AtomicUsize,
    /// Whether several requests may share a connection (HTTP/2).
    multiplexed: bool,
    /// Whether `addresses` are those of an egress proxy.
    tunnelled: bool,
    template: HttpPeer,
    /// For upgrades, which Pingora makes over HTTP/1.1 only.
    template_http1: HttpPeer,
}

impl Endpoint {
    /// Builds the endpoint. `addresses` are those of `spec.proxy` if there is one, else those of the host.
    pub fn new(spec: &EndpointSpec<'_>, addresses: Arc<Addresses>) -> Self {
        let tunnel = spec
            .proxy
            .map(|proxy| Arc::new(Tunnel::new(proxy, spec.url, spec.timeouts.connect)));
        Self {
            timeouts: spec.timeouts,
            addresses,
            turn: AtomicUsize::new(0),
            multiplexed: spec.http != HttpVersion::Http1,
            tunnelled: spec.proxy.is_some(),
            template: template(spec, alpn(spec.http), tunnel.as_ref()),
            template_http1: template(spec, ALPN::H1, tunnel.as_ref()),
        }
    }

    /// The peer for one attempt of a request that could not reach the addresses in `failed`; `None` while the name has
    /// not been resolved. Addresses take turns; after a failure, the next attempt uses another address if there is one.
    pub(crate) fn peer(&self, upgrade: bool, failed: &[StdAddr]) -> Option<Box<HttpPeer>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let address = self.addresses.pick(turn, failed)?;
        let template = if upgrade {
            &self.template_http1
        } else {
            &self.template
        };
        let mut peer = Box::new(template.clone());
        peer._address = SocketAddr::Inet(address);
        if self.multiplexed {
            // Pingora shares connections within a group: a new group is a new connection.
            let aborted = self.addresses.aborted.load(Ordering::Relaxed);
            peer.group_key = peer.group_key.wrapping_add(aborted / MAX_ABORTED);
        }
        Some(peer)
    }

    /// Records that a request was aborted on its connection before its response had ended.
    pub(crate) fn gave_up(&self) {
        if self.multiplexed {
            self.addresses.aborted.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Connects over HTTP/1.1 for a request of keygate's own, to the first address, in their turns, that can be reached.
    /// `None` while the name has not been resolved. The caller sets the deadline.
    pub(crate) async fn connect(
        &self,
        connector: &Connector,
    ) -> Result<Option<(HttpSession, Box<HttpPeer>)>> {
        let mut failed = Vec::new();
        loop {
            let Some(peer) = self.peer(true, &failed) else {
                return Ok(None);
            };
            let error = match connector.get_http_session(&*peer).await {
                Ok((session, _)) => return Ok(Some((session, peer))),
                Err(error) => error,
            };
            if let Some(address) = peer._address.as_inet() {
                if self.blames_address(&error) {
                    self.addresses.failed(*address);
                }
                failed.push(*address);
            }
            if failed.len() >= self.addresses.count() {
                return Err(error);
            }
        }
    }

    /// Whether a connection failed because of its address. Behind an egress proxy, a failure after the connection to
    /// the proxy does not concern the proxy's address, which is used for other origins as well.
    pub(crate) fn blames_address(&self, error: &Error) -> bool {
        if !self.tunnelled {
            return true;
        }
        let of_proxy = matches!(
            error.etype(),
            ErrorType::ConnectTimedout
                | ErrorType::ConnectRefused
                | ErrorType::ConnectNoRoute
                | ErrorType::ConnectError
                | ErrorType::BindError
        );
        of_proxy && !error.root_cause().is::<TunnelError>()
    }

    /// The addresses that connections are made to.
    pub fn addresses(&self) -> &Arc<Addresses> {
        &self.addresses
    }
}

/// The protocol that Pingora negotiates with an origin.
fn alpn(http: HttpVersion) -> ALPN {
    match http {
        HttpVersion::Http1 => own_connections(),
        HttpVersion::Http2 => ALPN::H2,
        HttpVersion::Auto => ALPN::H2H1,
    }
}

/// A peer that lacks only its address.
fn template(spec: &EndpointSpec<'_>, alpn: ALPN, tunnel: Option<&Arc<Tunnel>>) -> HttpPeer {
    // A placeholder: `Endpoint::peer` sets the address of its attempt.
    let nowhere = StdAddr::from(([0, 0, 0, 0], spec.url.port));
    let mut peer = HttpPeer::new(nowhere, spec.url.tls, spec.sni.to_owned());
    // Pingora's pool compares address, scheme and SNI only. The group adds trust, protocol and the tunnel's target.
    let mut group = DefaultHasher::new();
    (&alpn, spec.ca.map(CaBundle::fingerprint)).hash(&mut group);
    tunnel.hash(&mut group);
    peer.group_key = group.finish();
    set_options(&mut peer.options, spec, alpn, tunnel);
    peer
}

fn set_options(
    options: &mut PeerOptions,
    spec: &EndpointSpec<'_>,
    alpn: ALPN,
    tunnel: Option<&Arc<Tunnel>>,
) {
    let timeouts = &spec.timeouts;
    options.ca = spec.ca.map(CaBundle::certificates);
    options.alpn = alpn;
    options.max_h2_streams = MAX_H2_STREAMS as usize;
    options.h2_stream_window_size = Some(H2_STREAM_WINDOW);
    options.h2_connection_window_size = Some(H2_CONNECTION_WINDOW);
    options.connection_timeout = Some(timeouts.connect);
    // TCP and TLS; through a proxy, TCP, the proxy's response, and TLS.
    let steps = if tunnel.is_some() { 3 } else { 2 };
    options.total_connection_timeout = Some(timeouts.connect * steps);
    options.custom_l4 = tunnel
        .cloned()
        .map(|it| -> Arc<dyn L4Connect + Send + Sync> { it });
    // The watchdog counts the time on keygate's own connections.
    let is_own = matches!(options.alpn, ALPN::Custom(_));
    options.read_timeout = (!is_own).then_some(timeouts.first_byte);
    options.write_timeout = Some(timeouts.write);
    options.idle_timeout = Some(timeouts.pool_idle);
    options.upstream_tcp_sock_tweak_hook = Some(Arc::new(refuse_reserved));
}
