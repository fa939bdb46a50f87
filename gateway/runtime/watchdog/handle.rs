//! The handle through which a connection and an exchange set their deadlines. It knows no timer.
//!
//! An exchange finds its watchdog in a task-local once, because Pingora hands nothing from the server to
//! `ProxyHttp::new_ctx`, and keeps the handle from there on. The values are atomics so that Pingora's CTX stays `Send`;
//! only one task uses them at a time, hence `Relaxed`.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Stands for a time or a deadline that is not set.
pub(super) const NONE: u64 = u64::MAX;

/// Stands for the time of a poll in which the clock has not been read yet.
const UNREAD: u64 = NONE - 1;

/// The deadlines of one HTTP/2 exchange, or those of an HTTP/1.1 connection and of its exchanges, one after the other.
/// Clones share them.
#[derive(Clone)]
pub(crate) struct Watchdog(Arc<Deadlines>);

/// Durations, and instants as the time since `start`, both in nanoseconds.
struct Deadlines {
    start: Instant,
    /// When the clock was last read in the running poll, or [`UNREAD`]; [`NONE`] while no poll runs.
    now: AtomicU64,
    /// How long a head may take, until its first byte is there.
    head: AtomicU64,
    deadline: AtomicU64,
    idle: AtomicU64,
    last_activity: AtomicU64,
    /// How long the client may leave what is sent to it unread.
    write: AtomicU64,
    /// When the client must have read something, while it has no room for what is sent.
    write_deadline: AtomicU64,
    /// How long the origin may take to begin its response, or to go on with a head that it has begun.
    response: AtomicU64,
    /// When the head of the response must be complete, or a part of it must have come.
    response_deadline: AtomicU64,
    /// Whether that has passed.
    is_response_overdue: AtomicBool,
    /// An [`Abort`], or 0.
    abort: AtomicU8,
    /// Whether there is a `revocation`: without one, no lock is taken.
    is_revocable: AtomicBool,
    revocation: Mutex<Option<Revocation>>,
}

/// Completes when the key of the exchange is no longer valid.
type Revocation = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Why an exchange was dropped before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Abort {
    /// A deadline passed.
    Deadline = 1,
    /// The client left what was sent to it unread for too long.
    ClientStalled,
    /// The exchange's key was revoked.
    KeyRevoked,
}

/// How long a connection may wait for its client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionTimeouts {
    /// From the end of a response to the first byte of the next request.
    pub(crate) idle: Duration,
    /// From the first byte of a head to its end.
    pub(crate) head: Duration,
    /// While the client leaves what is sent to it unread.
    pub(crate) write: Duration,
}

tokio::task_local! {
    pub(super) static CURRENT: Watchdog;
}

/// Calls `act` with the watchdog of the running HTTP/1.1 connection or HTTP/2 exchange, if there is one.
///
/// For a socket, which also moves bytes where there is none: in a TLS handshake, and on an HTTP/2 connection, whose
/// streams have their own.
pub(crate) fn with_current<T>(act: impl FnOnce(&Watchdog) -> T) -> Option<T> {
    CURRENT.try_with(act).ok()
}

impl Watchdog {
    /// A watchdog without a deadline.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Deadlines {
            start: Instant::now(),
            now: AtomicU64::new(NONE),
            head: AtomicU64::new(NONE),
            deadline: AtomicU64::new(NONE),
            idle: AtomicU64::new(NONE),
            last_activity: AtomicU64::new(0),
            write: AtomicU64::new(NONE),
            write_deadline: AtomicU64::new(NONE),
            response: AtomicU64::new(NONE),
            response_deadline: AtomicU64::new(NONE),
            is_response_overdue: AtomicBool::new(false),
            abort: AtomicU8::new(0),
            is_revocable: AtomicBool::new(false),
            revocation: Mutex::new(None),
        }))
    }

    /// The watchdog that the calling exchange runs under. Outside of one, deadlines would have no effect: that is a bug
    /// in how the server is put together, and is logged as one.
    pub(crate) fn current() -> Self {
        CURRENT.try_with(Self::clone).unwrap_or_else(|_| {
            tracing::error!("an exchange runs without a watchdog: none of its deadlines holds");
            Self::new()
        })
    }

    /// The time, as far as deadlines need it: the clock is read once in each poll of the exchange. Other reads in the
    /// same poll return that time, until [`read_clock`](Self::read_clock) reads it again.
    pub(crate) fn now(&self) -> Instant {
        match self.0.now.load(Relaxed) {
            NONE | UNREAD => self.read_clock(),
            read => self.instant(read),
        }
    }

    /// The time, read from the clock now: for what is measured within one poll.
    pub(crate) fn read_clock(&self) -> Instant {
        let now = Instant::now();
        if self.0.now.load(Relaxed) != NONE {
            self.0.now.store(self.since_start(now), Relaxed);
        }
        now
    }

    /// A poll begins.
    pub(super) fn begin_poll(&self) {
        self.0.now.store(UNREAD, Relaxed);
    }

    /// The poll is over: from here on the clock is read each time.
    pub(super) fn end_poll(&self) {
        self.0.now.store(NONE, Relaxed);
    }

    /// Waits for a request: until `first_head`, if the connection's first one has a deadline of its own, or else as long
    /// as `timeouts` allow.
    pub(super) fn begin(&self, timeouts: ConnectionTimeouts, first_head: Option<Instant>) {
        self.clear();
        self.0.write.store(nanos(timeouts.write), Relaxed);
        if let Some(end) = first_head {
            return self.set_deadline(end);
        }
        self.set_deadline(self.now() + timeouts.idle);
        self.0.head.store(nanos(timeouts.head), Relaxed);
    }

    /// Removes all deadlines but the client's to read: a head is complete, or an exchange is over.
    pub(crate) fn clear(&self) {
        self.0.head.store(NONE, Relaxed);
        self.0.deadline.store(NONE, Relaxed);
        self.0.idle.store(NONE, Relaxed);
        self.clear_response();
        if self.0.is_revocable.load(Relaxed) {
            self.set_revocation(None);
        }
    }

    /// Sets when the exchange must be over, in place of what was set before.
    pub(crate) fn set_deadline(&self, end: Instant) {
        self.0.deadline.store(self.since_start(end), Relaxed);
    }

    /// Allows no pause longer than `idle`, from `now` on.
    pub(crate) fn set_idle_timeout(&self, idle: Duration, now: Instant) {
        self.0.idle.store(nanos(idle), Relaxed);
        self.activity_at(now);
    }

    /// Allows pauses of any length.
    pub(crate) fn clear_idle(&self) {
        self.0.idle.store(NONE, Relaxed);
    }

    /// Allows the origin `timeout` to respond: from each moment on at which the connection to it
    /// [waits](Self::await_response), until [`clear_response`](Self::clear_response).
    pub(crate) fn set_response_timeout(&self, timeout: Duration) {
        self.clear_response();
        self.0.response.store(nanos(timeout), Relaxed);
    }

    /// The head of the response is complete, or nobody waits for it any more.
    pub(crate) fn clear_response(&self) {
        self.0.response.store(NONE, Relaxed);
        self.0.response_deadline.store(NONE, Relaxed);
        self.0.is_response_overdue.store(false, Relaxed);
    }

    /// The connection to the origin waits for a response from now on: the request, or a part of the head, has moved.
    pub(crate) fn await_response(&self) {
        let timeout = self.0.response.load(Relaxed);
        if timeout != NONE {
            let end = self.since_start(self.now()).saturating_add(timeout);
            self.0.response_deadline.store(end, Relaxed);
        }
    }

    /// Whether the origin has not responded in time. The exchange is then polled once more, so that the connection can
    /// report it and the client gets a response.
    pub(crate) fn is_response_overdue(&self) -> bool {
        self.0.is_response_overdue.load(Relaxed)
    }

    /// Something moved just now.
    pub(crate) fn activity(&self) {
        // Without an idle timeout, the clock need not be read.
        if self.0.idle.load(Relaxed) != NONE {
            self.activity_at(self.now());
        }
    }

    /// Something moved at `now`.
    pub(crate) fn activity_at(&self, now: Instant) {
        self.0.last_activity.store(self.since_start(now), Relaxed);
    }

    /// Ends the exchange when `revoked` completes.
    pub(crate) fn end_when_revoked(&self, revoked: impl Future<Output = ()> + Send + 'static) {
        self.set_revocation(Some(Box::pin(revoked)));
    }

    /// The client sent something: if it is the first byte of a head, the time for the head begins.
    pub(crate) fn on_read(&self) {
        let head = self.0.head.load(Relaxed);
        if head != NONE {
            self.0.head.store(NONE, Relaxed);
            self.set_deadline(self.read_clock() + Duration::from_nanos(head));
        }
    }

    /// The client read something of what is sent to it (`progressed`), or has no room for it.
    pub(crate) fn on_write(&self, progressed: bool) {
        if progressed {
            self.0.write_deadline.store(NONE, Relaxed);
        } else if self.0.write_deadline.load(Relaxed) == NONE {
            let write = self.0.write.load(Relaxed);
            if write != NONE {
                let end = self.since_start(self.now()).saturating_add(write);
                self.0.write_deadline.store(end, Relaxed);
            }
        }
    }

    /// Whether the client has no room for what is sent to it.
    pub(crate) fn is_client_stalled(&self) -> bool {
        self.0.write_deadline.load(Relaxed) != NONE
    }

    /// Why the exchange is being dropped before its end, if it is.
    pub(crate) fn abort_reason(&self) -> Option<Abort> {
        let reasons = [Abort::Deadline, Abort::ClientStalled, Abort::KeyRevoked];
        let abort = self.0.abort.load(Relaxed);
        reasons.into_iter().find(|reason| *reason as u8 == abort)
    }

    /// Notes why the exchange is dropped.
    pub(super) fn abort(&self, why: Abort) {
        self.0.abort.store(why as u8, Relaxed);
    }

    /// The next deadline, as the time since the watchdog's start; [`NONE`] without one.
    pub(super) fn next_deadline(&self) -> u64 {
        let idle = self.0.idle.load(Relaxed);
        let idle_end = self.0.last_activity.load(Relaxed).saturating_add(idle);
        let end = self.0.deadline.load(Relaxed).min(idle_end);
        let end = end.min(self.0.response_deadline.load(Relaxed));
        end.min(self.0.write_deadline.load(Relaxed))
    }

    /// Whether the time for the response has passed and no other: the response is overdue from now on.
    pub(super) fn expire_response(&self) -> bool {
        let now = self.since_start(Instant::now());
        if self.0.response_deadline.load(Relaxed) > now {
            return false;
        }
        self.0.response_deadline.store(NONE, Relaxed);
        self.0.is_response_overdue.store(true, Relaxed);
        self.next_deadline() > now
    }

    /// Which of the deadlines has passed, if one has: the client's comes first.
    pub(super) fn passed(&self) -> Abort {
        let now = self.since_start(Instant::now());
        if self.0.write_deadline.load(Relaxed) <= now {
            Abort::ClientStalled
        } else {
            Abort::Deadline
        }
    }

    /// The instant that is `since_start` nanoseconds after the watchdog's start.
    pub(super) fn instant(&self, since_start: u64) -> Instant {
        self.0.start + Duration::from_nanos(since_start)
    }

    /// Whether the exchange's key was revoked. If not, `context` is woken when it is.
    pub(super) fn is_revoked(&self, context: &mut Context<'_>) -> bool {
        if !self.0.is_revocable.load(Relaxed) {
            return false;
        }
        let mut revocation = self.lock();
        revocation
            .as_mut()
            .is_some_and(|revoked| revoked.as_mut().poll(context) == Poll::Ready(()))
    }

    fn set_revocation(&self, revocation: Option<Revocation>) {
        self.0.is_revocable.store(revocation.is_some(), Relaxed);
        *self.lock() = revocation;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Revocation>> {
        let revocation = &self.0.revocation;
        revocation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn since_start(&self, at: Instant) -> u64 {
        nanos(at.saturating_duration_since(self.0.start))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(NONE)
}
