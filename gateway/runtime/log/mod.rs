//! Events, which are what `tracing` is told, as lines on standard error.
//!
//! A thread of its own writes them, so that no request, reload or signal waits for whoever reads them: a line that
//! finds the queue full is dropped and counted. Of each kind, so many lines are written and the others counted, since
//! strangers can cause some.

mod limit;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::borrow::Cow;
use std::io::{self, Write, stderr};
use std::sync::{LazyLock, OnceLock};
use std::time::{Duration, Instant};

use prometheus::{IntCounter, IntCounterVec, Opts};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing::level_filters::LevelFilter;
use tracing::{Level, dispatcher};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use self::limit::{LeftOut, Limit, Limited};
use crate::runtime::line_queue::{Format, LineQueue};
use crate::runtime::printable;

/// The target of events that are written however many there are: an operator's own doing, and not a stranger's.
pub const UNLIMITED: &str = "unlimited";

/// How long the end of the process waits for the last lines to be read.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How often it is looked whether there are lines to be told of that were left out.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// As much as can be written to a pipe without waiting, where something can.
const PIPE_BUF: usize = 4096;

/// The events of this process.
struct Events {
    queue: LineQueue<Vec<u8>>,
    limit: Limit,
}

/// Once they are written by a thread.
static EVENTS: OnceLock<Events> = OnceLock::new();

/// Counts the lines that are dropped. It belongs to the process and not to a gateway, as lines come before there is one.
struct Dropped {
    family: IntCounterVec,
    queue_full: IntCounter,
    rate_limit: IntCounter,
}

static DROPPED: LazyLock<Result<Dropped, prometheus::Error>> = LazyLock::new(|| {
    let family = IntCounterVec::new(
        Opts::new(
            "events_dropped_total",
            "Lines for standard error that were dropped: queue_full because nobody read them fast enough, rate_limit \
             because there were many of one kind.",
        ),
        &["reason"],
    )?;
    Ok(Dropped {
        queue_full: family.with_label_values(&["queue_full"]),
        rate_limit: family.with_label_values(&["rate_limit"]),
        family,
    })
});

/// The metric of lines that were dropped, by reason. Fails if its name is no name, which a test rules out.
pub fn dropped() -> Result<IntCounterVec, prometheus::Error> {
    let dropped = DROPPED.as_ref();
    let dropped = dropped.map_err(|error| prometheus::Error::Msg(error.to_string()))?;
    Ok(dropped.family.clone())
}

/// Starts the thread that writes to standard error. What [`say_last`] says goes to it from now on, events from
/// [`log_from`] on. Fails if the system gives no thread.
pub fn start() -> io::Result<()> {
    let dropped = DROPPED.as_ref().map_err(io::Error::other)?;
    if EVENTS.get().is_some() {
        return Ok(());
    }
    let lost = dropped.queue_full.clone();
    let queue = LineQueue::start("events", stderr(), Lines::default(), lost)?;
    let limit = Limit::new(dropped.rate_limit.clone());
    // Another thread may have been first, as in tests: its queue will do.
    let _ = EVENTS.set(Events { queue, limit });
    Ok(())
}

/// Sends events to standard error, one line each, from `level` on. [`start`] must have been called.
pub fn log_from(level: LevelFilter) {
    let Some(events) = EVENTS.get() else { return };
    let quiet = level.min(LevelFilter::WARN);
    let targets = Targets::new()
        .with_default(level)
        // They say per broken connection what the access log says better, and some of their errors hold the head
        // of a request, with its key.
        .with_target("pingora_proxy", LevelFilter::OFF)
        .with_target("pingora_core", LevelFilter::OFF)
        // Where the system has no more files.
        .with_target("pingora_core::services::listening", quiet)
        .with_target("pingora_pool", quiet);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(Queued(events))
        // It would be written from the thread that has something to say.
        .log_internal_errors(false)
        .with_target(false);
    // A second call, as in tests, leaves the first in place.
    let _ = tracing_subscriber::registry()
        .with(targets)
        .with(Limited(&events.limit))
        .with(lines)
        .try_init();
}

/// Tells now and then, for as long as it runs, how many lines were left out.
pub async fn tell_what_was_left_out() {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if let Some(events) = EVENTS.get() {
            tell(&events.limit.left_out(Instant::now(), false));
        }
    }
}

fn tell(left_out: &[LeftOut]) {
    for LeftOut {
        level, count, like, ..
    } in left_out
    {
        // A macro's level is constant.
        match *level {
            Level::ERROR => {
                tracing::error!(target: UNLIMITED, "left out {count} more lines like: {like}");
            }
            Level::WARN => {
                tracing::warn!(target: UNLIMITED, "left out {count} more lines like: {like}");
            }
            _ => tracing::info!(target: UNLIMITED, "left out {count} more lines like: {like}"),
        }
    }
}

/// Waits until the lines so far are written, but no longer than a reader that has stopped reading deserves.
pub fn flush() {
    if let Some(events) = EVENTS.get() {
        tell(&events.limit.left_out(Instant::now(), true));
        events.queue.flush(LAST_WORDS);
    }
}

/// Says something on standard error that is no event, and waits until it is written; but no longer than a reader that
/// has stopped reading deserves, once a thread writes it.
pub fn say_last(text: &str) {
    say(&format!("{text}\n"));
    flush();
}

fn say(line: &str) {
    match EVENTS.get() {
        Some(events) => events.write(line.as_bytes()),
        None => {
            // With nobody to read it there is nobody to tell.
            let _ = stderr().write_all(printable::lines(line).as_bytes());
        }
    }
}

/// Says why, and ends the process as it is: others would not know that a part of it is gone.
pub fn abort(why: &str) -> ! {
    tracing::error!("{why}");
    flush();
    std::process::abort()
}

/// Lets a panic say where it was, and no more: its own message may hold what it stumbled over, as that of a slice of a
/// text does. With `RUST_BACKTRACE=1`, it says how it came there, too.
pub fn hide_what_panics_say() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("(unnamed)");
        let at = panic.location().map(ToString::to_string);
        let at = at.unwrap_or_default();
        let backtrace = Backtrace::capture();
        let backtrace = match backtrace.status() {
            BacktraceStatus::Captured => format!("\n{backtrace}"),
            _ => String::new(),
        };
        let backtrace = backtrace.trim_end();
        if dispatcher::has_been_set() {
            tracing::error!(
                "a defect of this program: thread `{thread}` panicked at {at}{backtrace}"
            );
        } else {
            say(&format!(
                "keygate: a defect: thread `{thread}` panicked at {at}{backtrace}\n"
            ));
        }
    }));
}

impl Events {
    /// Hands a line over to the thread that writes. Where a panic is being told, it is written at once as far as that
    /// goes without waiting: a second one ends the process, and with it the queue.
    fn write(&self, line: &[u8]) {
        let written = if std::thread::panicking() {
            write_without_waiting(line)
        } else {
            0
        };
        match line.get(written..) {
            None | Some([]) => {}
            Some(rest) => self.queue.push(rest.to_vec()),
        }
    }
}

/// Writes as much to standard error as can be written now, and says how much that was.
fn write_without_waiting(line: &[u8]) -> usize {
    let stderr = stderr();
    let mut written = 0;
    for chunk in line.chunks(PIPE_BUF) {
        let mut room = [PollFd::new(&stderr, PollFlags::OUT)];
        let now = poll(&mut room, Some(&Timespec::default()));
        let [room] = room;
        if now != Ok(1) || room.revents() != PollFlags::OUT {
            break;
        }
        // Not by the library's own lock, which the thread that writes may hold while it waits.
        match rustix::io::write(&stderr, chunk) {
            Ok(length) => written += length,
            Err(_) => break,
        }
    }
    written
}

/// Makes writers for the lines of events.
struct Queued(&'static Events);

impl<'w> MakeWriter<'w> for Queued {
    type Writer = Line;

    fn make_writer(&'w self) -> Line {
        Line(self.0)
    }
}

/// Takes one line at a time, and never fails.
struct Line(&'static Events);

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lines as they are written: what comes from others (a name, a certificate's error) must move no cursor.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Format<Vec<u8>> for Lines {
    fn line<'l>(&'l mut self, item: &'l Vec<u8>) -> &'l [u8] {
        let Ok(text) = std::str::from_utf8(item) else {
            return item;
        };
        match printable::lines(text) {
            Cow::Borrowed(text) => text.as_bytes(),
            Cow::Owned(text) => {
                self.0 = text.into_bytes();
                &self.0
            }
        }
    }
}
