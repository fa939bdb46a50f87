//! What has no lock, in every order that its steps can come in.
//!
//!     cargo run --release --manifest-path tests/models/Cargo.toml --target-dir target/models
//!
//! The sources are the gateway's own; [`atomic`] gives them loom's atomics, which try every interleaving and every
//! value that a relaxed read may see. What they stand on is taken for right: of `arc_swap::ArcSwap`, that it is as if
//! there were a lock around each call, and of tokio's `Notify` and `watch`, likewise.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "in a test, a panic is how it fails"
)]

/// In the place of `gateway/runtime/atomic.rs`.
mod atomic {
    use std::ops::Deref;
    use std::sync::Arc;

    pub use loom::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

    /// What `arc_swap` promises, with a lock.
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

#[path = "../../gateway/runtime/clock.rs"]
mod clock;
#[path = "../../gateway/runtime/in_flight.rs"]
mod in_flight;
#[path = "../../gateway/limit/failed_keys.rs"]
mod penalty;
#[path = "../../gateway/runtime/watched.rs"]
mod swap;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use loom::future::block_on;
use loom::thread;

use clock::Clock;
use in_flight::InFlight;
use penalty::FailedKeyLimiter;
use swap::Watched;

fn a_reader_has_one_value_whole_and_the_new_one_once_the_swap_is_over() {
    loom::model(|| {
        // Of a configuration: its rules and its keys.
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
        // The last one who looked at it frees it.
        assert_eq!(Arc::strong_count(&before), 1);
    });
}

/// One who waits for a swap, and whether it was told of one that came meanwhile; and whether it saw that itself.
fn waits(look_first: bool) -> (bool, bool) {
    let live = Arc::new(Watched::new(true));
    let stream = {
        let live = live.clone();
        thread::spawn(move || {
            if look_first {
                let opened = *live.get();
                thread::yield_now();
                (opened, live.watch())
            } else {
                let swaps = live.watch();
                thread::yield_now();
                (*live.get(), swaps)
            }
        })
    };
    // A reload that leaves the key, and one that takes it out.
    live.swap(Arc::new(true));
    live.swap(Arc::new(false));
    let (opened, mut swaps) = stream.join().unwrap();
    let next = pin!(swaps.next()).poll(&mut Context::from_waker(Waker::noop()));
    (next.is_ready(), !opened)
}

fn who_waits_for_a_revocation_hears_of_it_in_whatever_moment_it_comes() {
    loom::model(|| {
        let (told, saw) = waits(false);
        assert!(told || saw);
    });
}

/// The control: with a look before the watch, a swap between the two is missed, and a model finds it.
fn a_model_finds_the_revocation_that_is_missed_by_looking_too_early() {
    static MISSED: AtomicBool = AtomicBool::new(false);
    loom::model(|| {
        let (told, saw) = waits(true);
        if !told && !saw {
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

fn a_step_of_the_clock_that_one_thread_saw_is_not_taken_back_by_another() {
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
        let seen = other.join().unwrap();
        assert!(clock.at(wall, now) >= seen);
    });
}

fn no_failure_of_an_address_is_lost_to_another_thread_and_none_is_another_one() {
    const NOW: Duration = Duration::from_secs(1);
    loom::model(|| {
        // One slot for all.
        let seed = ahash::RandomState::with_seeds(1, 2, 3, 4);
        let failed_keys = Arc::new(FailedKeyLimiter::new(1, seed));
        let failing = |address: u8| {
            let failed_keys = failed_keys.clone();
            thread::spawn(move || {
                failed_keys.failed(&address, 1, NOW);
                // Whatever the others did: nobody is over the limit by the failures of somebody else.
                assert!(!failed_keys.is_over(&9, NOW));
            })
        };
        // Two of one address, where one a minute is allowed.
        let threads = [failing(1), failing(1)];
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(failed_keys.is_over(&1, NOW));
        // Who is over the limit keeps the slot.
        failing(2).join().unwrap();
        assert!(failed_keys.is_over(&1, NOW) && !failed_keys.is_over(&2, NOW));
    });
}

fn main() {
    let models: [(&str, fn()); 6] = [
        (
            "a_reader_has_one_value_whole_and_the_new_one_once_the_swap_is_over",
            a_reader_has_one_value_whole_and_the_new_one_once_the_swap_is_over,
        ),
        (
            "who_waits_for_a_revocation_hears_of_it_in_whatever_moment_it_comes",
            who_waits_for_a_revocation_hears_of_it_in_whatever_moment_it_comes,
        ),
        (
            "a_model_finds_the_revocation_that_is_missed_by_looking_too_early",
            a_model_finds_the_revocation_that_is_missed_by_looking_too_early,
        ),
        (
            "a_drain_ends_when_the_last_exchange_does_and_not_before",
            a_drain_ends_when_the_last_exchange_does_and_not_before,
        ),
        (
            "a_step_of_the_clock_that_one_thread_saw_is_not_taken_back_by_another",
            a_step_of_the_clock_that_one_thread_saw_is_not_taken_back_by_another,
        ),
        (
            "no_failure_of_an_address_is_lost_to_another_thread_and_none_is_another_one",
            no_failure_of_an_address_is_lost_to_another_thread_and_none_is_another_one,
        ),
    ];
    for (name, model) in models {
        model();
        println!("{}", name.replace('_', " "));
    }
}
