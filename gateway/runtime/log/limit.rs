//! How many lines of one kind are written: strangers can cause some, as often as they like.

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

use super::UNLIMITED;

/// How many lines of one kind are written within [`WINDOW`]; the others are counted.
const LINES: u32 = 20;
/// How long a kind's lines are counted together, and how long after the first that was left out a line says how many
/// were.
const WINDOW: Duration = Duration::from_secs(10);
/// How much of the first line that was left out is told, in characters.
const LONGEST: usize = 120;

/// What lines are counted by: their place in the source, and the provider where they name one, so that one that fails
/// hides no other. All lines of libraries that use the crate `log` are of one place for each level. Providers are those
/// of the configuration, so that there is a bound to it.
type Name = (Identifier, Option<Box<str>>);

/// The lines of each kind.
pub(crate) struct Limit {
    kinds: Mutex<HashMap<Name, Kind>>,
    left_out: IntCounter,
}

struct Kind {
    /// When the first line of the window came.
    began: Instant,
    /// How many lines were written since.
    written: u32,
    left_out: Option<LeftOut>,
}

/// Lines of one kind that were not written, since that was told last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeftOut {
    pub(crate) level: Level,
    pub(crate) count: u64,
    /// The beginning of the first.
    pub(crate) like: String,
    since: Instant,
}

impl Limit {
    /// Counts the lines that are left out in `left_out`.
    pub(crate) fn new(left_out: IntCounter) -> Self {
        Self {
            kinds: Mutex::default(),
            left_out,
        }
    }

    /// Whether a line is to be written.
    fn admits(&self, event: &Event<'_>, now: Instant) -> bool {
        let metadata = event.metadata();
        if metadata.target() == UNLIMITED {
            return true;
        }
        // Before the lock: a value that panics when it is shown comes here again.
        let provider = Provider::of(event);
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = kinds
            .entry((metadata.callsite(), provider))
            .or_insert_with(|| Kind {
                began: now,
                written: 0,
                left_out: None,
            });
        if now.saturating_duration_since(kind.began) >= WINDOW {
            (kind.began, kind.written) = (now, 0);
        }
        if kind.written < LINES {
            kind.written += 1;
            return true;
        }
        let left_out = kind.left_out.get_or_insert_with(|| LeftOut {
            level: *metadata.level(),
            count: 0,
            like: String::new(),
            since: now,
        });
        left_out.count = left_out.count.saturating_add(1);
        let is_first = left_out.count == 1;
        self.left_out.inc();
        drop(kinds);
        if is_first {
            self.is_like(event);
        }
        false
    }

    /// Keeps what the first line that was left out was like. The lock is not held while that is found out, either.
    fn is_like(&self, event: &Event<'_>) {
        let provider = Provider::of(event);
        let mut like = beginning(event);
        if let Some(provider) = &provider {
            // Writing to a String cannot fail.
            let _ = write!(like, " provider={provider:?}");
        }
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = kinds.get_mut(&(event.metadata().callsite(), provider));
        if let Some(left_out) = kind.and_then(|kind| kind.left_out.as_mut()) {
            left_out.like = like;
        }
    }

    /// What was left out, of each kind whose window is over; with `all`, of every kind. It is told once.
    pub(crate) fn left_out(&self, now: Instant, all: bool) -> Vec<LeftOut> {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let kinds = kinds.values_mut();
        kinds
            .filter_map(|kind| {
                let is_due =
                    |left: &mut LeftOut| all || now.saturating_duration_since(left.since) >= WINDOW;
                kind.left_out.take_if(is_due)
            })
            .collect()
    }
}

/// A layer that lets through what a limit admits.
pub(crate) struct Limited(pub(super) &'static Limit);

impl<S: Subscriber> Layer<S> for Limited {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        self.0.admits(event, Instant::now())
    }
}

/// The provider that a line names.
#[derive(Default)]
struct Provider(Option<Box<str>>);

impl Provider {
    fn of(event: &Event<'_>) -> Option<Box<str>> {
        let mut found = Self::default();
        let has_one = event.metadata().fields().field("provider").is_some();
        if has_one {
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

/// The beginning of the message.
fn beginning(event: &Event<'_>) -> String {
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
    first.chars().take(LONGEST).collect()
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

    /// What a limit lets through of what `work` says, and the limit.
    fn limited(work: impl FnOnce()) -> (u64, &'static Limit) {
        let counter = IntCounter::new("c", "c").unwrap();
        let limit: &'static Limit = Box::leak(Box::new(Limit::new(counter)));
        let count = Count::default();
        let subscriber = tracing_subscriber::registry()
            .with(Limited(limit))
            .with(count.clone());
        tracing::subscriber::with_default(subscriber, work);
        (count.0.load(Ordering::Relaxed), limit)
    }

    #[test]
    fn of_each_kind_some_lines_pass_and_the_others_are_counted() {
        let (passed, limit) = limited(|| {
            for number in 0..1000 {
                tracing::warn!(number, "one {number}\nand more");
            }
            for number in 0..u64::from(LINES) {
                tracing::info!(number, "another");
            }
            tracing::info!("a third");
        });
        // Unless ten seconds passed meanwhile.
        assert_eq!(passed, u64::from(2 * LINES + 1));
        assert_eq!(limit.left_out.get(), 1000 - u64::from(LINES));
        let now = Instant::now();
        assert_eq!(limit.left_out(now, false), []);
        let left_out = limit.left_out(now + WINDOW, false);
        let [one] = left_out.as_slice() else {
            panic!("{left_out:?}")
        };
        assert_eq!(
            (one.level, one.count, one.like.as_str()),
            (Level::WARN, 1000 - u64::from(LINES), "one 20")
        );
        assert_eq!(limit.left_out(now + WINDOW, true), [], "once");
    }

    #[test]
    fn what_an_operator_causes_is_not_limited() {
        let (passed, limit) = limited(|| {
            for _ in 0..1000 {
                tracing::warn!(target: UNLIMITED, "all of it");
            }
        });
        assert_eq!((passed, limit.left_out.get()), (1000, 0));
    }

    #[test]
    fn the_failures_of_one_provider_hide_those_of_no_other() {
        let (passed, limit) = limited(|| {
            for number in 0..100 {
                tracing::warn!(provider = Some("a"), number, "it failed");
            }
            tracing::warn!(provider = "b", "it failed");
        });
        assert_eq!(passed, u64::from(LINES) + 1);
        let told = limit.left_out(Instant::now(), true);
        assert_eq!(told[0].like, "it failed provider=\"a\"");
    }

    #[test]
    fn a_new_window_lets_lines_through_again() {
        struct At(&'static Limit, Arc<Mutex<Instant>>);
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
        assert_eq!(count.0.load(Ordering::Relaxed), u64::from(3 * LINES));
        let counts = limit.left_out(start + WINDOW * 2, false);
        assert_eq!(counts[0].count, 3 * (100 - u64::from(LINES)));
    }
}
