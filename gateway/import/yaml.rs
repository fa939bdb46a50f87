//! YAML of many documents, as JSON values that know the line they begin in.

use std::fmt;

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use serde_json::{Map, Value};

/// A text is no YAML.
#[derive(Debug)]
pub struct YamlError {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// Why.
    pub why: String,
}

impl fmt::Display for YamlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            column,
            why,
        } = self;
        write!(f, "{file}:{line}:{column}: not valid YAML: {why}")
    }
}

impl std::error::Error for YamlError {}

/// The documents of a text that are not empty, with the lines they begin in.
pub fn documents(file: &str, text: &str) -> Result<Vec<(usize, Value)>, YamlError> {
    let loaded = MarkedYaml::load_from_str(text).map_err(|error| YamlError {
        file: file.to_owned(),
        line: error.marker().line(),
        column: error.marker().col() + 1,
        why: error.info().to_owned(),
    })?;
    let documents = loaded
        .iter()
        .map(|document| (document.span.start.line(), value(document)));
    Ok(documents
        .filter(|(_, document)| !document.is_null())
        .collect())
}

fn value(node: &MarkedYaml<'_>) -> Value {
    match &node.data {
        YamlData::Value(scalar) => of_scalar(scalar),
        YamlData::Representation(text, ..) => Value::String(text.to_string()),
        YamlData::Sequence(items) => items.iter().map(value).collect(),
        YamlData::Mapping(entries) => {
            let entries = entries
                .iter()
                .map(|(name, entry)| (key(name), value(entry)));
            Value::Object(entries.collect::<Map<_, _>>())
        }
        YamlData::Tagged(_, inner) => value(inner),
        YamlData::Alias(_) | YamlData::BadValue => Value::Null,
    }
}

fn of_scalar(scalar: &Scalar<'_>) -> Value {
    match scalar {
        Scalar::Null => Value::Null,
        Scalar::Boolean(value) => Value::Bool(*value),
        Scalar::Integer(value) => Value::from(*value),
        Scalar::FloatingPoint(value) => Value::from(value.into_inner()),
        Scalar::String(text) => Value::String(text.to_string()),
    }
}

fn key(node: &MarkedYaml<'_>) -> String {
    match value(node) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_know_their_lines_and_mistakes_their_place() {
        let text = "a: 1\n---\n# nothing\n---\n\nb: [x, 'y', 2.5, true, ~]\nc: |\n  text\n";
        let found = documents("f.yaml", text).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], (1, serde_json::json!({"a": 1})));
        assert_eq!(
            found[1],
            (
                6,
                serde_json::json!({"b": ["x", "y", 2.5, true, null], "c": "text\n"})
            )
        );
        let error = documents("f.yaml", "a: 1\nb: [1, 2\nc: 3\n").unwrap_err();
        assert!(error.to_string().starts_with("f.yaml:3:"), "{error}");
        assert!(documents("f.yaml", "a: 1\na: 2\n").is_err());
    }
}
