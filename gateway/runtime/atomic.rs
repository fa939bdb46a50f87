//! The atomics of what has no lock. `tests/models` compiles the same files with those of a model checker.

pub use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

pub use arc_swap::{ArcSwap, Guard};
