//! Whether this process takes new requests, and whether upgrades from it have failed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Whether this process takes new requests.
#[derive(Default)]
pub struct Readiness {
    ready: AtomicBool,
    provisional: AtomicBool,
    failed_upgrades: Mutex<FailedUpgrades>,
}

/// Upgrades after which this process went on serving, because the new one could not take over.
#[derive(Clone, Default)]
pub struct FailedUpgrades {
    /// How many.
    pub count: u64,
    /// Why the last one failed.
    pub why: Option<String>,
}

impl Readiness {
    /// Sets whether new requests are taken from now on.
    pub fn set(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    /// Whether new requests are taken.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Sets whether the process before this one has yet to hand over.
    pub fn set_provisional(&self, provisional: bool) {
        self.provisional.store(provisional, Ordering::Release);
    }

    /// Whether the process before this one has yet to hand over: this process ends if that one dies first.
    pub fn is_provisional(&self) -> bool {
        self.provisional.load(Ordering::Acquire)
    }

    /// Records that an upgrade has failed.
    pub fn upgrade_failed(&self, why: &str) {
        let mut failed = self
            .failed_upgrades
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        failed.count += 1;
        failed.why = Some(why.to_owned());
    }

    /// The upgrades that have failed.
    pub fn failed_upgrades(&self) -> FailedUpgrades {
        let failed = self.failed_upgrades.lock();
        failed.unwrap_or_else(PoisonError::into_inner).clone()
    }
}
