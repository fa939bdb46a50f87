//! Notes about what an import could not carry over, with the lines that they are about.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;

use crate::import::yaml::Lines;

/// Something that the operator should know about an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whether a part of the original is lost.
    pub lost: bool,
    /// The object: its kind, its name, and its file and line.
    pub object: String,
    /// The field of the object; empty for the object as a whole.
    pub(crate) field: String,
    /// What happened to it, and what to do.
    pub what: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.lost {
            "not carried over"
        } else {
            "note"
        };
        write!(f, "{kind}: {}", self.object)?;
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}", self.what)
    }
}

/// Collects notes.
#[derive(Default)]
pub(crate) struct Notes {
    all: RefCell<Vec<Note>>,
    /// The lines of each object's fields, by the object's title.
    lines: RefCell<HashMap<String, Lines>>,
}

impl Notes {
    fn push(&self, lost: bool, object: &str, field: &str, what: impl Into<String>) {
        let what: String = what.into();
        self.all.borrow_mut().push(Note {
            lost,
            object: self.place(object, field),
            field: field.to_owned(),
            // On one line, even if an error of a library has several.
            what: what.split_whitespace().collect::<Vec<_>>().join(" "),
        });
    }

    /// Notes that a part of the original is lost.
    pub(crate) fn lost(&self, object: &str, field: &str, what: impl Into<String>) {
        self.push(true, object, field, what);
    }

    /// Notes that something works differently than in the original.
    pub(crate) fn note(&self, object: &str, field: &str, what: impl Into<String>) {
        self.push(false, object, field, what);
    }

    /// Registers the lines of an object's fields, so that notes name the line of the field.
    pub(super) fn register_lines(&self, object: &str, lines: Lines) {
        self.lines.borrow_mut().insert(object.to_owned(), lines);
    }

    /// Registers the fields below `field` of `object` as those of an object called `title`.
    pub(super) fn register_lines_below(&self, title: &str, object: &str, field: &str) {
        let lines = self
            .lines
            .borrow()
            .get(object)
            .map(|lines| lines.below(field));
        if let Some(lines) = lines {
            self.register_lines(title, lines);
        }
    }

    /// The title of an object, with the line of one of its fields if it is known.
    pub(super) fn place(&self, object: &str, field: &str) -> String {
        let lines = self.lines.borrow();
        let line = lines.get(object).and_then(|lines| lines.of(field));
        line.map_or_else(|| object.to_owned(), |line| at_line(object, line))
    }

    /// All notes in the order in which they were made.
    pub(crate) fn into_vec(self) -> Vec<Note> {
        self.all.into_inner()
    }
}

/// Replaces the line in the title of an object, `... (file:12)` or `file:12`.
fn at_line(object: &str, line: usize) -> String {
    let (name, end) = match object.strip_suffix(')') {
        Some(name) => (name, ")"),
        None => (object, ""),
    };
    match name.rsplit_once(':') {
        Some((place, _)) => format!("{place}:{line}{end}"),
        None => object.to_owned(),
    }
}
