//! A TOML file that remembers where everything stands in it, so that every complaint about it
//! can name file, line and cure, and so that all complaints come at once.
//!
//! Knows TOML and units ("45s", "10MiB"); knows nothing of what the keys of a file mean.
//! Reading a value takes it out of its [`Section`]; what is left when the section is
//! [finished](Section::finish) is an unknown key.

mod outline;
mod problem;
mod stamp;
mod value;

pub use outline::PrefixHash;
pub use problem::{Located, Location, Problem, Problems, Severity};
pub use stamp::FileStamp;
pub use value::{
    ByteSize, OneOrMany, Value, enumerate, last_moment, parse_duration, parse_moment, parse_size,
};

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use self::value::kind_of;
use crate::runtime::background;

/// A file's text, with its lines counted.
#[derive(Debug)]
pub struct Document {
    file: Arc<Path>,
    text: String,
    line_starts: Vec<usize>,
}

impl Document {
    /// Takes over `text` as the content of `file`.
    pub fn new(file: &Path, text: String) -> Self {
        let mut line_starts = Vec::with_capacity(text.len() / SHORT_LINE);
        line_starts.push(0);
        for (at, _) in text.match_indices('\n') {
            line_starts.push(at + 1);
            if line_starts.len().is_multiple_of(LINES_A_STEP) {
                background::step();
            }
        }
        Self {
            file: file.into(),
            text,
            line_starts,
        }
    }

    /// The file as a whole.
    pub fn whole(&self) -> Location {
        Location {
            file: self.file.clone(),
            line: 0,
        }
    }

    /// Where a span of a chunk that begins at `offset` stands.
    fn at(&self, offset: usize, span: &Range<usize>) -> Location {
        let line = self
            .line_starts
            .partition_point(|start| *start <= offset + span.start);
        Location {
            file: self.file.clone(),
            line,
        }
    }

    /// The root table. Syntax errors go to `problems`; what could be read nevertheless is returned.
    pub fn root<'d>(&'d self, problems: &'d Problems) -> Section<'d> {
        let whole = Chunk {
            range: 0..self.text.len(),
            first: 0,
        };
        self.section(&whole, problems)
    }

    /// The root table in chunks, each with at most [`TABLES_A_PIECE`] of the tables `[[array]]`, in the
    /// file's order. A file with
    /// a million of them takes ten times its size as a whole.
    pub fn roots<'d>(
        &'d self,
        array: &str,
        problems: &'d Problems,
    ) -> impl ExactSizeIterator<Item = Section<'d>> {
        let chunks = self.chunks(array).into_iter();
        chunks.map(|chunk| self.section(&chunk, problems))
    }

    /// The text, cut before some of the headers of `array`.
    fn chunks(&self, array: &str) -> Vec<Chunk> {
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
            // Within a string of many lines, a line can look like a header and be none.
            if line.contains("\"\"\"") || line.contains("'''") {
                return vec![Chunk {
                    range: 0..self.text.len(),
                    first: 0,
                }];
            }
            if number.is_multiple_of(LINES_A_STEP) {
                background::step();
            }
            if !is_header(line, array) {
                continue;
            }
            if tables - chunk.first == TABLES_A_PIECE {
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

    fn section<'d>(&'d self, chunk: &Chunk, problems: &'d Problems) -> Section<'d> {
        let offset = chunk.range.start;
        let text = self.text.get(chunk.range.clone()).unwrap_or_default();
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let at = error
                .span()
                .map_or_else(|| self.whole(), |span| self.at(offset, &span));
            problems.fatal(&at, format!("not valid TOML: {}", error.message()));
        }
        Section {
            document: self,
            offset,
            first: chunk.first,
            problems,
            path: String::new(),
            at: self.whole(),
            table: table.into_inner(),
            // After a syntax error the recovered keys are guesses: don't call any of them unknown.
            complete: errors.is_empty(),
            known: Vec::new(),
        }
    }
}

/// A part of a text that is whole tables.
struct Chunk {
    /// Where it stands, in bytes.
    range: Range<usize>,
    /// How many tables of the array stand before it.
    first: usize,
}

/// Bytes of a line, if it is a short one: room for so many lines is made beforehand.
const SHORT_LINE: usize = 24;
/// After how many lines that are looked at others get their turn.
const LINES_A_STEP: usize = 4096;
/// How many tables of an array are read at a time where there are many.
pub const TABLES_A_PIECE: usize = 64;

/// Whether a text begins with the header `[[array]]`.
fn is_header(text: &str, array: &str) -> bool {
    let text = text.trim_start_matches([' ', '\t']);
    let name = text
        .strip_prefix("[[")
        .map(|rest| rest.trim_start_matches([' ', '\t']));
    let behind = name.and_then(|name| name.strip_prefix(array));
    behind.is_some_and(|rest| rest.trim_start_matches([' ', '\t']).starts_with("]]"))
}

/// One table of a [`Document`], from which values are taken by name.
pub struct Section<'d> {
    document: &'d Document,
    /// Where the text that its spans count from begins.
    offset: usize,
    /// The place in its array of the first table of an array in it.
    first: usize,
    problems: &'d Problems,
    path: String,
    at: Location,
    table: DeTable<'d>,
    complete: bool,
    known: Vec<&'static str>,
}

impl<'d> Section<'d> {
    /// Where the section stands.
    pub fn at(&self) -> &Location {
        &self.at
    }

    /// The section's name in its file, such as `routes[1]`.
    pub fn path(&self) -> &str {
        &self.path
    }

    fn join(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    fn remove(&mut self, key: &'static str) -> Option<(Range<usize>, DeValue<'d>)> {
        self.known.push(key);
        let value = self.table.remove(key)?;
        Some((value.span(), value.into_inner()))
    }

    /// Takes the value of `key`, if it is there and of the right type.
    pub fn take<T: Value>(&mut self, key: &'static str) -> Option<Located<T>> {
        let (span, value) = self.remove(key)?;
        let at = self.document.at(self.offset, &span);
        match T::read(&value) {
            Ok(value) => Some(Located { value, at }),
            Err(why) => {
                self.problems
                    .fatal(&at, format!("{}: {why}", self.join(key)));
                None
            }
        }
    }

    /// Takes the value of `key` and complains when it is missing.
    pub fn require<T: Value>(&mut self, key: &'static str) -> Option<Located<T>> {
        if !self.table.contains_key(key) {
            self.known.push(key);
            if self.complete {
                self.problems
                    .fatal(&self.at, format!("{} is missing", self.join(key)));
            }
            return None;
        }
        self.take(key)
    }

    /// Whether `key` is there.
    pub fn has(&mut self, key: &'static str) -> bool {
        self.known.push(key);
        self.table.contains_key(key)
    }

    /// Takes the table under `key`.
    pub fn section(&mut self, key: &'static str) -> Option<Section<'d>> {
        let (span, value) = self.remove(key)?;
        self.enter(self.join(key), &span, value)
    }

    /// Takes the table under `key`; an empty one where it is left out.
    pub fn section_or_empty(&mut self, key: &'static str) -> Section<'d> {
        self.section(key).unwrap_or_else(|| Section {
            document: self.document,
            offset: self.offset,
            first: 0,
            problems: self.problems,
            path: self.join(key),
            at: self.at.clone(),
            table: DeTable::default(),
            complete: self.complete,
            known: Vec::new(),
        })
    }

    /// Takes a table of tables: `[providers.openai]`, `[providers.local]`. In the file's order.
    pub fn named(&mut self, key: &'static str) -> Vec<(Located<String>, Section<'d>)> {
        let Some(outer) = self.section(key) else {
            return Vec::new();
        };
        let outer_path = outer.path;
        let mut entries: Vec<_> = outer.table.into_iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        entries
            .into_iter()
            .filter_map(|(name, value)| {
                let at = self.document.at(self.offset, &name.span());
                let name = name.into_inner().into_owned();
                let path = format!("{outer_path}.{name}");
                let section = self.enter(path, &value.span(), value.into_inner())?;
                Some((Located { value: name, at }, section))
            })
            .collect()
    }

    /// Takes an array of tables: `[[routes]]`.
    pub fn list(&mut self, key: &'static str) -> Vec<Section<'d>> {
        let Some((span, value)) = self.remove(key) else {
            return Vec::new();
        };
        let DeValue::Array(items) = value else {
            let at = self.document.at(self.offset, &span);
            self.problems.fatal(
                &at,
                format!("{0} must be written as [[{0}]]", self.join(key)),
            );
            return Vec::new();
        };
        items
            .into_iter()
            .enumerate()
            .filter_map(|(i, item)| {
                let path = format!("{}[{}]", self.join(key), self.first + i);
                self.enter(path, &item.span(), item.into_inner())
            })
            .collect()
    }

    /// Takes the table under `key` as a map from strings to strings, in the file's order.
    pub fn strings(&mut self, key: &'static str) -> Vec<(Located<String>, Located<String>)> {
        let Some(section) = self.section(key) else {
            return Vec::new();
        };
        let Section {
            document,
            offset,
            problems,
            path,
            table,
            ..
        } = section;
        let mut entries: Vec<_> = table.into_iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        entries
            .into_iter()
            .filter_map(|(name, value)| {
                let name_at = document.at(offset, &name.span());
                let value_at = document.at(offset, &value.span());
                match String::read(value.get_ref()) {
                    Ok(value) => Some((
                        Located {
                            value: name.into_inner().into_owned(),
                            at: name_at,
                        },
                        Located {
                            value,
                            at: value_at,
                        },
                    )),
                    Err(why) => {
                        problems.fatal(&value_at, format!("{path}.{}: {why}", name.get_ref()));
                        None
                    }
                }
            })
            .collect()
    }

    fn enter(&self, path: String, span: &Range<usize>, value: DeValue<'d>) -> Option<Section<'d>> {
        let at = self.document.at(self.offset, span);
        let DeValue::Table(table) = value else {
            let found = kind_of(&value);
            self.problems
                .fatal(&at, format!("{path}: expected a table, found {found}"));
            return None;
        };
        Some(Section {
            document: self.document,
            offset: self.offset,
            first: 0,
            problems: self.problems,
            path,
            at,
            table,
            complete: self.complete,
            known: Vec::new(),
        })
    }

    /// Complains about every key that was not asked for.
    pub fn finish(self) {
        if !self.complete {
            return;
        }
        for (name, _) in &self.table {
            let at = self.document.at(self.offset, &name.span());
            let full = self.join(name.get_ref());
            let hint = nearest(name.get_ref(), self.known.iter().copied())
                .map(|near| format!(": did you mean `{near}`?"))
                .unwrap_or_default();
            self.problems
                .fatal(&at, format!("unknown key `{full}`{hint}"));
        }
    }
}

/// The candidate that is closest to `word`, if one is close enough to be a slip of the hand.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (edit_distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, y) in row.iter_mut().skip(1).zip(b.chars()) {
            let above = *cell;
            left = (diagonal + usize::from(x != y))
                .min(above + 1)
                .min(left + 1);
            diagonal = above;
            *cell = left;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(text: &str, read: impl FnOnce(&mut Section<'_>)) -> Vec<String> {
        let document = Document::new(Path::new("t.toml"), text.to_owned());
        let problems = Problems::default();
        let mut root = document.root(&problems);
        read(&mut root);
        root.finish();
        problems
            .into_sorted()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    /// What stands in a file of keys, and what is wrong with it, read as a whole or in chunks.
    fn read_keys(text: &str, in_pieces: bool) -> (Vec<(String, usize)>, Vec<String>) {
        let document = Document::new(Path::new("t.toml"), text.to_owned());
        let problems = Problems::default();
        let roots: Vec<_> = if in_pieces {
            document.roots("key", &problems).collect()
        } else {
            vec![document.root(&problems)]
        };
        let mut found = Vec::new();
        for mut root in roots {
            for mut section in root.list("key") {
                let id = section.require::<String>("id");
                found.extend(id.map(|id| (id.value, id.at.line)));
                section.strings("labels");
                section.finish();
            }
            root.finish();
        }
        let problems = problems.into_sorted();
        (found, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_file_in_pieces_is_the_same_file() {
        let table = |i: usize| match i % 7 {
            0 => {
                format!("# [[key]]\n  [[ key ]] # here\nid = \"k{i}\"\n[key.labels]\na = \"b\"\n\n")
            }
            1 => format!("[[key]]\nid = \"k{i}\"\nextra = {i}\n"),
            2 => "[[key]]\nid = [\n1,\n]\n[[key.more]]\n".to_owned(),
            3 => format!("[[key]]\nlabels = {{ a = {i} }}\n"),
            4 => format!("[[keys]]\nid = \"other{i}\"\n"),
            _ => format!("[[key]]\r\nid = \"k{i}\"\r\n"),
        };
        let text: String = (0..500).map(table).collect();
        let (keys, problems) = read_keys(&text, true);
        assert!(keys.len() > 200 && problems.len() > 200);
        let whole = read_keys(&text, false);
        assert_eq!(keys, whole.0);
        // Whoever meets `[[keys]]` in each chunk says so in each.
        let but_strange = |problems: Vec<String>| -> Vec<String> {
            let strange = |problem: &String| !problem.contains("unknown key `keys`");
            problems.into_iter().filter(strange).collect()
        };
        assert_eq!(but_strange(problems), but_strange(whole.1));
        // Where a header could stand in a text, the file is not cut.
        let tricky = format!("[[key]]\nid = \"\"\"\n{}\"\"\"\n", "[[key]]\n".repeat(200));
        let (keys, problems) = read_keys(&tricky, true);
        assert_eq!((keys.len(), problems.len()), (1, 0));
    }

    #[test]
    fn a_mistake_in_one_piece_is_named_with_its_line() {
        let mut text = "[[key]]\nid = \"k\"\n".repeat(200);
        text += "[[key]]\nid = \"k\n";
        let (_, problems) = read_keys(&text, true);
        assert!(
            problems[0].starts_with("t.toml:402: not valid TOML"),
            "{problems:?}"
        );
    }

    #[test]
    fn every_problem_is_named_with_its_line() {
        let found = problems_of("a = 1\nlisten = 2\nlitsen = 3\n", |root| {
            assert_eq!(root.take::<usize>("a").unwrap().value, 1);
            assert!(root.take::<String>("listen").is_none());
            assert!(root.require::<String>("b").is_none());
        });
        assert_eq!(
            found,
            [
                "t.toml: b is missing",
                "t.toml:2: listen: expected a string, found a whole number",
                "t.toml:3: unknown key `litsen`: did you mean `listen`?",
            ]
        );
    }

    #[test]
    fn broken_toml_names_its_line_and_accuses_no_innocent_key() {
        let found = problems_of("a = 1\nb = = 2\n", |root| {
            root.take::<usize>("a");
            root.require::<usize>("c");
        });
        assert!(
            found
                .iter()
                .all(|line| line.starts_with("t.toml:2: not valid TOML")),
            "{found:?}"
        );
        assert!(!found.is_empty());
    }

    #[test]
    fn a_slip_of_the_hand_is_recognised_and_a_stranger_is_not() {
        let names = ["listen", "admin", "threads"];
        assert_eq!(nearest("litsen", names.into_iter()), Some("listen"));
        assert_eq!(nearest("thread", names.into_iter()), Some("threads"));
        assert_eq!(nearest("password", names.into_iter()), None);
    }
}
