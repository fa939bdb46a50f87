//! The meter, and the rewriting of requests and streams by exact metering: results do not depend on the chunks.

use keygate::testing::usage::{ExcludeUsage, IncludeUsage, Meter, RequestReader, WebSocketMeter};

/// The body and the chunk size, which the first byte selects.
fn chunks(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let (first, body) = bytes.split_first()?;
    Some((body, usize::from(*first).max(1)))
}

fn read(media: &[u8], bytes: &[u8]) {
    let Some((body, size)) = chunks(bytes) else {
        return;
    };
    let metered = |size: usize| {
        let mut meter = Meter::of(media, b"").expect("a meter");
        body.chunks(size).for_each(|chunk| meter.feed(chunk));
        let model = meter.model().map(str::to_owned);
        (meter.usage(), meter.events(), meter.malformed(), model)
    };
    assert_eq!(metered(size), metered(usize::MAX));
}

pub fn read_response(bytes: &[u8]) {
    read(b"application/json", bytes);
}

pub fn read_stream(bytes: &[u8]) {
    read(b"text/event-stream", bytes);
}

/// What a request asks for does not depend on the chunks, and a body that a parser reads has no other model.
pub fn read_request(bytes: &[u8]) {
    let Some((body, size)) = chunks(bytes) else {
        return;
    };
    let read = |size: usize| {
        let mut reader = RequestReader::of(b"application/json", b"");
        body.chunks(size).for_each(|chunk| reader.feed(chunk));
        reader
    };
    let (whole, pieces) = (read(usize::MAX), read(size));
    let asked = whole.asked();
    assert_eq!(asked, pieces.asked());
    assert!(asked.outputs >= 1 && asked.bytes == body.len() as u64);
    let parsed = serde_json::from_slice::<serde_json::Value>(body);
    if let (true, Ok(parsed)) = (asked.is_readable && !asked.two_models, parsed) {
        let model = parsed.get("model").and_then(serde_json::Value::as_str);
        assert!(model.is_none() || model == asked.model);
    }
}

/// Reads the same bytes as a client's messages and then as a provider's.
pub fn read_socket(bytes: &[u8]) {
    let Some((body, size)) = chunks(bytes) else {
        return;
    };
    let metered = |size: usize| {
        let (mut socket, mut responses) = (WebSocketMeter::new("/v1/responses"), Vec::new());
        body.chunks(size)
            .for_each(|chunk| socket.read_client(chunk));
        for chunk in body.chunks(size) {
            socket.read_provider(chunk, |response| {
                responses.push((response.usage, response.model.map(str::to_owned)));
            });
        }
        let counts = socket.counts();
        assert_eq!(counts.responses, responses.len() as u64);
        (responses, counts, socket.is_unreadable())
    };
    assert_eq!(metered(size), metered(usize::MAX));
}

/// Requests and responses stay the same, apart from what the gateway adds and removes.
pub fn read_exact(bytes: &[u8]) {
    let Some((body, size)) = chunks(bytes) else {
        return;
    };
    let mut include = IncludeUsage::new(false);
    let mut up: Vec<u8> = body
        .chunks(size)
        .flat_map(|chunk| include.feed(chunk, false))
        .collect();
    up.extend(include.feed(b"", true));
    if let Ok(before) = serde_json::from_slice::<serde_json::Value>(body) {
        let after = serde_json::from_slice::<serde_json::Value>(&up);
        let after =
            after.unwrap_or_else(|error| panic!("the rewritten request is no JSON: {error}"));
        let without = |mut value: serde_json::Value| {
            if let Some(object) = value.as_object_mut() {
                object.remove("stream_options");
            }
            value
        };
        assert_eq!(without(before), without(after));
    }
    let filtered = |size: usize| {
        let mut exclude = ExcludeUsage::default();
        let mut down: Vec<u8> = body
            .chunks(size)
            .flat_map(|chunk| exclude.feed(chunk, false))
            .collect();
        down.extend(exclude.feed(b"", true));
        down
    };
    assert_eq!(filtered(size), filtered(usize::MAX));
}
