//! Parses YAML with several documents into JSON values that know their lines.

use std::collections::BTreeMap;
use std::rc::Rc;

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use serde_json::{Map, Value};

/// A text that is not valid YAML.
#[derive(Debug, thiserror::Error)]
#[error("{file}:{line}:{column}: not valid YAML: {why}")]
pub struct YamlError {
    /// The name of the file.
    pub(crate) file: String,
    /// The line, from 1.
    pub(crate) line: usize,
    /// The column, from 1.
    pub(crate) column: usize,
    /// The reason.
    pub(crate) why: String,
}

/// A document.
#[derive(Debug)]
pub(super) struct Document {
    /// The line in which the document begins, from 1.
    pub(crate) line: usize,
    /// The value.
    pub(crate) value: Value,
    /// The lines of the document's fields.
    pub(crate) lines: Lines,
}

/// The lines of the fields below a path in a document.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines {
    /// The line of each field by its path, such as `spec.rules[0].name`.
    all: Rc<BTreeMap<String, usize>>,
    /// The path.
    below: String,
}

impl Lines {
    /// The lines below a field.
    pub(super) fn below(&self, field: &str) -> Self {
        Self {
            all: Rc::clone(&self.all),
            below: self.path(field),
        }
    }

    fn path(&self, field: &str) -> String {
        let dot = if self.below.is_empty() || field.is_empty() || field.starts_with('[') {
            ""
        } else {
            "."
        };
        format!("{}{dot}{field}", self.below)
    }

    /// The line of a field, or of its closest parent whose line is known.
    pub(super) fn of(&self, field: &str) -> Option<usize> {
        let mut path = self.path(field);
        loop {
            if let Some(line) = self.all.get(&path) {
                return Some(*line);
            }
            let end = path.rfind(['.', '[']).unwrap_or(0);
            if end < self.below.len().max(1) {
                return self.all.get(&self.below).copied();
            }
            path.truncate(end);
        }
    }
}

/// The documents that are not empty, with the lines in which they begin.
pub(crate) fn documents(file: &str, text: &str) -> Result<Vec<(usize, Value)>, YamlError> {
    let documents = read(file, text)?.into_iter();
    Ok(documents
        .map(|document| (document.line, document.value))
        .collect())
}

/// The documents that are not empty.
pub(super) fn read(file: &str, text: &str) -> Result<Vec<Document>, YamlError> {
    let loaded = MarkedYaml::load_from_str(text).map_err(|error| YamlError {
        file: file.to_owned(),
        line: error.marker().line(),
        column: error.marker().col() + 1,
        why: error.info().to_owned(),
    })?;
    let documents = loaded.iter().map(|document| {
        let mut all = BTreeMap::new();
        lines(document, "", &mut all);
        Document {
            line: document.span.start.line(),
            value: value(document),
            lines: Lines {
                all: Rc::new(all),
                below: String::new(),
            },
        }
    });
    Ok(documents
        .filter(|document| !document.value.is_null())
        .collect())
}

/// Records the line of each field's name below a node.
fn lines(node: &MarkedYaml<'_>, path: &str, all: &mut BTreeMap<String, usize>) {
    match &node.data {
        YamlData::Sequence(items) => {
            for (place, item) in items.iter().enumerate() {
                let path = format!("{path}[{place}]");
                all.insert(path.clone(), item.span.start.line());
                lines(item, &path, all);
            }
        }
        YamlData::Mapping(entries) => {
            for (_, entry) in entries.iter().filter(|(name, _)| is_merge(name)) {
                for merged in merged(entry) {
                    lines(merged, path, all);
                }
            }
            for (name, entry) in entries.iter().filter(|(name, _)| !is_merge(name)) {
                let dot = if path.is_empty() { "" } else { "." };
                let path = format!("{path}{dot}{}", key(name));
                all.insert(path.clone(), name.span.start.line());
                lines(entry, &path, all);
            }
        }
        YamlData::Tagged(_, inner) => lines(inner, path, all),
        _ => {}
    }
}

fn value(node: &MarkedYaml<'_>) -> Value {
    match &node.data {
        YamlData::Value(scalar) => of_scalar(scalar),
        YamlData::Representation(text, ..) => Value::String(text.to_string()),
        YamlData::Sequence(items) => items.iter().map(value).collect(),
        YamlData::Mapping(entries) => {
            let mut map = Map::new();
            for (_, entry) in entries.iter().filter(|(name, _)| is_merge(name)) {
                // The first of several merged mappings takes precedence.
                for merged in merged(entry).rev() {
                    if let Value::Object(inner) = value(merged) {
                        map.extend(inner);
                    } else {
                        map.insert(MERGE.to_owned(), value(entry));
                    }
                }
            }
            let own = entries.iter().filter(|(name, _)| !is_merge(name));
            map.extend(own.map(|(name, entry)| (key(name), value(entry))));
            Value::Object(map)
        }
        YamlData::Tagged(_, inner) => value(inner),
        YamlData::Alias(_) | YamlData::BadValue => Value::Null,
    }
}

/// The merge key: the fields of its value are added to the mapping unless that has fields of the
/// same names (<https://yaml.org/type/merge.html>). `LiteLLM` and kubectl support it.
const MERGE: &str = "<<";

fn is_merge(name: &MarkedYaml<'_>) -> bool {
    matches!(&name.data, YamlData::Value(Scalar::String(text)) if text == MERGE)
}

/// The mappings of a merge key.
fn merged<'n, 'y>(
    entry: &'n MarkedYaml<'y>,
) -> impl DoubleEndedIterator<Item = &'n MarkedYaml<'y>> {
    let (one, several) = match &entry.data {
        YamlData::Sequence(items) => (None, Some(items)),
        _ => (Some(entry), None),
    };
    one.into_iter().chain(several.into_iter().flatten())
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

    #[test]
    fn merged_fields_stand_behind_those_of_the_mapping_itself() {
        let text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\n\
                    c:\n  z: 3\n  <<: *a\nd: {<<: [*a, *b]}\ne: {<<: text}\n";
        let read = read("f.yaml", text).unwrap().remove(0);
        let json = |text| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(read.value["c"], json(r#"{"x": 1, "y": 1, "z": 3}"#));
        assert_eq!(read.value["d"], json(r#"{"x": 1, "y": 1, "z": 2}"#));
        // A value that is not a mapping stays, as one that is not understood.
        assert_eq!(read.value["e"], json(r#"{"<<": "text"}"#));
        assert_eq!(
            (read.lines.of("c.x"), read.lines.of("c.z")),
            (Some(1), Some(4))
        );
    }

    #[test]
    fn fields_know_their_lines() {
        let text = "a:\n  b:\n  - c: 1\n    d: 2\n  - e\n";
        let lines = read("f.yaml", text).unwrap().remove(0).lines;
        for (field, line) in [
            ("a", 1),
            ("a.b", 2),
            ("a.b[0]", 3),
            ("a.b[0].d", 4),
            ("a.b[1]", 5),
            // A missing field has the line of its parent.
            ("a.b[0].x.y", 3),
            ("a.x", 1),
        ] {
            assert_eq!(lines.of(field), Some(line), "{field}");
        }
        assert_eq!(lines.below("a.b[0]").of("d"), Some(4));
        assert_eq!(lines.below("a.b[0]").of("x"), Some(3));
        assert_eq!(lines.of("x"), None);
    }
}
