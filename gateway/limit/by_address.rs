//! Limits how many of something one address has at once: connections, or requests where many clients share a connection.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many each address has. An address that has none takes no memory.
#[derive(Default)]
pub(crate) struct ByAddress(Mutex<HashMap<IpAddr, usize>>);

/// Counts one for its address until it is dropped.
pub(crate) struct AtAddress {
    all: Arc<ByAddress>,
    address: IpAddr,
}

impl ByAddress {
    /// Counts one more for `address`. `None` if it has `most` already.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr, most: usize) -> Option<AtAddress> {
        let mut counts = self.counts();
        let count = counts.get(&address).copied().unwrap_or(0);
        if count >= most {
            return None;
        }
        counts.insert(address, count + 1);
        let all = self.clone();
        Some(AtAddress { all, address })
    }

    /// How many addresses have at least one.
    #[cfg(test)]
    pub(crate) fn addresses(&self) -> usize {
        self.counts().len()
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AtAddress {
    fn drop(&mut self) {
        let mut counts = self.all.counts();
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}
