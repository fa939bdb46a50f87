//! The life of the process: signals, draining, and the handover to the next process.

pub(crate) mod drain;
pub(crate) mod handover;
pub(crate) mod run;
pub(crate) mod signals;
pub(crate) mod upgrade;
