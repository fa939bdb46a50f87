//! What a process needs: background threads, clocks, values that are swapped whole, files, the log, the service manager.
//!
//! Knows nothing of HTTP, keys or providers.

pub(crate) mod atomic;
pub(crate) mod background;
pub mod clock;
pub(crate) mod descriptors;
pub mod in_flight;
pub(crate) mod line_queue;
pub mod log;
pub(crate) mod printable;
pub mod regular_file;
pub(crate) mod replace;
pub(crate) mod systemd;
pub(crate) mod watchdog;
pub mod watched;
