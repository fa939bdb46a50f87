//! Standard output and standard error of a command. Control characters never reach the terminal: a model's name or a
//! key's comment is text of somebody else.

use std::io::Write;

use crate::error::Error;
use crate::runtime::printable;

/// Prints the result of a command to standard output.
///
/// # Errors
/// Standard output could not be written. A reader that has closed it is no error.
pub(super) fn print(text: &str) -> Result<(), Error> {
    print_unless_closed(text).map(drop)
}

/// Prints to standard output; returns `false` if its reader has closed it.
///
/// # Errors
/// Standard output could not be written.
pub(super) fn print_unless_closed(text: &str) -> Result<bool, Error> {
    let mut output = std::io::stdout().lock();
    match writeln!(output, "{}", printable::lines(text.trim_end())).and_then(|()| output.flush()) {
        // `keygate status | head -1` is no failure.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Error::failed("write to standard output", error)),
        Ok(()) => Ok(true),
    }
}

/// Prints a message for people, which is not the result of the command, to standard error.
pub(super) fn eprint(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", printable::lines(text));
}
