//! What is said to the service manager, in the words of `sd_notify(3)`
//! (<https://www.freedesktop.org/software/systemd/man/sd_notify.html>). Where there is none, nothing is said.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;

/// The longest status that is said, in bytes: it is a line for people.
const LONGEST: usize = 400;

/// Whether another process is the service.
static SILENT: AtomicBool = AtomicBool::new(false);

/// The service serves: said when it has started, and after each reload, however that ended.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(&line(status))]);
}

/// The configuration is being loaded again.
pub fn reloading() {
    let mut said = vec![NotifyState::Reloading];
    // systemd 253 and newer want to know when.
    said.extend(NotifyState::monotonic_usec_now().ok());
    tell(&said);
}

/// What goes on.
pub fn status(status: &str) {
    tell(&[NotifyState::Status(&line(status))]);
}

/// The service takes no more requests and ends.
pub fn stopping(status: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(&line(status))]);
}

/// Another process is the service from now on. What this one says after that is nobody's business.
pub fn succeeded_by(process: u32, status: &str) {
    // READY as well, lest a reload that was going on never ends: what the other said before it was the service was
    // not heard.
    tell(&[
        NotifyState::MainPid(process),
        NotifyState::Ready,
        NotifyState::Status(&line(status)),
    ]);
    SILENT.store(true, Ordering::Relaxed);
}

/// How often it wants to hear that the service lives; `None` if it does not.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// The service lives.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// The process that was the service has failed, and this one, which was before it, is the service again.
pub fn again(status: &str) {
    SILENT.store(false, Ordering::Relaxed);
    tell(&[
        NotifyState::MainPid(std::process::id()),
        NotifyState::Ready,
        NotifyState::Status(&line(status)),
    ]);
}

fn tell(what: &[NotifyState<'_>]) {
    if SILENT.load(Ordering::Relaxed) {
        return;
    }
    if let Err(error) = sd_notify::notify(what) {
        tracing::warn!("the service manager does not hear: {error}");
    }
}

/// One line, and no longer than is read.
fn line(text: &str) -> String {
    let first = text.lines().next().unwrap_or_default();
    let end = (0..=LONGEST.min(first.len()))
        .rev()
        .find(|end| first.is_char_boundary(*end));
    first[..end.unwrap_or(0)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_one_line_of_bounded_length() {
        assert_eq!(line("serving\nREADY=1"), "serving");
        assert_eq!(line(""), "");
        let long = "\u{e9}".repeat(1000);
        assert_eq!(line(&long).len(), LONGEST);
    }
}
