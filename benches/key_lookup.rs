//! What a lookup costs, and what a key takes, in stores of 1 thousand, 1 million and 10 million keys.
//!
//! A lookup is all of it: finding the key in the head, its form, SHA-256, the map, the comparison. Keys
//! are presented in an order without pattern, so that larger stores miss the caches as they would in
//! service. Memory is the growth of the process' resident size over the store, by /proc, per key with one
//! label of ten. Times are the best of five passes: the machines are shared.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a benchmark prints, and fails by panicking"
)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use http::{HeaderMap, HeaderName};
use jiff::Timestamp;
use keygate::key::{ClientKey, KeyDigest, KeyEntry, KeyStore, KnownLabels, Labels, PresentedKey};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const LOOKUPS: usize = 1_000_000;

fn secret(number: usize) -> String {
    format!("sk-bench-{number:08}-0123456789abcdef0123456789abcdef")
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<usize>()
        .unwrap()
        * 1024
}

fn store(size: usize) -> KeyStore {
    let mut known = KnownLabels::default();
    let mut entry = |number: usize| {
        let team = ("team".to_owned(), format!("team-{}", number % 10));
        KeyEntry {
            key: ClientKey {
                id: format!("client-{number}").into(),
                labels: known.share(Labels::from(BTreeMap::from([team]))),
                metadata: BTreeMap::new(),
                not_before: None,
                expires: None,
                disabled: false,
            },
            digests: vec![(KeyDigest::of(secret(number).as_bytes()), None)],
        }
    };
    // Not collected first: only what the store keeps is to be counted.
    KeyStore::build((0..size).map(&mut entry)).ok().unwrap()
}

fn main() {
    println!(
        "{:>10} {:>14} {:>14} {:>14} {:>12}",
        "keys", "known, ns", "unknown, ns", "digest, ns", "bytes/key"
    );
    for size in [1_000, 1_000_000, 10_000_000] {
        let before = resident();
        let store = store(size);
        let bytes = (resident() - before) as f64 / size as f64;
        let name = HeaderName::from_static("api-key");
        // A step that is prime to the size visits keys far apart from each other.
        let requests = |offset: usize| -> Vec<HeaderMap> {
            (0..LOOKUPS / 10)
                .map(|i| {
                    let number = (i * 7_368_787) % size + offset;
                    HeaderMap::from_iter([(name.clone(), secret(number).parse().unwrap())])
                })
                .collect()
        };
        let time = |requests: &[HeaderMap], hit: bool| {
            let pass = || {
                let start = Instant::now();
                for headers in requests {
                    let presented = PresentedKey::find(headers, None, [&name].into_iter()).unwrap();
                    let opened = store.open(presented.as_ref(), Timestamp::UNIX_EPOCH);
                    assert_eq!(black_box(opened).is_ok(), hit);
                }
                start.elapsed().as_nanos() as f64 / requests.len() as f64
            };
            (0..5).map(|_| pass()).fold(f64::INFINITY, f64::min)
        };
        let known = time(&requests(0), true);
        let unknown = time(&requests(size), false);
        let sample = secret(0);
        let start = Instant::now();
        for _ in 0..LOOKUPS {
            black_box(KeyDigest::of(black_box(sample.as_bytes())));
        }
        let digest = start.elapsed().as_nanos() as f64 / LOOKUPS as f64;
        println!("{size:>10} {known:>14.0} {unknown:>14.0} {digest:>14.0} {bytes:>12.0}");
    }
}
