//! Converts Gloo's Inja templates.

use std::collections::BTreeMap;

use crate::import::planned::PlannedExtractor;

/// Converts a template to one without functions: `{{ header("x") }}` and `{{ extraction("x") }}`
/// become names of extractors.
pub(super) fn plain_template(
    text: &str,
    extractors: &mut BTreeMap<String, PlannedExtractor>,
) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((inner, behind)) = after.split_once("}}") else {
            break;
        };
        plain.push_str(before);
        let call = |function: &str| {
            let argument = inner
                .trim()
                .strip_prefix(function)?
                .trim()
                .strip_prefix('(')?
                .strip_suffix(')')?;
            Some(argument.trim().trim_matches(['"', '\'']).to_owned())
        };
        let name = if let Some(header) = call("header").or_else(|| call("request_header")) {
            let extractor = PlannedExtractor::Header {
                name: header.clone(),
                regex: ".*".to_owned(),
                group: 0,
            };
            extractors.entry(header.clone()).or_insert(extractor);
            header
        } else {
            call("extraction").unwrap_or_else(|| inner.trim().to_owned())
        };
        plain.extend(["{{ ", &name, " }}"]);
        rest = behind;
    }
    plain.push_str(rest);
    plain
}
