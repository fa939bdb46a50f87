//! Work that can wait, on threads that give way to the serving ones: reading a large key file takes a
//! processor for seconds.
//!
//! A low priority says who gets how much of a processor, and not how soon: once it runs, a thread keeps the
//! processor for milliseconds, with requests waiting. So such work calls [`step`] every now and then.

use std::cell::Cell;

/// The niceness of such a thread: a tenth of a serving thread's share where all processors are busy. Not
/// less, for a revocation must come through an overload.
const NICE: i32 = 10;

thread_local! {
    static GIVES_WAY: Cell<bool> = const { Cell::new(false) };
}

/// Why work did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The system gave no thread for it: another time it may.
    NoThread,
    /// It panicked.
    Panicked,
}

/// Does `work` on a thread of its own.
pub async fn run<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    aside(move || {
        // Of this thread only: on Linux, priorities are the threads'. As it is, if it cannot be lowered.
        let _ = rustix::process::setpriority_process(None, NICE);
        GIVES_WAY.set(true);
        work()
    })
    .await
}

/// Does `work` on a thread of its own which gives way to nobody: what takes no time, unless the system keeps it waiting.
pub async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let (done, result) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("background".to_owned());
    let started = thread.spawn(move || {
        let _ = done.send(work());
    });
    started.map_err(|_| Failure::NoThread)?;
    result.await.map_err(|_| Failure::Panicked)
}

/// Lets waiting threads run, if this is work that can wait: to be called about every 100 microseconds.
pub fn step() {
    if GIVES_WAY.get() {
        std::thread::yield_now();
    }
}

/// Frees what a large collection holds, chunk by chunk.
pub fn free(collection: impl IntoIterator) {
    /// What is freed between two steps.
    const PIECE: usize = 256;
    for (place, item) in collection.into_iter().enumerate() {
        drop(item);
        if place.is_multiple_of(PIECE) {
            step();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_panics_gives_nothing() {
        assert_eq!(run(|| 1).await, Ok(1));
        assert_eq!(run(|| assert!(GIVES_WAY.get())).await, Ok(()));
        let panics = run(|| -> u8 { panic!("as it should") }).await;
        assert_eq!(panics, Err(Failure::Panicked));
        assert!(!GIVES_WAY.get());
    }
}
