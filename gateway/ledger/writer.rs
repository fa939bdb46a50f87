//! The thread of the ledger: collects news, and writes them in one transaction a beat.

use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::books::{Books, WriteError};
use super::history::UsageRow;
use super::rate::RateRow;
use crate::limit::account::Account;
use crate::runtime::atomic::{AtomicI64, AtomicU64, Ordering};
use crate::runtime::log;

/// The time from one transaction to the next when there is news all the time.
pub(super) const BEAT: Duration = Duration::from_millis(50);
/// The same when a request lacks rights.
const HURRIED_BEAT: Duration = Duration::from_millis(2);
/// How often all accounts are visited, and the history is written.
pub(super) const SWEEP: Duration = Duration::from_secs(1);
/// How long the thread sleeps at most: as often, it empties the queue of the history.
const NAP: Duration = Duration::from_millis(100);
/// How often a failure is logged.
const LOG_INTERVAL: Duration = Duration::from_secs(10);
/// How many messages are read before it is asked whether to write.
const MOST_MESSAGES: usize = 100_000;

/// What the thread is told.
pub(super) enum Message {
    /// An account is new, or has changed.
    Told(Arc<Account>),
    /// Another process serves in the place of this one; or, with `false`, does not any more.
    Retire(bool),
    /// Write everything, and end.
    Close(Sender<()>),
    /// End without writing, as a process that is killed.
    #[cfg(test)]
    Abandon(Sender<()>),
    /// Do this with the thread's connection.
    #[cfg(test)]
    Run(Box<dyn FnOnce(&rusqlite::Connection) + Send>),
}

/// What others see of the thread.
pub(super) struct Status {
    start: Instant,
    /// When the oldest news came that is not written, in microseconds since `start`; less than zero: none.
    waiting: AtomicI64,
    /// Why the last transaction failed.
    pub(super) last_error: Mutex<Option<String>>,
    /// How many rows of the history were dropped.
    pub(super) dropped: AtomicU64,
    /// How many processes hold rights.
    pub(super) holders: AtomicI64,
    /// The newest state of rates that the thread has not taken.
    pub(super) rates: Mutex<Option<Vec<RateRow>>>,
}

impl Status {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            waiting: AtomicI64::new(-1),
            last_error: Mutex::default(),
            dropped: AtomicU64::new(0),
            holders: AtomicI64::new(1),
            rates: Mutex::default(),
        }
    }

    /// For how long news has been waiting.
    pub(super) fn behind(&self) -> Duration {
        let since = u64::try_from(self.waiting.load(Ordering::Relaxed));
        since.map_or(Duration::ZERO, |since| {
            let now = self.start.elapsed();
            now.saturating_sub(Duration::from_micros(since))
        })
    }

    fn wait(&self) {
        if self.waiting.load(Ordering::Relaxed) < 0 {
            let now = i64::try_from(self.start.elapsed().as_micros()).unwrap_or(i64::MAX);
            self.waiting.store(now, Ordering::Relaxed);
        }
    }

    fn set_error(&self, error: Option<String>) {
        *self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = error;
    }

    fn take_rates(&self) -> Option<Vec<RateRow>> {
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        rates.take()
    }
}

/// The thread.
pub(super) struct Writer {
    messages: Receiver<Message>,
    usage: Receiver<UsageRow>,
    books: Books,
    status: Arc<Status>,
    last_write: Instant,
    next_sweep: Instant,
    has_failed: bool,
    logged: Option<Instant>,
    /// Who is told when the thread has ended.
    done: Option<Sender<()>>,
}

impl Writer {
    pub(super) fn new(
        messages: Receiver<Message>,
        usage: Receiver<UsageRow>,
        books: Books,
        status: Arc<Status>,
    ) -> Self {
        let now = Instant::now();
        Self {
            messages,
            usage,
            books,
            status,
            last_write: now.checked_sub(BEAT).unwrap_or(now),
            next_sweep: now + SWEEP,
            has_failed: false,
            logged: None,
            done: None,
        }
    }

    /// Runs until it is closed. A panic ends the process: without this thread, no rights would be issued any more.
    pub(super) fn run(self) {
        let work = std::panic::AssertUnwindSafe(|| self.serve());
        if std::panic::catch_unwind(work).is_err() {
            log::abort("the thread of the ledger is gone, and with it this process");
        }
    }

    fn serve(mut self) {
        loop {
            let next = match self.messages.recv_timeout(self.pause()) {
                Ok(message) => self.take_all(message),
                Err(RecvTimeoutError::Timeout) => ControlFlow::Continue(()),
                Err(RecvTimeoutError::Disconnected) => {
                    self.close();
                    ControlFlow::Break(())
                }
            };
            if next.is_break() {
                break;
            }
            self.take_usage();
            self.write_if_due();
        }
        let done = self.done.take();
        // The file is closed and the lock of the holder is gone before anybody is told.
        drop(self);
        if let Some(done) = done {
            let _ = done.send(());
        }
    }

    /// How long it sleeps if no message comes.
    fn pause(&self) -> Duration {
        let mut next = self.next_sweep;
        if self.books.has_news() {
            next = next.min(self.last_write + self.beat());
        }
        next.saturating_duration_since(Instant::now()).min(NAP)
    }

    /// The time from the last transaction to the next one.
    fn beat(&self) -> Duration {
        if !self.has_failed && self.books.is_short() {
            HURRIED_BEAT
        } else {
            BEAT
        }
    }

    /// Takes `message` and all that wait behind it.
    fn take_all(&mut self, message: Message) -> ControlFlow<()> {
        self.take(message)?;
        for _ in 0..MOST_MESSAGES {
            match self.messages.try_recv() {
                Ok(message) => self.take(message)?,
                Err(_) => break,
            }
        }
        ControlFlow::Continue(())
    }

    fn take(&mut self, message: Message) -> ControlFlow<()> {
        match message {
            Message::Told(account) => {
                self.status.wait();
                self.books.tell(account);
            }
            Message::Retire(is_retiring) => {
                self.books.retire(is_retiring);
                self.next_sweep = Instant::now();
            }
            Message::Close(done) => {
                self.take_usage();
                self.close();
                self.done = Some(done);
                return ControlFlow::Break(());
            }
            #[cfg(test)]
            Message::Abandon(done) => {
                self.done = Some(done);
                return ControlFlow::Break(());
            }
            #[cfg(test)]
            Message::Run(work) => work(self.books.connection()),
        }
        ControlFlow::Continue(())
    }

    fn take_usage(&mut self) {
        while let Ok(row) = self.usage.try_recv() {
            if !self.books.history.add(row) {
                self.status.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        if let Some(rates) = self.status.take_rates() {
            self.books.rates = rates;
        }
    }

    fn write_if_due(&mut self) {
        let now = Instant::now();
        let is_sweep = now >= self.next_sweep;
        let is_beat = self.books.has_news() && now >= self.last_write + self.beat();
        if !is_sweep && !is_beat {
            return;
        }
        let result = self.books.write(is_sweep);
        self.last_write = Instant::now();
        if is_sweep {
            // One that failed is repeated at the next beat.
            let pause = if result.is_ok() { SWEEP } else { BEAT };
            self.next_sweep = self.last_write + pause;
        }
        self.note(&result, is_sweep);
    }

    /// Tells others the result of a transaction.
    fn note(&mut self, result: &Result<(), WriteError>, is_sweep: bool) {
        self.has_failed = result.is_err();
        match result {
            Ok(()) => {
                let holders = self.books.holders();
                self.status.holders.store(holders, Ordering::Relaxed);
                if is_sweep || !self.books.has_news() {
                    self.status.waiting.store(-1, Ordering::Relaxed);
                    self.status.set_error(None);
                }
            }
            Err(error) => {
                self.status.wait();
                self.status.set_error(Some(error.to_string()));
                self.log(error);
            }
        }
    }

    fn log(&mut self, error: &WriteError) {
        let is_recent = self
            .logged
            .is_some_and(|logged| logged.elapsed() < LOG_INTERVAL);
        if !is_recent {
            self.logged = Some(Instant::now());
            tracing::error!(
                "the ledger cannot be written, and issues nothing until it can: {error}"
            );
        }
    }

    fn close(&mut self) {
        if let Err(error) = self.books.close() {
            tracing::error!(
                "the ledger could not be closed; what this process was issued counts as spent: {error}"
            );
            self.status.set_error(Some(error.to_string()));
        }
    }
}
