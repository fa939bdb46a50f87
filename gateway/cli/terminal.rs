//! The terminal that a person sits at.

use std::io::{IsTerminal, stdout};

/// How wide the terminal on standard output is, in characters, or else what `COLUMNS` says, as `watch` sets it. Nothing
/// if there is neither: what reads a pipe has no width.
pub(super) fn width() -> Option<usize> {
    let output = stdout();
    let size = output
        .is_terminal()
        .then(|| rustix::termios::tcgetwinsize(&output));
    let columns = size
        .and_then(Result::ok)
        .map(|size| usize::from(size.ws_col));
    let said = || std::env::var("COLUMNS").ok()?.parse().ok();
    columns.filter(|columns| *columns > 0).or_else(said)
}
