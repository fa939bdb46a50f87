//! Why a call has no response. The text holds nothing that the other side sent.

use std::fmt;
use std::io;
use std::time::Duration;

use pingora_core::Error;

use crate::origin::tunnel::TunnelError;

/// Why a call has no response.
///
/// The sources of `Connect` and `Exchange` are Pingora's errors, whose text may hold parts of a response: for code that
/// distinguishes them, and not for logs.
#[derive(Debug)]
pub(crate) enum CallError {
    /// The request has a target or a header that HTTP does not allow.
    Invalid(Box<Error>),
    /// The host's name has not been resolved to an address.
    Unresolved,
    /// No address could be connected to, or TLS or the tunnel failed.
    Connect(Box<Error>),
    /// A plain socket could not be connected.
    Io(io::Error),
    /// The connection broke, or what came over it is no HTTP response.
    Exchange(Box<Error>),
    /// The body of the response has more than this many bytes.
    TooLarge(usize),
    /// The call was not over within this time.
    TimedOut(Duration),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(error) | Self::Connect(error) | Self::Exchange(error) => {
                match error.root_cause().downcast_ref::<TunnelError>() {
                    Some(tunnel) => tunnel.fmt(f),
                    None => f.write_str(error.etype().as_str()),
                }
            }
            Self::Unresolved => f.write_str("its name cannot be resolved"),
            Self::Io(error) => error.fmt(f),
            Self::TooLarge(limit) => write!(f, "its response is larger than {limit} bytes"),
            Self::TimedOut(deadline) => write!(f, "no response within {deadline:?}"),
        }
    }
}

impl std::error::Error for CallError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Invalid(error) | Self::Connect(error) | Self::Exchange(error) => Some(&**error),
            Self::Io(error) => Some(error),
            Self::Unresolved | Self::TooLarge(_) | Self::TimedOut(_) => None,
        }
    }
}
