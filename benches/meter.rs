//! The meter: its time per event and per byte, and its robustness against broken input.
//!
//! `cargo bench --bench meter` times it on the transcripts in `tests/usage`. Then it mutilates them (changes, removes and
//! repeats bytes), and reads each result twice, cut into chunks in two ways. Both must give the same totals, and neither
//! may panic. `-- EXECUTIONS` sets the number of mutilated responses (default: ten million), `-- EXECUTIONS SEED` also the
//! seed, which every run prints.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a benchmark prints, and fails by panicking"
)]

use std::hint::black_box;
use std::time::Instant;

use keygate::testing::usage::{Meter, Usage};

/// A transcript: its media type, and its body.
struct Transcript {
    name: String,
    media: &'static [u8],
    body: Vec<u8>,
}

fn transcripts() -> Vec<Transcript> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/usage");
    let mut all: Vec<Transcript> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let stream = path.extension().is_some_and(|end| end == "sse");
            Transcript {
                name: path.file_name().unwrap().to_string_lossy().into_owned(),
                media: if stream {
                    b"text/event-stream"
                } else {
                    b"application/json"
                },
                body: text.split_once('\n').unwrap().1.as_bytes().to_vec(),
            }
        })
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// The random generator (splitmix64) that chooses what to break.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

fn time(transcripts: &[Transcript]) {
    const ROUNDS: u32 = 20_000;
    println!(
        "{:28} {:>8} {:>12} {:>10}",
        "transcript", "bytes", "ns/response", "ns/byte"
    );
    for Transcript { name, media, body } in transcripts {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            let mut meter = Meter::of(media, b"").unwrap();
            for chunk in body.chunks(512) {
                meter.feed(black_box(chunk));
            }
            black_box(meter.usage());
        }
        let each = start.elapsed().as_nanos() as f64 / f64::from(ROUNDS);
        println!(
            "{name:28} {:>8} {each:>12.0} {:>10.2}",
            body.len(),
            each / body.len() as f64
        );
    }
    // An event of a usual length.
    let event = br#"data: {"id":"chatcmpl-AEHYs2B0XUlEioCduH1meERmMwBGF","object":"chat.completion.chunk","created":1727967462,"model":"gpt-4o-mini","choices":[{"index":0,"delta":{"content":" recursion"},"logprobs":null,"finish_reason":null}]}"#;
    let event = [&event[..], b"\n\n"].concat();
    let mut meter = Meter::of(b"text/event-stream", b"").unwrap();
    let start = Instant::now();
    for _ in 0..1_000_000 {
        meter.feed(black_box(&event));
    }
    println!(
        "an event of {} bytes: {} ns",
        event.len(),
        start.elapsed().as_nanos() / 1_000_000
    );
    assert_eq!(meter.events(), 1_000_000);
}

/// The usage of a body, cut into chunks of random lengths.
fn read(
    media: &[u8],
    body: &[u8],
    random: &mut Random,
) -> (Option<Usage>, u64, u64, Option<String>) {
    let mut meter = Meter::of(media, b"").unwrap();
    let mut rest = body;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(1 + random.below(rest.len().min(300)));
        meter.feed(chunk);
        rest = after;
    }
    (
        meter.usage(),
        meter.events(),
        meter.malformed(),
        meter.model().map(str::to_owned),
    )
}

fn mutilate(body: &mut Vec<u8>, transcripts: &[Transcript], random: &mut Random) {
    const SIGNIFICANT: &[u8] = b"{}[]\",:\\\n\r 0129-.eE+tfn";
    for _ in 0..=random.below(6) {
        let at = random.below(body.len());
        match random.below(6) {
            0 => body[at] = random.next() as u8,
            1 => body[at] = SIGNIFICANT[random.below(SIGNIFICANT.len())],
            2 => drop(body.drain(at..(at + random.below(40)).min(body.len()))),
            3 => {
                let chunk = body[at..(at + random.below(60)).min(body.len())].to_vec();
                let to = random.below(body.len());
                drop(body.splice(to..to, chunk));
            }
            4 => body.truncate(at + 1),
            _ => {
                let other = &transcripts[random.below(transcripts.len())].body;
                let from = random.below(other.len());
                let chunk = &other[from..(from + random.below(200)).min(other.len())];
                drop(body.splice(at..at, chunk.iter().copied()));
            }
        }
        if body.is_empty() {
            body.push(b'{');
        }
    }
}

fn main() {
    let mut numbers = std::env::args()
        .skip(1)
        .filter_map(|argument| argument.parse::<u64>().ok());
    let executions = numbers.next().unwrap_or(10_000_000);
    let clock = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let seed = numbers.next().unwrap_or(clock.as_nanos() as u64);
    let transcripts = transcripts();
    time(&transcripts);
    let mut random = Random(seed);
    let (start, mut metered) = (Instant::now(), 0_u64);
    for execution in 0..executions {
        let Transcript { media, body, .. } = &transcripts[random.below(transcripts.len())];
        let mut body = body.clone();
        mutilate(&mut body, &transcripts, &mut random);
        let (one, other) = (
            read(media, &body, &mut random),
            read(media, &body, &mut random),
        );
        assert_eq!(
            one,
            other,
            "execution {execution} of seed {seed}: {}",
            String::from_utf8_lossy(&body)
        );
        metered += u64::from(one.0.is_some());
    }
    println!(
        "{executions} mutilated responses in {:.0} s (seed {seed}), each read twice with the same result and no panic; {metered} reported usage",
        start.elapsed().as_secs_f64()
    );
}
