//! Idle connections to origins: those of one serving thread.
//!
//! An idle connection has no task and no timer of its own. Whether its origin has closed it is looked up when it is
//! taken: the runtime notes that as it happens. A sweep, once a second while any connection is idle, closes those that
//! nobody took in time, and those that their origins have closed.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use pingora_core::protocols::Stream;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::runtime::Handle;
use tokio::task::unconstrained;

/// Time between two sweeps.
const SWEEP: Duration = Duration::from_secs(1);

/// The idle connections of one serving thread.
#[derive(Debug)]
pub(super) struct IdlePool {
    /// How many connections may be idle.
    capacity: usize,
    // Never contended: it makes the pool `Sync`, which Pingora requires of a connector.
    connections: Mutex<Connections>,
}

#[derive(Debug, Default)]
struct Connections {
    /// By the hash of their peer; those of one peer in the order in which they became idle.
    by_peer: HashMap<u64, Vec<Idle>, ahash::RandomState>,
    count: usize,
    /// Whether a task sweeps.
    swept: bool,
}

#[derive(Debug)]
struct Idle {
    stream: Stream,
    since: Instant,
    until: Instant,
}

impl IdlePool {
    /// An empty pool, for at most `capacity` connections.
    pub(super) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            capacity,
            connections: Mutex::default(),
        })
    }

    /// Takes the connection to `peer` that became idle last, if one is open.
    pub(super) fn take(&self, peer: u64) -> Option<Stream> {
        let mut connections = self.connections();
        let now = Instant::now();
        loop {
            let mut idle = connections.by_peer.get_mut(&peer)?.pop()?;
            connections.count -= 1;
            if idle.is_usable(now) {
                return Some(idle.stream);
            }
        }
    }

    /// Keeps a connection to `peer` for up to `idle_timeout`. If there are too many, the one that is idle for the
    /// longest time is closed.
    pub(super) fn put(self: &Arc<Self>, peer: u64, stream: Stream, idle_timeout: Duration) {
        if self.capacity == 0 {
            return;
        }
        let since = Instant::now();
        let until = since + idle_timeout;
        let mut connections = self.connections();
        if connections.count >= self.capacity {
            connections.close_oldest();
        }
        let of_peer = connections.by_peer.entry(peer).or_default();
        of_peer.push(Idle {
            stream,
            since,
            until,
        });
        connections.count += 1;
        // Without a runtime, the thread ends, and its connections with it.
        if let (false, Ok(runtime)) = (connections.swept, Handle::try_current()) {
            connections.swept = true;
            runtime.spawn(sweep(Arc::downgrade(self)));
        }
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connections {
    fn close_oldest(&mut self) {
        let oldest = self
            .by_peer
            .values_mut()
            .filter(|of_peer| !of_peer.is_empty())
            .min_by_key(|of_peer| of_peer.first().map(|idle| idle.since));
        if let Some(of_peer) = oldest {
            of_peer.remove(0);
            self.count -= 1;
        }
    }

    /// Closes what is not usable any more. Returns whether a connection is left; if none is, nobody sweeps.
    fn sweep(&mut self, now: Instant) -> bool {
        self.by_peer.retain(|_, of_peer| {
            of_peer.retain_mut(|idle| idle.is_usable(now));
            !of_peer.is_empty()
        });
        self.count = self.by_peer.values().map(Vec::len).sum();
        self.swept = self.count > 0;
        self.swept
    }
}

impl Idle {
    /// Whether the connection is open, and its time is not over.
    fn is_usable(&mut self, now: Instant) -> bool {
        now < self.until && is_quiet(&mut self.stream)
    }
}

/// Whether nothing has come on an idle connection: neither its end nor bytes that nobody asked for.
fn is_quiet(stream: &mut Stream) -> bool {
    let mut byte = [0];
    let mut into = ReadBuf::new(&mut byte);
    let read = poll_fn(|context| Pin::new(&mut *stream).poll_read(context, &mut into));
    // Unconstrained: a task that has used up its budget would be told to wait, whatever has come.
    let read = pin!(unconstrained(read));
    read.poll(&mut Context::from_waker(Waker::noop()))
        .is_pending()
}

/// Sweeps `pool` until no connection is idle, or the pool is gone.
async fn sweep(pool: Weak<IdlePool>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(pool) = pool.upgrade() else { return };
        if !pool.connections().sweep(Instant::now()) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// Keeps a new connection to `peer`, and returns the origin's end of it.
    fn keep(pool: &Arc<IdlePool>, peer: u64) -> DuplexStream {
        let (here, there) = duplex(64);
        pool.put(peer, Box::new(here), MINUTE);
        there
    }

    /// Whether the gateway has closed the connection.
    async fn is_closed(origin: &mut DuplexStream) -> bool {
        let mut byte = [0];
        let read = tokio::time::timeout(Duration::from_millis(10), origin.read(&mut byte));
        matches!(read.await, Ok(Ok(0)))
    }

    #[tokio::test]
    async fn a_connection_is_taken_once_and_by_its_own_peer() {
        let pool = IdlePool::new(8);
        let _origin = keep(&pool, 1);
        assert!(pool.take(2).is_none());
        assert!(pool.take(1).is_some());
        assert!(pool.take(1).is_none());
    }

    #[tokio::test]
    async fn a_connection_that_its_origin_closed_or_wrote_to_is_not_taken() {
        let pool = IdlePool::new(8);
        let oldest = keep(&pool, 1);
        let mut chatty = keep(&pool, 1);
        drop(keep(&pool, 1));
        chatty
            .write_all(b"HTTP/1.1 408 Request Timeout\r\n")
            .await
            .unwrap();
        assert!(pool.take(1).is_some());
        assert!(pool.take(1).is_none());
        drop(oldest);
    }

    #[tokio::test]
    async fn a_connection_is_not_taken_after_its_time() {
        let pool = IdlePool::new(8);
        let (here, _there) = duplex(64);
        pool.put(1, Box::new(here), Duration::ZERO);
        assert!(pool.take(1).is_none());
    }

    #[tokio::test]
    async fn the_connection_that_was_idle_for_longest_makes_room() {
        let pool = IdlePool::new(2);
        let (mut first, mut second, mut third) = (keep(&pool, 1), keep(&pool, 2), keep(&pool, 3));
        assert!(is_closed(&mut first).await);
        assert!(!is_closed(&mut second).await && !is_closed(&mut third).await);
        assert!(pool.take(1).is_none() && pool.take(2).is_some() && pool.take(3).is_some());
    }

    #[tokio::test]
    async fn no_connection_is_kept_where_none_may_be() {
        let pool = IdlePool::new(0);
        assert!(is_closed(&mut keep(&pool, 1)).await);
    }

    #[tokio::test]
    async fn a_sweep_closes_what_nobody_took_in_time() {
        let pool = IdlePool::new(8);
        let mut kept = keep(&pool, 1);
        drop(keep(&pool, 1));
        let now = Instant::now();
        assert!(pool.connections().sweep(now));
        assert_eq!(pool.connections().count, 1);
        assert!(!is_closed(&mut kept).await);
        assert!(!pool.connections().sweep(now + MINUTE * 2));
        assert!(is_closed(&mut kept).await);
        assert!(pool.connections().by_peer.is_empty());
        // The next one that becomes idle is swept again.
        let _next = keep(&pool, 1);
        assert!(pool.connections().swept);
    }
}
