//! Converts the CEL expressions of agentgateway's headers, if they consist of texts and request
//! headers only.

use std::collections::BTreeMap;

use crate::import::planned::PlannedExtractor;

/// The note about any other expression.
pub(super) const UNSUPPORTED_EXPRESSION: &str = "keygate makes headers of texts and of headers of the request only, such as `\"a \" + request.headers[\"b\"]`";

/// A part of an expression.
enum Part<'e> {
    Text(&'e str),
    Header(&'e str),
}

/// Converts an expression to a template. Returns `None` if it contains more than texts and request
/// headers.
pub(super) fn template(
    expression: &str,
    extractors: &mut BTreeMap<String, PlannedExtractor>,
) -> Option<String> {
    let mut template = String::new();
    for part in parts(expression)? {
        match part {
            Part::Text(text) => template.push_str(text),
            Part::Header(name) => {
                let extractor = PlannedExtractor::Header {
                    name: name.to_owned(),
                    regex: ".*".to_owned(),
                    group: 0,
                };
                extractors.entry(name.to_owned()).or_insert(extractor);
                template.extend(["{{ ", name, " }}"]);
            }
        }
    }
    Some(template)
}

/// Splits an expression at its `+` operators.
fn parts(expression: &str) -> Option<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    let mut rest = expression.trim();
    loop {
        let (part, behind) = part(rest)?;
        parts.push(part);
        rest = behind.trim_start();
        if rest.is_empty() {
            return Some(parts);
        }
        rest = rest.strip_prefix('+')?.trim_start();
    }
}

/// Parses the part at the start, and returns the rest.
fn part(rest: &str) -> Option<(Part<'_>, &str)> {
    if let Some(inner) = rest.strip_prefix("request.headers[") {
        let (name, behind) = quoted(inner.trim_start())?;
        return Some((Part::Header(name), behind.trim_start().strip_prefix(']')?));
    }
    let (text, behind) = quoted(rest)?;
    Some((Part::Text(text), behind))
}

/// Parses the quoted text at the start, and returns the rest. Returns `None` for a text with
/// escapes or with template syntax.
fn quoted(rest: &str) -> Option<(&str, &str)> {
    let quote = rest
        .chars()
        .next()
        .filter(|quote| ['"', '\''].contains(quote))?;
    let (text, behind) = rest.get(1..)?.split_once(quote)?;
    let is_plain = !text.contains(['\\', '\n']) && !text.contains("{{");
    // Two quotes in a row begin a multi-line text.
    let is_single = !(text.is_empty() && behind.starts_with(quote));
    (is_plain && is_single).then_some((text, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_of_texts_and_headers_are_templates() {
        for (expression, wanted) in [
            ("\"a b\"", Some("a b")),
            ("'it is'", Some("it is")),
            (
                " \"Bearer \" + request.headers[ 'x-token' ] ",
                Some("Bearer {{ x-token }}"),
            ),
            (
                "request.headers[\"a\"]+request.headers[\"b\"]",
                Some("{{ a }}{{ b }}"),
            ),
            ("''", Some("")),
            ("jwt.sub", None),
            ("\"a\" + jwt.sub", None),
            ("\"a", None),
            ("\"a\\n\"", None),
            ("\"{{ x }}\"", None),
            ("\"\"\"a\"\"\"", None),
            ("request.headers[\"a\"].size()", None),
            ("\"a\" == \"b\"", None),
            ("", None),
        ] {
            let mut extractors = BTreeMap::new();
            assert_eq!(
                template(expression, &mut extractors).as_deref(),
                wanted,
                "{expression}"
            );
        }
    }
}
