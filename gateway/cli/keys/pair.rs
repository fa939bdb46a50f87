//! Pairs of a name and a value on the command line: labels and metadata.

/// A text is no pair.
#[derive(Debug, thiserror::Error)]
#[error("expected NAME=VALUE")]
pub(super) struct NotAPair;

/// Reads `NAME=VALUE`.
pub(super) fn parse_pair(text: &str) -> Result<(String, String), NotAPair> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(NotAPair),
    }
}
