//! Whether the time of a key check tells anything about the key: Welch's t-test over two classes of
//! presented keys, measured in turns in an order that is drawn (after `dudect`, Reparaz et al. 2017).
//!
//! A report, not a verdict: these machines are shared. Below 4.5 there is no evidence of a difference;
//! the control, which compares byte by byte, shows what evidence looks like.

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

use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use keygate::key::{ClientKey, KeyDigest, KeyEntry, KeyStore, Labels, PresentedKey, format};

const MEASUREMENTS: usize = 1_000_000;
/// Of all times, this part of the longest is left out: interrupts.
const LEFT_OUT: f64 = 0.05;

struct Welch {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Welch {
    fn of(times: &[f64]) -> Self {
        let count = times.len() as f64;
        let mean = times.iter().sum::<f64>() / count;
        let squares = times.iter().map(|time| (time - mean).powi(2)).sum();
        Self {
            count,
            mean,
            squares,
        }
    }

    fn error(&self) -> f64 {
        self.squares / (self.count - 1.0) / self.count
    }
}

/// Measures `check` on one of two keys at a time and prints what the times tell.
fn compare(name: &str, keys: [&str; 2], check: impl Fn(&HeaderMap) -> bool) {
    let header = HeaderName::from_static("api-key");
    let mut times = [const { Vec::new() }; 2];
    // A generator of no quality will do to draw the order.
    let mut draw = 0x9E37_79B9_7F4A_7C15_u64;
    for _ in 0..MEASUREMENTS {
        draw ^= draw << 13;
        draw ^= draw >> 7;
        draw ^= draw << 17;
        let class = (draw >> 40) as usize & 1;
        // Made anew, so that both classes use the same memory.
        let mut head = HeaderMap::with_capacity(1);
        let value = HeaderValue::from_str(keys.get(class).unwrap()).unwrap();
        head.insert(header.clone(), value);
        let start = Instant::now();
        black_box(check(black_box(&head)));
        let time = start.elapsed().as_nanos() as f64;
        times.get_mut(class).unwrap().push(time);
    }
    let mut all: Vec<f64> = times.iter().flatten().copied().collect();
    all.sort_by(f64::total_cmp);
    let kept = all.len() as f64 * (1.0 - LEFT_OUT);
    let longest = *all.get(kept as usize).unwrap();
    let [a, b] = times.map(|mut times| {
        times.retain(|time| *time <= longest);
        Welch::of(&times)
    });
    let t = (a.mean - b.mean) / (a.error() + b.error()).sqrt();
    println!("{name:<58} {:>8.1} {:>8.1} {t:>8.2}", a.mean, b.mean);
}

fn main() {
    let made = format::generate("alice").unwrap();
    let strange = format::generate("alice").unwrap();
    // As long as the known one, and other than it in the first or in the last byte only.
    let chosen = "a key that a person chose, and that nobody else knows".to_owned();
    let first = format!("A{}", &chosen[1..]);
    let last = format!("{}S", &chosen[..chosen.len() - 1]);
    let mistyped = format!("{}!", &made[..made.len() - 1]);
    let disabled = format::generate("carol").unwrap();
    let entry = |id: &str, secret: &str| KeyEntry {
        key: ClientKey {
            id: id.into(),
            labels: Labels::default(),
            metadata: BTreeMap::new(),
            not_before: None,
            expires: None,
            disabled: id == "carol",
            counted: true,
        },
        digests: vec![(KeyDigest::of(secret.as_bytes()), None)],
    };
    let many = (0..1000).map(|i| entry(&format!("k{i}"), &format!("secret {i}")));
    let known = [
        entry("alice", &made),
        entry("bob", &chosen),
        entry("carol", &disabled),
    ];
    let store = KeyStore::build(many.chain(known)).ok().unwrap();
    let header = HeaderName::from_static("api-key");
    let check = |head: &HeaderMap| {
        let presented = PresentedKey::find(head, None, [&header].into_iter()).unwrap();
        let now = Timestamp::UNIX_EPOCH;
        store.open(presented.as_ref(), now).is_ok()
    };
    println!("{:<58} {:>8} {:>8} {:>8}", "classes", "ns", "ns", "t");
    compare("first byte wrong / last byte wrong", [&first, &last], check);
    compare("unknown / malformed", [&strange, &mistyped], check);
    compare("unknown / disabled", [&strange, &disabled], check);
    compare("control, the same key twice", [&strange, &strange], check);
    let early_exit = |head: &HeaderMap| {
        let presented = head.get(&header).unwrap().as_bytes();
        let mut pairs = presented.iter().zip(chosen.as_bytes());
        pairs.all(|(a, b)| black_box(a) == black_box(b))
    };
    let name = "control, first / last byte wrong, compared byte by byte";
    compare(name, [&first, &last], early_exit);
}
