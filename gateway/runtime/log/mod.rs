//! Writes the events of `tracing` as lines on standard error.
//!
//! A thread of its own writes them, so that no request, reload or signal waits for a slow reader: when the queue is full,
//! a line is dropped and counted. The number of lines of one kind is limited, as anybody can cause some of them.

mod limit;

pub(crate) use self::limit::UNLIMITED;

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

use self::limit::{LimitLayer, LineLimit, Suppressed};
use crate::runtime::line_queue::{Format, LineQueue};
use crate::runtime::printable;

/// How long the end of the process waits for the last lines to be read.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// How often suppressed lines are looked for, to be reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// How much a pipe that is ready takes without blocking, in bytes.
const PIPE_BUF: usize = 4096;

/// The queue and the limit of this process's events.
struct Events {
    queue: LineQueue<Vec<u8>>,
    limit: LineLimit,
}

/// Set by [`start`].
static EVENTS: OnceLock<Events> = OnceLock::new();

/// Counts dropped lines. It belongs to the process and not to a gateway: lines are logged before there is one.
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

/// The metric of dropped lines, by reason.
///
/// # Errors
/// If the metric is invalid, which a test rules out.
pub(crate) fn dropped() -> Result<IntCounterVec, prometheus::Error> {
    match DROPPED.as_ref() {
        Ok(dropped) => Ok(dropped.family.clone()),
        Err(error) => Err(prometheus::Error::Msg(error.to_string())),
    }
}

/// Starts the thread that writes to standard error. It writes the text of `print_last` from now on, and events once
/// [`log_from`] was called.
///
/// # Errors
/// If the system gives no thread.
pub fn start() -> io::Result<()> {
    let dropped = DROPPED.as_ref().map_err(io::Error::other)?;
    if EVENTS.get().is_some() {
        return Ok(());
    }
    let queue_full = dropped.queue_full.clone();
    let queue = LineQueue::start("events", stderr(), Lines::default(), queue_full)?;
    let limit = LineLimit::new(dropped.rate_limit.clone());
    // Another thread may have been faster, as in tests: then its queue is used.
    let _ = EVENTS.set(Events { queue, limit });
    Ok(())
}

/// Writes events of `level` and above to standard error, one line each. Does nothing before [`start`].
pub fn log_from(level: LevelFilter) {
    let Some(events) = EVENTS.get() else { return };
    let quiet = level.min(LevelFilter::WARN);
    let targets = Targets::new()
        .with_default(level)
        // They log each broken connection, as the access log does better, and some of their errors contain the head of a
        // request, with its key.
        .with_target("pingora_proxy", LevelFilter::OFF)
        .with_target("pingora_core", LevelFilter::OFF)
        // Logs when the system has no more descriptors.
        .with_target("pingora_core::services::listening", quiet)
        .with_target("pingora_pool", quiet);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(Queued(events))
        // These are written by the calling thread, without the queue.
        .log_internal_errors(false)
        .with_target(false);
    // A second call, as in tests, has no effect.
    let _ = tracing_subscriber::registry()
        .with(targets)
        .with(LimitLayer(&events.limit))
        .with(lines)
        .try_init();
}

/// Reports suppressed lines now and then, for as long as it runs.
pub(crate) async fn report_suppressed_lines() {
    loop {
        tokio::time::sleep(REPORT_INTERVAL).await;
        if let Some(events) = EVENTS.get() {
            report(&events.limit.take_suppressed(Instant::now(), false));
        }
    }
}

fn report(suppressed: &[Suppressed]) {
    for Suppressed {
        level,
        count,
        sample,
        ..
    } in suppressed
    {
        // The level of a macro must be a constant.
        match *level {
            Level::ERROR => {
                tracing::error!(target: UNLIMITED, "left out {count} more lines like: {sample}");
            }
            Level::WARN => {
                tracing::warn!(target: UNLIMITED, "left out {count} more lines like: {sample}");
            }
            _ => tracing::info!(target: UNLIMITED, "left out {count} more lines like: {sample}"),
        }
    }
}

/// Waits until the lines so far are written, for up to [`FLUSH_TIMEOUT`].
pub(crate) fn flush() {
    if let Some(events) = EVENTS.get() {
        report(&events.limit.take_suppressed(Instant::now(), true));
        events.queue.flush(FLUSH_TIMEOUT);
    }
}

/// Prints `text` on standard error, not as an event, and waits until it is written. After [`start`], a reader that has
/// stopped reading is waited for no longer than [`FLUSH_TIMEOUT`].
pub(crate) fn print_last(text: &str) {
    print(&format!("{text}\n"));
    flush();
}

fn print(line: &str) {
    match EVENTS.get() {
        Some(events) => events.write(line.as_bytes()),
        None => {
            // If standard error cannot be written, the failure cannot be reported either.
            let _ = stderr().write_all(printable::lines(line).as_bytes());
        }
    }
}

/// Logs why, and aborts the process: a part of it has failed, and clients and the service manager would not notice.
pub fn abort(why: &str) -> ! {
    tracing::error!("{why}");
    flush();
    std::process::abort()
}

/// Makes panics log their place, and not their message: it may contain secret data, as that of a text slice does. With
/// `RUST_BACKTRACE=1`, the backtrace is logged too.
pub fn install_panic_hook() {
    std::panic::set_hook(Box::new(|panic| {
        let current = std::thread::current();
        let thread = current.name().unwrap_or("(unnamed)");
        let at = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        let captured = Backtrace::capture();
        let lines = match captured.status() {
            BacktraceStatus::Captured => format!("\n{captured}"),
            _ => String::new(),
        };
        let backtrace = lines.trim_end();
        if dispatcher::has_been_set() {
            tracing::error!(
                "a defect of this program: thread `{thread}` panicked at {at}{backtrace}"
            );
        } else {
            print(&format!(
                "keygate: a defect: thread `{thread}` panicked at {at}{backtrace}\n"
            ));
        }
    }));
}

impl Events {
    /// Queues a line. During a panic, as much as possible is written at once without blocking: a second panic ends the
    /// process, and with it the queue.
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

/// Writes as much to standard error as it takes without blocking. Returns the number of bytes.
fn write_without_waiting(line: &[u8]) -> usize {
    let stderr = stderr();
    let mut written = 0;
    for chunk in line.chunks(PIPE_BUF) {
        let mut polled = [PollFd::new(&stderr, PollFlags::OUT)];
        let ready = poll(&mut polled, Some(&Timespec::default()));
        let [descriptor] = polled;
        if ready != Ok(1) || descriptor.revents() != PollFlags::OUT {
            break;
        }
        // Not through the standard library, whose lock the writing thread may hold while it blocks.
        match rustix::io::write(&stderr, chunk) {
            Ok(length) => written += length,
            Err(_) => break,
        }
    }
    written
}

/// Creates the writers for event lines.
struct Queued(&'static Events);

impl<'w> MakeWriter<'w> for Queued {
    type Writer = Line;

    fn make_writer(&'w self) -> Line {
        Line(self.0)
    }
}

/// Queues one line per write, and never fails.
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

/// Formats lines for the terminal: text from others, such as a name or a certificate error, must not move the cursor.
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
