//! Header templates: whatever a client sends, the rendered value is a valid header value.

use http::{HeaderMap, HeaderName, HeaderValue};
use keygate::testing::template::{Extractor, HeaderTemplate, Source};

use super::text;

/// Input: a regular expression, a template, and a header's value, one line each.
pub fn read(bytes: &[u8]) {
    let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (regex, template, value) = (text(line()), text(line()), line());
    // Long expressions take long to compile. That is no risk: operators write them, not clients.
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
    if let Some(rendered) = template.render(&headers, &|_| None) {
        assert!(
            rendered
                .as_bytes()
                .iter()
                .all(|byte| *byte >= b' ' || *byte == b'\t')
        );
    }
}
