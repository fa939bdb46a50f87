//! Templates of headers, and what they make of what a client sent.

use http::{HeaderMap, HeaderName, HeaderValue};
use keygate::testing::template::{Extractor, HeaderTemplate, Source};

use super::text;

/// A regular expression, a template, and a header's value, a line each.
pub fn read(bytes: &[u8]) {
    let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (regex, template, value) = (text(line()), text(line()), line());
    // What a regular expression takes to be compiled is no question here: configurations are few.
    if regex.len() > 40 {
        return;
    }
    let name = HeaderName::from_static("x-given");
    let Ok(source) = Source::header(name.clone(), regex, 0) else {
        return;
    };
    let extractor = Extractor {
        name: "it".to_owned(),
        source,
    };
    let Ok(template) =
        HeaderTemplate::parse(HeaderName::from_static("x-made"), template, &[extractor])
    else {
        return;
    };
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(value) {
        headers.insert(name, value);
    }
    if let Some(made) = template.render(&headers, &|_| None) {
        assert!(
            made.as_bytes()
                .iter()
                .all(|byte| *byte >= b' ' || *byte == b'\t')
        );
    }
}
