//! Background work on threads that yield to the serving ones, most of them with low priority: reading a large key file
//! takes a processor for a second.
//!
//! A low priority gives a thread a smaller share of a processor, but does not preempt it: once it runs, it keeps the
//! processor for milliseconds while requests wait. So such work calls [`yield_to_others`] now and then.

use std::cell::Cell;

/// The niceness of a background thread: a tenth of a serving thread's share when all processors are busy. Not less, for
/// a revocation must take effect under overload.
const NICE: i32 = 10;

thread_local! {
    /// This is a background thread.
    static IS_BACKGROUND: Cell<bool> = const { Cell::new(false) };
}

/// Why work has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The system gave no thread. A later try may succeed.
    NoThread,
    /// The work panicked.
    Panicked,
}

/// Runs `work` on a low-priority thread of its own.
///
/// # Errors
/// See [`Failure`].
pub(crate) async fn run<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    run_yielding(move || {
        lower_priority();
        work()
    })
    .await
}

/// Runs `work` on a thread of its own, which yields to others, but has normal priority until the work calls
/// [`lower_priority`]: for work of which only some versions take long.
///
/// # Errors
/// See [`Failure`].
pub(crate) async fn run_yielding<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    aside(move || {
        IS_BACKGROUND.set(true);
        work()
    })
    .await
}

/// Lowers the priority of this thread for the rest of its work, if it is a background thread.
pub(crate) fn lower_priority() {
    if IS_BACKGROUND.get() {
        // This affects this thread only: on Linux, priorities are per thread. On an error, the priority stays.
        let _ = rustix::process::setpriority_process(None, NICE);
    }
}

/// Runs `work` on a thread of its own with normal priority: for work that takes little processor time, but may block.
///
/// # Errors
/// See [`Failure`].
pub(crate) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let (done, result) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("background".to_owned())
        .spawn(move || {
            let _ = done.send(work());
        })
        .map_err(|_| Failure::NoThread)?;
    result.await.map_err(|_| Failure::Panicked)
}

/// Lets waiting threads run, if this is a background thread. Call it about every 100 microseconds.
pub(crate) fn yield_to_others() {
    if IS_BACKGROUND.get() {
        std::thread::yield_now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_panics_has_no_result() {
        assert_eq!(run(|| 1).await, Ok(1));
        assert_eq!(run(|| assert!(IS_BACKGROUND.get())).await, Ok(()));
        let panics = run(|| -> u8 { panic!("deliberate") }).await;
        assert_eq!(panics, Err(Failure::Panicked));
        assert!(!IS_BACKGROUND.get());
    }

    #[tokio::test]
    async fn a_yielding_thread_has_normal_priority_until_it_lowers_it() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let normal = nice();
        let low = NICE.max(normal);
        lower_priority();
        assert_eq!(nice(), normal);
        assert_eq!(run(nice).await, Ok(low));
        let work = move || {
            assert!(IS_BACKGROUND.get());
            let before = nice();
            lower_priority();
            (before, nice())
        };
        assert_eq!(run_yielding(work).await, Ok((normal, low)));
    }
}
