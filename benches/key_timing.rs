//! Tests whether the time of a key check reveals anything about the key: Welch's t-test over two classes of presented
//! keys, measured in random order (after `dudect`, Reparaz et al. 2017).
//!
//! The result is a report and never fails, because these machines are shared. A |t| below 4.5 is no evidence of a
//! difference. The control, which compares byte by byte, shows what evidence looks like.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    missing_docs,
    reason = "a benchmark prints, and fails by panicking"
)]

use std::hint::black_box;
use std::time::Instant;

use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use keygate::testing::key::{ClientKey, KeyDigest, KeyEntry, KeyStore, PresentedKey, format};

const MEASUREMENTS: usize = 1_000_000;
/// The part of the longest times that is left out, because interrupts cause them.
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

/// Makes a random key of a class.
type Maker<'m> = &'m dyn Fn(&mut Draw) -> Vec<u8>;

/// Measures `check` on keys of two classes in random order, and prints the mean times and the t value.
fn compare(name: &str, makers: [Maker<'_>; 2], check: impl Fn(&HeaderMap) -> bool) {
    let header = HeaderName::from_static("api-key");
    let mut times = [const { Vec::new() }; 2];
    let mut draw = Draw(0x9E37_79B9_7F4A_7C15);
    for _ in 0..MEASUREMENTS {
        let class = draw.next() as usize & 1;
        // Makes a key of each class and uses one, so that making them affects the caches in the same way.
        let made = makers.map(|make| make(&mut draw));
        let mut head = HeaderMap::with_capacity(1);
        let value = HeaderValue::from_bytes(made.get(class).unwrap()).unwrap();
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

/// A simple random generator (xorshift), good enough to draw an order and some letters.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 20
    }

    /// `key` with random letters in `part`.
    fn change(&mut self, key: &[u8], part: std::ops::Range<usize>) -> Vec<u8> {
        let mut changed = key.to_vec();
        for byte in changed.get_mut(part).unwrap() {
            *byte = b'a' + (self.next() % 26) as u8;
        }
        changed
    }
}

fn main() {
    let made = format::generate("alice").unwrap();
    let (made, half) = (made.as_bytes(), made.len() / 2);
    // As long as the other, without keygate's prefix.
    let chosen = "a key that a person chose, no generator would produce this";
    assert_eq!(chosen.len(), made.len());
    let (known, middle) = (chosen.as_bytes(), chosen.len() / 2);
    let disabled: Vec<_> = (0..1000)
        .map(|i| format::generate(&format!("d{i:03}")).unwrap())
        .collect();
    let unknown: Vec<_> = (0..1000)
        .map(|i| format::generate(&format!("u{i:03}")).unwrap())
        .collect();
    let entry = |id: &str, secret: &[u8]| {
        let mut key = ClientKey::new(id.into());
        key.disabled = id.starts_with('d');
        KeyEntry {
            key,
            digests: vec![(KeyDigest::of(secret), None)],
        }
    };
    let disabled_entries = disabled
        .iter()
        .enumerate()
        .map(|(i, key)| entry(&format!("d{i}"), key.as_bytes()));
    let valid_entries = [entry("alice", made), entry("bob", known)];
    let store = KeyStore::build(disabled_entries.chain(valid_entries))
        .ok()
        .unwrap();
    let header = HeaderName::from_static("api-key");
    let check = |head: &HeaderMap| {
        let presented = PresentedKey::find(head, None, [&header].into_iter()).unwrap();
        let now = Timestamp::UNIX_EPOCH;
        store.verify(presented.as_ref(), now).is_ok()
    };
    let wrong_end = |draw: &mut Draw| draw.change(known, middle..known.len());
    let wrong_begin = |draw: &mut Draw| draw.change(known, 0..middle);
    let mistyped = |draw: &mut Draw| draw.change(made, half..made.len());
    let one_of = |keys: &[zeroize::Zeroizing<String>], draw: &mut Draw| {
        let at = draw.next() as usize % keys.len();
        keys.get(at).unwrap().as_bytes().to_vec()
    };
    let an_unknown = |draw: &mut Draw| one_of(&unknown, draw);
    let a_disabled = |draw: &mut Draw| one_of(&disabled, draw);
    println!("{:<58} {:>8} {:>8} {:>8}", "classes", "ns", "ns", "t");
    let name = "first half of a key right / second half right";
    compare(name, [&wrong_end, &wrong_begin], check);
    compare("unknown / malformed", [&an_unknown, &mistyped], check);
    compare("unknown / disabled", [&an_unknown, &a_disabled], check);
    let a_made = |_: &mut Draw| made.to_vec();
    let a_chosen = |_: &mut Draw| known.to_vec();
    compare("accepted: made / chosen", [&a_made, &a_chosen], check);
    compare(
        "control: unknown / unknown",
        [&an_unknown, &an_unknown],
        check,
    );
    let early_exit = |head: &HeaderMap| {
        let presented = head.get(&header).unwrap().as_bytes();
        let mut pairs = presented.iter().zip(known);
        pairs.all(|(a, b)| black_box(a) == black_box(b))
    };
    let name = "control: first half / second half right, byte by byte";
    compare(name, [&wrong_end, &wrong_begin], early_exit);
}
