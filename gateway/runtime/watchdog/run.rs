//! Runs connections and exchanges to their end or to their deadline, whichever comes first.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Instant;

use tokio::time::Sleep;

use super::handle::{Abort, CURRENT, ConnectionTimeouts, NONE, Watchdog};

tokio::task_local! {
    /// When the first head of a connection, or its HTTP/2 preface, must be complete. Nothing once somebody waits for it.
    static FIRST_HEAD: Cell<Option<Instant>>;
}

/// What runs under a deadline. It is boxed, because a future by value would be stored twice: where it is captured and
/// where it is polled.
type Work<'w, T> = Pin<Box<dyn Future<Output = T> + Send + 'w>>;

/// Runs a client's connection, whose first complete head or HTTP/2 preface must have come by `by`, including what comes
/// before it, such as a TLS handshake. `None` if it had not.
pub(crate) async fn run_connection<T>(by: Instant, mut work: Work<'_, T>) -> Option<T> {
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    let bounded = poll_fn(move |context| {
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(Some(done));
        }
        match FIRST_HEAD.with(Cell::get) {
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
    FIRST_HEAD.scope(Cell::new(Some(by)), bounded).await
}

/// The connection's HTTP/2 preface has come: from here on its streams have deadlines of their own.
pub(crate) fn preface_received() {
    take_first_head();
}

/// Takes the deadline for the connection's first head. `None` once it was taken.
fn take_first_head() -> Option<Instant> {
    FIRST_HEAD.try_with(Cell::take).ok().flatten()
}

impl Watchdog {
    /// Waits for the next request of an HTTP/1.1 connection, as long as `timeouts` allow. The first request has what
    /// is left of the time that [`run_connection`] allows.
    pub(crate) fn wait_for_request(&self, timeouts: ConnectionTimeouts) {
        self.begin(timeouts, take_first_head());
    }
}

/// Runs the exchanges of an HTTP/1.1 connection, one after the other, under one watchdog, which costs less than one for
/// each. `None` if one of them was aborted.
pub(crate) fn run_http1<'w, T: 'w>(
    watchdog: Watchdog,
    work: Work<'w, T>,
) -> impl Future<Output = Option<T>> + Send + 'w {
    run(watchdog, work)
}

/// Runs `work` to its end or to the deadline that it sets, whichever comes first. `None` if it was aborted.
pub(super) fn run<'w, T: 'w>(
    watchdog: Watchdog,
    work: Work<'w, T>,
) -> impl Future<Output = Option<T>> + Send + 'w {
    CURRENT.scope(watchdog.clone(), until_deadline(watchdog, work))
}

/// A timer, and the deadline that it is set for, as the watchdog counts time.
struct Timer {
    sleep: Pin<Box<Sleep>>,
    set_for: u64,
}

/// The timer is set when a deadline is first there, when one comes earlier, and when it fires: a deadline that only
/// moves away costs nothing.
async fn until_deadline<T>(watchdog: Watchdog, work: Work<'_, T>) -> Option<T> {
    let mut work = Some(work);
    let mut timer: Option<Timer> = None;
    poll_fn(move |context| {
        let Some(running) = work.as_mut() else {
            return Poll::Ready(None);
        };
        loop {
            watchdog.begin_poll();
            let polled = running.as_mut().poll(context);
            watchdog.end_poll();
            if let Poll::Ready(done) = polled {
                return Poll::Ready(Some(done));
            }
            if watchdog.is_revoked(context) {
                watchdog.abort(Abort::KeyRevoked);
            } else if is_pending(&watchdog, &mut timer, context) {
                return Poll::Pending;
            } else if watchdog.expire_response() {
                continue;
            } else {
                watchdog.abort(watchdog.passed());
            }
            break;
        }
        // Dropped here and not later, so that what is dropped finds the reason in `abort_reason`.
        work = None;
        Poll::Ready(None)
    })
    .await
}

/// Whether no deadline has passed yet. The timer then wakes `context` when one does.
fn is_pending(
    watchdog: &Watchdog,
    timer: &mut Option<Timer>,
    context: &mut std::task::Context<'_>,
) -> bool {
    loop {
        let next = watchdog.next_deadline();
        if next == NONE {
            return true;
        }
        let timer = timer.get_or_insert_with(|| Timer {
            sleep: Box::pin(tokio::time::sleep_until(watchdog.instant(next).into())),
            set_for: next,
        });
        if next < timer.set_for {
            timer.set(watchdog, next);
        }
        if timer.sleep.as_mut().poll(context).is_pending() {
            return true;
        }
        if next <= timer.set_for {
            return false;
        }
        // The deadline has moved away since the timer was set.
        timer.set(watchdog, next);
    }
}

impl Timer {
    fn set(&mut self, watchdog: &Watchdog, deadline: u64) {
        self.sleep.as_mut().reset(watchdog.instant(deadline).into());
        self.set_for = deadline;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;

    const IDLE: Duration = Duration::from_millis(20);

    fn timeouts(idle: Duration, head: u64, write: u64) -> ConnectionTimeouts {
        ConnectionTimeouts {
            idle,
            head: Duration::from_millis(head),
            write: Duration::from_millis(write),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_cut_that_says_nothing_and_one_that_has_said_something_is_not() {
        let by = Instant::now() + Duration::from_millis(20);
        assert_eq!(
            run_connection(by, Box::pin(std::future::pending::<()>())).await,
            None
        );
        let talks = async {
            assert_eq!(take_first_head(), Some(by));
            tokio::time::sleep(Duration::from_secs(3600)).await;
            7
        };
        assert_eq!(run_connection(by, Box::pin(talks)).await, Some(7));
    }

    #[tokio::test]
    async fn a_head_that_has_begun_has_its_own_time() {
        let watchdog = Watchdog::new();
        let silent = async {
            watchdog.begin(timeouts(IDLE, 60, 30), None);
            std::future::pending::<()>().await;
        };
        let start = Instant::now();
        assert_eq!(run_http1(watchdog.clone(), Box::pin(silent)).await, None);
        assert!(start.elapsed() < Duration::from_millis(60));
        let watchdog = Watchdog::new();
        let slow = async {
            watchdog.begin(timeouts(IDLE, 60, 30), None);
            loop {
                // The first time counts.
                watchdog.on_read();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let start = Instant::now();
        assert_eq!(
            run_http1::<()>(watchdog.clone(), Box::pin(slow)).await,
            None
        );
        assert!(start.elapsed() >= Duration::from_millis(60));
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_cut_off_and_one_that_takes_a_little_is_not() {
        let work = |watchdog: Watchdog, takes: bool| async move {
            let minute = Duration::from_secs(60);
            watchdog.begin(timeouts(minute, 60_000, 500), None);
            for _ in 0..20 {
                watchdog.on_write(takes);
                watchdog.on_write(false);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        for (takes, outcome) in [(true, Some(())), (false, None)] {
            let watchdog = Watchdog::new();
            let work = Box::pin(work(watchdog.clone(), takes));
            assert_eq!(run_http1(watchdog, work).await, outcome);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn work_without_a_deadline_takes_its_time() {
        let work = async {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            7
        };
        assert_eq!(run_http1(Watchdog::new(), Box::pin(work)).await, Some(7));
    }

    /// Lets the clock go on within a poll.
    fn spin() {
        let start = Instant::now();
        while start.elapsed() < Duration::from_micros(1) {}
    }

    #[tokio::test]
    async fn a_poll_has_one_time_until_the_clock_is_read_again() {
        let watchdog = Watchdog::new();
        let outside = watchdog.now();
        spin();
        assert!(watchdog.now() > outside);
        let work = async {
            let first = watchdog.now();
            spin();
            assert_eq!(watchdog.now(), first);
            let read = watchdog.read_clock();
            assert!(read > first);
            assert_eq!(watchdog.now(), read);
            tokio::task::yield_now().await;
            assert!(watchdog.now() > read);
            watchdog.now()
        };
        let last = run_http1(watchdog.clone(), Box::pin(work)).await;
        spin();
        assert!(watchdog.now() > last.unwrap());
    }

    type SetDeadline = fn(&Watchdog, Duration);

    /// Notes when it is dropped why its watchdog aborted.
    struct Witness<'w>(&'w Mutex<Option<Abort>>, Watchdog);

    impl Drop for Witness<'_> {
        fn drop(&mut self) {
            *self.0.lock().unwrap() = self.1.abort_reason();
        }
    }

    #[tokio::test]
    async fn work_is_cut_at_its_deadline_and_knows_it_while_it_is_dropped() {
        let short = Duration::from_millis(20);
        let deadlines: [(SetDeadline, Abort); 4] = [
            (
                |watchdog, short| watchdog.set_deadline(Instant::now() + short),
                Abort::Deadline,
            ),
            (
                |watchdog, short| watchdog.set_idle_timeout(short, Instant::now()),
                Abort::Deadline,
            ),
            (
                |watchdog, short| watchdog.end_when_revoked(tokio::time::sleep(short)),
                Abort::KeyRevoked,
            ),
            (
                |watchdog, short| {
                    watchdog.begin(timeouts(short * 1000, 60_000, 20), None);
                    watchdog.on_write(false);
                },
                Abort::ClientStalled,
            ),
        ];
        for (set, why) in deadlines {
            let knew = Mutex::new(None);
            let work = async {
                let watchdog = Watchdog::current();
                let _witness = Witness(&knew, watchdog.clone());
                set(&watchdog, short);
                std::future::pending::<()>().await;
            };
            assert_eq!(run_http1(Watchdog::new(), Box::pin(work)).await, None);
            assert_eq!(knew.into_inner().unwrap(), Some(why));
        }
    }

    /// Waits for a response, as a connection to an origin does.
    async fn response(watchdog: &Watchdog) -> bool {
        watchdog.await_response();
        poll_fn(|_| {
            if watchdog.is_response_overdue() {
                Poll::Ready(true)
            } else {
                Poll::Pending
            }
        })
        .await
    }

    #[tokio::test]
    async fn work_whose_response_is_overdue_goes_on_and_knows_it() {
        let watchdog = Watchdog::new();
        let work = async {
            let start = Instant::now();
            // Each try has its own time.
            for _ in 0..2 {
                watchdog.set_response_timeout(IDLE);
                assert!(response(&watchdog).await);
            }
            assert!(start.elapsed() >= 2 * IDLE);
            // Nobody waits for a response any more.
            watchdog.set_response_timeout(IDLE);
            watchdog.await_response();
            watchdog.clear_response();
            watchdog.await_response();
            tokio::time::sleep(2 * IDLE).await;
            watchdog.is_response_overdue()
        };
        assert_eq!(
            run_http1(watchdog.clone(), Box::pin(work)).await,
            Some(false)
        );
    }

    #[tokio::test]
    async fn work_that_ignores_an_overdue_response_is_cut_at_its_deadline() {
        let watchdog = Watchdog::new();
        let work = async {
            watchdog.set_deadline(Instant::now() + 2 * IDLE);
            watchdog.set_response_timeout(IDLE);
            watchdog.await_response();
            std::future::pending::<()>().await;
        };
        let start = Instant::now();
        assert_eq!(run_http1(watchdog.clone(), Box::pin(work)).await, None);
        assert!(start.elapsed() >= 2 * IDLE);
        assert_eq!(watchdog.abort_reason(), Some(Abort::Deadline));
    }

    #[tokio::test]
    async fn a_deadline_that_moves_away_or_is_cleared_does_not_cut() {
        let pause = Duration::from_millis(30);
        let watchdog = Watchdog::new();
        let work = async {
            watchdog.set_idle_timeout(pause * 20, Instant::now());
            for _ in 0..25 {
                tokio::time::sleep(pause).await;
                watchdog.activity();
            }
            watchdog.set_deadline(Instant::now() + pause);
            watchdog.clear();
            tokio::time::sleep(pause * 3).await;
            7
        };
        assert_eq!(run_http1(watchdog.clone(), Box::pin(work)).await, Some(7));
    }
}
