//! A client's connection over HTTP/2: Pingora's sessions, accepted by us.
//!
//! Pingora's own loop accepts every stream at once and can only be ended from outside. This one works on a few streams
//! at a time until their keys are verified, and makes a client that guesses keys wait without holding an exchange.

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
use crate::proxy::connection::{self, Streams, Unverified};
use crate::runtime::watchdog;
use crate::server::connection::pace::Pace;

/// How many streams with a head that is no request a connection may send: as many as Pingora's own loop allows.
const MALFORMED: usize = 32;
/// How many requests a connection may have after it was told that it is closed: as many as may be on their way by then.
const MOST_AFTER: u32 = 1000;
/// How long the last responses of a connection that is being closed may take to be sent.
const LAST_RESPONSES: Duration = Duration::from_secs(1);

type Connection = h2::server::Connection<Stream, Bytes>;

/// What came next on a connection.
enum Next {
    Stream(Box<HttpSession>, Unverified),
    /// A stream with a head that is no request; the library has refused it.
    Malformed,
    /// No more requests are wanted.
    IdleShutdown,
    /// The client was refused for the many keys that it failed with.
    FailedTooOften,
    Over,
}

/// When a connection ends whose client would go on.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// How long it may have no stream.
    pub(crate) idle: Duration,
    /// After how many requests it is closed. Those that the client sends before it hears of that are answered.
    pub(crate) requests: u32,
}

/// Serves the connection `stream`, which is read at the `pace` that this sets, until it ends, reaches its limits, or
/// `quiet` says that no more requests are wanted.
pub(crate) async fn serve<A>(
    app: &Arc<A>,
    stream: Stream,
    pace: &Pace,
    limits: Limits,
    mut quiet: ShutdownWatch,
) where
    A: HttpServerApp + Send + Sync + 'static,
{
    let digest = Arc::new(Digest {
        ssl_digest: stream.get_ssl_digest(),
        timing_digest: stream.get_timing_digest(),
        proxy_digest: stream.get_proxy_digest(),
        socket_digest: stream.get_socket_digest(),
    });
    let Ok(mut h2) = handshake(stream, app.h2_options()).await else {
        return;
    };
    watchdog::preface_received();
    pace.hold();
    let streams = Streams::new();
    let (mut malformed, mut requests, mut closing) = (0, 0_u32, false);
    loop {
        let next = tokio::select! {
            biased;
            () = told(&mut quiet), if !closing => Next::IdleShutdown,
            () = streams.failed_too_often() => Next::FailedTooOften,
            next = next(&mut h2, &digest, &streams, pace) => next,
            () = idle(&streams, limits.idle), if !closing => Next::Over,
        };
        match next {
            Next::Stream(session, room) => {
                let session = ServerSession::new_http2(*session);
                let (app, quiet) = (app.clone(), quiet.clone());
                let exchange = async move { app.process_new_http(session, &quiet).await };
                tokio::spawn(connection::http2(streams.open(room), exchange));
                requests = requests.saturating_add(1);
                if requests == limits.requests {
                    h2.graceful_shutdown();
                }
                if requests > limits.requests.saturating_add(MOST_AFTER) {
                    return;
                }
            }
            Next::Malformed if malformed < MALFORMED => malformed += 1,
            Next::IdleShutdown => {
                h2.graceful_shutdown();
                closing = true;
            }
            Next::FailedTooOften => {
                // What was admitted goes on; of others, the library would hold what nobody accepts any more.
                if streams.is_verified() {
                    pace.free();
                }
                return close(h2, &streams).await;
            }
            Next::Malformed | Next::Over => return,
        }
    }
}

/// Ready when no more requests are wanted.
async fn told(quiet: &mut ShutdownWatch) {
    // A closed channel means shutdown, too.
    let _ = quiet.wait_for(|quiet| *quiet).await;
}

/// Accepts a stream as soon as there is room for one whose key is not verified. May be cancelled.
async fn next(h2: &mut Connection, digest: &Arc<Digest>, streams: &Streams, pace: &Pace) -> Next {
    let room = if let Some(room) = streams.try_room() {
        Some(room)
    } else {
        tokio::select! {
            room = streams.room() => room,
            // What was answered is sent meanwhile.
            _ = poll_fn(|context| h2.poll_closed(context)) => None,
        }
    };
    let Some(room) = room else {
        return Next::Over;
    };
    let mut accepting = pin!(HttpSession::from_h2_conn(h2, digest.clone()));
    let accepted = poll_fn(|context| {
        loop {
            // The key of a stream may be verified while the next one is waited for: its body is not to be read slowly.
            if streams.is_verified() {
                pace.free();
            }
            if let Poll::Ready(accepted) = accepting.as_mut().poll(context) {
                return Poll::Ready(accepted);
            }
            // Nothing waits to be accepted, so more may be read, unless there was nothing to be read.
            if !pace.grant() {
                return Poll::Pending;
            }
        }
    });
    let accepted = accepted.await;
    pace.hold();
    match accepted {
        Ok(Some(H2Accept::Session(session))) => Next::Stream(Box::new(session), room),
        Ok(Some(H2Accept::Rejected)) => Next::Malformed,
        // The client is gone, or broke the protocol, which the library has told it.
        Ok(None) | Err(_) => Next::Over,
    }
}

/// Ready when no stream was open for `keepalive`.
async fn idle(streams: &Streams, keepalive: Duration) {
    streams.idle().await;
    tokio::time::sleep(keepalive).await;
}

/// Makes a client wait that failed with too many keys, and closes its connection: a new one costs the client more than
/// a refusal costs the gateway. Nothing is read or sent meanwhile, and no exchange is held. What was admitted before
/// goes on to its end.
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
    use crate::server::connection::pace::Paced;
    use crate::server::connection::socket::Socket;

    /// Tells of whoever comes what it is told to, and reads the request's body.
    struct Reader {
        tell: fn(),
        chunks: UnboundedSender<usize>,
    }

    #[async_trait]
    impl HttpServerApp for Reader {
        async fn process_new_http(
            self: &Arc<Self>,
            mut session: ServerSession,
            _shutdown: &ShutdownWatch,
        ) -> Option<ReusedHttpStream> {
            (self.tell)();
            while let Ok(Some(chunk)) = session.read_request_body().await {
                self.chunks.send(chunk.len()).unwrap();
            }
            None
        }
    }

    /// A client of a connection that `tell` is told of, its pace, how much of bodies is read, and what ends when it does.
    async fn serving(tell: fn()) -> io::Result<Serving> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let client = TcpStream::connect(listener.local_addr()?).await?;
        let (server, peer) = listener.accept().await?;
        let (chunks, read) = unbounded_channel();
        let (pace, (quiet, told)) = (Pace::new(), tokio::sync::watch::channel(false));
        let stream = Box::new(Paced::new(Socket::plain(server, peer), pace.clone()));
        let paced = pace.clone();
        let over = tokio::spawn(async move {
            let _quiet = quiet;
            let limits = Limits {
                idle: Duration::from_secs(60),
                requests: u32::MAX,
            };
            let reader = Arc::new(Reader { tell, chunks });
            serve(&reader, stream, &paced, limits, told).await;
        });
        let (requests, connection) = h2::client::handshake(client).await.unwrap();
        tokio::spawn(connection);
        Ok(Serving {
            requests,
            pace,
            read,
            over,
        })
    }

    struct Serving {
        requests: SendRequest<Bytes>,
        pace: Arc<Pace>,
        read: UnboundedReceiver<usize>,
        over: JoinHandle<()>,
    }

    fn request() -> Request<()> {
        Request::post("http://h/p").body(()).unwrap()
    }

    #[tokio::test]
    async fn the_body_of_a_first_stream_is_read_freely_once_its_key_is_verified() -> io::Result<()>
    {
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
        // It was free, if no read has to be granted.
        serving.pace.hold();
        assert!(!serving.pace.grant());
        Ok(())
    }

    #[tokio::test]
    async fn nothing_more_is_read_of_a_client_that_failed_too_often() -> io::Result<()> {
        let failed = || assert!(connection::failed_too_often());
        let mut serving = serving(failed).await?;
        let responses = (0..100).map(|_| serving.requests.send_request(request(), true));
        let responses: Vec<_> = responses.collect();
        serving.over.await.unwrap();
        assert!(responses.len() == 100 && serving.pace.grant());
        Ok(())
    }
}
