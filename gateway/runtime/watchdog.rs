//! The deadlines that Pingora has no timer for: the pause within a response, and the whole exchange.
//!
//! Pingora's own read timeout covers the wait for the head of a response, and its errors become an
//! orderly 504. Once a response has begun there is nothing orderly left to say: [`Bounded`] drops
//! the exchange, which closes the client's connection without the end of the message and takes the
//! provider's connection away. So ends, where the configuration wants it, the exchange of a key that is
//! revoked meanwhile.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora_core::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::H2Options;
use pingora_core::server::ShutdownWatch;
use tokio::time::Sleep;

#[derive(Default)]
struct Watchdog {
    /// How long a head may take from its first byte on, until that is there.
    head: Cell<Option<Duration>>,
    end: Cell<Option<Instant>>,
    idle: Cell<Option<Duration>>,
    touched: Cell<Option<Instant>>,
    /// How long the client may take nothing of what is sent to it.
    write: Cell<Option<Duration>>,
    /// Until when it must take something, if it has no room for what is sent.
    full: Cell<Option<Instant>>,
    revoked: RefCell<Option<Revoked>>,
    cut: Cell<Option<Abort>>,
}

/// Ready when the key of the exchange opens nothing any more.
type Revoked = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Why an exchange was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abort {
    /// A deadline passed.
    Deadline,
    /// The client took nothing of what was sent to it for too long.
    ClientStalled,
    /// Its key was revoked.
    KeyRevoked,
}

impl Watchdog {
    /// For an exchange whose head is waited for: until `patience` is over, or what the first of a [`connection`] has.
    fn begin(&self, patience: ConnectionTimeouts) {
        self.clear();
        self.write.set(Some(patience.write));
        if let Some(end) = first_word() {
            return self.end.set(Some(end));
        }
        self.end.set(Some(Instant::now() + patience.idle));
        self.head.set(Some(patience.head));
    }

    fn clear(&self) {
        self.head.set(None);
        self.end.set(None);
        self.idle.set(None);
        self.revoked.replace(None);
    }

    fn due(&self) -> Option<Instant> {
        let idle_end = self
            .idle
            .get()
            .zip(self.touched.get())
            .map(|(idle, touched)| touched + idle);
        let due = [self.end.get(), idle_end, self.full.get()];
        due.into_iter().flatten().min()
    }
}

tokio::task_local! {
    static WATCH: Watchdog;
    /// By when a connection's first word must be whole, until it is.
    static FIRST: Cell<Option<Instant>>;
}

/// What is run under a clock. Boxed, for otherwise it would be there twice: as what is captured, and where it is run.
type Work<'w, T> = Pin<Box<dyn Future<Output = T> + Send + 'w>>;

/// Runs a connection of a client, of which a whole first head, or the greeting of HTTP/2, must have come by `by`;
/// `None` if it had not. Whatever comes before, as a TLS handshake, is within that time.
pub async fn connection<T>(by: Instant, mut work: Work<'_, T>) -> Option<T> {
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    let bounded = poll_fn(move |context| {
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(Some(done));
        }
        match FIRST.with(Cell::get) {
            None => timer = None,
            Some(by) => {
                let sleep =
                    timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(by.into())));
                if sleep.as_mut().poll(context).is_ready() {
                    return Poll::Ready(None);
                }
            }
        }
        Poll::Pending
    });
    FIRST.scope(Cell::new(Some(by)), bounded).await
}

/// The preface of HTTP/2 has come: the rest of the [`connection`] is bounded by its streams.
pub fn greeted() {
    first_word();
}

/// From here on the connection's first word is somebody else's to wait for: by when it must be there.
fn first_word() -> Option<Instant> {
    FIRST.try_with(Cell::take).ok().flatten()
}

fn with(change: impl FnOnce(&Watchdog)) {
    // Outside of `Bounded`, as in a test of a single phase, there is nothing to watch.
    let _ = WATCH.try_with(change);
}

/// A request is waited for, with so much patience; the first of a [`connection`] has what that says.
pub fn wait_for_request(patience: ConnectionTimeouts) {
    with(|watch| watch.begin(patience));
}

/// Something came from the client: if it is the beginning of a head, the rest must soon follow.
pub fn heard() {
    with(|watch| {
        if let Some(head) = watch.head.take() {
            watch.end.set(Some(Instant::now() + head));
        }
    });
}

/// The client took something of what is sent to it, or has no room for it, and must soon have.
pub fn sent(something: bool) {
    with(|watch| {
        if something {
            watch.full.set(None);
        } else if watch.full.get().is_none() {
            let write = watch.write.get();
            watch.full.set(write.map(|write| Instant::now() + write));
        }
    });
}

/// The exchange must be over by `end`.
pub fn set_deadline(end: Instant) {
    with(|watch| watch.end.set(Some(end)));
}

/// From `now` on, no pause may be longer than `idle`.
pub fn set_idle_timeout(idle: Duration, now: Instant) {
    with(|watch| {
        watch.idle.set(Some(idle));
        watch.touched.set(Some(now));
    });
}

/// From now on, a pause may take as long as it likes.
pub fn clear_idle() {
    with(|watch| watch.idle.set(None));
}

/// Something moved.
pub fn touch() {
    with(|watch| {
        // Where nobody looks, the clock need not be asked.
        if watch.idle.get().is_some() {
            watch.touched.set(Some(Instant::now()));
        }
    });
}

/// Something moved at `now`.
pub fn touched(now: Instant) {
    with(|watch| watch.touched.set(Some(now)));
}

/// The exchange ends when `revoked` is ready.
pub fn end_when_revoked(revoked: impl Future<Output = ()> + Send + 'static) {
    with(|watch| *watch.revoked.borrow_mut() = Some(Box::pin(revoked)));
}

/// Nothing is due: a head is complete, or an exchange is over.
pub fn clear() {
    with(Watchdog::clear);
}

/// Why the exchange is being dropped before its end, if it is.
pub fn was_cut() -> Option<Abort> {
    WATCH.try_with(|watch| watch.cut.get()).ok().flatten()
}

/// Runs the exchanges of a connection, one after the other, under one clock, which costs less than one of each; `None`
/// if one of them was cut.
pub async fn run_http1<T>(work: Work<'_, T>) -> Option<T> {
    WATCH.scope(Watchdog::default(), by_deadline(work)).await
}

/// How long a connection may do without something from the client.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionTimeouts {
    /// From the end of a response to the first byte of the next request.
    pub idle: Duration,
    /// From there to the end of its head.
    pub head: Duration,
    /// While nothing is taken of what is sent to it.
    pub write: Duration,
}

/// An HTTP application whose exchanges end by their deadlines: those of HTTP/1.1 by that of [`run_http1`], those of
/// HTTP/2 each by its own.
pub struct Bounded<A, P> {
    app: Arc<A>,
    patience: P,
}

impl<A, P: Fn() -> ConnectionTimeouts> Bounded<A, P> {
    /// Puts `app` under the clock. An exchange of HTTP/2 has the time that `patience` says until its head is there;
    /// one of HTTP/1.1 what [`wait_for_request`] was told.
    pub fn new(app: A, patience: P) -> Self {
        Self {
            app: Arc::new(app),
            patience,
        }
    }
}

#[async_trait]
impl<A, P> HttpServerApp for Bounded<A, P>
where
    A: HttpServerApp + Send + Sync + 'static,
    P: Fn() -> ConnectionTimeouts + Send + Sync + 'static,
{
    // Written as `async_trait` writes it, to add no future around one that does the same.
    fn process_new_http<'a, 'b, 'c>(
        self: &'a Arc<Self>,
        session: ServerSession,
        shutdown: &'b ShutdownWatch,
    ) -> Pin<Box<dyn Future<Output = Option<ReusedHttpStream>> + Send + 'c>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        let exchange = self.app.process_new_http(session, shutdown);
        if WATCH.try_with(|_| ()).is_ok() {
            return exchange;
        }
        let watch = Watchdog::default();
        watch.begin((self.patience)());
        let bounded = WATCH.scope(watch, by_deadline(exchange));
        Box::pin(async move { bounded.await.flatten() })
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.app.h2_options()
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        self.app.server_options()
    }

    async fn http_cleanup(&self) {
        self.app.http_cleanup().await;
    }
}

/// Runs `work` to its end or to the deadline that it sets itself, whichever comes first.
///
/// A timer is touched when a deadline is first set, and when it comes earlier or passes: a deadline
/// that only moves away costs nothing.
async fn by_deadline<T>(work: Work<'_, T>) -> Option<T> {
    let mut work = Some(work);
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    poll_fn(move |context| {
        let Some(running) = work.as_mut() else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(done) = running.as_mut().poll(context) {
            return Poll::Ready(Some(done));
        }
        let revoked = WATCH.try_with(|watch| {
            let mut revoked = watch.revoked.borrow_mut();
            let revoked = revoked.as_mut();
            revoked.is_some_and(|revoked| revoked.as_mut().poll(context).is_ready())
        });
        if revoked == Ok(true) {
            with(|watch| watch.cut.set(Some(Abort::KeyRevoked)));
            work = None;
            return Poll::Ready(None);
        }
        loop {
            let Some(due) = WATCH.try_with(Watchdog::due).ok().flatten() else {
                return Poll::Pending;
            };
            let due = due.into();
            let sleep = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            if due < sleep.deadline() {
                sleep.as_mut().reset(due);
            }
            if sleep.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            if due > sleep.deadline() {
                // It has moved away since the timer was set.
                sleep.as_mut().reset(due);
                continue;
            }
            with(|watch| {
                let untaken = watch.full.get().is_some_and(|full| full <= Instant::now());
                let why = if untaken {
                    Abort::ClientStalled
                } else {
                    Abort::Deadline
                };
                watch.cut.set(Some(why));
            });
            // Here and not later: what is dropped may ask `was_cut`.
            work = None;
            return Poll::Ready(None);
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_cut_that_says_nothing_and_one_that_has_said_something_is_not() {
        let by = Instant::now() + Duration::from_millis(20);
        assert_eq!(
            connection(by, Box::pin(std::future::pending::<()>())).await,
            None
        );
        let talks = async {
            assert_eq!(first_word(), Some(by));
            tokio::time::sleep(Duration::from_secs(3600)).await;
            7
        };
        assert_eq!(connection(by, Box::pin(talks)).await, Some(7));
    }

    #[tokio::test]
    async fn a_head_that_has_begun_has_its_own_time() {
        let begin = || {
            with(|watch| {
                watch.begin(ConnectionTimeouts {
                    idle: Duration::from_millis(20),
                    head: Duration::from_millis(60),
                    write: Duration::from_millis(30),
                });
            });
        };
        let silent = async {
            begin();
            std::future::pending::<()>().await;
        };
        let start = Instant::now();
        assert_eq!(run_http1(Box::pin(silent)).await, None);
        assert!(start.elapsed() < Duration::from_millis(60));
        let slow = async {
            begin();
            loop {
                // The first time counts.
                heard();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let start = Instant::now();
        assert_eq!(run_http1(Box::pin(slow)).await, None);
        assert!(start.elapsed() >= Duration::from_millis(60));
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_cut_off_and_one_that_takes_a_little_is_not() {
        let work = |takes: bool| async move {
            with(|watch| {
                watch.begin(ConnectionTimeouts {
                    idle: Duration::from_secs(60),
                    head: Duration::from_secs(60),
                    write: Duration::from_millis(500),
                });
            });
            for _ in 0..20 {
                sent(takes);
                sent(false);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        assert_eq!(run_http1(Box::pin(work(true))).await, Some(()));
        assert_eq!(run_http1(Box::pin(work(false))).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn work_without_a_deadline_takes_its_time() {
        let work = async {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            7
        };
        assert_eq!(run_http1(Box::pin(work)).await, Some(7));
    }

    /// Says when it is dropped whether it was cut.
    struct Witness<'w>(&'w Mutex<Option<Abort>>);

    impl Drop for Witness<'_> {
        fn drop(&mut self) {
            *self.0.lock().unwrap() = was_cut();
        }
    }

    #[tokio::test]
    async fn work_is_cut_at_its_deadline_and_knows_it_while_it_is_dropped() {
        let short = Duration::from_millis(20);
        let deadlines: [(fn(Duration), Abort); 4] = [
            (
                |short| set_deadline(Instant::now() + short),
                Abort::Deadline,
            ),
            (
                |short| set_idle_timeout(short, Instant::now()),
                Abort::Deadline,
            ),
            (
                |short| end_when_revoked(tokio::time::sleep(short)),
                Abort::KeyRevoked,
            ),
            (
                |short| {
                    with(|watch| watch.write.set(Some(short)));
                    sent(false);
                },
                Abort::ClientStalled,
            ),
        ];
        for (set, why) in deadlines {
            let knew = Mutex::new(None);
            let work = async {
                let _witness = Witness(&knew);
                set(short);
                std::future::pending::<()>().await;
            };
            assert_eq!(run_http1(Box::pin(work)).await, None);
            assert_eq!(knew.into_inner().unwrap(), Some(why));
        }
    }

    #[tokio::test]
    async fn a_deadline_that_moves_away_or_is_cleared_does_not_cut() {
        let pause = Duration::from_millis(30);
        let work = async {
            set_idle_timeout(pause * 20, Instant::now());
            for _ in 0..25 {
                tokio::time::sleep(pause).await;
                touch();
            }
            set_deadline(Instant::now() + pause);
            clear();
            tokio::time::sleep(pause * 3).await;
            7
        };
        assert_eq!(run_http1(Box::pin(work)).await, Some(7));
    }
}
