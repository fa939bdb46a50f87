//! The threads of the gateway. Each serving thread has a runtime of its own, and with it its own connections to clients
//! and providers: an exchange stays on one thread and wakes no other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;

use crate::error::Error;
use crate::runtime::log;

/// The accept thread and the serving threads. Dropping this ends them, with all their tasks.
pub(super) struct Threads {
    /// The runtime of the accept thread, which is never busy for long.
    accept: Handle,
    serve: Vec<Handle>,
    /// Send true to end the threads. It is closed once all have ended.
    end: watch::Sender<bool>,
}

impl Threads {
    /// Starts `count` serving threads, but at least one, and the accept thread.
    pub(super) fn start(count: usize) -> Result<Self, Error> {
        let (end, until) = watch::channel(false);
        Ok(Self {
            accept: start_thread("accept", until.clone())?,
            serve: (0..count.max(1))
                .map(|_| start_thread("serve", until.clone()))
                .collect::<Result<_, _>>()?,
            end,
        })
    }

    /// The runtime of the accept thread.
    pub(super) fn accept(&self) -> &Handle {
        &self.accept
    }

    /// The runtimes of the serving threads.
    pub(super) fn serve(&self) -> impl Iterator<Item = &Handle> {
        self.serve.iter()
    }

    /// Calls `beat` again and again: after each `pause`, once every serving thread has run a task. A thread that hangs
    /// stops it.
    pub(super) fn heartbeat(&self, pause: Duration, beat: impl Fn() + Send + 'static) {
        let serve = self.serve.clone();
        self.accept.spawn(async move {
            loop {
                tokio::time::sleep(pause).await;
                for thread in &serve {
                    let _ = thread.spawn(async {}).await;
                }
                beat();
            }
        });
    }

    /// Ends the threads and their tasks, and waits for that for up to `at_most`.
    pub(super) async fn end(self, at_most: Duration) {
        let _ = self.end.send(true);
        if tokio::time::timeout(at_most, self.end.closed())
            .await
            .is_err()
        {
            tracing::warn!("a serving thread does not come to its end");
        }
    }
}

/// Starts a thread with a runtime, which it runs until `until` turns true.
fn start_thread(name: &str, mut until: watch::Receiver<bool>) -> Result<Handle, Error> {
    let failed = |error| Error::failed("start the serve threads", error);
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let handle = runtime.handle().clone();
    let run = move || {
        // A closed channel means the end, too.
        let end = async { until.wait_for(|over| *over).await.map(drop) };
        let panicked = catch_unwind(AssertUnwindSafe(|| runtime.block_on(end))).is_err();
        if panicked {
            // A panic outside of any task. Connections would still be handed to this thread, and never be served.
            log::abort("a serving thread is gone, and with it this process");
        }
        runtime.shutdown_background();
        drop(until);
    };
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(failed)?;
    Ok(handle)
}

/// A runtime of `threads` threads that are called `name`.
pub(super) fn runtime(name: &str, threads: usize) -> Result<Runtime, Error> {
    Builder::new_multi_thread()
        .worker_threads(threads.max(1))
        .thread_name(name)
        .enable_all()
        .build()
        .map_err(|error| Error::failed(format_args!("start the {name} threads"), error))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{RecvTimeoutError, channel};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test]
    async fn tasks_end_with_their_threads() {
        let threads = Threads::start(3).unwrap();
        let (started, starts) = channel();
        let witness = Arc::new(());
        for handle in threads.serve() {
            let (started, witness) = (started.clone(), witness.clone());
            handle.spawn(async move {
                started.send(thread::current().id()).unwrap();
                std::future::pending::<()>().await;
                drop(witness);
            });
        }
        let mut ids: Vec<_> = starts.iter().take(3).collect();
        ids.sort_by_key(|id| format!("{id:?}"));
        ids.dedup();
        assert_eq!((ids.len(), Arc::strong_count(&witness)), (3, 4));
        threads.end(Duration::from_secs(60)).await;
        assert_eq!(Arc::strong_count(&witness), 1);
    }

    #[test]
    fn the_heartbeat_stops_while_a_serving_thread_hangs() {
        let threads = Threads::start(2).unwrap();
        let (beat, beats) = channel();
        let lock = Arc::new(Mutex::new(()));
        let held = lock.lock().unwrap();
        let contended = lock.clone();
        let (hang, hangs) = channel();
        threads.serve[1].spawn(async move {
            hang.send(()).unwrap();
            drop(contended.lock());
        });
        hangs.recv().unwrap();
        threads.heartbeat(Duration::from_millis(1), move || {
            beat.send(()).unwrap_or_default();
        });
        let silence = beats.recv_timeout(Duration::from_millis(100));
        assert_eq!(silence, Err(RecvTimeoutError::Timeout));
        drop(held);
        beats.recv().unwrap();
    }
}
