//! The errors that only a connection of keygate's own reports.

use std::io;

use pingora_core::Error;
use thiserror::Error as ThisError;

/// Why an exchange on a connection failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
pub(crate) enum ConnectionError {
    /// The origin has not responded in time.
    #[error("the origin has not responded in time")]
    Overdue,
    /// The origin closed the connection, or sent bytes that nobody asked for, before a byte of the request was sent.
    #[error("the origin ended the connection before the request was sent")]
    Unsent,
}

impl From<ConnectionError> for io::Error {
    fn from(error: ConnectionError) -> Self {
        let kind = match error {
            ConnectionError::Overdue => io::ErrorKind::TimedOut,
            ConnectionError::Unsent => io::ErrorKind::ConnectionAborted,
        };
        Self::new(kind, error)
    }
}

impl ConnectionError {
    /// The error of the connection that `error` has as its cause, if it is one of these. The system's own `ETIMEDOUT` is
    /// not: there the network delivers nothing.
    pub(crate) fn of(error: &Error) -> Option<Self> {
        let cause = error.root_cause().downcast_ref::<io::Error>()?;
        cause.get_ref()?.downcast_ref().copied()
    }
}

#[cfg(test)]
mod tests {
    use pingora_core::ErrorType;

    use super::*;

    #[test]
    fn an_error_of_the_system_is_not_one_of_the_connection() {
        let failed = |cause| Error::because(ErrorType::ReadError, "", cause);
        for error in [ConnectionError::Overdue, ConnectionError::Unsent] {
            assert_eq!(ConnectionError::of(&failed(error.into())), Some(error));
        }
        let kinds = [
            io::ErrorKind::TimedOut.into(),
            io::Error::from_raw_os_error(110),
        ];
        for cause in kinds {
            assert_eq!(ConnectionError::of(&failed(cause)), None);
        }
    }
}
