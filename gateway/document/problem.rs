//! Problems of a document, and where they are.

use std::cell::RefCell;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::grammar::url::mask_user_info;

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    /// The file as the operator named it.
    pub(crate) file: Arc<Path>,
    /// The line, counted from 1; 0 means the file as a whole.
    pub(crate) line: usize,
}

impl Location {
    /// A file as a whole.
    pub(crate) fn of_file(path: &Path) -> Self {
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

/// A value and the line it is written in.
#[derive(Clone, Debug)]
pub(crate) struct Located<T> {
    /// The value.
    pub(crate) value: T,
    /// The line.
    pub(crate) at: Location,
}

/// What a [`Problem`] prevents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// Everything: a start fails, and a running gateway does not take the configuration over.
    Fatal,
    /// `check` and a start refuse it, but a running gateway takes it over with a warning: a refusal would keep revoked keys
    /// valid.
    Strict,
    /// Nothing.
    Warning,
}

/// One problem of a configuration: where, what, and how to mend it.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The line.
    pub(crate) at: Location,
    /// What is wrong and what to do. Never holds the value of a secret, nor a password that was written into a URL.
    pub(crate) message: String,
    /// What it prevents.
    pub(crate) severity: Severity,
    /// Whether it is a failed read that may succeed a moment later although nobody changes the file.
    pub(crate) may_pass: bool,
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

/// The problems of one configuration, in the order they were found.
#[derive(Debug, Default)]
pub(crate) struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    /// Notes a problem.
    pub(crate) fn push(&self, at: &Location, severity: Severity, message: impl Into<String>) {
        self.push_unread(at, severity, false, message);
    }

    /// Notes a read that failed, and whether it `may_pass`.
    pub(crate) fn push_unread(
        &self,
        at: &Location,
        severity: Severity,
        may_pass: bool,
        message: impl Into<String>,
    ) {
        self.0.borrow_mut().push(Problem {
            at: at.clone(),
            message: mask_user_info(&message.into()).into_owned(),
            severity,
            may_pass,
        });
    }

    /// Takes over the problems of `other`.
    pub(crate) fn extend(&self, other: Self) {
        self.0.borrow_mut().extend(other.0.into_inner());
    }

    /// Whether a problem is one that `refuses`.
    pub(crate) fn any(&self, refuses: impl Fn(&Problem) -> bool) -> bool {
        self.0.borrow().iter().any(refuses)
    }

    /// Copies of those that `chosen` is true of.
    pub(crate) fn matching(&self, chosen: impl Fn(&Problem) -> bool) -> Vec<Problem> {
        let all = self.0.borrow();
        all.iter()
            .filter(|problem| chosen(problem))
            .cloned()
            .collect()
    }

    /// Notes a fatal problem.
    pub(crate) fn fatal(&self, at: &Location, message: impl Into<String>) {
        self.push(at, Severity::Fatal, message);
    }

    /// All of them, by file and line.
    pub(crate) fn into_sorted(self) -> Vec<Problem> {
        let mut all = self.0.into_inner();
        all.sort_by(|a, b| (&a.at.file, a.at.line).cmp(&(&b.at.file, b.at.line)));
        all
    }
}
