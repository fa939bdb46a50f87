//! Streams whose events carry the time of sending.

use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;

use crate::Target;
use crate::alarm::{Alarm, SEED, now, share};
use crate::summary::print_summary;

/// The sending times of the events in `text`, in nanoseconds since 1970.
pub(crate) fn stamps(text: &[u8]) -> impl Iterator<Item = u64> {
    const MARK: &[u8] = b"\"sent ";
    memchr::memmem::find_iter(text, MARK).filter_map(|at| {
        let digits = text.get(at + MARK.len()..at + MARK.len() + 20)?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    })
}

pub(crate) async fn clients(to: Target, streams: u64, events: u64, pace: Duration) {
    let (begun, mut random) = (Instant::now(), SEED);
    let tasks: Vec<_> = (0..streams)
        .map(|_| {
            let to = to.clone();
            // Spread the starts, so that the streams are not in step.
            let wait = pace.mul_f64(share(&mut random));
            tokio::spawn(async move {
                Alarm::new().until(begun + wait).await;
                let mut stream = to.open(false).await;
                let (mut delays, mut received, mut chunk) = (Vec::new(), Vec::new(), [0; 4096]);
                while !received.ends_with(b"\r\n0\r\n\r\n") {
                    let read = stream.read(&mut chunk).await.unwrap();
                    assert!(read > 0, "a stream broke off");
                    let arrived = now();
                    // A time stamp may be split over two reads: keep enough to read it when it is complete.
                    let kept = received.len().saturating_sub(48);
                    received.drain(..kept);
                    let known = stamps(&received).count();
                    received.extend_from_slice(&chunk[..read]);
                    delays.extend(
                        stamps(&received)
                            .skip(known)
                            .map(|sent| arrived.saturating_sub(sent)),
                    );
                }
                delays
            })
        })
        .collect();
    let mut delays = Vec::new();
    for task in tasks {
        let of_one = task.await.unwrap();
        assert_eq!(of_one.len() as u64, events, "events are missing");
        delays.extend(of_one);
    }
    let took = begun.elapsed().as_secs_f64();
    print_summary(delays, took);
}
