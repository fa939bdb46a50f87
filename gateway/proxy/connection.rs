//! What an exchange and its connection tell each other, where Pingora has no way to say it.
//!
//! A client whose key was not verified yet must not cost much. So the connection knows how many of its HTTP/2 streams
//! are still unverified, and an exchange tells it when one is verified, and when the client failed too often.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::reject::Reason;
use crate::runtime::in_flight::{InFlight, InFlightGuard};

/// How many streams of one HTTP/2 connection are worked on at once while their keys are not verified. None of them
/// waits for anything, so that a good client notices nothing of it.
const UNVERIFIED: usize = 16;

/// The streams of one HTTP/2 connection.
pub struct Streams {
    open: Arc<InFlight>,
    unverified: Arc<Semaphore>,
    verified: AtomicBool,
    failed_too_often: Notify,
}

/// One of them, until its exchange is over.
pub struct OpenStream {
    streams: Arc<Streams>,
    unverified: RefCell<Option<OwnedSemaphorePermit>>,
    _open: InFlightGuard,
}

/// The right to work on one more stream whose key is not verified.
pub struct Unverified(OwnedSemaphorePermit);

impl Streams {
    /// A connection without a stream.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            open: Arc::default(),
            unverified: Arc::new(Semaphore::new(UNVERIFIED)),
            verified: AtomicBool::new(false),
            failed_too_often: Notify::new(),
        })
    }

    /// Waits until one more stream may be accepted.
    pub async fn room(&self) -> Option<Unverified> {
        // An error would mean that the semaphore was closed, which nobody does.
        let permit = self.unverified.clone().acquire_owned().await;
        permit.ok().map(Unverified)
    }

    /// The same at once, if there is room.
    pub fn try_room(&self) -> Option<Unverified> {
        let permit = self.unverified.clone().try_acquire_owned();
        permit.ok().map(Unverified)
    }

    /// Notes a stream that was accepted.
    pub fn open(self: &Arc<Self>, room: Unverified) -> OpenStream {
        OpenStream {
            streams: self.clone(),
            unverified: RefCell::new(Some(room.0)),
            _open: self.open.enter(),
        }
    }

    /// Whether the key of one of its streams was verified.
    pub fn is_verified(&self) -> bool {
        self.verified.load(Ordering::Relaxed)
    }

    /// Waits until no stream is open.
    pub async fn idle(&self) {
        self.open.drained().await;
    }

    /// Waits until the client was refused for the many keys that it failed with.
    pub async fn failed_too_often(&self) {
        self.failed_too_often.notified().await;
    }
}

/// What keeps the requests on an HTTP/1.1 connection apart.
pub trait Requests: Send + Sync {
    /// Whether no other request is read behind the one that goes on, because of how that one ends.
    fn nothing_follows(&self) -> bool;

    /// From here on, another protocol is spoken on the connection: all that comes belongs to it.
    fn switch(&self);
}

tokio::task_local! {
    static CONNECTION: Connection;
}

/// The connection of the exchange that runs.
enum Connection {
    /// With why the next request is refused unread, if it is.
    Http1(Cell<Option<Reason>>, Arc<dyn Requests>),
    Http2(OpenStream),
}

/// Runs the exchanges of an HTTP/1.1 connection, which `requests` keeps apart.
pub fn http1<T>(
    requests: Arc<dyn Requests>,
    exchanges: impl Future<Output = T>,
) -> impl Future<Output = T> {
    CONNECTION.scope(Connection::Http1(Cell::new(None), requests), exchanges)
}

/// Runs the exchange of one HTTP/2 stream.
pub fn http2<T>(stream: OpenStream, exchange: impl Future<Output = T>) -> impl Future<Output = T> {
    CONNECTION.scope(Connection::Http2(stream), exchange)
}

/// Has the next request of this HTTP/1.1 connection refused for `reason`, whatever it says.
pub fn refuse_next(reason: Reason) {
    with(|connection| {
        if let Connection::Http1(refused, _) = connection {
            refused.set(Some(reason));
        }
    });
}

/// Why the request that has just come is refused, if its connection says so.
pub fn refused() -> Option<Reason> {
    with(|connection| match connection {
        Connection::Http1(refused, _) => refused.take(),
        Connection::Http2(_) => None,
    })
    .flatten()
}

/// Whether this connection ends with the response to the request that goes on.
pub fn nothing_follows() -> bool {
    with(|connection| match connection {
        Connection::Http1(_, requests) => requests.nothing_follows(),
        Connection::Http2(_) => false,
    })
    .unwrap_or(false)
}

/// Another protocol is spoken on this connection from here on.
pub fn switch() {
    with(|connection| {
        if let Connection::Http1(_, requests) = connection {
            requests.switch();
        }
    });
}

/// The exchange may go on: from here it takes no place among the unverified ones.
pub fn verified() {
    with(|connection| {
        if let Connection::Http2(stream) = connection {
            stream.unverified.take();
            stream.streams.verified.store(true, Ordering::Relaxed);
        }
    });
}

/// The client failed with too many keys. Whether its connection makes it wait for that; if not, the exchange has to.
pub fn failed_too_often() -> bool {
    with(|connection| match connection {
        Connection::Http1(..) => false,
        Connection::Http2(stream) => {
            stream.streams.failed_too_often.notify_one();
            true
        }
    })
    .unwrap_or(false)
}

fn with<T>(ask: impl FnOnce(&Connection) -> T) -> Option<T> {
    // A test of a single phase has no connection.
    CONNECTION.try_with(ask).ok()
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
