//! The text of a file: its lines, and its parts.

use std::cell::RefCell;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use memchr::memmem;

use super::problem::Location;
use crate::runtime::background;

/// The text of a file. Knows the lines of its values.
#[derive(Debug)]
pub(crate) struct Document {
    pub(super) file: Arc<Path>,
    pub(super) text: String,
    /// Found as they are asked for: a large file without a problem needs few of them.
    lines: RefCell<Lines>,
}

/// The lines of a text up to some place in it.
#[derive(Debug)]
struct Lines {
    /// Where the lines start that begin before or at `end`.
    starts: Vec<usize>,
    end: usize,
}

impl Lines {
    /// Finds the lines of `text` up to the place `to`.
    fn extend(&mut self, text: &str, to: usize) {
        while self.end < to.min(text.len()) {
            let from = self.end;
            self.end = to.min(text.len()).min(from + BYTES_A_STEP);
            let step = text.as_bytes().get(from..self.end).unwrap_or_default();
            let ends = memchr::memchr_iter(b'\n', step);
            self.starts.extend(ends.map(|end| from + end + 1));
            background::yield_to_others();
        }
    }
}

impl Document {
    /// Takes over `text` as the content of `file`.
    pub(crate) fn new(file: &Path, text: String) -> Self {
        let lines = Lines {
            starts: vec![0],
            end: 0,
        };
        Self {
            file: file.into(),
            text,
            lines: RefCell::new(lines),
        }
    }

    /// The whole text.
    pub(crate) fn text(&self) -> &str {
        &self.text
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
        self.location(offset + span.start)
    }

    /// The location of the byte at `place`.
    pub(crate) fn location(&self, place: usize) -> Location {
        let mut lines = self.lines.borrow_mut();
        lines.extend(&self.text, place);
        Location {
            file: self.file.clone(),
            line: lines.starts.partition_point(|start| *start <= place),
        }
    }

    /// The chunks of the text, which is cut before some of the headers of `array`.
    pub(super) fn chunks(&self, array: &'static str) -> Chunks<'_> {
        // A line within a multi-line string can look like a header.
        let has = |mark: &[u8]| memmem::find(self.text.as_bytes(), mark).is_some();
        Chunks {
            text: &self.text,
            array,
            is_whole: has(b"\"\"\"") || has(b"'''"),
            at: 0,
            tables: 0,
            is_done: false,
        }
    }
}

/// Cuts a text into [`Chunk`]s.
pub(super) struct Chunks<'d> {
    text: &'d str,
    array: &'static str,
    /// The text cannot be cut.
    is_whole: bool,
    /// Where the next chunk begins.
    at: usize,
    /// How many tables stand before it.
    tables: usize,
    is_done: bool,
}

impl<'d> Chunks<'d> {
    /// The text from the next chunk on; nothing if the text cannot be cut.
    pub(super) fn rest(&self) -> &'d str {
        let rest = (!self.is_whole).then(|| self.text.get(self.at..));
        rest.flatten().unwrap_or_default()
    }

    /// Passes over a chunk of so many bytes and tables.
    pub(super) fn pass(&mut self, bytes: usize, tables: usize) {
        self.at += bytes;
        self.tables += tables;
        self.is_done = self.at == self.text.len();
    }

    /// The end of the chunk that begins here, and the number of its tables.
    fn measure(&self) -> (usize, usize) {
        let (mut end, mut tables) = (self.at, 0);
        let mut yielded = end;
        while let Some(rest) = self.text.get(end..).filter(|rest| !rest.is_empty()) {
            if is_header(rest, self.array) {
                if tables == TABLES_A_CHUNK {
                    break;
                }
                tables += 1;
            }
            let line = memchr::memchr(b'\n', rest.as_bytes());
            end += line.map_or(rest.len(), |line| line + 1);
            if end - yielded > BYTES_A_STEP {
                yielded = end;
                background::yield_to_others();
            }
        }
        (end, tables)
    }
}

impl Iterator for Chunks<'_> {
    type Item = Chunk;

    fn next(&mut self) -> Option<Chunk> {
        if self.is_done {
            return None;
        }
        let (begin, first) = (self.at, self.tables);
        let (end, tables) = if self.is_whole {
            (self.text.len(), 0)
        } else {
            self.measure()
        };
        self.pass(end - begin, tables);
        Some(Chunk {
            range: begin..end,
            first,
        })
    }
}

/// A part of a text that consists of whole tables.
pub(super) struct Chunk {
    /// Its bytes.
    pub(super) range: Range<usize>,
    /// How many tables of the array stand before it.
    pub(super) first: usize,
}

/// After how many bytes other threads get their turn.
const BYTES_A_STEP: usize = 64 << 10;
/// The most tables of an array in one chunk.
pub(crate) const TABLES_A_CHUNK: usize = 64;

/// Whether a text begins with the header `[[array]]`.
pub(crate) fn is_header(text: &str, array: &str) -> bool {
    let text = text.trim_start_matches([' ', '\t']);
    let name = text
        .strip_prefix("[[")
        .map(|rest| rest.trim_start_matches([' ', '\t']));
    let behind = name.and_then(|name| name.strip_prefix(array));
    behind.is_some_and(|rest| rest.trim_start_matches([' ', '\t']).starts_with("]]"))
}
