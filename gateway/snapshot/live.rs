//! The snapshot that serves, and the state that outlives it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::rules::{Beside, BuildError, Snapshot};
use crate::config::{Resolved, certificate_end};
use crate::key::{KeyDigest, KeyStore, Revision};
use crate::limit::book::Book;
use crate::limit::budget::InMemory;
use crate::metrics::Metrics;
use crate::origin::Resolver;
use crate::runtime::clock::Clock;
use crate::runtime::watched::Watched;

/// The shortest and the longest sleep until a key expires.
const MOMENT: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(86_400);

/// How the last attempt to take over a configuration ended.
#[derive(Clone, Debug)]
pub struct LastReload {
    /// The time.
    pub at: Timestamp,
    /// Every problem; `None` when the configuration was taken over.
    pub error: Option<String>,
    /// The warnings of a configuration that was taken over.
    pub(crate) warnings: Vec<String>,
}

/// The snapshot that serves now, and what outlives it.
pub struct Live {
    snapshot: Watched<Snapshot>,
    last_reload: Mutex<LastReload>,
    /// The metrics.
    pub(crate) metrics: Arc<Metrics>,
    /// The resolved names.
    pub(crate) resolver: Arc<Resolver>,
    /// The cells of all limits.
    pub(crate) book: Arc<Book>,
    /// The time by which keys start and expire, and periods of budgets begin.
    pub clock: Clock,
}

impl Live {
    /// Starts with the first configuration, and forgets at the end what was used of its limits.
    pub fn start(config: Resolved, metrics: Arc<Metrics>) -> Result<Self, BuildError> {
        Self::start_with(config, metrics, Book::new(Arc::new(InMemory)))
    }

    /// Starts with the first configuration. What is used of its limits is counted in `book`.
    pub(crate) fn start_with(
        config: Resolved,
        metrics: Arc<Metrics>,
        book: Book,
    ) -> Result<Self, BuildError> {
        let (book, clock) = (Arc::new(book), Clock::start());
        let resolver = Arc::new(Resolver::default());
        let warnings = config.warnings.iter().map(ToString::to_string).collect();
        let snapshot = Snapshot::build(
            config,
            None,
            &Beside {
                metrics: &metrics,
                resolver: &resolver,
                book: &book,
                now: book.moment(Instant::now(), clock.now()).time,
            },
        )?;
        let last = LastReload {
            at: Timestamp::now(),
            error: None,
            warnings,
        };
        let live = Self {
            snapshot: Watched::new(snapshot),
            last_reload: Mutex::new(last),
            metrics,
            resolver,
            book,
            clock,
        };
        live.publish();
        Ok(live)
    }

    /// The snapshot that serves now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.get()
    }

    /// A line about what serves, for the service manager.
    pub(crate) fn summary(&self) -> String {
        let snapshot = self.snapshot();
        let (routes, keys) = (snapshot.rules.router.routes().len(), snapshot.keys.count());
        let generation = snapshot.rules.generation;
        let serves = format!("Serving {routes} routes and {keys} keys, configuration {generation}");
        match self.last_reload().error {
            Some(why) => format!("{serves}; a newer one was REFUSED: {why}"),
            None => serves,
        }
    }

    /// How the last reload ended.
    pub fn last_reload(&self) -> LastReload {
        self.last_reload
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Builds `config` beside the snapshot that serves, without serving it yet: new names can be resolved before
    /// [`swap`](Self::swap).
    pub(crate) fn prepare(&self, config: Resolved) -> Result<Snapshot, BuildError> {
        let before = self.snapshot.load().rules.clone();
        let beside = Beside {
            metrics: &self.metrics,
            resolver: &self.resolver,
            book: &self.book,
            now: self.book.moment(Instant::now(), self.clock.now()).time,
        };
        Snapshot::build(config, Some(&before), &beside)
    }

    /// Serves `snapshot` from the next request on. Returns the previous one, which requests that are being admitted may
    /// still use: dropping the last reference frees all its keys.
    pub(crate) fn swap(&self, snapshot: Snapshot, warnings: Vec<String>) -> Arc<Snapshot> {
        let before = self.snapshot.swap(Arc::new(snapshot));
        self.remember(LastReload {
            at: Timestamp::now(),
            error: None,
            warnings,
        });
        self.publish();
        before
    }

    /// Serves `keys` with the rules that serve already. They permit no more than the keys that serve, nor than the
    /// version `closed_by`; `is_whole` if they are all that this version permits.
    pub(crate) fn narrow(
        &self,
        keys: KeyStore,
        closed_by: Revision,
        is_whole: bool,
    ) -> Arc<Snapshot> {
        let serving = self.snapshot();
        let revision = if is_whole {
            &closed_by
        } else {
            &serving.revision
        };
        let before = self.snapshot.swap(Arc::new(Snapshot {
            rules: serving.rules.clone(),
            keys,
            key_source: serving.key_source.clone(),
            revision: revision.clone(),
            closed_by,
        }));
        self.publish_keys();
        before
    }

    /// Waits until the key of `digest` is not valid any more: removed, disabled, expired, or at the end of its overlap
    /// with a newer key.
    pub(crate) async fn revoked(&self, digest: KeyDigest) {
        let mut swaps = self.snapshot.watch();
        loop {
            let now = self.clock.now();
            let valid_until = self.snapshot.load().keys.valid_until(&digest, now);
            let Ok(end) = valid_until else { return };
            // A key that has expired in between leaves a negative rest, which becomes the shortest sleep.
            let left = Duration::try_from(end.duration_since(now)).unwrap_or_default();
            tokio::select! {
                // Without a sender, the gateway has ended.
                more = swaps.next() => if !more { return },
                () = tokio::time::sleep(left.clamp(MOMENT, DAY)) => {}
            }
        }
    }

    /// Records that a configuration was refused; the old one goes on serving.
    pub(crate) fn refuse(&self, error: String) {
        self.metrics.reload_success.set(0);
        self.remember(LastReload {
            at: Timestamp::now(),
            error: Some(error),
            warnings: Vec::new(),
        });
    }

    fn remember(&self, last: LastReload) {
        *self
            .last_reload
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = last;
    }

    fn publish(&self) {
        let snapshot = self.snapshot.load();
        let metrics = &self.metrics;
        metrics.reloaded();
        let providers = snapshot.rules.providers.iter();
        metrics.set_providers(providers.map(|p| (&*p.name, p.rejected())));
        let certificate = snapshot.rules.certificate.as_ref();
        let end = certificate.and_then(|key| certificate_end(key.cert.first()?));
        metrics.set_certificate_expiry(end.map(Timestamp::as_second));
        self.publish_keys();
    }

    fn publish_keys(&self) {
        let snapshot = self.snapshot.load();
        let metrics = &self.metrics;
        metrics
            .keys_loaded
            .set(i64::try_from(snapshot.keys.count()).unwrap_or(i64::MAX));
        // The counted keys come first: stop at the first other one, because millions may follow.
        let counted = snapshot.keys.keys().take_while(|key| key.counted);
        let counted: HashMap<&str, _> = counted.map(|key| (&*key.id, key.expires)).collect();
        metrics.keep_keys(|id| counted.contains_key(id));
        metrics.set_key_expiries(
            counted
                .iter()
                .filter_map(|(id, expires)| Some((*id, expires.as_ref()?.as_second()))),
        );
    }
}
