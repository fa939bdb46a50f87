//! What is said to the service manager, in the words of `sd_notify(3)`
//! (<https://www.freedesktop.org/software/systemd/man/sd_notify.html>). Where there is none, nothing is said.
//!
//! A thread of its own says it, so that no request, reload or signal waits for a manager that does not listen.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use sd_notify::NotifyState;

/// The longest status that is said, in bytes: it is a line for people.
const LONGEST: usize = 400;
/// How many messages wait for a manager that does not listen; of more, the newest are kept.
const MOST: usize = 64;
/// How long the end of the process waits for the last message to be heard.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Whether another process is the service.
static SILENT: AtomicBool = AtomicBool::new(false);

/// The messages of this process; nothing if the system gives no thread that could say them.
static MAILBOX: OnceLock<Option<Mailbox>> = OnceLock::new();

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
    if let Some(mailbox) = mailbox() {
        // Where something waits to be said, it is not heard, and another sign of life would not be.
        mailbox.put(message(&[NotifyState::Watchdog]), true);
    }
}

/// Waits until the manager has heard everything, but no longer than one that does not listen deserves.
pub fn flush() {
    if let Some(Some(mailbox)) = MAILBOX.get() {
        mailbox.flush(LAST_WORDS);
    }
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
    if let Some(mailbox) = mailbox() {
        mailbox.put(message(what), false);
    }
}

/// Where messages go; nothing if there is nobody to hear them, or they are another process' to say.
fn mailbox() -> Option<&'static Mailbox> {
    if SILENT.load(Ordering::Relaxed) || std::env::var_os("NOTIFY_SOCKET").is_none() {
        return None;
    }
    let start = || {
        let started = Mailbox::start(|message| {
            if let Err(error) = sd_notify::notify(&[NotifyState::Custom(message)]) {
                tracing::warn!("the service manager does not hear: {error}");
            }
        });
        let failed = |error: &std::io::Error| {
            tracing::error!("nothing can be said to the service manager: {error}");
        };
        started.inspect_err(failed).ok()
    };
    MAILBOX.get_or_init(start).as_ref()
}

fn message(what: &[NotifyState<'_>]) -> String {
    let lines: Vec<_> = what.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// Messages that wait for a thread to send them, each of which may take any time.
struct Mailbox(Arc<Shared>);

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    messages: VecDeque<String>,
    /// Whether one is being sent.
    sending: bool,
}

impl Mailbox {
    fn start(mut send: impl FnMut(&str) + Send + 'static) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let ours = shared.clone();
        let thread = std::thread::Builder::new().name("manager".to_owned());
        thread.spawn(move || {
            loop {
                let message = ours.next();
                send(&message);
            }
        })?;
        Ok(Self(shared))
    }

    /// Leaves a message; with `if_alone`, only if no other waits or is being sent.
    fn put(&self, message: String, if_alone: bool) {
        let mut waiting = self.0.lock();
        if if_alone && !waiting.is_over() {
            return;
        }
        if waiting.messages.len() == MOST {
            waiting.messages.pop_front();
        }
        waiting.messages.push_back(message);
        self.0.changed.notify_all();
    }

    /// Waits until all is sent; whether it was within this time.
    fn flush(&self, at_most: Duration) -> bool {
        let waiting = self.0.lock();
        let done = &self.0.changed;
        let over = done.wait_timeout_while(waiting, at_most, |waiting| !waiting.is_over());
        let (waiting, _) = over.unwrap_or_else(PoisonError::into_inner);
        waiting.is_over()
    }
}

impl Waiting {
    fn is_over(&self) -> bool {
        self.messages.is_empty() && !self.sending
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next message, once there is one. The one before has been sent.
    fn next(&self) -> String {
        let mut waiting = self.lock();
        waiting.sending = false;
        loop {
            if let Some(message) = waiting.messages.pop_front() {
                waiting.sending = true;
                return message;
            }
            self.changed.notify_all();
            let woken = self.changed.wait(waiting);
            waiting = woken.unwrap_or_else(PoisonError::into_inner);
        }
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

    #[test]
    fn who_does_not_listen_holds_nobody_up_and_hears_the_newest() {
        let heard = Arc::new((Mutex::new((false, Vec::new())), Condvar::new()));
        let theirs = heard.clone();
        let mailbox = Mailbox::start(move |message| {
            let listening = theirs
                .1
                .wait_while(theirs.0.lock().unwrap(), |(listens, _)| !*listens);
            listening.unwrap().1.push(message.to_owned());
        });
        let mailbox = mailbox.unwrap();
        for number in 0..10 * MOST {
            mailbox.put(number.to_string(), false);
            mailbox.put("alive".to_owned(), true);
        }
        assert!(!mailbox.flush(Duration::from_millis(20)));
        heard.0.lock().unwrap().0 = true;
        heard.1.notify_all();
        assert!(mailbox.flush(Duration::from_secs(60)));
        let said = heard.0.lock().unwrap().1.clone();
        // The one that was on its way, and those that were kept.
        assert!((MOST..=MOST + 1).contains(&said.len()), "{said:?}");
        assert_eq!(said.last(), Some(&(10 * MOST - 1).to_string()));
        assert!(!said.contains(&"alive".to_owned()), "{said:?}");
        mailbox.put("alive".to_owned(), true);
        assert!(mailbox.flush(Duration::from_secs(60)));
        assert_eq!(heard.0.lock().unwrap().1.last().unwrap(), "alive");
    }
}
