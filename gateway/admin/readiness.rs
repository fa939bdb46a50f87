//! Whether this process takes new requests, and whether upgrades from it have failed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Whether this process takes new requests.
#[derive(Default)]
pub(crate) struct Readiness {
    ready: AtomicBool,
    provisional: AtomicBool,
    failed_upgrades: Mutex<FailedUpgrades>,
}

/// Upgrades after which this process went on serving, because the new one could not take over.
#[derive(Clone, Default)]
pub(crate) struct FailedUpgrades {
    /// How many.
    pub(crate) count: u64,
    /// Why the last one failed.
    pub(crate) why: Option<String>,
}

impl Readiness {
    /// Sets whether new requests are taken from now on.
    pub(crate) fn set(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    /// Whether new requests are taken.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Sets whether the process before this one has yet to hand over.
    pub(crate) fn set_provisional(&self, provisional: bool) {
        self.provisional.store(provisional, Ordering::Release);
    }

    /// Whether the process before this one has yet to hand over: this process ends if that one dies first.
    pub(crate) fn is_provisional(&self) -> bool {
        self.provisional.load(Ordering::Acquire)
    }

    /// Records that an upgrade has failed.
    pub(crate) fn upgrade_failed(&self, why: &str) {
        let mut failed = self
            .failed_upgrades
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        failed.count += 1;
        failed.why = Some(why.to_owned());
    }

    /// The upgrades that have failed.
    pub(crate) fn failed_upgrades(&self) -> FailedUpgrades {
        let failed = self.failed_upgrades.lock();
        failed.unwrap_or_else(PoisonError::into_inner).clone()
    }
}
