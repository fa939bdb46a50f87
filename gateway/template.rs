//! Header templates such as `Bearer {{ name }}`, parsed once and rendered for each request.
//!
//! A name stands for the text that an [`Extractor`] finds: a part of one of the client's headers, or an entry of the
//! presented key's metadata. If one of the texts is not found, or is empty, the template removes its header. Knows no
//! route and no provider.

use http::{HeaderMap, HeaderName, HeaderValue};
use regex::Regex;

use crate::document::enumerate;

/// Finds an entry of the presented key's metadata by its name.
pub(crate) type Metadata<'r> = dyn Fn(&str) -> Option<&'r str> + 'r;

/// The place from which a name in a template gets its text.
#[derive(Clone)]
pub enum Source {
    /// A header of the client's request, as it was sent.
    Header {
        /// The name of the header.
        name: HeaderName,
        /// The expression that the whole value must match; [`Source::header`] compiles it with anchors.
        regex: Regex,
        /// The group of the expression that gives the text; 0 is the whole match.
        group: usize,
    },
    /// An entry of the presented key's metadata.
    Metadata(String),
}

/// A named [`Source`].
#[derive(Clone)]
pub struct Extractor {
    /// The name in `{{ name }}`.
    pub name: String,
    /// The source of the text that it stands for.
    pub source: Source,
}

/// Why an expression extracts nothing.
#[derive(Debug, thiserror::Error)]
pub enum ExtractorError {
    /// It cannot be compiled.
    #[error("not a usable regular expression: {0}")]
    Regex(#[from] regex::Error),
    /// It has no group of this number.
    #[error("the regular expression has no group {0}")]
    NoGroup(usize),
}

/// Why a text is no template. The message is a predicate: it follows the name of the template.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// Braces are opened and not closed.
    #[error("a `{{{{` is not closed with `}}}}`")]
    NotClosed,
    /// Braces are closed and were not opened.
    #[error("a `}}}}` has no `{{{{` before it")]
    NotOpened,
    /// A name is that of no extractor.
    #[error("`{{{{ {name} }}}}` is the name of no extractor (there is {known})")]
    UnknownName {
        /// The name in the template.
        name: String,
        /// The names of the extractors, as a list for people.
        known: String,
    },
    /// The text cannot stand in a header.
    #[error("holds a character that cannot stand in a header")]
    Character,
}

impl Source {
    /// A part of a header: group `group` of `regex`, which must match the whole value.
    pub fn header(name: HeaderName, regex: &str, group: usize) -> Result<Self, ExtractorError> {
        // Compiled without the anchors first: `a)|(b` is no expression, but would become one between them.
        Regex::new(regex)?;
        let compiled = regex::RegexBuilder::new(&format!("^(?:{regex})$"))
            .size_limit(1 << 20)
            .build()?;
        if group >= compiled.captures_len() {
            return Err(ExtractorError::NoGroup(group));
        }
        Ok(Self::Header {
            name,
            regex: compiled,
            group,
        })
    }

    fn extract<'r>(&'r self, headers: &'r HeaderMap, metadata: &Metadata<'r>) -> &'r str {
        match self {
            Self::Header { name, regex, group } => headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .and_then(|text| regex.captures(text))
                .and_then(|found| found.get(*group))
                .map_or("", |part| part.as_str()),
            Self::Metadata(name) => metadata(name).unwrap_or_default(),
        }
    }
}

#[derive(Clone)]
enum Part {
    Text(String),
    Extract(Source),
}

/// A header and the template of its value.
#[derive(Clone)]
pub struct HeaderTemplate {
    name: HeaderName,
    parts: Vec<Part>,
}

impl HeaderTemplate {
    /// Reads `text`, in which `{{ name }}` stands for the text that the extractor of that name finds.
    pub fn parse(
        name: HeaderName,
        text: &str,
        extractors: &[Extractor],
    ) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            push_text(&mut parts, before)?;
            let (inner, after) = after.split_once("}}").ok_or(TemplateError::NotClosed)?;
            let wanted = inner.trim();
            let extractor = extractors
                .iter()
                .find(|e| e.name == wanted)
                .ok_or_else(|| unknown(wanted, extractors))?;
            parts.push(Part::Extract(extractor.source.clone()));
            rest = after;
        }
        push_text(&mut parts, rest)?;
        Ok(Self { name, parts })
    }

    /// The name of the header that the template sets.
    pub fn name(&self) -> &HeaderName {
        &self.name
    }

    /// The value for one request; `None` removes the header.
    ///
    /// A single text that is missing removes the header: a provider would take half a credential for a wrong one.
    pub fn render<'r>(
        &'r self,
        headers: &'r HeaderMap,
        metadata: &Metadata<'r>,
    ) -> Option<HeaderValue> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(fixed) => text.push_str(fixed),
                Part::Extract(source) => match source.extract(headers, metadata) {
                    "" => return None,
                    found => text.push_str(found),
                },
            }
        }
        if text.trim().is_empty() {
            return None;
        }
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

fn unknown(name: &str, extractors: &[Extractor]) -> TemplateError {
    let known = extractors.iter().map(|extractor| extractor.name.as_str());
    TemplateError::UnknownName {
        name: name.to_owned(),
        known: enumerate(known).into_owned(),
    }
}

fn push_text(parts: &mut Vec<Part>, text: &str) -> Result<(), TemplateError> {
    if text.contains("}}") {
        return Err(TemplateError::NotOpened);
    }
    if HeaderValue::from_str(text).is_err() {
        return Err(TemplateError::Character);
    }
    if !text.is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extractor(name: &str, header: &'static str, regex: &str, group: usize) -> Extractor {
        let source = Source::header(HeaderName::from_static(header), regex, group).unwrap();
        Extractor {
            name: name.to_owned(),
            source,
        }
    }

    fn render(
        text: &str,
        extractors: &[Extractor],
        headers: &[(&'static str, &str)],
    ) -> Option<String> {
        let template =
            HeaderTemplate::parse(HeaderName::from_static("x-out"), text, extractors).unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        template
            .render(&map, &|_| None)
            .map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_template_of_the_lab_renders() {
        let extractors = [extractor("huggingface-api-key", "x-api-key", ".*", 0)];
        let text = "Bearer {{ huggingface-api-key }}";
        assert_eq!(
            render(text, &extractors, &[("x-api-key", "hf_1")]).unwrap(),
            "Bearer hf_1"
        );
    }

    #[test]
    fn a_missing_value_removes_the_header_instead_of_half_filling_it() {
        let extractors = [extractor("t", "x-t", ".+", 0)];
        assert_eq!(render("Bearer {{ t }}", &extractors, &[]), None);
        assert_eq!(render("Bearer {{ t }}", &extractors, &[("x-t", "")]), None);
        assert_eq!(render("", &[], &[]), None);
    }

    #[test]
    fn the_expression_must_match_the_whole_value() {
        let extractors = [extractor("team", "x-team", "team-(\\w+)", 1)];
        assert_eq!(
            render("{{team}}", &extractors, &[("x-team", "team-red")]).unwrap(),
            "red"
        );
        assert_eq!(
            render("{{team}}", &extractors, &[("x-team", "a team-red")]),
            None
        );
    }

    #[test]
    fn a_broken_template_says_why() {
        let parse = |text| {
            HeaderTemplate::parse(HeaderName::from_static("x"), text, &[])
                .err()
                .unwrap()
                .to_string()
        };
        assert!(parse("{{ a").contains("not closed"));
        assert!(parse("a }}").contains("no `{{`"));
        assert!(parse("{{ a }}").contains("no extractor"));
        assert!(parse("a\nb").contains("character"));
        for broken in ["(", "a)|(b", "["] {
            assert!(
                Source::header(HeaderName::from_static("x"), broken, 0).is_err(),
                "{broken}"
            );
        }
        assert!(Source::header(HeaderName::from_static("x"), "a", 1).is_err());
    }
}
