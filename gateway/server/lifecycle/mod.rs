//! The life of the process: signals, shutdown, the handover to the next process.

pub(crate) mod lifetime;
pub(crate) mod signals;
pub(crate) mod upgrade;
