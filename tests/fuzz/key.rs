//! Client keys in request headers and in the query.

use http::{HeaderMap, HeaderName, HeaderValue};
use keygate::testing::grammar::query::has_parameter;
use keygate::testing::key::{PresentedKey, remove_from_query};

use super::text;

/// Query parameters that are never forwarded.
const PARAMETERS: [&str; 4] = ["key", "api-key", "api_key", "access_token"];

pub fn read(bytes: &[u8]) {
    let (query, lines) = match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &b""[..]),
    };
    let query = text(query);
    let mut headers = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = parts
            .next()
            .and_then(|name| HeaderName::from_bytes(name).ok());
        let value = parts
            .next()
            .and_then(|value| HeaderValue::from_bytes(value).ok());
        if let Some((name, value)) = name.zip(value) {
            headers.append(name, value);
        }
    }
    let names =
        ["authorization", "api-key", "x-api-key", "x-goog-api-key"].map(HeaderName::from_static);
    let presented = PresentedKey::find(&headers, Some(query), names.iter());
    let presented = presented.ok().flatten();
    if let Some(key) = &presented {
        assert!(!key.as_bytes().is_empty());
    }
    let left = remove_from_query(query, presented.as_ref());
    for name in PARAMETERS {
        let is_there = left
            .as_deref()
            .is_some_and(|left| has_parameter(left, name));
        assert!(!is_there, "{name} is left of {query}");
    }
    // Every remaining parameter was in the original query.
    let pairs = |query: &str| {
        query
            .split(['&', ';'])
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let before = pairs(query);
    assert!(
        left.is_none_or(|left| pairs(&left).iter().all(|pair| before.contains(pair))),
        "{query}"
    );
}
