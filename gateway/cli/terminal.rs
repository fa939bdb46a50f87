//! The terminal of the person who runs the command.

use std::io::{IsTerminal, stdout};

/// The width of the terminal on standard output in characters, or else the value of `COLUMNS`, which `watch` sets. `None`
/// if there is neither, as for a pipe.
pub(super) fn width() -> Option<usize> {
    let output = stdout();
    let size = output
        .is_terminal()
        .then(|| rustix::termios::tcgetwinsize(&output));
    let columns = size
        .and_then(Result::ok)
        .map(|size| usize::from(size.ws_col));
    let from_environment = || std::env::var("COLUMNS").ok()?.parse().ok();
    columns
        .filter(|columns| *columns > 0)
        .or_else(from_environment)
}
