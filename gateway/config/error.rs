//! Everything that is wrong with a configuration, for the operator.

use std::fmt;

use crate::document::{FileStamp, Problem};

/// What is wrong with a configuration: all problems at once.
#[derive(Debug)]
pub struct ConfigErrors {
    /// The problems, by file and line.
    pub(crate) problems: Vec<Problem>,
    /// Every file that was read or looked for: a change of one may be the cure.
    pub(crate) files: Vec<FileStamp>,
}

impl ConfigErrors {
    /// Whether a file could not be read, and may be readable a moment later although nobody changes it.
    pub(crate) fn may_pass(&self) -> bool {
        self.problems.iter().any(|problem| problem.may_pass)
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if i == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
