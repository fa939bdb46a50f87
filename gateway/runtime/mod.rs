//! What the process stands on: threads, time, values that are swapped whole, files, the log, the service manager.
//!
//! Knows nothing of HTTP, keys or providers.

pub mod atomic;
pub mod background;
pub mod clock;
pub mod descriptors;
pub mod in_flight;
pub mod line_queue;
pub mod log;
pub mod printable;
pub mod regular_file;
pub(crate) mod replace;
pub mod systemd;
pub mod watchdog;
pub mod watched;
