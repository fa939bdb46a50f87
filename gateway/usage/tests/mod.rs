//! Tests of the meter and the price list together, and the helpers that they share.

mod billing;
mod bounds;
mod costs;
mod counts;
mod media;
mod naive_costs;
mod tables;
mod unusual;

use serde_json::Value;

use super::{Meter, Usage};

const JSON: &[u8] = b"application/json";
const EVENTS: &[u8] = b"text/event-stream";

fn usage([input, output, cache_read, cache_creation, reasoning]: [u64; 5]) -> Usage {
    Usage {
        input,
        output,
        cache_read,
        cache_creation,
        reasoning,
        ..Usage::default()
    }
}

fn stream(documents: &[Value]) -> String {
    let events = documents.iter().map(|event| format!("data: {event}\n\n"));
    events.collect()
}

fn meter(media: &[u8], body: &[u8], cut: usize) -> Meter {
    let mut meter = Meter::of(media, b"").unwrap();
    for chunk in body.chunks(cut) {
        meter.feed(chunk);
    }
    meter
}

fn read(media: &[u8], body: &str, cut: usize) -> Option<Usage> {
    let usage_read = meter(media, body.as_bytes(), cut).usage();
    usage_read.map(|read| {
        let Usage {
            input,
            output,
            cache_read,
            cache_creation,
            reasoning,
            ..
        } = read;
        usage([input, output, cache_read, cache_creation, reasoning])
    })
}

/// The usage of a JSON response.
fn of_json(document: &Value) -> Usage {
    let text = document.to_string();
    meter(JSON, text.as_bytes(), 5).usage().unwrap()
}
