//! The error of an input that cannot be read at all.

use std::fmt;

use super::yaml::YamlError;

/// An input that cannot be read at all, with the place of the problem.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {why}")]
pub struct ImportError {
    /// The file and line, or the title of the object and the field.
    place: String,
    /// What is wrong.
    why: String,
}

impl ImportError {
    pub(super) fn new(place: impl Into<String>, why: impl fmt::Display) -> Self {
        Self {
            place: place.into(),
            why: why.to_string(),
        }
    }
}

impl From<YamlError> for ImportError {
    fn from(error: YamlError) -> Self {
        let place = format!("{}:{}:{}", error.file, error.line, error.column);
        Self::new(place, format_args!("not valid YAML: {}", error.why))
    }
}
