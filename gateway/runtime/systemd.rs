//! Notifies the service manager by the protocol of `sd_notify(3)`
//! (<https://www.freedesktop.org/software/systemd/man/sd_notify.html>). Without a manager, the functions do nothing.
//!
//! A thread of its own sends the messages, so that no request, reload or signal waits for a manager that does not receive
//! them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use sd_notify::NotifyState;

/// The longest status that is sent, in bytes: it is a line for people.
const MAX_STATUS: usize = 400;
/// How many messages are queued for a manager that does not receive them. Of more, the newest are kept.
const CAPACITY: usize = 64;
/// How long the end of the process waits for the last message to be sent.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// Set while another process is the service.
static SILENT: AtomicBool = AtomicBool::new(false);

/// The queue of this process; `None` if the system gave no thread for it.
static MAILBOX: OnceLock<Option<Mailbox>> = OnceLock::new();

/// The service serves. Sent after the start, and after each reload, whether that succeeded or not.
pub(crate) fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(&line(status))]);
}

/// The configuration is being loaded again.
pub(crate) fn reloading() {
    let mut message = vec![NotifyState::Reloading];
    // systemd 253 and newer require the time.
    message.extend(NotifyState::monotonic_usec_now().ok());
    notify(&message);
}

/// Sets the status line of the service.
pub(crate) fn status(status: &str) {
    notify(&[NotifyState::Status(&line(status))]);
}

/// The service accepts no more requests, and ends.
pub(crate) fn stopping(status: &str) {
    notify(&[NotifyState::Stopping, NotifyState::Status(&line(status))]);
}

/// Another process is the service from now on. Messages of this one are dropped from then on.
pub(crate) fn succeeded_by(process: u32, status: &str) {
    // READY ends a reload that may be under way: systemd ignored what the other process sent before it was the service.
    notify(&[
        NotifyState::MainPid(process),
        NotifyState::Ready,
        NotifyState::Status(&line(status)),
    ]);
    SILENT.store(true, Ordering::Relaxed);
}

/// The interval within which the manager expects [`alive`]; `None` if it expects none.
pub(crate) fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// The service lives.
pub(crate) fn alive() {
    if let Some(mailbox) = mailbox() {
        // If a message waits, the manager is not receiving, and would not receive this one either.
        mailbox.put(message(&[NotifyState::Watchdog]), true);
    }
}

/// Waits until all messages are sent, for up to [`FLUSH_TIMEOUT`].
pub(crate) fn flush() {
    if let Some(Some(mailbox)) = MAILBOX.get() {
        mailbox.flush(FLUSH_TIMEOUT);
    }
}

/// The process that took over has failed, and this one is the service again.
pub(crate) fn resumed(status: &str) {
    SILENT.store(false, Ordering::Relaxed);
    notify(&[
        NotifyState::MainPid(std::process::id()),
        NotifyState::Ready,
        NotifyState::Status(&line(status)),
    ]);
}

fn notify(what: &[NotifyState<'_>]) {
    if let Some(mailbox) = mailbox() {
        mailbox.put(message(what), false);
    }
}

/// The queue; `None` without a manager, or while another process is the service.
fn mailbox() -> Option<&'static Mailbox> {
    if SILENT.load(Ordering::Relaxed) || std::env::var_os("NOTIFY_SOCKET").is_none() {
        return None;
    }
    let start = || {
        let started = Mailbox::start(|message| {
            if let Err(error) = sd_notify::notify(&[NotifyState::Custom(message)]) {
                tracing::warn!("the service manager cannot be notified: {error}");
            }
        });
        let failed = |error: &std::io::Error| {
            tracing::error!("the service manager cannot be notified: {error}");
        };
        started.inspect_err(failed).ok()
    };
    MAILBOX.get_or_init(start).as_ref()
}

fn message(what: &[NotifyState<'_>]) -> String {
    let lines: Vec<_> = what.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// Messages that a thread sends one after the other. Sending one may block for any time.
struct Mailbox(Arc<Shared>);

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    messages: VecDeque<String>,
    /// A message is being sent.
    sending: bool,
}

impl Mailbox {
    fn start(mut send: impl FnMut(&str) + Send + 'static) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let ours = shared.clone();
        std::thread::Builder::new()
            .name("manager".to_owned())
            .spawn(move || {
                loop {
                    let message = ours.next();
                    send(&message);
                }
            })?;
        Ok(Self(shared))
    }

    /// Queues a message; with `if_alone`, only if no other one waits or is being sent.
    fn put(&self, message: String, if_alone: bool) {
        let mut waiting = self.0.lock();
        if if_alone && !waiting.is_over() {
            return;
        }
        if waiting.messages.len() == CAPACITY {
            waiting.messages.pop_front();
        }
        waiting.messages.push_back(message);
        self.0.changed.notify_all();
    }

    /// Waits until all messages are sent, for up to `at_most`. Returns whether they were.
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

    /// Waits for the next message. The call means that the one before was sent.
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

/// The first line of `text`, cut to [`MAX_STATUS`] bytes.
fn line(text: &str) -> String {
    let first = text.lines().next().unwrap_or_default();
    let end = (0..=MAX_STATUS.min(first.len()))
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
        assert_eq!(line(&long).len(), MAX_STATUS);
    }

    #[test]
    fn a_manager_that_does_not_receive_blocks_no_thread_and_gets_the_newest_messages() {
        let received = Arc::new((Mutex::new((false, Vec::new())), Condvar::new()));
        let theirs = received.clone();
        let mailbox = Mailbox::start(move |message| {
            let receiving = theirs
                .1
                .wait_while(theirs.0.lock().unwrap(), |(receives, _)| !*receives);
            receiving.unwrap().1.push(message.to_owned());
        });
        let mailbox = mailbox.unwrap();
        for number in 0..10 * CAPACITY {
            mailbox.put(number.to_string(), false);
            mailbox.put("alive".to_owned(), true);
        }
        assert!(!mailbox.flush(Duration::from_millis(20)));
        received.0.lock().unwrap().0 = true;
        received.1.notify_all();
        assert!(mailbox.flush(Duration::from_secs(60)));
        let messages = received.0.lock().unwrap().1.clone();
        // The message that was being sent, and those that were queued.
        assert!(
            (CAPACITY..=CAPACITY + 1).contains(&messages.len()),
            "{messages:?}"
        );
        assert_eq!(messages.last(), Some(&(10 * CAPACITY - 1).to_string()));
        assert!(!messages.contains(&"alive".to_owned()), "{messages:?}");
        mailbox.put("alive".to_owned(), true);
        assert!(mailbox.flush(Duration::from_secs(60)));
        assert_eq!(received.0.lock().unwrap().1.last().unwrap(), "alive");
    }
}
