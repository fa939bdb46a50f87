//! The time of a lookup, and the memory of a key, in stores of a thousand, a million and 10 million keys.
//!
//! A lookup computes the key's SHA-256, searches the table and compares; for an unknown key, it checks the key's form as
//! well. The time to find the key in the
//! request head before is shown in a separate column. The head is in the CPU cache, as in service, where it has just been
//! read. A table larger than the cache is not: keys are presented in an order without a pattern. The next key depends on
//! the result of the lookup before, so that the processor cannot overlap two lookups. Memory is the growth of the process's
//! resident size by building the store (from /proc), per key with one of ten labels. Times are the best of five passes,
//! because the machines are shared.
//!
//! `key_lookup once KEYS LOOKUPS` only builds a store and looks keys up, for `perf stat` and `valgrind`: the counts of two
//! runs with different LOOKUPS differ by the cost of the lookups.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a benchmark prints, and fails by panicking"
)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use keygate::testing::key::{
    ClientKey, KeyDigest, KeyEntry, KeyStore, KnownLabels, Labels, PresentedKey,
};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The number of lookups in a pass.
const LOOKUPS: usize = 200_000;
/// The number of lookups that are timed together. Their heads stay in the cache meanwhile.
const BATCH: usize = 50;

/// A secret as long as a generated key of a client with an eight-letter id, but cheap to make.
fn secret(number: usize) -> String {
    format!("sk-{number:08}-0123456789abcdefghijklmnopqrstuvwxyz0123456789ABC")
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.unwrap().split_whitespace().nth(1).unwrap();
    kilobytes.parse::<usize>().unwrap() * 1024
}

fn store(size: usize) -> KeyStore {
    let mut known = KnownLabels::default();
    let entry = |number: usize| {
        let team = ("team".to_owned(), format!("team-{}", number % 10));
        let mut key = ClientKey::new(format!("client-{number}").into());
        key.labels = known.share(Labels::from(BTreeMap::from([team])));
        KeyEntry {
            key,
            digests: vec![(KeyDigest::of(secret(number).as_bytes()), None)],
        }
    };
    // Passes an iterator: a vector of entries would count as memory of the store.
    KeyStore::build((0..size).map(entry)).ok().unwrap()
}

/// The times of a pass, per key.
struct Times {
    /// To look the key up: digest, table, comparison; form if it is refused.
    lookup: Duration,
    /// To find the key in the head before.
    find: Duration,
}

fn pass(store: &KeyStore, lookups: usize, number: impl Fn(usize) -> usize, hit: bool) -> Times {
    let name = HeaderName::from_static("api-key");
    let mut heads: Vec<HeaderMap> = (0..BATCH).map(|_| HeaderMap::new()).collect();
    let (mut lookup, mut find) = (Duration::ZERO, Duration::ZERO);
    for batch in 0..lookups / BATCH {
        for (i, head) in heads.iter_mut().enumerate() {
            let value = HeaderValue::from_str(&secret(number(batch * BATCH + i))).unwrap();
            head.insert(name.clone(), value);
        }
        let start = Instant::now();
        let presented = heads
            .iter()
            .map(|head| PresentedKey::find(head, None, [&name].into_iter()).unwrap());
        let presented: Vec<_> = presented.collect();
        let found = Instant::now();
        let mut next = 0;
        for _ in 0..BATCH {
            let verified =
                store.verify(presented.get(next).unwrap().as_ref(), Timestamp::UNIX_EPOCH);
            // The next key depends on this result, so that the processor cannot run ahead.
            let is_valid = black_box(verified.is_ok());
            assert_eq!(is_valid, hit);
            next += 1 + usize::from(black_box(is_valid != hit));
        }
        find += found - start;
        lookup += found.elapsed();
    }
    let count = u32::try_from(lookups).unwrap();
    Times {
        lookup: lookup / count,
        find: find / count,
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    // The step has no common divisor with the size: this visits every key, and neighbours are far apart.
    let scattered = |size: usize| move |i: usize| (i * 7_368_787) % size;
    if let Some(at) = arguments.iter().position(|argument| argument == "once") {
        let number = |i: usize| arguments.get(at + i).unwrap().parse::<usize>().unwrap();
        let store = store(number(1));
        pass(&store, number(2), scattered(number(1)), true);
        // Freeing the store would be counted, too.
        return std::mem::forget(store);
    }
    println!(
        "{:>10} {:>12} {:>12} {:>18} {:>16} {:>12}",
        "keys", "known, ns", "unknown, ns", "digest alone, ns", "find in head, ns", "bytes/key"
    );
    for size in [1_000, 1_000_000, 10_000_000] {
        let before = resident();
        let store = store(size);
        let bytes = (resident() - before) as f64 / size as f64;
        let best = |time: &dyn Fn() -> Duration| (0..5).map(|_| time()).min().unwrap().as_nanos();
        let known = best(&|| pass(&store, LOOKUPS, scattered(size), true).lookup);
        let find = best(&|| pass(&store, LOOKUPS, scattered(size), true).find);
        let unused = |i: usize| scattered(size)(i) + size;
        let unknown = best(&|| pass(&store, LOOKUPS, unused, false).lookup);
        let sample = secret(0);
        let digest = best(&|| {
            let start = Instant::now();
            for _ in 0..LOOKUPS {
                black_box(KeyDigest::of(black_box(sample.as_bytes())));
            }
            start.elapsed() / u32::try_from(LOOKUPS).unwrap()
        });
        println!("{size:>10} {known:>12} {unknown:>12} {digest:>18} {find:>16} {bytes:>12.0}");
    }
}
