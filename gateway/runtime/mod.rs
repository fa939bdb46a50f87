//! What a process needs: background threads, clocks, values that are swapped whole, files, the log, the service manager.
//!
//! Knows nothing of HTTP, keys or providers.

pub(crate) mod atomic;
pub(crate) mod background;
pub(crate) mod clock;
pub(crate) mod descriptors;
pub(crate) mod folder;
pub(crate) mod in_flight;
pub(crate) mod line_queue;
pub(crate) mod log;
pub(crate) mod printable;
pub(crate) mod regular_file;
pub(crate) mod replace;
pub(crate) mod sleep;
pub(crate) mod systemd;
pub(crate) mod watchdog;
pub(crate) mod watched;
