//! The way to a provider: a template peer with every timeout set, cloned per attempt.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr as StdAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pingora_core::Result;
use pingora_core::connectors::L4Connect;
use pingora_core::connectors::http::Connector;
use pingora_core::protocols::ALPN;
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::tls::CaType;
use pingora_core::tls::RootCertStore;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::utils::tls::{WrappedX509, parse_x509};
use pingora_core::{Error, ErrorType};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::net::TcpSocket;

use super::{Addresses, BaseUrl, EgressProxy, Tunnel, TunnelError};
use crate::runtime::descriptors;

/// Streams on one HTTP/2 connection to a provider. RFC 9113 asks for at least 100 to be allowed.
const MAX_H2_STREAMS: u32 = 100;

/// Bytes of one HTTP/2 response that a provider may send before the client has taken them. At 100 ms to the provider
/// and back, a single response comes at 2.5 MB/s at most.
const H2_STREAM_WINDOW: u32 = 256 << 10;

/// The same for all responses on one connection. Each stream has its share of it, so that clients that do not read
/// leave room for the responses of the others.
const H2_CONNECTION_WINDOW: u32 = 32 << 20;

const _: () = assert!(MAX_H2_STREAMS * H2_STREAM_WINDOW < H2_CONNECTION_WINDOW);

/// After how many requests that were given up, new ones go over a new HTTP/2 connection. Servers end a connection on
/// which many streams are reset, and with it the responses of everybody else: Envoy at 500 of them.
const MOST_GIVEN_UP: u64 = 100;

/// The protocol spoken to a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HttpVersion {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, over TLS by ALPN, over plain TCP with prior knowledge.
    Http2,
    /// HTTP/2 where the provider offers it by ALPN, else HTTP/1.1. Over TLS only.
    Auto,
}

/// How long to wait for a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, and again for its TLS handshake.
    pub connect: Duration,
    /// From the last byte of the request to the head of the response.
    pub first_byte: Duration,
    /// Between two chunks of a response; no longer than `first_byte`.
    pub idle: Duration,
    /// For the whole exchange; `None` is without end.
    pub total: Option<Duration>,
    /// For a chunk of the request to be taken.
    pub write: Duration,
    /// How long an unused connection is kept. Below the provider's own, lest requests meet
    /// connections that are just being closed.
    pub pool_idle: Duration,
}

impl Default for Timeouts {
    /// Models think for minutes before they say a word.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(600),
            idle: Duration::from_secs(300),
            total: Some(Duration::from_secs(3600)),
            write: Duration::from_secs(60),
            pool_idle: Duration::from_secs(45),
        }
    }
}

/// Certificates to trust instead of the system's.
#[derive(Clone)]
pub struct CaBundle {
    certificates: Arc<CaType>,
    fingerprint: u64,
}

impl CaBundle {
    /// Takes the certificates, one or more, out of `pem`, the content of the file at `path`.
    pub fn parse(pem: &[u8], path: &Path) -> Result<Self, String> {
        let mut certificates = Vec::new();
        let mut hasher = DefaultHasher::new();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let der = certificate
                .map_err(|error| format!("{} is not a PEM file: {error}", path.display()))?;
            let unusable =
                |why: String| format!("{} holds an unusable certificate: {why}", path.display());
            RootCertStore::empty()
                .add(der.clone())
                .map_err(|error| unusable(error.to_string()))?;
            der.as_ref().hash(&mut hasher);
            // Pingora's reader panics on what it cannot parse; that is no reason to end here.
            let parsed = std::panic::catch_unwind(|| WrappedX509::new(der.to_vec(), parse_x509));
            certificates.push(parsed.map_err(|_| unusable("it cannot be parsed".to_owned()))?);
        }
        if certificates.is_empty() {
            return Err(format!("{} holds no certificate", path.display()));
        }
        Ok(Self {
            certificates: certificates.into(),
            fingerprint: hasher.finish(),
        })
    }
}

/// Refuses a connection that would take one of the last file descriptors.
pub(crate) fn leave_the_last(socket: &TcpSocket) -> pingora_core::Result<()> {
    if descriptors::is_reserved(socket) {
        let why = "the last file descriptors are not for connections";
        return Err(Error::explain(ErrorType::SocketError, why));
    }
    Ok(())
}

/// The way to one provider.
pub struct Endpoint {
    /// How long to wait for what.
    pub timeouts: Timeouts,
    addresses: Arc<Addresses>,
    turn: AtomicUsize,
    /// Whether requests share connections.
    multiplexed: bool,
    /// Whether connections lead through a proxy, whose the addresses are.
    tunnelled: bool,
    template: HttpPeer,
    /// For upgrades, which HTTP/2 does not have.
    template_http1: HttpPeer,
}

impl Endpoint {
    /// The way to `url`, trusting `ca` instead of the system's certificates if there is one. The addresses are those of
    /// `proxy`, if it leads through one.
    pub fn new(
        url: &BaseUrl,
        sni: &str,
        ca: Option<&CaBundle>,
        http: HttpVersion,
        timeouts: Timeouts,
        proxy: Option<&EgressProxy>,
        addresses: Arc<Addresses>,
    ) -> Self {
        let tunnel = proxy.map(|proxy| Arc::new(Tunnel::new(proxy, url, timeouts.connect)));
        let peer = |http: HttpVersion| {
            // The address is a place holder: `peer` below puts in the one of its attempt.
            let nowhere = StdAddr::from(([0, 0, 0, 0], url.port));
            let mut peer = HttpPeer::new(nowhere, url.tls, sni.to_owned());
            // Pingora's pool looks at address, scheme and SNI, not at trust and protocol, nor at where a tunnel ends.
            let mut group = DefaultHasher::new();
            (http, ca.map(|ca| ca.fingerprint)).hash(&mut group);
            tunnel.hash(&mut group);
            peer.group_key = group.finish();
            let options = &mut peer.options;
            options.ca = ca.map(|ca| ca.certificates.clone());
            options.alpn = match http {
                HttpVersion::Http1 => ALPN::H1,
                HttpVersion::Http2 => ALPN::H2,
                HttpVersion::Auto => ALPN::H2H1,
            };
            options.max_h2_streams = MAX_H2_STREAMS as usize;
            options.h2_stream_window_size = Some(H2_STREAM_WINDOW);
            options.h2_connection_window_size = Some(H2_CONNECTION_WINDOW);
            options.connection_timeout = Some(timeouts.connect);
            // The proxy's own connection, its response, and TLS.
            let parts = if tunnel.is_some() { 3 } else { 2 };
            options.total_connection_timeout = Some(timeouts.connect * parts);
            let connector = tunnel.clone();
            options.custom_l4 = connector.map(|it| -> Arc<dyn L4Connect + Send + Sync> { it });
            options.read_timeout = Some(timeouts.first_byte);
            options.write_timeout = Some(timeouts.write);
            options.idle_timeout = Some(timeouts.pool_idle);
            options.upstream_tcp_sock_tweak_hook = Some(Arc::new(leave_the_last));
            peer
        };
        Self {
            timeouts,
            addresses,
            turn: AtomicUsize::new(0),
            multiplexed: http != HttpVersion::Http1,
            tunnelled: proxy.is_some(),
            template: peer(http),
            template_http1: peer(HttpVersion::Http1),
        }
    }

    /// The peer for one attempt of a request that could not reach the addresses in `failed`; `None` while the name
    /// could not be resolved. Addresses take turns; an attempt after a failure goes elsewhere, if there is an elsewhere.
    pub fn peer(&self, upgrade: bool, failed: &[StdAddr]) -> Option<Box<HttpPeer>> {
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
            // Pingora shares connections within a group.
            let given_up = self.addresses.given_up.load(Ordering::Relaxed);
            peer.group_key = peer.group_key.wrapping_add(given_up / MOST_GIVEN_UP);
        }
        Some(peer)
    }

    /// A request on a connection to the provider was given up before its response had ended.
    pub fn gave_up(&self) {
        if self.multiplexed {
            self.addresses.given_up.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A connection over HTTP/1.1 for a request of the gateway's own, and its peer: to the first address, in their turns,
    /// that can be reached. `None` while the name could not be resolved. The caller bounds the time.
    pub async fn connect(
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

    /// Whether it is the address that a connection could not be made to. Behind a proxy, what fails after the connection
    /// to the proxy is no fault of its address, which leads to other providers as well.
    pub fn blames_address(&self, error: &Error) -> bool {
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

    /// The addresses it goes to.
    pub fn addresses(&self) -> &Arc<Addresses> {
        &self.addresses
    }
}
