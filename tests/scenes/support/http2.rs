//! A provider that speaks HTTP/2.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::PATIENCE;

/// A request and its body.
type Seen = (Request<()>, Vec<u8>);

/// The body of the response to a request.
type Body = dyn Fn(&Request<()>) -> Bytes + Send + Sync;

/// The provider. It responds with 307 to a request with an `x-redirect-to` header.
#[derive(Clone)]
pub struct Http2Provider {
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
    resets: Arc<AtomicUsize>,
    body: Arc<Body>,
}

impl Http2Provider {
    /// A provider with TLS, or by prior knowledge without. Responds to every request with 200 and `{"ok":true}`.
    pub fn start(tls: Option<Arc<ServerConfig>>) -> Self {
        Self::responding(tls, |_| Bytes::from_static(b"{\"ok\":true}"))
    }

    /// A provider that responds to every request with 200 and the body that `body` returns.
    pub fn responding(
        tls: Option<Arc<ServerConfig>>,
        body: impl Fn(&Request<()>) -> Bytes + Send + Sync + 'static,
    ) -> Self {
        let (found, address) = std::sync::mpsc::channel();
        let mut provider = Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            received: Arc::default(),
            connections: Arc::default(),
            sent: Arc::default(),
            resets: Arc::default(),
            body: Arc::new(body),
        };
        let seen = provider.clone();
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
        provider.address = address.recv().unwrap();
        provider
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
                while let Some(chunk) = stream.data().await {
                    let Ok(chunk) = chunk else {
                        seen.resets.fetch_add(1, Ordering::SeqCst);
                        return;
                    };
                    let _ = stream.flow_control().release_capacity(chunk.len());
                    body.extend_from_slice(&chunk);
                }
                let mut head = Response::builder().header("content-type", "application/json");
                if let Some(to) = parts.headers.get("x-redirect-to") {
                    head = head.status(307).header("location", to);
                }
                let request = Request::from_parts(parts, ());
                let response = (seen.body)(&request);
                seen.received.lock().unwrap().push((request, body));
                let Ok(mut send) = respond.send_response(head.body(()).unwrap(), false) else {
                    return;
                };
                if seen.send(&mut send, response).await.is_none() {
                    return;
                }
                let mut trailers = HeaderMap::new();
                trailers.insert("x-trailer", "kept".parse().unwrap());
                for gone in [
                    "set-cookie",
                    "location",
                    "x-keygate-request-id",
                    "x-keygate-refused-by",
                ] {
                    trailers.insert(gone, "forged".parse().unwrap());
                }
                let _ = send.send_trailers(trailers);
            });
        }
    }

    /// Sends a body as fast as it is received; `None` if it is not received to its end.
    async fn send(&self, to: &mut SendStream<Bytes>, mut body: Bytes) -> Option<()> {
        while !body.is_empty() {
            to.reserve_capacity(body.len().min(64 << 10));
            let room = std::future::poll_fn(|context| to.poll_capacity(context)).await;
            let chunk = body.split_to(room?.ok()?);
            self.sent.fetch_add(chunk.len(), Ordering::SeqCst);
            to.send_data(chunk, false).ok()?;
        }
        Some(())
    }

    /// The number of body bytes that were sent so far.
    pub fn sent(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }

    /// The number of requests that were reset before their body ended.
    pub fn resets(&self) -> usize {
        self.resets.load(Ordering::SeqCst)
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

/// A client connection by prior knowledge. Needs a Tokio runtime.
pub async fn connect(to: SocketAddr) -> SendRequest<Bytes> {
    let stream = tokio::net::TcpStream::connect(to).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Sends a request without a body, and waits for the head of the response.
pub async fn send(
    client: &mut SendRequest<Bytes>,
    request: http::request::Builder,
) -> Response<RecvStream> {
    let mut client = client.clone().ready().await.unwrap();
    let request = request.body(()).unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    response.await.unwrap()
}

/// Runs `work` on a new runtime, with a time limit.
pub fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async { tokio::time::timeout(PATIENCE * 3, work).await })
        .expect("the time limit has passed")
}
