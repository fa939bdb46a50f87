//! The atomics of the lock-free sources. `tests/models` compiles those sources with the atomics of a model checker.

pub(crate) use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};

pub(crate) use arc_swap::{ArcSwap, Guard};
