//! One table of a file, from which values are taken by name.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::nearest::nearest;
use super::problem::{Located, Location, Problems};
use super::text::{Chunk, Chunks, Document};
use super::value::{Value, kind_of};

impl Document {
    /// The root table. Syntax errors go to `problems`; the rest is returned all the same.
    pub(crate) fn root<'d>(&'d self, problems: &'d Problems) -> Section<'d> {
        let whole = Chunk {
            range: 0..self.text.len(),
            first: 0,
        };
        self.section(&whole, problems)
    }

    /// The root table in chunks, each with at most [`TABLES_A_CHUNK`](super::TABLES_A_CHUNK) of the tables `[[array]]`, in
    /// the file's order. As a whole, a file with a million of them would take ten times its size in memory.
    pub(crate) fn roots<'d>(&'d self, array: &'static str, problems: &'d Problems) -> Roots<'d> {
        Roots {
            document: self,
            problems,
            chunks: self.chunks(array),
        }
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
            start: 0,
            at: self.whole(),
            table: table.into_inner(),
            // After a syntax error the recovered keys are guesses: none of them is reported as unknown.
            complete: errors.is_empty(),
            known: Vec::new(),
        }
    }
}

/// The root table of a [`Document`] in chunks. A caller that can read a chunk by itself passes over it.
pub(crate) struct Roots<'d> {
    document: &'d Document,
    problems: &'d Problems,
    chunks: Chunks<'d>,
}

impl<'d> Roots<'d> {
    /// The text from the next chunk on; nothing if the text cannot be cut into chunks. A chunk ends before the first
    /// [header](super::is_header) behind [`TABLES_A_CHUNK`](super::TABLES_A_CHUNK) others, or with the text.
    pub(crate) fn rest(&self) -> &'d str {
        self.chunks.rest()
    }

    /// Passes over the next chunk, which has so many bytes and tables.
    pub(crate) fn pass(&mut self, bytes: usize, tables: usize) {
        self.chunks.pass(bytes, tables);
    }
}

impl<'d> Iterator for Roots<'d> {
    type Item = Section<'d>;

    fn next(&mut self) -> Option<Section<'d>> {
        let chunk = self.chunks.next()?;
        Some(self.document.section(&chunk, self.problems))
    }
}

/// One table of a [`Document`], from which values are taken by name.
pub(crate) struct Section<'d> {
    document: &'d Document,
    /// The start of the chunk, from which spans count.
    offset: usize,
    /// The index of the first table of an array in it.
    first: usize,
    problems: &'d Problems,
    path: String,
    /// Where the section begins in the text.
    start: usize,
    at: Location,
    table: DeTable<'d>,
    complete: bool,
    known: Vec<&'static str>,
}

impl<'d> Section<'d> {
    /// The location of the section.
    pub(crate) fn at(&self) -> &Location {
        &self.at
    }

    /// Where the section begins in the text, in bytes.
    pub(crate) fn start(&self) -> usize {
        self.start
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
    pub(crate) fn take<T: Value>(&mut self, key: &'static str) -> Option<Located<T>> {
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

    /// Takes the value of `key`, which must be there.
    pub(crate) fn require<T: Value>(&mut self, key: &'static str) -> Option<Located<T>> {
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
    pub(crate) fn has(&mut self, key: &'static str) -> bool {
        self.known.push(key);
        self.table.contains_key(key)
    }

    /// Takes the table under `key`.
    pub(crate) fn section(&mut self, key: &'static str) -> Option<Section<'d>> {
        let (span, value) = self.remove(key)?;
        self.enter(self.join(key), &span, value)
    }

    /// Takes the table under `key`; an empty one where it is left out.
    #[must_use]
    pub(crate) fn section_or_empty(&mut self, key: &'static str) -> Section<'d> {
        self.section(key).unwrap_or_else(|| Section {
            document: self.document,
            offset: self.offset,
            first: 0,
            problems: self.problems,
            path: self.join(key),
            start: self.start,
            at: self.at.clone(),
            table: DeTable::default(),
            complete: self.complete,
            known: Vec::new(),
        })
    }

    /// Takes a table of tables: `[providers.openai]`, `[providers.local]`. In the file's order.
    pub(crate) fn named(&mut self, key: &'static str) -> Vec<(Located<String>, Section<'d>)> {
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
    pub(crate) fn list(&mut self, key: &'static str) -> Vec<Section<'d>> {
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
    pub(crate) fn strings(&mut self, key: &'static str) -> Vec<(Located<String>, Located<String>)> {
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
            start: self.offset + span.start,
            at,
            table,
            complete: self.complete,
            known: Vec::new(),
        })
    }

    /// Reports every key that was not taken.
    pub(crate) fn finish(self) {
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
