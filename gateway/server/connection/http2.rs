//! Serves a client's HTTP/2 connection: accepts its streams, each as a session of Pingora's.
//!
//! It replaces Pingora's own accept loop, which accepts every stream at once and can only be stopped from outside. This
//! loop serves a few streams at a time until a key is verified, and delays a client that guesses keys without holding an
//! exchange for it.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use pingora_core::apps::HttpServerApp;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::{H2Accept, HttpSession, handshake};
use pingora_core::protocols::{Digest, Stream};
use pingora_core::server::ShutdownWatch;

use crate::proxy::PENALTY;
use crate::proxy::connection::{self, OpenStream, Streams, Unverified};
use crate::runtime::watchdog;
use crate::server::connection::throttle::Throttle;

/// How many streams with a malformed head a connection may send: as many as Pingora's own loop allows.
const MAX_MALFORMED: usize = 32;
/// How many requests are served after GOAWAY was sent: those that may have been on their way.
const MAX_AFTER_GOAWAY: u32 = 1000;
/// How long the last responses of a closing connection may take to be sent.
const LAST_RESPONSES: Duration = Duration::from_secs(1);

type Connection = h2::server::Connection<Stream, Bytes>;

/// The next event of a connection.
enum Next {
    /// A request, and the permit for a stream whose key is not verified.
    Stream(Box<HttpSession>, Unverified),
    /// A stream with a malformed head, which the library has reset.
    Malformed,
    /// The server shuts down idle connections.
    IdleShutdown,
    /// The client was refused because it has sent too many wrong keys.
    FailedTooOften,
    /// The connection ends.
    Over,
}

/// When the server closes a connection.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// How long it may have no open stream.
    pub(crate) idle: Duration,
    /// How many requests it may carry. GOAWAY is sent with the last one; requests that cross it are still served.
    pub(crate) requests: u32,
}

/// Serves the connection `stream` until it ends, reaches its `limits`, or `drain` turns true and its requests have ended.
/// Controls the `throttle` that the stream is read through.
pub(crate) async fn serve<A>(
    app: &Arc<A>,
    stream: Stream,
    throttle: &Throttle,
    limits: Limits,
    mut drain: ShutdownWatch,
) where
    A: HttpServerApp + Send + Sync + 'static,
{
    let digest = Arc::new(digest_of(&stream));
    let Ok(mut h2) = handshake(stream, app.h2_options()).await else {
        return;
    };
    watchdog::preface_received();
    throttle.hold();
    let streams = Streams::new();
    let (mut malformed, mut requests, mut closing) = (0, 0_u32, false);
    loop {
        let next = tokio::select! {
            biased;
            () = drain_begins(&mut drain), if !closing => Next::IdleShutdown,
            () = streams.failed_too_often() => Next::FailedTooOften,
            next = next(&mut h2, &digest, &streams, throttle) => next,
            () = idle(&streams, limits.idle), if !closing => Next::Over,
        };
        match next {
            Next::Stream(session, room) => {
                spawn_exchange(app, *session, streams.open(room), &drain);
                requests = requests.saturating_add(1);
                if requests == limits.requests {
                    h2.graceful_shutdown();
                }
                if requests > limits.requests.saturating_add(MAX_AFTER_GOAWAY) {
                    return;
                }
            }
            Next::Malformed if malformed < MAX_MALFORMED => malformed += 1,
            Next::IdleShutdown => {
                h2.graceful_shutdown();
                closing = true;
            }
            Next::FailedTooOften => {
                // Admitted streams go on. Without one, reading stays held: the library would keep requests that nobody
                // accepts any more.
                if streams.is_verified() {
                    throttle.lift();
                }
                return close(h2, &streams).await;
            }
            Next::Malformed | Next::Over => return,
        }
    }
}

/// Serves the request of one stream in a task of its own.
fn spawn_exchange<A>(app: &Arc<A>, session: HttpSession, stream: OpenStream, drain: &ShutdownWatch)
where
    A: HttpServerApp + Send + Sync + 'static,
{
    let session = ServerSession::new_http2(session);
    let (app, drain) = (app.clone(), drain.clone());
    let exchange = async move { app.process_new_http(session, &drain).await };
    tokio::spawn(connection::http2(stream, exchange));
}

/// What Pingora's sessions know of their connection.
fn digest_of(stream: &Stream) -> Digest {
    Digest {
        ssl_digest: stream.get_ssl_digest(),
        timing_digest: stream.get_timing_digest(),
        proxy_digest: stream.get_proxy_digest(),
        socket_digest: stream.get_socket_digest(),
    }
}

/// Ready when idle connections are to be closed.
async fn drain_begins(drain: &mut ShutdownWatch) {
    // A closed channel means shutdown, too.
    let _ = drain.wait_for(|begun| *begun).await;
}

/// Accepts a stream as soon as one more may be open with an unverified key. Cancellation-safe.
async fn next(
    h2: &mut Connection,
    digest: &Arc<Digest>,
    streams: &Streams,
    throttle: &Throttle,
) -> Next {
    let room = if let Some(room) = streams.try_room() {
        Some(room)
    } else {
        tokio::select! {
            room = streams.room() => room,
            // Keeps sending responses while it waits.
            _ = poll_fn(|context| h2.poll_closed(context)) => None,
        }
    };
    let Some(room) = room else {
        return Next::Over;
    };
    let mut accepting = pin!(HttpSession::from_h2_conn(h2, digest.clone()));
    let accept = poll_fn(|context| {
        loop {
            // A stream's key may be verified while the next stream is awaited: its body must not be throttled.
            if streams.is_verified() {
                throttle.lift();
            }
            if let Poll::Ready(accepted) = accepting.as_mut().poll(context) {
                return Poll::Ready(accepted);
            }
            // The library holds no request, so it may read once more. If a read was granted before, nothing has arrived.
            if !throttle.grant() {
                return Poll::Pending;
            }
        }
    });
    let accepted = accept.await;
    throttle.hold();
    match accepted {
        Ok(Some(H2Accept::Session(session))) => Next::Stream(Box::new(session), room),
        Ok(Some(H2Accept::Rejected)) => Next::Malformed,
        // The client has closed the connection, or violated the protocol, which the library has reported to it.
        Ok(None) | Err(_) => Next::Over,
    }
}

/// Ready when no stream was open for the time `keepalive`.
async fn idle(streams: &Streams, keepalive: Duration) {
    streams.idle().await;
    tokio::time::sleep(keepalive).await;
}

/// Delays a client that has sent too many wrong keys, then closes its connection: a new connection costs the client more
/// than a refusal costs the gateway. During the delay nothing is read or sent, and no exchange is held. Streams that were
/// admitted before go on to their end.
async fn close(mut h2: Connection, streams: &Streams) {
    tokio::time::sleep(PENALTY).await;
    h2.graceful_shutdown();
    let over = async {
        streams.idle().await;
        tokio::time::sleep(LAST_RESPONSES).await;
    };
    tokio::select! {
        _ = poll_fn(|context| h2.poll_closed(context)) => {}
        () = over => {}
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use async_trait::async_trait;
    use h2::client::SendRequest;
    use http::Request;
    use pingora_core::apps::ReusedHttpStream;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
    use tokio::task::JoinHandle;

    use super::*;
    use crate::server::connection::stream::ClientStream;
    use crate::server::connection::throttle::ThrottledStream;

    /// Reports each request by `report`, and reads its body.
    struct Reader {
        report: fn(),
        chunks: UnboundedSender<usize>,
    }

    #[async_trait]
    impl HttpServerApp for Reader {
        async fn process_new_http(
            self: &Arc<Self>,
            mut session: ServerSession,
            _shutdown: &ShutdownWatch,
        ) -> Option<ReusedHttpStream> {
            (self.report)();
            while let Ok(Some(chunk)) = session.read_request_body().await {
                self.chunks.send(chunk.len()).unwrap();
            }
            None
        }
    }

    /// A connection whose requests are reported by `report`.
    async fn serving(report: fn()) -> io::Result<Serving> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let client = TcpStream::connect(listener.local_addr()?).await?;
        let (server, peer) = listener.accept().await?;
        let (chunks, read) = unbounded_channel();
        let (throttle, (drain, draining)) = (Throttle::new(), tokio::sync::watch::channel(false));
        let stream = Box::new(ThrottledStream::new(
            ClientStream::plain(server, peer),
            throttle.clone(),
        ));
        let held = throttle.clone();
        let over = tokio::spawn(async move {
            let _drain = drain;
            let limits = Limits {
                idle: Duration::from_secs(60),
                requests: u32::MAX,
            };
            let reader = Arc::new(Reader { report, chunks });
            serve(&reader, stream, &held, limits, draining).await;
        });
        let (requests, connection) = h2::client::handshake(client).await.unwrap();
        tokio::spawn(connection);
        Ok(Serving {
            requests,
            throttle,
            read,
            over,
        })
    }

    struct Serving {
        requests: SendRequest<Bytes>,
        throttle: Arc<Throttle>,
        /// The lengths of the body chunks that were read.
        read: UnboundedReceiver<usize>,
        /// Ends with the connection.
        over: JoinHandle<()>,
    }

    fn request() -> Request<()> {
        Request::post("http://h/p").body(()).unwrap()
    }

    #[tokio::test]
    async fn a_streams_body_is_not_throttled_once_its_key_is_verified() -> io::Result<()> {
        let mut serving = serving(connection::verified).await?;
        let (_response, mut body) = serving.requests.send_request(request(), false).unwrap();
        for _ in 0..2 {
            let chunk = Bytes::from_static(&[b'x'; 4 << 10]);
            body.send_data(chunk, false).unwrap();
            let mut left = 4 << 10;
            while left > 0 {
                left -= serving.read.recv().await.unwrap();
            }
        }
        // The throttle was lifted: no read has to be granted.
        serving.throttle.hold();
        assert!(!serving.throttle.grant());
        Ok(())
    }

    #[tokio::test]
    async fn reading_stays_held_after_too_many_wrong_keys() -> io::Result<()> {
        let failed = || assert!(connection::failed_too_often());
        let mut serving = serving(failed).await?;
        let responses: Vec<_> = (0..100)
            .map(|_| serving.requests.send_request(request(), true))
            .collect();
        serving.over.await.unwrap();
        assert!(responses.len() == 100 && serving.throttle.grant());
        Ok(())
    }
}
