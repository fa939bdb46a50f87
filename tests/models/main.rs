//! Model checks of the lock-free sources, in every order that their steps can run in.
//!
//!     cargo run --release --manifest-path tests/models/Cargo.toml --target-dir target/models [PART OF A NAME]
//!
//! The sources are the gateway's own. [`atomic`] gives them loom's atomics, which try every interleaving and every value
//! that a relaxed read may return. What the sources build on is assumed to be correct: `arc_swap::ArcSwap` is modelled as
//! a lock around each call, and tokio's `Notify` and `watch` are not modelled. loom has no order of all sequentially
//! consistent accesses: such a load is modelled as an exchange that fails, which reads the latest value, as the load does
//! in that order.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "in a test, a panic is how it fails"
)]

/// Replaces `gateway/runtime/atomic.rs`.
mod atomic {
    use std::ops::Deref;
    use std::sync::Arc;

    pub use loom::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

    /// Makes an atomic whose sequentially consistent loads read the latest value.
    macro_rules! ordered {
        ($name:ident, $value:ty, $never:expr) => {
            #[derive(Debug, Default)]
            pub struct $name(loom::sync::atomic::$name);

            impl $name {
                pub fn new(value: $value) -> Self {
                    Self(loom::sync::atomic::$name::new(value))
                }

                pub fn load(&self, order: Ordering) -> $value {
                    if order != Ordering::SeqCst {
                        return self.0.load(order);
                    }
                    let latest = self.0.compare_exchange($never, $never, order, order);
                    latest.unwrap_or_else(|latest| latest)
                }
            }

            impl Deref for $name {
                type Target = loom::sync::atomic::$name;
                fn deref(&self) -> &Self::Target {
                    &self.0
                }
            }
        };
    }
    ordered!(AtomicI64, i64, i64::MIN);
    // There is no value that it never has: an exchange that succeeds changes nothing.
    ordered!(AtomicBool, bool, true);

    /// The guarantees of `arc_swap`, by a lock.
    pub struct ArcSwap<T>(loom::sync::Mutex<Arc<T>>);

    pub struct Guard<T>(T);

    impl<T> Deref for Guard<T> {
        type Target = T;
        fn deref(&self) -> &T {
            &self.0
        }
    }

    impl<T> ArcSwap<T> {
        pub fn from_pointee(value: T) -> Self {
            Self(loom::sync::Mutex::new(Arc::new(value)))
        }

        pub fn load_full(&self) -> Arc<T> {
            self.0.lock().unwrap().clone()
        }

        pub fn load(&self) -> Guard<Arc<T>> {
            Guard(self.load_full())
        }

        pub fn swap(&self, next: Arc<T>) -> Arc<T> {
            std::mem::replace(&mut *self.0.lock().unwrap(), next)
        }
    }
}

mod runtime {
    pub(crate) use super::atomic;
}

mod limit {
    pub(crate) use super::gcra;
}

#[path = "../../gateway/limit/account.rs"]
mod account;
#[path = "../../gateway/runtime/clock.rs"]
mod clock;
#[path = "../../gateway/limit/failed_keys.rs"]
mod failed_keys;
#[path = "../../gateway/limit/gcra.rs"]
mod gcra;
#[path = "../../gateway/limit/held_bodies.rs"]
mod held_bodies;
#[path = "../../gateway/runtime/in_flight.rs"]
mod in_flight;
mod limits;
#[path = "../../gateway/limit/rate.rs"]
mod rate;
#[path = "../../gateway/limit/slots.rs"]
mod slots;
#[path = "../../gateway/limit/terms.rs"]
mod terms;
#[path = "../../gateway/runtime/watched.rs"]
mod watched;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use loom::future::block_on;
use loom::thread;
use prometheus::IntGauge;

use clock::Clock;
use failed_keys::FailedKeyLimiter;
use held_bodies::HeldBodies;
use in_flight::InFlight;
use watched::Watched;

fn a_reader_gets_one_whole_value_and_the_new_one_after_a_swap() {
    loom::model(|| {
        // As in a configuration: rules and keys, which belong together.
        let live = Arc::new(Watched::new((1, 1)));
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let live = live.clone();
                thread::spawn(move || {
                    let (first, second) = (live.get(), live.get());
                    assert_eq!(first.0, first.1);
                    assert!(second.0 >= first.0, "a reader went back");
                })
            })
            .collect();
        let before = live.swap(Arc::new((2, 2)));
        assert_eq!(*before, (1, 1));
        assert_eq!(*live.get(), (2, 2));
        for reader in readers {
            reader.join().unwrap();
        }
        // No reader holds the old value any more.
        assert_eq!(Arc::strong_count(&before), 1);
    });
}

/// Runs a reader that waits for a revocation, beside a reload that revokes its key. Returns whether the reader was
/// notified, and whether it saw the revocation when it read the value. With `read_first`, it reads before it watches.
fn waits(read_first: bool) -> (bool, bool) {
    let live = Arc::new(Watched::new(true));
    let stream = {
        let live = live.clone();
        thread::spawn(move || {
            if read_first {
                let is_valid = *live.get();
                thread::yield_now();
                (is_valid, live.watch())
            } else {
                let swaps = live.watch();
                thread::yield_now();
                (*live.get(), swaps)
            }
        })
    };
    // A reload that leaves the key in place, and one that revokes it.
    live.swap(Arc::new(true));
    live.swap(Arc::new(false));
    let (is_valid, mut swaps) = stream.join().unwrap();
    let next = pin!(swaps.next()).poll(&mut Context::from_waker(Waker::noop()));
    (next.is_ready(), !is_valid)
}

fn a_reader_that_waits_for_a_revocation_never_misses_it() {
    loom::model(|| {
        let (notified, saw) = waits(false);
        assert!(notified || saw);
    });
}

/// The control: a reader that reads before it watches misses a swap in between, and the model finds it.
fn the_model_finds_a_revocation_that_is_missed_by_reading_too_early() {
    static MISSED: AtomicBool = AtomicBool::new(false);
    loom::model(|| {
        let (notified, saw) = waits(true);
        if !notified && !saw {
            MISSED.store(true, Relaxed);
        }
    });
    assert!(MISSED.load(Relaxed));
}

fn a_drain_ends_when_the_last_exchange_does_and_not_before() {
    loom::model(|| {
        let in_flight = Arc::new(InFlight::default());
        let exchanges: Vec<_> = (0..2)
            .map(|_| {
                let guard = in_flight.enter();
                thread::spawn(move || drop(guard))
            })
            .collect();
        block_on(in_flight.drained());
        assert_eq!(in_flight.count(), 0);
        for exchange in exchanges {
            exchange.join().unwrap();
        }
    });
}

fn the_clock_never_goes_back_between_threads() {
    loom::model(|| {
        let clock = Arc::new(Clock::start());
        let (now, wall) = (Instant::now(), Timestamp::now());
        let day = Duration::from_secs(86_400);
        let other = {
            let clock = clock.clone();
            thread::spawn(move || {
                let first = clock.at(wall + day, now);
                let second = clock.at(wall, now);
                assert!(second >= first);
                first
            })
        };
        let first = clock.at(wall, now);
        let second = clock.at(wall, now);
        assert!(second >= first, "the time went back");
        let theirs = other.join().unwrap();
        assert!(clock.at(wall, now) >= theirs);
    });
}

fn every_wrong_key_counts_for_its_address_and_for_no_other() {
    const NOW: Duration = Duration::from_secs(1);
    loom::model(|| {
        // One slot for all addresses.
        let seed = ahash::RandomState::with_seeds(1, 2, 3, 4);
        let failed_keys = Arc::new(FailedKeyLimiter::new(1, seed));
        let failing = |address: u8| {
            let failed_keys = failed_keys.clone();
            thread::spawn(move || {
                failed_keys.failed(&address, 1, NOW);
                // No address is over its limit through the failures of another one.
                assert!(!failed_keys.is_over(&9, NOW));
            })
        };
        // Two failures of one address, which may have one per minute.
        let threads = [failing(1), failing(1)];
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(failed_keys.is_over(&1, NOW));
        // An address that is over its limit keeps the slot.
        failing(2).join().unwrap();
        assert!(failed_keys.is_over(&1, NOW) && !failed_keys.is_over(&2, NOW));
    });
}

/// Bodies of 2, 3 and 1 bytes, and room for 4.
fn bodies_are_never_held_beyond_the_limit_and_nothing_stays_held() {
    loom::model(|| {
        let gauge = IntGauge::new("held", "held").unwrap();
        let all = HeldBodies::new(gauge.clone());
        let holding = |bytes| {
            let (all, gauge) = (all.clone(), gauge.clone());
            move || {
                let held = all.take(bytes, 4);
                assert!((0..=4).contains(&gauge.get()));
                held.is_some()
            }
        };
        let others = [2, 3].map(|bytes| thread::spawn(holding(bytes)));
        let was_held = holding(1)();
        let were_held = others.map(|other| other.join().unwrap());
        // 1 byte fits beside either of the others; one of them may have been refused for the other.
        assert!(was_held && were_held.contains(&true));
        assert_eq!(gauge.get(), 0);
        assert!(all.take(4, 4).is_some());
    });
}

fn main() {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let models: [(&str, fn()); 7] = [
        (
            "a_reader_gets_one_whole_value_and_the_new_one_after_a_swap",
            a_reader_gets_one_whole_value_and_the_new_one_after_a_swap,
        ),
        (
            "a_reader_that_waits_for_a_revocation_never_misses_it",
            a_reader_that_waits_for_a_revocation_never_misses_it,
        ),
        (
            "the_model_finds_a_revocation_that_is_missed_by_reading_too_early",
            the_model_finds_a_revocation_that_is_missed_by_reading_too_early,
        ),
        (
            "a_drain_ends_when_the_last_exchange_does_and_not_before",
            a_drain_ends_when_the_last_exchange_does_and_not_before,
        ),
        (
            "the_clock_never_goes_back_between_threads",
            the_clock_never_goes_back_between_threads,
        ),
        (
            "every_wrong_key_counts_for_its_address_and_for_no_other",
            every_wrong_key_counts_for_its_address_and_for_no_other,
        ),
        (
            "bodies_are_never_held_beyond_the_limit_and_nothing_stays_held",
            bodies_are_never_held_beyond_the_limit_and_nothing_stays_held,
        ),
    ];
    for (name, model) in models.into_iter().chain(limits::MODELS) {
        if name.contains(&wanted) {
            model();
            println!("{}", name.replace('_', " "));
        }
    }
}
