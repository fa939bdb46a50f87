//! What is wrong with a document, and where.

use std::cell::RefCell;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Where in which file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The file as the operator named it.
    pub file: Arc<Path>,
    /// The line, counted from 1; 0 means the file as a whole.
    pub line: usize,
}

impl Location {
    /// A file as a whole.
    pub fn of_file(path: &Path) -> Self {
        Self {
            file: path.into(),
            line: 0,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.file.display()),
            line => write!(f, "{}:{line}", self.file.display()),
        }
    }
}

/// A value and where it was written.
#[derive(Clone, Debug)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub at: Location,
}

/// How much a [`Problem`] weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Nothing is served with it, and a running gateway does not take it over.
    Fatal,
    /// `check` and a start refuse it, but a running gateway takes it over with a warning: refusing
    /// would keep revoked keys open.
    Strict,
    /// Worth saying; nothing is refused.
    Warning,
}

/// One thing that is wrong with a configuration: where, what, and how to mend it.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Its place.
    pub at: Location,
    /// What is wrong and what to do. Never holds the value of a secret.
    pub message: String,
    /// How much it weighs.
    pub severity: Severity,
    /// Whether it is a read that failed and may succeed a moment later, though nobody changes the file.
    pub may_pass: bool,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.severity == Severity::Warning {
            "warning: "
        } else {
            ""
        };
        write!(f, "{}: {mark}{}", self.at, self.message)
    }
}

/// The complaints about one configuration, in the order they were found.
#[derive(Debug, Default)]
pub struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    /// Notes one.
    pub fn push(&self, at: &Location, severity: Severity, message: impl Into<String>) {
        self.push_unread(at, severity, false, message);
    }

    /// Notes a read that failed, and whether it `may_pass`.
    pub fn push_unread(
        &self,
        at: &Location,
        severity: Severity,
        may_pass: bool,
        message: impl Into<String>,
    ) {
        self.0.borrow_mut().push(Problem {
            at: at.clone(),
            message: message.into(),
            severity,
            may_pass,
        });
    }

    /// Takes over the problems of `other`.
    pub fn extend(&self, other: Self) {
        self.0.borrow_mut().extend(other.0.into_inner());
    }

    /// Whether a problem is one that `refuses`.
    pub fn any(&self, refuses: impl Fn(&Problem) -> bool) -> bool {
        self.0.borrow().iter().any(refuses)
    }

    /// Copies of those that `chosen` is true of.
    pub fn matching(&self, chosen: impl Fn(&Problem) -> bool) -> Vec<Problem> {
        let all = self.0.borrow();
        all.iter()
            .filter(|problem| chosen(problem))
            .cloned()
            .collect()
    }

    /// Notes a fatal one.
    pub fn fatal(&self, at: &Location, message: impl Into<String>) {
        self.push(at, Severity::Fatal, message);
    }

    /// All of them, by file and line.
    pub fn into_sorted(self) -> Vec<Problem> {
        let mut all = self.0.into_inner();
        all.sort_by(|a, b| (&a.at.file, a.at.line).cmp(&(&b.at.file, b.at.line)));
        all
    }
}
