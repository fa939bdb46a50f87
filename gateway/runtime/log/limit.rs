//! Limits how many log lines of one kind are written: anybody can cause some of them, any number of times.

use std::collections::HashMap;
use std::fmt::{Debug, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::IntCounter;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// The target of events that are never limited: those that an operator causes.
pub(crate) const UNLIMITED: &str = "unlimited";

/// How many lines of one kind are written per [`WINDOW`]. The others are counted.
const MAX_LINES: u32 = 20;
/// The length of a window, and the time after the first suppressed line at which their number is reported.
const WINDOW: Duration = Duration::from_secs(10);
/// How much of the first suppressed line is reported, in characters.
const MAX_SAMPLE: usize = 120;

/// A kind of lines: their place in the source, and the provider if they name one, so that a failing provider hides no other
/// one. All lines of libraries that use the crate `log` share one place per level. The number of kinds is bounded:
/// providers are those of the configuration.
type KindId = (Identifier, Option<Box<str>>);

/// Counts the lines of each kind.
pub(crate) struct LineLimit {
    kinds: Mutex<HashMap<KindId, Kind>>,
    suppressed: IntCounter,
}

struct Kind {
    /// When the window started, with its first line.
    started: Instant,
    /// How many lines were written in the window.
    written: u32,
    suppressed: Option<Suppressed>,
}

/// Lines of one kind that were not written, since the last report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Suppressed {
    pub(crate) level: Level,
    pub(crate) count: u64,
    /// The start of the first of them.
    pub(crate) sample: String,
    since: Instant,
}

impl LineLimit {
    /// Counts suppressed lines in `suppressed`.
    pub(crate) fn new(suppressed: IntCounter) -> Self {
        Self {
            kinds: Mutex::default(),
            suppressed,
        }
    }

    /// Whether a line is written. If not, it is counted.
    fn admits(&self, event: &Event<'_>, now: Instant) -> bool {
        let metadata = event.metadata();
        if metadata.target() == UNLIMITED {
            return true;
        }
        // Before the lock: a value whose formatting panics logs again, and comes back here.
        let provider = Provider::of(event);
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = kinds
            .entry((metadata.callsite(), provider))
            .or_insert_with(|| Kind {
                started: now,
                written: 0,
                suppressed: None,
            });
        if now.saturating_duration_since(kind.started) >= WINDOW {
            (kind.started, kind.written) = (now, 0);
        }
        if kind.written < MAX_LINES {
            kind.written += 1;
            return true;
        }
        let suppressed = kind.suppressed.get_or_insert_with(|| Suppressed {
            level: *metadata.level(),
            count: 0,
            sample: String::new(),
            since: now,
        });
        suppressed.count = suppressed.count.saturating_add(1);
        let is_first = suppressed.count == 1;
        self.suppressed.inc();
        drop(kinds);
        if is_first {
            self.keep_sample(event);
        }
        false
    }

    /// Keeps the start of the first suppressed line. It is formatted without the lock, too.
    fn keep_sample(&self, event: &Event<'_>) {
        let provider = Provider::of(event);
        let mut sample = start_of(event);
        if let Some(provider) = &provider {
            // Writing to a String cannot fail.
            let _ = write!(sample, " provider={provider:?}");
        }
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = kinds.get_mut(&(event.metadata().callsite(), provider));
        if let Some(suppressed) = kind.and_then(|kind| kind.suppressed.as_mut()) {
            suppressed.sample = sample;
        }
    }

    /// Takes the suppressed lines of each kind whose window is over; with `all`, of every kind.
    pub(crate) fn take_suppressed(&self, now: Instant, all: bool) -> Vec<Suppressed> {
        let is_due = |suppressed: &mut Suppressed| {
            all || now.saturating_duration_since(suppressed.since) >= WINDOW
        };
        self.kinds
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values_mut()
            .filter_map(|kind| kind.suppressed.take_if(is_due))
            .collect()
    }
}

/// A layer that drops the events that the limit does not admit.
pub(crate) struct LimitLayer(pub(super) &'static LineLimit);

impl<S: Subscriber> Layer<S> for LimitLayer {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        self.0.admits(event, Instant::now())
    }
}

/// The provider that an event names.
#[derive(Default)]
struct Provider(Option<Box<str>>);

impl Provider {
    fn of(event: &Event<'_>) -> Option<Box<str>> {
        let mut found = Self::default();
        let names_provider = event.metadata().fields().field("provider").is_some();
        if names_provider {
            event.record(&mut found);
        }
        found.0
    }
}

impl Visit for Provider {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "provider" {
            self.0 = Some(value.into());
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

/// The first line of the event's message, cut to [`MAX_SAMPLE`] characters.
fn start_of(event: &Event<'_>) -> String {
    struct Message(String);
    impl Visit for Message {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            if field.name() == "message" {
                // Writing to a String cannot fail.
                let _ = write!(self.0, "{value:?}");
            }
        }
    }
    let mut message = Message(String::new());
    event.record(&mut message);
    let first = message.0.lines().next().unwrap_or_default();
    first.chars().take(MAX_SAMPLE).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Count(Arc<AtomicU64>);

    impl<S: Subscriber> Layer<S> for Count {
        fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Runs `work` with a limit. Returns how many of its events passed, and the limit.
    fn limited(work: impl FnOnce()) -> (u64, &'static LineLimit) {
        let counter = IntCounter::new("c", "c").unwrap();
        let limit: &'static LineLimit = Box::leak(Box::new(LineLimit::new(counter)));
        let count = Count::default();
        let subscriber = tracing_subscriber::registry()
            .with(LimitLayer(limit))
            .with(count.clone());
        tracing::subscriber::with_default(subscriber, work);
        (count.0.load(Ordering::Relaxed), limit)
    }

    #[test]
    fn some_lines_of_each_kind_pass_and_the_others_are_counted() {
        let (passed, limit) = limited(|| {
            for number in 0..1000 {
                tracing::warn!(number, "one {number}\nand more");
            }
            for number in 0..u64::from(MAX_LINES) {
                tracing::info!(number, "another");
            }
            tracing::info!("a third");
        });
        // This holds if the loop took less than ten seconds.
        assert_eq!(passed, u64::from(2 * MAX_LINES + 1));
        assert_eq!(limit.suppressed.get(), 1000 - u64::from(MAX_LINES));
        let now = Instant::now();
        assert_eq!(limit.take_suppressed(now, false), []);
        let suppressed = limit.take_suppressed(now + WINDOW, false);
        let [one] = suppressed.as_slice() else {
            panic!("{suppressed:?}")
        };
        assert_eq!(
            (one.level, one.count, one.sample.as_str()),
            (Level::WARN, 1000 - u64::from(MAX_LINES), "one 20")
        );
        assert_eq!(limit.take_suppressed(now + WINDOW, true), [], "once");
    }

    #[test]
    fn events_that_an_operator_causes_are_not_limited() {
        let (passed, limit) = limited(|| {
            for _ in 0..1000 {
                tracing::warn!(target: UNLIMITED, "all of it");
            }
        });
        assert_eq!((passed, limit.suppressed.get()), (1000, 0));
    }

    #[test]
    fn the_failures_of_one_provider_hide_those_of_no_other() {
        let (passed, limit) = limited(|| {
            for number in 0..100 {
                tracing::warn!(provider = Some("a"), number, "it failed");
            }
            tracing::warn!(provider = "b", "it failed");
        });
        assert_eq!(passed, u64::from(MAX_LINES) + 1);
        let suppressed = limit.take_suppressed(Instant::now(), true);
        assert_eq!(suppressed[0].sample, "it failed provider=\"a\"");
    }

    #[test]
    fn a_new_window_lets_lines_through_again() {
        struct At(&'static LineLimit, Arc<Mutex<Instant>>);
        impl<S: Subscriber> Layer<S> for At {
            fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
                self.0.admits(event, *self.1.lock().unwrap())
            }
        }
        let (_, limit) = limited(|| {});
        let start = Instant::now();
        let now = Arc::new(Mutex::new(start));
        let count = Count::default();
        let layers = tracing_subscriber::registry()
            .with(At(limit, now.clone()))
            .with(count.clone());
        tracing::subscriber::with_default(layers, || {
            for round in 0..3 {
                *now.lock().unwrap() = start + WINDOW * round;
                for _ in 0..100 {
                    tracing::info!("again");
                }
            }
        });
        assert_eq!(count.0.load(Ordering::Relaxed), u64::from(3 * MAX_LINES));
        let counts = limit.take_suppressed(start + WINDOW * 2, false);
        assert_eq!(counts[0].count, 3 * (100 - u64::from(MAX_LINES)));
    }
}
