//! The text of a file: its lines, and its parts.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::problem::Location;
use crate::runtime::background;

/// The text of a file, with the positions of its lines.
#[derive(Debug)]
pub(crate) struct Document {
    pub(super) file: Arc<Path>,
    pub(super) text: String,
    line_starts: Vec<usize>,
}

impl Document {
    /// Takes over `text` as the content of `file`.
    pub(crate) fn new(file: &Path, text: String) -> Self {
        let mut line_starts = Vec::with_capacity(text.len() / SHORT_LINE);
        line_starts.push(0);
        for (at, _) in text.match_indices('\n') {
            line_starts.push(at + 1);
            if line_starts.len().is_multiple_of(LINES_A_STEP) {
                background::yield_to_others();
            }
        }
        Self {
            file: file.into(),
            text,
            line_starts,
        }
    }

    /// The file as a whole.
    pub(crate) fn whole(&self) -> Location {
        Location {
            file: self.file.clone(),
            line: 0,
        }
    }

    /// The location of a span within the part of the text that begins at `offset`.
    pub(super) fn at(&self, offset: usize, span: &Range<usize>) -> Location {
        let line = self
            .line_starts
            .partition_point(|start| *start <= offset + span.start);
        Location {
            file: self.file.clone(),
            line,
        }
    }

    /// The text, cut before some of the headers of `array`.
    pub(super) fn chunks(&self, array: &str) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        let mut chunk = Chunk {
            range: 0..0,
            first: 0,
        };
        let mut tables = 0;
        for (number, start) in self.line_starts.iter().enumerate() {
            let next = self.line_starts.get(number + 1).copied();
            let end = next.unwrap_or(self.text.len());
            let line = self.text.get(*start..end).unwrap_or_default();
            // A line within a multi-line string can look like a header.
            if line.contains("\"\"\"") || line.contains("'''") {
                return vec![Chunk {
                    range: 0..self.text.len(),
                    first: 0,
                }];
            }
            if number.is_multiple_of(LINES_A_STEP) {
                background::yield_to_others();
            }
            if !is_header(line, array) {
                continue;
            }
            if tables - chunk.first == TABLES_A_CHUNK {
                chunk.range.end = *start;
                let next = Chunk {
                    range: *start..*start,
                    first: tables,
                };
                chunks.push(std::mem::replace(&mut chunk, next));
            }
            tables += 1;
        }
        chunk.range.end = self.text.len();
        chunks.push(chunk);
        chunks
    }
}

/// A part of a text that consists of whole tables.
pub(super) struct Chunk {
    /// Its bytes.
    pub(super) range: Range<usize>,
    /// How many tables of the array stand before it.
    pub(super) first: usize,
}

/// The length of a short line, in bytes: memory for so many lines is allocated at once.
const SHORT_LINE: usize = 24;
/// After how many lines other threads get their turn.
const LINES_A_STEP: usize = 4096;
/// The most tables of an array in one chunk.
pub(crate) const TABLES_A_CHUNK: usize = 64;

/// Whether a text begins with the header `[[array]]`.
fn is_header(text: &str, array: &str) -> bool {
    let text = text.trim_start_matches([' ', '\t']);
    let name = text
        .strip_prefix("[[")
        .map(|rest| rest.trim_start_matches([' ', '\t']));
    let behind = name.and_then(|name| name.strip_prefix(array));
    behind.is_some_and(|rest| rest.trim_start_matches([' ', '\t']).starts_with("]]"))
}
