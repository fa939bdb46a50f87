//! Gives Pingora connections to origins over HTTP/1.1: kept ones from the pool, else new ones.

use std::any::Any;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use pingora::http::ResponseHeader;
use pingora_core::Result;
use pingora_core::connectors::http::custom::{Connection, Connector};
use pingora_core::connectors::{ConnectorOptions, TransportConnector};
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::CustomALPN;
use pingora_core::protocols::{ALPN, Digest, Stream};
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::{HttpPeer, Peer};

use super::pool::IdlePool;
use super::stream::{Home, OriginStream};

/// How long a connection is kept whose peer sets no time. All peers of keygate set one.
const IDLE_TIMEOUT: Duration = Duration::from_secs(45);

/// The protocol of peers whose connections [`OriginConnector`] makes. Never offered to an origin.
pub(crate) fn own_connections() -> ALPN {
    ALPN::Custom(CustomALPN::new(b"keygate-http/1.1".to_vec()))
}

/// Whether [`OriginConnector`] makes the connections of `peer`.
pub(crate) fn is_own_connection(peer: &HttpPeer) -> bool {
    matches!(peer.options.alpn, ALPN::Custom(_))
}

/// Makes and keeps the connections of one serving thread to origins, over HTTP/1.1.
pub(crate) struct OriginConnector {
    transport: TransportConnector,
    pool: Arc<IdlePool>,
}

impl OriginConnector {
    /// A connector as `conf` has it, which keeps up to `conf.upstream_keepalive_pool_size` idle connections.
    pub(crate) fn new(conf: &ServerConf) -> Self {
        Self {
            transport: TransportConnector::new(Some(ConnectorOptions::from_server_conf(conf))),
            pool: IdlePool::new(conf.upstream_keepalive_pool_size),
        }
    }

    /// A new connection to `peer`.
    async fn connect<P: Peer + Send + Sync + 'static>(&self, peer: &P) -> Result<Stream> {
        let mut peer = peer.clone();
        if let Some(options) = peer.get_mut_peer_options() {
            options.alpn = ALPN::H1;
        }
        self.transport.new_stream(&peer).await
    }
}

#[async_trait]
impl Connector for OriginConnector {
    type Session = ();

    async fn get_http_session<P: Peer + Send + Sync + 'static>(
        &self,
        peer: &P,
    ) -> Result<(Connection<()>, bool)> {
        let home = Home {
            pool: self.pool.clone(),
            peer: peer.reuse_hash(),
            idle_timeout: peer.idle_timeout().unwrap_or(IDLE_TIMEOUT),
        };
        let (connection, kept) = match self.pool.take(home.peer) {
            Some(connection) => (connection, KEPT.clone()),
            // In a box of its own: its state is large, and most exchanges make no connection.
            None => (Box::pin(self.connect(peer)).await?, None),
        };
        let reused = kept.is_some();
        let stream = OriginStream::new(connection, home, kept);
        Ok((Connection::Stream(Box::new(stream)), reused))
    }

    /// Pingora looks here first, for sessions of protocols of its user's own. There are none.
    async fn reused_http_session<P: Peer + Send + Sync + 'static>(&self, _: &P) -> Option<()> {
        None
    }

    async fn release_http_session<P: Peer + Send + Sync + 'static>(
        &self,
        (): (),
        _: &P,
        _: Option<Duration>,
    ) {
    }
}

/// The mark of a connection that has served a request before. Pingora reports each as new, and passes on what the
/// stream says about a proxy.
static KEPT: LazyLock<Option<Arc<ProxyDigest>>> = LazyLock::new(|| {
    let response = ResponseHeader::build_no_case(200, Some(0)).ok()?;
    Some(Arc::new(ProxyDigest::new(
        Box::new(response),
        Some(Box::new(Kept)),
    )))
});

struct Kept;

/// Whether the connection with this digest has served a request before.
pub(crate) fn was_kept(digest: &Digest) -> bool {
    let marked = |proxy: &Arc<ProxyDigest>| {
        let mark = proxy.user_data.as_deref();
        mark.is_some_and(<dyn Any + Send + Sync>::is::<Kept>)
    };
    digest.proxy_digest.as_ref().is_some_and(marked)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;
    use crate::origin::ConnectionError;

    /// What a request reads whose head waits for its body, if the origin has sent something before.
    async fn read_before_sending(kept: Option<Arc<ProxyDigest>>) -> std::io::Result<usize> {
        let (here, mut origin) = duplex(64);
        let home = Home {
            pool: IdlePool::new(1),
            peer: 7,
            idle_timeout: IDLE_TIMEOUT,
        };
        let mut stream = OriginStream::new(Box::new(here), home, kept);
        let head = b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n";
        stream.write_all(head).await?;
        origin.write_all(b"HTTP/1.1 408").await?;
        stream.read(&mut [0; 64]).await
    }

    #[tokio::test]
    async fn what_comes_on_a_kept_connection_before_the_request_is_no_response_to_it() {
        assert_eq!(read_before_sending(None).await.unwrap(), 12);
        let error = read_before_sending(KEPT.clone()).await.unwrap_err();
        let inner = error.into_inner().unwrap();
        let unsent = inner.downcast::<ConnectionError>().unwrap();
        assert_eq!(*unsent, ConnectionError::Unsent);
    }
}
