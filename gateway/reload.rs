//! Reloading: SIGHUP or a changed file loads, checks, builds and swaps. A bad file leaves the old
//! configuration serving, and says so in the log, in `/status` and in the metrics.
//!
//! A large key file is read, and the keys that it replaces are freed, in the background.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::background;
use crate::config::{Config, Purpose};
use crate::document::FileStamp;
use crate::events::UNLIMITED;
use crate::manager;
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

/// Watches the files of a configuration and takes over what they become.
pub struct Reloader {
    live: Arc<Live>,
    path: PathBuf,
    /// As they were just before they were read last.
    files: Vec<FileStamp>,
    requested: Arc<Notify>,
    /// How far the clock was behind at the last look.
    known_behind: Duration,
}

impl Reloader {
    /// Watches `files`, from which the configuration at `path` that `live` serves was made.
    pub fn new(live: Arc<Live>, path: PathBuf, files: Vec<FileStamp>) -> Self {
        Self {
            live,
            path,
            files,
            requested: Arc::new(Notify::new()),
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
            let now: Vec<FileStamp> = self.files.iter().map(FileStamp::retake).collect();
            if now == self.files {
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

    async fn reload(&mut self) {
        manager::reloading();
        self.load_again().await;
        manager::ready(&self.live.summary());
    }

    async fn load_again(&mut self) {
        let (live, path) = (self.live.clone(), self.path.clone());
        let loaded = match background::run(move || load(&live, &path)).await {
            Ok(loaded) => loaded,
            // The files still differ from what was read last, so that it is tried again.
            Err(background::Failure::NoThread) => {
                return self.refuse("the system gave no thread to load it: trying again");
            }
            Err(background::Failure::Panicked) => {
                self.files = self.files.iter().map(FileStamp::retake).collect();
                return self.refuse("loading it failed in an unforeseen way: see the log");
            }
        };
        self.files = loaded.files;
        match loaded.outcome {
            Ok((next, warnings)) => self.take_over(next, warnings).await,
            Err(why) => self.refuse(&why),
        }
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

    fn refuse(&self, why: &str) {
        tracing::error!("configuration refused, the old one goes on serving:\n{why}");
        self.live.refuse(why.to_owned());
    }
}

/// A configuration that was read, and the files that it was read from.
struct Loaded {
    files: Vec<FileStamp>,
    /// What it became, with what is worth saying about it; or why it is refused.
    outcome: Result<(Snapshot, Vec<String>), String>,
}

fn load(live: &Live, path: &Path) -> Loaded {
    match Config::load(path, Purpose::Reload) {
        Ok(config) => Loaded {
            files: config.files.clone(),
            outcome: prepare(live, config),
        },
        Err(errors) => Loaded {
            outcome: Err(errors.to_string()),
            files: errors.files,
        },
    }
}

fn prepare(live: &Live, config: Config) -> Result<(Snapshot, Vec<String>), String> {
    let serving = live.snapshot();
    if config.key_file.is_same_file(&serving.key_file)
        && serving.key_outline.was_cut_to(&config.key_outline)
    {
        let path = config.key_file.path.display();
        let (left, all) = (config.keys.len(), serving.keys.keys().len());
        return Err(format!(
            "{path}: looks cut off: it was changed in place and holds only the beginning of what \
             serves ({left} of {all} keys). If that is meant, replace it whole: \
             `cp -p {path} {path}.new && mv {path}.new {path}`"
        ));
    }
    drop(serving);
    let warnings = config.warnings.iter().map(ToString::to_string).collect();
    let next = live.prepare(config).map_err(|error| error.to_string())?;
    Ok((next, warnings))
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
