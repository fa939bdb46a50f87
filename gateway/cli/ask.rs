//! Questions to the person at the terminal.

use std::io::{self, BufRead, IsTerminal, Write, stderr, stdin};
use std::os::fd::{AsFd, OwnedFd};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

use crate::error::Error;

/// Whether there is a person to be asked.
pub(super) fn can_ask() -> bool {
    stdin().is_terminal()
}

/// What the person types after the question; `default` if that is nothing.
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

/// Likewise, without showing it. Outside a terminal, the first line of standard input.
pub(super) fn ask_secret(question: &str) -> Result<Zeroizing<String>, Error> {
    if !can_ask() {
        return Ok(line()?.unwrap_or_default());
    }
    let hidden = Hidden::start(stdin().as_fd().try_clone_to_owned());
    let hidden = hidden.map_err(|error| Error::failed("hide what is typed", error))?;
    prompt(&format!("{question} (it is not shown): "));
    let typed = line();
    drop(hidden);
    // The line break that was not shown either.
    prompt("\n");
    Ok(typed?.unwrap_or_default())
}

fn prompt(text: &str) {
    let mut output = stderr();
    let _ = output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush());
}

/// Nothing at the end of standard input.
fn line() -> Result<Option<Zeroizing<String>>, Error> {
    let mut text = Zeroizing::new(String::new());
    let read = stdin().lock().read_line(&mut text);
    let read = read.map_err(|error| Error::failed("read standard input", error))?;
    Ok((read > 0).then(|| Zeroizing::new(text.trim().to_owned())))
}

/// A terminal that shows nothing of what is typed, until this ends.
struct Hidden {
    terminal: OwnedFd,
    before: Termios,
}

impl Hidden {
    /// What was typed before the question is forgotten: the rest of a pasted script is no token.
    fn start(terminal: io::Result<OwnedFd>) -> io::Result<Self> {
        let terminal = terminal?;
        let before = tcgetattr(&terminal)?;
        give_back_when_interrupted(terminal.try_clone()?, before.clone())?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&terminal, OptionalActions::Flush, &hidden)?;
        Ok(Self { terminal, before })
    }
}

/// Ends the program at Ctrl-C as that would have ended it, but with a terminal that shows again what is typed.
fn give_back_when_interrupted(terminal: OwnedFd, before: Termios) -> io::Result<()> {
    /// What a shell says of a program that Ctrl-C has ended.
    const INTERRUPTED: i32 = 130;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let inside = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    drop(inside);
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
