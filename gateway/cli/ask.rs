//! Questions to the person at the terminal, and answers that are not shown.

use std::io::{self, BufRead, IsTerminal, Write, stderr, stdin};
use std::os::fd::{AsFd, OwnedFd};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

use crate::error::Error;

/// Whether standard input is a terminal, with a person who can be asked.
pub(super) fn can_ask() -> bool {
    stdin().is_terminal()
}

/// What the person types after the question; `default` for an empty line.
pub(super) fn ask(question: &str, default: &str) -> Result<String, Error> {
    let hint = if default.is_empty() {
        String::new()
    } else {
        format!(" [{default}]")
    };
    prompt(&format!("{question}{hint}: "));
    let Some(typed) = line()? else {
        prompt("\n");
        let why = "standard input ended before the question was answered";
        return Err(Error::Usage(why.to_owned()));
    };
    Ok(if typed.is_empty() {
        default.to_owned()
    } else {
        typed.to_string()
    })
}

/// What the person types after the question, without showing it. Outside a terminal, the first line of standard input.
pub(super) fn ask_secret(question: &str) -> Result<Zeroizing<String>, Error> {
    if !can_ask() {
        return Ok(line()?.unwrap_or_default());
    }
    let hidden = Hidden::start(stdin().as_fd().try_clone_to_owned())
        .map_err(|error| Error::failed("hide what is typed", error))?;
    prompt(&format!("{question} (it is not shown): "));
    let typed = line();
    drop(hidden);
    // The line break of the answer was not shown either.
    prompt("\n");
    Ok(typed?.unwrap_or_default())
}

fn prompt(text: &str) {
    let mut output = stderr();
    let _ = output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush());
}

/// The next line of standard input, trimmed; `None` at its end.
fn line() -> Result<Option<Zeroizing<String>>, Error> {
    let mut text = Zeroizing::new(String::new());
    let length = stdin()
        .lock()
        .read_line(&mut text)
        .map_err(|error| Error::failed("read standard input", error))?;
    Ok((length > 0).then(|| Zeroizing::new(text.trim().to_owned())))
}

/// Keeps a terminal from showing what is typed, until it is dropped.
struct Hidden {
    terminal: OwnedFd,
    before: Termios,
}

impl Hidden {
    /// Discards what was typed before the question: the rest of a pasted script is no token.
    fn start(terminal: io::Result<OwnedFd>) -> io::Result<Self> {
        let terminal = terminal?;
        let before = tcgetattr(&terminal)?;
        restore_on_interrupt(terminal.try_clone()?, before.clone())?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&terminal, OptionalActions::Flush, &hidden)?;
        Ok(Self { terminal, before })
    }
}

/// Ends the program at Ctrl-C with the usual exit code, after the terminal shows again what is typed.
fn restore_on_interrupt(terminal: OwnedFd, before: Termios) -> io::Result<()> {
    /// The exit code that shells report for a program ended by Ctrl-C.
    const INTERRUPTED: i32 = 130;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let context = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    drop(context);
    let wait = move || {
        runtime.block_on(interrupt.recv());
        let _ = tcsetattr(&terminal, OptionalActions::Flush, &before);
        std::process::exit(INTERRUPTED);
    };
    std::thread::Builder::new().spawn(wait)?;
    Ok(())
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.terminal, OptionalActions::Flush, &self.before);
    }
}
