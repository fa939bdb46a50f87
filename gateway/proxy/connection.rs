//! What an exchange and its connection report to each other, for which Pingora has no way.
//!
//! A client whose key is not verified yet must not cost much. So a connection counts its HTTP/2 streams whose keys are
//! not verified, and an exchange reports when a key is verified, and when the client came with too many invalid ones.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::reject::Reason;
use crate::limit::held_bodies::HeldBytes;
use crate::runtime::in_flight::{InFlight, InFlightGuard};

/// How many streams of one HTTP/2 connection are worked on at once while their keys are not verified. Verifying waits for
/// nothing, so that the limit does not delay a client with a valid key.
const UNVERIFIED: usize = 16;

/// The streams of one HTTP/2 connection.
pub(crate) struct Streams {
    open: Arc<InFlight>,
    unverified: Arc<Semaphore>,
    verified: AtomicBool,
    failed_too_often: Notify,
}

/// One stream of an HTTP/2 connection, until its exchange is over.
pub(crate) struct OpenStream {
    streams: Arc<Streams>,
    unverified: RefCell<Option<OwnedSemaphorePermit>>,
    _open: InFlightGuard,
}

/// The right to work on one more stream whose key is not verified.
pub(crate) struct Unverified(OwnedSemaphorePermit);

impl Streams {
    /// The streams of a new connection, which has none.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            open: Arc::default(),
            unverified: Arc::new(Semaphore::new(UNVERIFIED)),
            verified: AtomicBool::new(false),
            failed_too_often: Notify::new(),
        })
    }

    /// Waits until one more stream may be accepted.
    pub(crate) async fn room(&self) -> Option<Unverified> {
        // An error would mean that the semaphore was closed, which never happens.
        let permit = self.unverified.clone().acquire_owned().await;
        permit.ok().map(Unverified)
    }

    /// Accepts one more stream at once, if there is room.
    pub(crate) fn try_room(&self) -> Option<Unverified> {
        let permit = self.unverified.clone().try_acquire_owned();
        permit.ok().map(Unverified)
    }

    /// Notes a stream that was accepted.
    pub(crate) fn open(self: &Arc<Self>, room: Unverified) -> OpenStream {
        OpenStream {
            streams: self.clone(),
            unverified: RefCell::new(Some(room.0)),
            _open: self.open.enter(),
        }
    }

    /// Whether the key of some stream of the connection was verified.
    pub(crate) fn is_verified(&self) -> bool {
        self.verified.load(Ordering::Relaxed)
    }

    /// Waits until no stream is open.
    pub(crate) async fn idle(&self) {
        self.open.drained().await;
    }

    /// Waits until the client was refused because it came with too many invalid keys.
    pub(crate) async fn failed_too_often(&self) {
        self.failed_too_often.notified().await;
    }
}

/// The boundary between the requests on an HTTP/1.1 connection, which the server keeps.
pub(crate) trait Requests: Send + Sync {
    /// Whether no request can follow the current one on the connection, because of how that one ends.
    fn nothing_follows(&self) -> bool;

    /// The connection changes its protocol: all bytes from here on belong to the current exchange.
    fn switch(&self);

    /// What of the current request's body was not read yet.
    fn unread(&self) -> Unread;

    /// Collects the unread body from here on, whenever the stream is read. The stream's reader then gets `stand_ins`
    /// bytes in place of the body. `permit` counts it as held.
    fn hold(&self, stand_ins: usize, permit: HeldBytes);

    /// How many bytes of the body were collected.
    fn collected(&self) -> usize;

    /// The whole body, once all of it was collected.
    fn take_held(&self) -> Option<Bytes>;

    /// Drops what was collected, and what else comes of the body.
    fn give_up_held(&self);
}

/// What of a request's body was not read yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// All was read, or there is none.
    Nothing,
    /// So many bytes, the whole body.
    Bytes(u64),
    /// A body whose length is not known before its end.
    OfUnknownLength,
}

tokio::task_local! {
    static CONNECTION: Connection;
}

/// The connection of the running exchange.
enum Connection {
    /// With the reason why the next request is refused unread, if it is.
    Http1(Cell<Option<Reason>>, Arc<dyn Requests>),
    Http2(OpenStream),
}

/// Runs the exchanges of an HTTP/1.1 connection, which `requests` keeps apart.
pub(crate) fn http1<T>(
    requests: Arc<dyn Requests>,
    exchanges: impl Future<Output = T>,
) -> impl Future<Output = T> {
    CONNECTION.scope(Connection::Http1(Cell::new(None), requests), exchanges)
}

/// Runs the exchange of one HTTP/2 stream.
pub(crate) fn http2<T>(
    stream: OpenStream,
    exchange: impl Future<Output = T>,
) -> impl Future<Output = T> {
    CONNECTION.scope(Connection::Http2(stream), exchange)
}

/// Refuses the next request of this HTTP/1.1 connection for `reason`, whatever is in it.
pub(crate) fn refuse_next(reason: Reason) {
    with(|connection| {
        if let Connection::Http1(refused, _) = connection {
            refused.set(Some(reason));
        }
    });
}

/// The reason why the current request is refused unread, if its connection has noted one.
pub(crate) fn refused() -> Option<Reason> {
    with(|connection| match connection {
        Connection::Http1(refused, _) => refused.take(),
        Connection::Http2(_) => None,
    })
    .flatten()
}

/// Whether this connection ends with the response to the current request.
pub(crate) fn nothing_follows() -> bool {
    with(|connection| match connection {
        Connection::Http1(_, requests) => requests.nothing_follows(),
        Connection::Http2(_) => false,
    })
    .unwrap_or(false)
}

/// Reports that this connection changes its protocol.
pub(crate) fn switch() {
    with(|connection| {
        if let Connection::Http1(_, requests) = connection {
            requests.switch();
        }
    });
}

/// What of the current request's body was not read yet. Over HTTP/2, nothing can be held.
pub(super) fn unread() -> Unread {
    requests(Requests::unread).unwrap_or(Unread::Nothing)
}

/// See [`Requests::hold`].
pub(super) fn hold(stand_ins: usize, permit: HeldBytes) {
    requests(|requests| requests.hold(stand_ins, permit));
}

/// See [`Requests::collected`].
pub(super) fn collected() -> usize {
    requests(Requests::collected).unwrap_or(0)
}

/// See [`Requests::take_held`].
pub(super) fn take_held() -> Option<Bytes> {
    requests(Requests::take_held).flatten()
}

/// See [`Requests::give_up_held`].
pub(super) fn give_up_held() {
    requests(Requests::give_up_held);
}

/// Reports that the exchange is admitted: it no longer counts among the unverified ones.
pub(crate) fn verified() {
    with(|connection| {
        if let Connection::Http2(stream) = connection {
            stream.unverified.take();
            stream.streams.verified.store(true, Ordering::Relaxed);
        }
    });
}

/// Reports that the client came with too many invalid keys. Returns true if the connection delays the
/// client itself (HTTP/2); if false, the exchange must.
pub(crate) fn failed_too_often() -> bool {
    with(|connection| match connection {
        Connection::Http1(..) => false,
        Connection::Http2(stream) => {
            stream.streams.failed_too_often.notify_one();
            true
        }
    })
    .unwrap_or(false)
}

/// Calls `act` with the boundary of an HTTP/1.1 connection.
fn requests<T>(act: impl FnOnce(&(dyn Requests + 'static)) -> T) -> Option<T> {
    with(|connection| match connection {
        Connection::Http1(_, requests) => Some(act(&**requests)),
        Connection::Http2(_) => None,
    })
    .flatten()
}

fn with<T>(act: impl FnOnce(&Connection) -> T) -> Option<T> {
    // A test of a single phase has no connection.
    CONNECTION.try_with(act).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_verified_stream_makes_room_for_another_and_an_unverified_one_does_not() {
        let streams = Streams::new();
        let mut open: Vec<_> = std::iter::from_fn(|| streams.try_room())
            .map(|room| streams.open(room))
            .collect();
        assert_eq!(open.len(), UNVERIFIED);
        let last = open.pop().unwrap();
        assert!(!streams.is_verified());
        http2(last, async {
            verified();
            assert!(streams.is_verified());
            assert!(streams.try_room().is_some());
        })
        .await;
        let room = streams.try_room();
        assert!(room.is_some() && streams.try_room().is_none());
        drop((room, open));
        streams.idle().await;
    }

    struct Alone;

    impl Requests for Alone {
        fn nothing_follows(&self) -> bool {
            true
        }

        fn switch(&self) {}

        fn unread(&self) -> Unread {
            Unread::Nothing
        }

        fn hold(&self, _: usize, _: HeldBytes) {}

        fn collected(&self) -> usize {
            0
        }

        fn take_held(&self) -> Option<Bytes> {
            None
        }

        fn give_up_held(&self) {}
    }

    #[tokio::test]
    async fn a_refusal_is_for_the_next_request_alone() {
        assert!(!nothing_follows());
        http1(Arc::new(Alone), async {
            assert!(nothing_follows());
            refuse_next(Reason::HeadersTooLarge);
            assert_eq!(refused(), Some(Reason::HeadersTooLarge));
            assert_eq!(refused(), None);
            assert!(!failed_too_often());
        })
        .await;
        assert_eq!(refused(), None);
    }
}
