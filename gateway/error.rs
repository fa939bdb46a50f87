//! Why a command failed, and the exit code that a shell or systemd sees.

use std::fmt;

use crate::config::ConfigErrors;

/// The end of a command that did not work.
#[derive(Debug)]
pub enum Error {
    /// It was called wrongly: 64 (`EX_USAGE` of sysexits.h).
    Usage(String),
    /// The configuration is wrong: 78 (`EX_CONFIG` of sysexits.h).
    Config(ConfigErrors),
    /// There is no configuration: 78 likewise.
    Unconfigured(String),
    /// Some of it was done, and its result is there: 74 (`EX_IOERR` of sysexits.h).
    Partial(String),
    /// Anything else: 1.
    Failed(String),
}

impl Error {
    /// What the shell gets.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 64,
            Self::Config(_) | Self::Unconfigured(_) => 78,
            Self::Partial(_) => 74,
            Self::Failed(_) => 1,
        }
    }

    /// A failure while doing something: `cannot <what>: <error>`.
    pub fn failed(what: impl fmt::Display, error: impl fmt::Display) -> Self {
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
