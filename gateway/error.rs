//! Why a command failed, and the exit code for a shell or systemd.
//!
//! Its reader is an operator at a terminal: each variant prints as one finished message.

use std::fmt;

use crate::config::ConfigErrors;

/// The cause of a failure: an error, or a message.
type Source = Box<dyn std::error::Error + Send + Sync>;

/// A command that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Wrong arguments. Exit code 64 (`EX_USAGE` of sysexits.h).
    #[error("{0}")]
    Usage(String),
    /// An invalid configuration. Exit code 78 (`EX_CONFIG` of sysexits.h).
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// No configuration. Exit code 78 as well.
    #[error("{0}")]
    Unconfigured(String),
    /// A part of the work was done, and its result is valid. Exit code 74 (`EX_IOERR` of sysexits.h).
    #[error("{0}")]
    Partial(String),
    /// A step failed for a cause of its own. Exit code 1.
    #[error("cannot {step}: {source}")]
    Step {
        /// The step, as it reads behind "cannot".
        step: String,
        /// The cause.
        source: Source,
    },
    /// Any other failure. Exit code 1.
    #[error("{0}")]
    Failed(String),
}

impl Error {
    /// The exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 64,
            Self::Config(_) | Self::Unconfigured(_) => 78,
            Self::Partial(_) => 74,
            Self::Step { .. } | Self::Failed(_) => 1,
        }
    }

    /// A step that failed: `cannot <step>: <source>`.
    pub(crate) fn failed(step: impl fmt::Display, source: impl Into<Source>) -> Self {
        Self::Step {
            step: step.to_string(),
            source: source.into(),
        }
    }
}
