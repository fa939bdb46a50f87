//! Reloading: SIGHUP or a changed file loads, checks, builds and swaps. A bad file leaves the old
//! configuration serving, and says so in the log, in `/status` and in the metrics.
//!
//! A large key file is read, and the keys that it replaces are freed, in the background. A read that failed for a reason
//! that may pass (no file descriptor, a disk that does not answer) is tried again until it succeeds. Where the rest is
//! refused, keys that are revoked in the key file are revoked all the same.

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

/// How often the files are looked at. A change is taken over when two looks in a row see the same,
/// so that a file is not read while it is being written: within half a second.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How many looks may differ before a change is taken over all the same: a file that never rests
/// must not hold up the others.
const PATIENCE: u32 = 4;
/// A step of the clock that is worth a line in the log.
const WORTH_SAYING: Duration = Duration::from_secs(1);
/// How long a reload waits for names that are new; they go on being resolved behind it.
const RESOLVE_FIRST: Duration = Duration::from_millis(300);

/// How soon a read that failed for a reason that may pass is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// How long looking at the files, or reading them, may take before it is said. Ten million keys take less.
const TOO_LONG: Duration = Duration::from_secs(30);

/// Watches the files of a configuration and takes over what they become.
pub struct Reloader {
    live: Arc<Live>,
    path: PathBuf,
    /// As they were just before they were read last.
    files: Vec<FileStamp>,
    requested: Arc<Notify>,
    /// When the last load, which failed for a reason that may pass, is made again.
    retry: Option<Instant>,
    /// The version of the keys that was loaded alone last.
    keys_alone: Option<Revision>,
    /// What was said about the tries since the last change.
    said: Option<String>,
    /// How far the clock was behind at the last look.
    known_behind: Duration,
}

impl Reloader {
    /// Watches `files`, from which the configuration at `path` that `live` serves was made; all of them could be read
    /// unless one is `unread`, which is tried again.
    pub fn new(live: Arc<Live>, path: PathBuf, files: Vec<FileStamp>, unread: bool) -> Self {
        live.metrics.reload_pending.set(i64::from(unread));
        Self {
            live,
            path,
            files,
            requested: Arc::new(Notify::new()),
            retry: unread.then(Instant::now),
            keys_alone: None,
            said: None,
            known_behind: Duration::ZERO,
        }
    }

    /// Wakes it at once, as SIGHUP does.
    pub fn handle(&self) -> Arc<Notify> {
        self.requested.clone()
    }

    /// Runs until the task is dropped.
    pub async fn run(mut self) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut seen: Option<Vec<FileStamp>> = None;
        let mut unsettled = 0;
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                () = self.requested.notified() => {
                    self.reload().await;
                    seen = None;
                    continue;
                }
            }
            self.look_at_the_clock();
            let now = self.look().await;
            if self.retry.is_some_and(|due| due <= Instant::now()) {
                self.try_again().await;
                (seen, unsettled) = (None, 0);
            } else if now == self.files {
                (seen, unsettled) = (None, 0);
            } else if seen.as_ref() == Some(&now) || unsettled == PATIENCE {
                self.reload().await;
                (seen, unsettled) = (None, 0);
            } else {
                seen = Some(now);
                unsettled += 1;
            }
        }
    }

    /// The files as they are now. Not looked at here, for a file system may keep whoever looks waiting.
    async fn look(&mut self) -> Vec<FileStamp> {
        let files = self.files.clone();
        let look = move || files.iter().map(FileStamp::retake).collect();
        let (found, late) = in_time(&self.live, TOO_LONG, background::aside(look)).await;
        if late {
            self.retry = Some(Instant::now());
        }
        // Without a thread, nothing was seen.
        found.unwrap_or_else(|_| self.files.clone())
    }

    /// Because of a change, or because somebody asked for it.
    async fn reload(&mut self) {
        self.said = None;
        systemd::reloading();
        self.load_again().await;
        systemd::ready(&self.live.summary());
    }

    /// Because the last time failed for a reason that may have passed.
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
        let load = background::run(move || load(&live, &path, known.as_ref()));
        let (loaded, _) = in_time(&self.live, TOO_LONG, load).await;
        self.retry = None;
        match loaded {
            Ok(loaded) => {
                self.files = loaded.files;
                match loaded.outcome {
                    Ok((next, warnings)) => self.take_over(next, warnings).await,
                    Err(refused) => self.take_less(refused, begun),
                }
            }
            Err(background::Failure::NoThread) => {
                self.retry_since(begun);
                self.refuse("the system gave no thread to load it: trying again");
            }
            Err(background::Failure::Panicked) => {
                self.files = self.look().await;
                self.refuse("loading it failed in an unforeseen way: see the log");
            }
        }
        let pending = self.retry.is_some();
        self.live.metrics.reload_pending.set(i64::from(pending));
    }

    /// A try that began then has failed for a reason that may pass. Those that take long are made less often.
    fn retry_since(&mut self, begun: Instant) {
        self.retry = Some(Instant::now() + RETRY_AFTER.max(begun.elapsed()));
    }

    /// Refuses a configuration, but for the keys that are revoked in it.
    fn take_less(&mut self, refused: Refused, begun: Instant) {
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
            let keys = store.keys().len();
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
        // A name that is late is not lost: the task goes on, and requests to it get 502 until then.
        let _ = tokio::time::timeout(RESOLVE_FIRST, lookups).await;
        for warning in &warnings {
            tracing::warn!(target: UNLIMITED, "{warning}");
        }
        let (generation, keys) = (next.rules.generation, next.keys.keys().len());
        let before = self.live.swap(next, warnings);
        self.said = None;
        tracing::info!(generation, keys, "configuration taken over");
        tokio::spawn(retire(before));
    }

    /// Says when the system's clock was set back, once each time.
    fn look_at_the_clock(&mut self) {
        let behind = self.live.clock.behind();
        self.live.metrics.clock_behind.set(behind.as_secs_f64());
        if behind > self.known_behind + WORTH_SAYING {
            tracing::warn!(
                ?behind,
                "the clock was set back: keys go on by the time that it had reached"
            );
        }
        self.known_behind = behind;
    }

    fn refuse(&mut self, why: &str) {
        if self.said.as_deref() != Some(why) {
            let again = if self.retry.is_some() {
                " (it is tried again until it can be read)"
            } else {
                ""
            };
            tracing::error!("configuration refused, the old one goes on serving{again}:\n{why}");
            self.said = Some(why.to_owned());
        }
        self.live.refuse(why.to_owned());
    }
}

/// Waits for `work` however long it takes, and whether that was `too_long`: it is said then. A file system that does
/// not answer cannot be interrupted.
async fn in_time<T>(live: &Live, too_long: Duration, work: impl Future<Output = T>) -> (T, bool) {
    let mut work = pin!(work);
    if let Ok(done) = tokio::time::timeout(too_long, &mut work).await {
        return (done, false);
    }
    let why = format!(
        "a file of the configuration has not come within {too_long:?}: its file system does not answer, or the \
         machine is overloaded. No change is taken over, and no revoked key refused, until it comes"
    );
    tracing::error!("{why}");
    live.metrics.reload_pending.set(1);
    live.refuse(why);
    (work.await, true)
}

/// Frees a snapshot once no request looks at it any more.
async fn retire(mut snapshot: Arc<Snapshot>) {
    let alone = loop {
        match Arc::try_unwrap(snapshot) {
            Ok(alone) => break alone,
            Err(shared) => snapshot = shared,
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    // If there is no thread for it, it is freed here.
    let _ = background::run(move || alone.keys.free()).await;
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::config::{Purpose, Resolved};
    use crate::metrics::Metrics;

    #[tokio::test]
    async fn a_file_that_does_not_come_is_said_and_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.toml");
        std::fs::write(&path, "").unwrap();
        let config = Resolved::load(&path, Purpose::Start).unwrap_or_else(|e| panic!("{e}"));
        let metrics = Arc::new(Metrics::new().unwrap());
        let live = Live::start(config, metrics.clone()).unwrap_or_else(|e| panic!("{e}"));
        let soon = Duration::from_secs(600);
        assert_eq!(in_time(&live, soon, async { 7 }).await, (7, false));
        assert!(live.last_reload().error.is_none());
        let (come, comes) = oneshot::channel();
        let mut waiting = pin!(in_time(&live, Duration::from_millis(1), comes));
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
