//! The threads that serve. Each has a runtime of its own, and with it its own connections to clients and to
//! providers: what it begins it ends, and no request wakes another thread up.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;

use crate::error::Error;
use crate::runtime::log;

/// Running threads. They end, with all that they do, when this is dropped.
pub(super) struct Threads {
    /// What spawns on the one that accepts, for which there is always time.
    accept: Handle,
    serve: Vec<Handle>,
    /// What they end by, and until when somebody listens.
    end: watch::Sender<bool>,
}

impl Threads {
    /// Starts `count` of them, but at least one, and the one that accepts connections for them.
    pub(super) fn start(count: usize) -> Result<Self, Error> {
        let failed = |error| Error::failed("start the serve threads", error);
        let (end, until) = watch::channel(false);
        let one = |name: &str| {
            let runtime = Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(failed)?;
            let handle = runtime.handle().clone();
            let mut until = until.clone();
            let serve = move || {
                // Gone is as good as told.
                let over = async { until.wait_for(|over| *over).await.map(drop) };
                let panicked = catch_unwind(AssertUnwindSafe(|| runtime.block_on(over))).is_err();
                if panicked {
                    // Outside of any task: who comes to this thread would find nobody, and others would not know.
                    log::abort("a serving thread is gone, and with it this process");
                }
                runtime.shutdown_background();
                drop(until);
            };
            let named = thread::Builder::new().name(name.to_owned());
            named.spawn(serve).map_err(failed)?;
            Ok::<_, Error>(handle)
        };
        Ok(Self {
            accept: one("accept")?,
            serve: (0..count.max(1))
                .map(|_| one("serve"))
                .collect::<Result<_, _>>()?,
            end,
        })
    }

    /// What spawns on the one that accepts.
    pub(super) fn accept(&self) -> &Handle {
        &self.accept
    }

    /// What spawns on each of those that serve.
    pub(super) fn serve(&self) -> impl Iterator<Item = &Handle> {
        self.serve.iter()
    }

    /// Does `what` every time that `pause` has passed and each of them has come to a task.
    pub(super) fn heartbeat(&self, pause: Duration, what: impl Fn() + Send + 'static) {
        let serve = self.serve.clone();
        self.accept.spawn(async move {
            loop {
                tokio::time::sleep(pause).await;
                for thread in &serve {
                    let _ = thread.spawn(async {}).await;
                }
                what();
            }
        });
    }

    /// Ends them, and what they do. Waits for that, if it does not take longer than `at_most`.
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{RecvTimeoutError, channel};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test]
    async fn what_threads_do_ends_with_them() {
        let threads = Threads::start(3).unwrap();
        let (begun, begins) = channel();
        let witness = Arc::new(());
        for handle in threads.serve() {
            let (begun, witness) = (begun.clone(), witness.clone());
            handle.spawn(async move {
                begun.send(thread::current().id()).unwrap();
                std::future::pending::<()>().await;
                drop(witness);
            });
        }
        let mut ids: Vec<_> = begins.iter().take(3).collect();
        ids.sort_by_key(|id| format!("{id:?}"));
        ids.dedup();
        assert_eq!((ids.len(), Arc::strong_count(&witness)), (3, 4));
        threads.end(Duration::from_secs(60)).await;
        assert_eq!(Arc::strong_count(&witness), 1);
    }

    #[test]
    fn the_heart_stands_still_while_one_of_them_does() {
        let threads = Threads::start(2).unwrap();
        let (beaten, beats) = channel();
        let stone = Arc::new(Mutex::new(()));
        let held = stone.lock().unwrap();
        let stuck = stone.clone();
        let (at_it, is_at_it) = channel();
        threads.serve[1].spawn(async move {
            at_it.send(()).unwrap();
            drop(stuck.lock());
        });
        is_at_it.recv().unwrap();
        threads.heartbeat(Duration::from_millis(1), move || {
            beaten.send(()).unwrap_or_default();
        });
        let silence = beats.recv_timeout(Duration::from_millis(100));
        assert_eq!(silence, Err(RecvTimeoutError::Timeout));
        drop(held);
        beats.recv().unwrap();
    }
}
