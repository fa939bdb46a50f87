//! What a lookup costs, and what a key takes, in stores of 1 thousand, 1 million and 10 million keys.
//!
//! A lookup is the key's form, SHA-256, the table, the comparison; what finding the key in the head takes
//! before it is said beside. The head is in the cache, as it is in service, where it has just been read;
//! the table is not, as far as it is larger than the cache: keys are presented in an order without
//! pattern. Which key comes next depends on what the lookup before it found, so that no two of them
//! overlap. Memory is the growth of the
//! process' resident size over the store, by /proc, per key with one label of ten. Times are the best of
//! five passes: the machines are shared.
//!
//! `key_lookup once KEYS LOOKUPS` builds a store and looks up, no more: for `perf stat` and `valgrind`,
//! whose counts for two numbers of lookups differ by what the lookups cost.

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

/// Lookups of one pass.
const LOOKUPS: usize = 200_000;
/// Lookups that are timed together, with heads that stay in the cache meanwhile.
const BATCH: usize = 50;

/// As long as a made key of a client with a name of eight letters, and cheap to make.
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
        KeyEntry {
            key: ClientKey {
                id: format!("client-{number}").into(),
                labels: known.share(Labels::from(BTreeMap::from([team]))),
                metadata: BTreeMap::new(),
                not_before: None,
                expires: None,
                disabled: false,
                counted: true,
            },
            digests: vec![(KeyDigest::of(secret(number).as_bytes()), None)],
        }
    };
    // Not collected first: only what the store keeps is to be counted.
    KeyStore::build((0..size).map(entry)).ok().unwrap()
}

/// What a pass over keys takes, per key.
struct Times {
    /// Looking it up: form, digest, table, comparison.
    lookup: Duration,
    /// Finding it in the head before.
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
            let opened = store.verify(presented.get(next).unwrap().as_ref(), Timestamp::UNIX_EPOCH);
            // The next key by what was found: the processor cannot run ahead.
            let opens = black_box(opened.is_ok());
            assert_eq!(opens, hit);
            next += 1 + usize::from(black_box(opens != hit));
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
    // A step that is prime to the size visits keys far apart from each other.
    let scattered = |size: usize| move |i: usize| (i * 7_368_787) % size;
    if let Some(at) = arguments.iter().position(|argument| argument == "once") {
        let number = |i: usize| arguments.get(at + i).unwrap().parse::<usize>().unwrap();
        let store = store(number(1));
        pass(&store, number(2), scattered(number(1)), true);
        // Freeing it would be counted, too.
        return std::mem::forget(store);
    }
    println!(
        "{:>10} {:>12} {:>12} {:>18} {:>16} {:>12}",
        "keys", "known, ns", "unknown, ns", "digest of it, ns", "find before, ns", "bytes/key"
    );
    for size in [1_000, 1_000_000, 10_000_000] {
        let before = resident();
        let store = store(size);
        let bytes = (resident() - before) as f64 / size as f64;
        let best = |time: &dyn Fn() -> Duration| (0..5).map(|_| time()).min().unwrap().as_nanos();
        let known = best(&|| pass(&store, LOOKUPS, scattered(size), true).lookup);
        let find = best(&|| pass(&store, LOOKUPS, scattered(size), true).find);
        let strange = |i: usize| scattered(size)(i) + size;
        let unknown = best(&|| pass(&store, LOOKUPS, strange, false).lookup);
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
