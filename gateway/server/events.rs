//! Events on standard error.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{Write, stderr};

use tracing::dispatcher;

use crate::config::LogLevel;

/// Sends events to standard error, one line each, from `level` on.
pub fn log_to_stderr(level: LogLevel) {
    use tracing_subscriber::filter::{LevelFilter, Targets};
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;

    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
    };
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
        .with_writer(std::io::stderr)
        .with_target(false);
    // A second call, as in tests, leaves the first in place.
    let _ = tracing_subscriber::registry()
        .with(targets)
        .with(lines)
        .try_init();
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
        if dispatcher::has_been_set() {
            tracing::error!("a defect of this program: thread `{thread}` panicked at {at}");
        } else {
            let _ = writeln!(
                stderr(),
                "keygate: a defect: thread `{thread}` panicked at {at}"
            );
        }
        if backtrace.status() == BacktraceStatus::Captured {
            let _ = writeln!(stderr(), "{backtrace}");
        }
    }));
}
