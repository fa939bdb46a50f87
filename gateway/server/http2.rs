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

use super::pace::Pace;
use crate::proxy::PENALTY;
use crate::proxy::connection::{self, Streams, Unverified};
use crate::proxy::deadline;

/// How many streams with a head that is no request a connection may send: as many as Pingora's own loop allows.
const MALFORMED: usize = 32;
/// How long the last responses of a connection that is being closed may take to be sent.
const LAST_RESPONSES: Duration = Duration::from_secs(1);

type Connection = h2::server::Connection<Stream, Bytes>;

/// What came next on a connection.
enum Next {
    Stream(Box<HttpSession>, Unverified),
    /// A stream with a head that is no request; the library has refused it.
    Malformed,
    /// No more requests are wanted.
    Quiet,
    /// The client was refused for the many keys that it failed with.
    FailedTooOften,
    Over,
}

/// Serves the connection `stream`, which is read at the `pace` that this sets, until it ends, has had no stream for
/// `keepalive`, or `quiet` says that no more requests are wanted.
pub(super) async fn serve<A>(
    app: &Arc<A>,
    stream: Stream,
    pace: &Pace,
    keepalive: Duration,
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
    deadline::greeted();
    pace.hold();
    let streams = Streams::new();
    let (mut malformed, mut closing) = (0, false);
    loop {
        let next = tokio::select! {
            biased;
            () = told(&mut quiet), if !closing => Next::Quiet,
            () = streams.failed_too_often() => Next::FailedTooOften,
            next = next(&mut h2, &digest, &streams, pace) => next,
            () = idle(&streams, keepalive), if !closing => Next::Over,
        };
        match next {
            Next::Stream(session, room) => {
                let session = ServerSession::new_http2(*session);
                let (app, quiet) = (app.clone(), quiet.clone());
                let exchange = async move { app.process_new_http(session, &quiet).await };
                tokio::spawn(connection::http2(streams.open(room), exchange));
            }
            Next::Malformed if malformed < MALFORMED => malformed += 1,
            Next::Quiet => {
                h2.graceful_shutdown();
                closing = true;
            }
            Next::FailedTooOften => {
                pace.free();
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
    if streams.is_verified() {
        pace.free();
    }
    let mut accepting = pin!(HttpSession::from_h2_conn(h2, digest.clone()));
    let accepted = poll_fn(|context| {
        loop {
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
