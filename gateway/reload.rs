//! Reloading: SIGHUP or a changed file loads, checks, builds and swaps. A bad file leaves the old
//! configuration serving, and says so in the log, in `/status` and in the metrics.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::config::{Config, Purpose};
use crate::document::FileStamp;
use crate::snapshot::Live;

/// How often the files are looked at. A change is taken over when two looks in a row see the same,
/// so that a file is not read while it is being written: within half a second.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How many looks may differ before a change is taken over all the same: a file that never rests
/// must not hold up the others.
const PATIENCE: u32 = 4;
/// How long a reload waits for names that are new; they go on being resolved behind it.
const RESOLVE_FIRST: Duration = Duration::from_millis(300);

/// Watches the files of a configuration and takes over what they become.
pub struct Reloader {
    live: Arc<Live>,
    path: PathBuf,
    /// As they were just before they were read last.
    files: Vec<FileStamp>,
    requested: Arc<Notify>,
}

impl Reloader {
    /// Watches `files`, from which the configuration at `path` that `live` serves was made.
    pub fn new(live: Arc<Live>, path: PathBuf, files: Vec<FileStamp>) -> Self {
        Self {
            live,
            path,
            files,
            requested: Arc::new(Notify::new()),
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
        let path = self.path.clone();
        let loaded = tokio::task::spawn_blocking(move || Config::load(&path, Purpose::Reload));
        let Ok(loaded) = loaded.await else {
            self.files = self.files.iter().map(FileStamp::retake).collect();
            return self.refuse("loading it failed in an unforeseen way: see the log");
        };
        match loaded {
            Ok(config) => self.take_over(config).await,
            Err(errors) => {
                self.refuse(&errors.to_string());
                self.files = errors.files;
            }
        }
    }

    async fn take_over(&mut self, config: Config) {
        self.files.clone_from(&config.files);
        let warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
        if self.live.snapshot().server.needs_restart(&config.server) {
            tracing::warn!("[server] has changes that take effect at the next start");
        }
        let next = match self.live.prepare(config) {
            Ok(next) => next,
            Err(error) => return self.refuse(&error.to_string()),
        };
        let resolver = self.live.resolver.clone();
        let lookups = tokio::spawn(async move { resolver.refresh(true).await });
        // A name that is late is not lost: the task goes on, and requests to it get 502 until then.
        let _ = tokio::time::timeout(RESOLVE_FIRST, lookups).await;
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        let (generation, keys) = (next.generation, next.keys.keys().len());
        self.live.swap(next, warnings);
        tracing::info!(generation, keys, "configuration taken over");
    }

    fn refuse(&self, why: &str) {
        tracing::error!("configuration refused, the old one goes on serving:\n{why}");
        self.live.refuse(why.to_owned());
    }
}
