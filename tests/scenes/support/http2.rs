//! A provider that speaks HTTP/2.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::PATIENCE;

/// A request and its body.
type Seen = (Request<()>, Vec<u8>);

/// The provider. Answers everything with 200 and `{"ok":true}`.
#[derive(Clone)]
pub struct Http2Provider {
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
}

impl Http2Provider {
    /// Behind TLS, or by prior knowledge without.
    pub fn start(tls: Option<Arc<ServerConfig>>) -> Self {
        let (found, address) = std::sync::mpsc::channel();
        let (received, connections): (Arc<Mutex<Vec<_>>>, Arc<AtomicUsize>) = Default::default();
        let provider = |address| Self {
            address,
            received: received.clone(),
            connections: connections.clone(),
        };
        let seen = provider(SocketAddr::from(([127, 0, 0, 1], 0)));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                found.send(listener.local_addr().unwrap()).unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let (seen, tls) = (seen.clone(), tls.clone());
                    tokio::spawn(async move {
                        seen.connections.fetch_add(1, Ordering::SeqCst);
                        match tls {
                            Some(config) => {
                                if let Ok(stream) = TlsAcceptor::from(config).accept(stream).await {
                                    seen.serve(stream).await;
                                }
                            }
                            None => seen.serve(stream).await,
                        }
                    });
                }
            });
        });
        provider(address.recv().unwrap())
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Ok(mut connection) = h2::server::handshake(stream).await else {
            return;
        };
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            let seen = self.clone();
            tokio::spawn(async move {
                let (parts, mut stream) = request.into_parts();
                let mut body = Vec::new();
                while let Some(Ok(piece)) = stream.data().await {
                    let _ = stream.flow_control().release_capacity(piece.len());
                    body.extend_from_slice(&piece);
                }
                seen.received
                    .lock()
                    .unwrap()
                    .push((Request::from_parts(parts, ()), body));
                let head = Response::builder().header("content-type", "application/json");
                let Ok(mut send) = respond.send_response(head.body(()).unwrap(), false) else {
                    return;
                };
                let _ = send.send_data(Bytes::from_static(b"{\"ok\":true}"), false);
                let mut trailers = HeaderMap::new();
                trailers.insert("x-trailer", "kept".parse().unwrap());
                trailers.insert("set-cookie", "account=1".parse().unwrap());
                let _ = send.send_trailers(trailers);
            });
        }
    }

    pub fn received(&self) -> Vec<Seen> {
        let all = self.received.lock().unwrap();
        all.iter()
            .map(|(request, body)| (request.clone(), body.clone()))
            .collect()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// A connection of a client that speaks HTTP/2 by prior knowledge. Needs a runtime around it.
pub async fn connect(to: SocketAddr) -> h2::client::SendRequest<Bytes> {
    let stream = tokio::net::TcpStream::connect(to).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Runs `work` on a runtime of its own; it may not take for ever.
pub fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async { tokio::time::timeout(PATIENCE * 3, work).await })
        .expect("it took too long")
}
