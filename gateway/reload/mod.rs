//! Reloads the configuration: on SIGHUP or when a file changes, it loads, checks, builds and swaps. After a bad file the
//! old configuration goes on serving, and the log, `/status` and the metrics report the refusal.
//!
//! A large key file is read, and the keys that it replaces are freed, in the background. A read that failed for a reason
//! that may pass (no file descriptor, a disk that does not respond) is tried again until it succeeds. If the rest of a
//! configuration is refused, keys that are revoked in the key file are revoked all the same.

mod load;

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use self::load::{FewerKeys, Refused, load};
use crate::document::FileStamp;
use crate::key::Revision;
use crate::runtime::background;
use crate::runtime::log::UNLIMITED;
use crate::runtime::systemd;
use crate::snapshot::{Live, Rules, Snapshot};

/// How often the files are polled. A change is taken over when two polls in a row find the same versions, so that a file
/// is not read while it is being written: within half a second.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// How many polls may differ before a change is taken over all the same: a file that changes without a pause must not
/// hold up the others.
const MOST_UNSETTLED: u32 = 4;
/// The smallest step of the clock that is logged.
const LOGGED_CLOCK_STEP: Duration = Duration::from_secs(1);
/// How long a reload waits until new names are resolved; the resolver goes on in the background.
const RESOLVE_WAIT: Duration = Duration::from_millis(300);

/// The pause before a read that failed for a reason that may pass is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// How long polling or reading the files may take before a refusal is reported. Ten million keys take less.
const TOO_LONG: Duration = Duration::from_secs(30);

/// Watches the files of a configuration and takes over what they become.
pub(crate) struct Reloader {
    live: Arc<Live>,
    path: PathBuf,
    /// The files as they were just before they were last read.
    files: Vec<FileStamp>,
    requested: Arc<Notify>,
    /// The time of the next try, after a load that failed for a reason that may pass.
    retry: Option<Instant>,
    /// The version of the keys that was loaded alone last.
    keys_alone: Option<Revision>,
    /// The refusal that was logged since the last change: it is logged once.
    reported: Option<String>,
    /// How far the clock was behind at the last poll.
    known_behind: Duration,
}

impl Reloader {
    /// Watches `files`, which the configuration of `live` was made from; `path` is its `gateway.toml`. If one of them is
    /// `unread`, it is tried again at once.
    pub(crate) fn new(live: Arc<Live>, path: PathBuf, files: Vec<FileStamp>, unread: bool) -> Self {
        live.metrics.reload_pending.set(i64::from(unread));
        Self {
            live,
            path,
            files,
            requested: Arc::new(Notify::new()),
            retry: unread.then(Instant::now),
            keys_alone: None,
            reported: None,
            known_behind: Duration::ZERO,
        }
    }

    /// Notify it to reload at once, as SIGHUP does.
    pub(crate) fn handle(&self) -> Arc<Notify> {
        self.requested.clone()
    }

    /// Runs until the task is dropped.
    pub(crate) async fn run(mut self) {
        let mut polls = tokio::time::interval(POLL_INTERVAL);
        polls.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut last: Option<Vec<FileStamp>> = None;
        let mut unsettled = 0;
        loop {
            tokio::select! {
                _ = polls.tick() => {}
                () = self.requested.notified() => {
                    self.reload().await;
                    last = None;
                    continue;
                }
            }
            self.report_clock();
            let now = self.poll().await;
            if self.retry.is_some_and(|due| due <= Instant::now()) {
                self.try_again().await;
                (last, unsettled) = (None, 0);
            } else if now == self.files {
                (last, unsettled) = (None, 0);
            } else if last.as_ref() == Some(&now) || unsettled == MOST_UNSETTLED {
                self.reload().await;
                (last, unsettled) = (None, 0);
            } else {
                last = Some(now);
                unsettled += 1;
            }
        }
    }

    /// The files as they are now. A thread of its own polls them: a file system can block the call.
    async fn poll(&mut self) -> Vec<FileStamp> {
        let files = self.files.clone();
        let poll = move || files.iter().map(FileStamp::retake).collect();
        let (found, late) = report_if_late(&self.live, TOO_LONG, background::aside(poll)).await;
        if late {
            self.retry = Some(Instant::now());
        }
        // Without a thread, nothing is known to have changed.
        found.unwrap_or_else(|_| self.files.clone())
    }

    /// Reloads after a change or a request for it.
    async fn reload(&mut self) {
        self.reported = None;
        systemd::reloading();
        self.load_again().await;
        systemd::ready(&self.live.summary());
    }

    /// Reloads after a failure whose reason may have passed.
    async fn try_again(&mut self) {
        self.load_again().await;
        if self.retry.is_none() {
            systemd::status(&self.live.summary());
        }
    }

    async fn load_again(&mut self) {
        let begun = Instant::now();
        let (live, path, known) = (
            self.live.clone(),
            self.path.clone(),
            self.keys_alone.clone(),
        );
        let load = background::run_yielding(move || load(&live, &path, known.as_ref()));
        let (loaded, _) = report_if_late(&self.live, TOO_LONG, load).await;
        self.retry = None;
        match loaded {
            Ok(loaded) => {
                self.files = loaded.files;
                match loaded.outcome {
                    Ok((next, warnings)) => self.take_over(next, warnings).await,
                    Err(refused) => self.revoke_only(refused, begun),
                }
            }
            Err(background::Failure::NoThread) => {
                self.retry_since(begun);
                self.refuse("the system gave no thread to load it: trying again");
            }
            Err(background::Failure::Panicked) => {
                self.files = self.poll().await;
                self.refuse("loading it failed in an unforeseen way: see the log");
            }
        }
        let pending = self.retry.is_some();
        self.live.metrics.reload_pending.set(i64::from(pending));
    }

    /// Schedules another try after one that started at `begun`. Tries that take long are made less often.
    fn retry_since(&mut self, begun: Instant) {
        self.retry = Some(Instant::now() + RETRY_AFTER.max(begun.elapsed()));
    }

    /// Refuses a configuration, but applies its revocations of keys.
    fn revoke_only(&mut self, refused: Refused, begun: Instant) {
        let Refused {
            why,
            may_pass,
            keys,
            known,
        } = refused;
        self.keys_alone = known;
        if let Some(FewerKeys {
            store,
            closed_by,
            is_whole,
        }) = keys
        {
            let keys = store.count();
            let before = self.live.narrow(store, closed_by, is_whole);
            tracing::warn!(
                keys,
                "the key file is good: what it revokes is revoked; what it adds waits for the configuration"
            );
            tokio::spawn(retire(before));
        }
        if may_pass {
            self.retry_since(begun);
        }
        self.refuse(&why);
    }

    async fn take_over(&mut self, next: Snapshot, warnings: Vec<String>) {
        let serving = self.live.snapshot();
        if serving.rules.server.needs_restart(&next.rules.server) {
            tracing::warn!("[server] has changes that take effect at the next start");
        }
        let roots = |rules: &Rules| rules.client_roots.as_ref().map(|roots| roots.roots.clone());
        if roots(&serving.rules) != roots(&next.rules) {
            tracing::warn!(
                "server.tls.client_ca has changes that take effect at the next start, or `keygate upgrade`"
            );
        }
        if serving.rules.limits.ledger != next.rules.limits.ledger {
            tracing::warn!("[ledger] has changes that take effect at the next start");
        }
        if serving.rules.tracing != next.rules.tracing {
            tracing::warn!("[tracing] has changes that take effect at the next start");
        }
        if serving.rules.server.limits.max_connections != next.rules.server.limits.max_connections
            && let Some(lack) = next.rules.server.lack_of_descriptors()
        {
            tracing::warn!("{lack}");
        }
        drop(serving);
        let resolver = self.live.resolver.clone();
        let lookups = tokio::spawn(async move { resolver.refresh(true).await });
        // A slow lookup goes on in its task, and requests to its provider get 502 until it ends.
        let _ = tokio::time::timeout(RESOLVE_WAIT, lookups).await;
        for warning in &warnings {
            tracing::warn!(target: UNLIMITED, "{warning}");
        }
        let (generation, keys) = (next.rules.generation, next.keys.count());
        let before = self.live.swap(next, warnings);
        self.reported = None;
        tracing::info!(generation, keys, "configuration taken over");
        tokio::spawn(retire(before));
    }

    /// Logs each time that the system's clock was set back.
    fn report_clock(&mut self) {
        let behind = self.live.clock.behind();
        self.live.metrics.clock_behind.set(behind.as_secs_f64());
        if behind > self.known_behind + LOGGED_CLOCK_STEP {
            tracing::warn!(
                ?behind,
                "the clock was set back: keys expire by the latest time that it has shown"
            );
        }
        self.known_behind = behind;
    }

    fn refuse(&mut self, why: &str) {
        if self.reported.as_deref() != Some(why) {
            let again = if self.retry.is_some() {
                " (it is tried again until it can be read)"
            } else {
                ""
            };
            tracing::error!("configuration refused, the old one goes on serving{again}:\n{why}");
            self.reported = Some(why.to_owned());
        }
        self.live.refuse(why.to_owned());
    }
}

/// Waits for `work` to end, and returns whether it took longer than `too_long`, which is reported at that time. A call
/// to a file system that does not respond cannot be interrupted.
async fn report_if_late<T>(
    live: &Live,
    too_long: Duration,
    work: impl Future<Output = T>,
) -> (T, bool) {
    let mut work = pin!(work);
    if let Ok(done) = tokio::time::timeout(too_long, &mut work).await {
        return (done, false);
    }
    let why = format!(
        "a file of the configuration has not come within {too_long:?}: its file system does not respond, or the \
         machine is overloaded. No change is taken over, and no revoked key refused, until it comes"
    );
    tracing::error!("{why}");
    live.metrics.reload_pending.set(1);
    live.refuse(why);
    (work.await, true)
}

/// Frees a snapshot once no request uses it any more.
async fn retire(mut snapshot: Arc<Snapshot>) {
    let alone = loop {
        match Arc::try_unwrap(snapshot) {
            Ok(alone) => break alone,
            Err(shared) => snapshot = shared,
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    };
    // If the system gives no thread, the closure is dropped here, and the keys with it.
    let _ = background::run(move || alone.keys.free()).await;
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::config::{Purpose, Resolved};
    use crate::metrics::Metrics;

    #[tokio::test]
    async fn a_slow_file_is_reported_and_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.toml");
        std::fs::write(&path, "").unwrap();
        let config = Resolved::load(&path, Purpose::Start).unwrap_or_else(|e| panic!("{e}"));
        let metrics = Arc::new(Metrics::new().unwrap());
        let live = Live::start(config, metrics.clone()).unwrap_or_else(|e| panic!("{e}"));
        let soon = Duration::from_secs(600);
        assert_eq!(report_if_late(&live, soon, async { 7 }).await, (7, false));
        assert!(live.last_reload().error.is_none());
        let (come, comes) = oneshot::channel();
        let mut waiting = pin!(report_if_late(&live, Duration::from_millis(1), comes));
        while metrics.reload_pending.get() == 0 {
            let pause = tokio::time::sleep(Duration::from_millis(1));
            tokio::select! {
                _ = &mut waiting => panic!("it has not come"),
                () = pause => {}
            }
        }
        let why = live.last_reload().error.unwrap();
        assert!(why.contains("has not come within 1ms"), "{why}");
        come.send(7).unwrap();
        assert_eq!(waiting.await, (Ok(7), true));
    }
}
