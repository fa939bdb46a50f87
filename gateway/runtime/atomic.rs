//! The atomics of the lock-free sources. `tests/models` compiles those sources with the atomics of a model checker.

pub use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

pub use arc_swap::{ArcSwap, Guard};
