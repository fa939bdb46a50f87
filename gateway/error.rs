//! Why a command failed, and the exit code for a shell or systemd.
//!
//! Its reader is an operator at a terminal: each variant prints as one finished message.

use std::fmt;

use crate::config::ConfigErrors;

/// A command that failed.
#[derive(Debug)]
pub enum Error {
    /// Wrong arguments. Exit code 64 (`EX_USAGE` of sysexits.h).
    Usage(String),
    /// An invalid configuration. Exit code 78 (`EX_CONFIG` of sysexits.h).
    Config(ConfigErrors),
    /// No configuration. Exit code 78 as well.
    Unconfigured(String),
    /// A part of the work was done, and its result is valid. Exit code 74 (`EX_IOERR` of sysexits.h).
    Partial(String),
    /// Any other failure. Exit code 1.
    Failed(String),
}

impl Error {
    /// The exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 64,
            Self::Config(_) | Self::Unconfigured(_) => 78,
            Self::Partial(_) => 74,
            Self::Failed(_) => 1,
        }
    }

    /// A failure while doing something: `cannot <what>: <error>`.
    pub(crate) fn failed(what: impl fmt::Display, error: impl fmt::Display) -> Self {
        Self::Failed(format!("cannot {what}: {error}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(why) | Self::Unconfigured(why) | Self::Partial(why) | Self::Failed(why) => {
                f.write_str(why)
            }
            Self::Config(errors) => write!(f, "{errors}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<ConfigErrors> for Error {
    fn from(errors: ConfigErrors) -> Self {
        Self::Config(errors)
    }
}
