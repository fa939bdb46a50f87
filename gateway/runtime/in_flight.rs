//! Counts exchanges or connections that are open, so that a drain can wait for their end.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::runtime::atomic::{AtomicUsize, Ordering};

/// A count of what is in flight, and a way to wait until it is zero.
#[derive(Default)]
pub(crate) struct InFlight {
    count: AtomicUsize,
    gauge: Option<prometheus::IntGauge>,
    idle: Notify,
}

impl InFlight {
    /// A count of zero, which `gauge` exports.
    pub(crate) fn new(gauge: prometheus::IntGauge) -> Arc<Self> {
        Arc::new(Self {
            gauge: Some(gauge),
            ..Self::default()
        })
    }

    /// Counts one more until the guard is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> InFlightGuard {
        self.count.fetch_add(1, Ordering::AcqRel);
        if let Some(gauge) = &self.gauge {
            gauge.inc();
        }
        InFlightGuard(self.clone())
    }

    /// The count now.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Waits until the count is zero.
    pub(crate) async fn drained(&self) {
        loop {
            let notified = self.idle.notified();
            // Adding zero reads the latest value in the modification order; a load could return an older one, and the
            // notification for it would be missed.
            if self.count.fetch_add(0, Ordering::AcqRel) == 0 {
                return;
            }
            notified.await;
        }
    }
}

/// Counts one until it is dropped.
pub(crate) struct InFlightGuard(Arc<InFlight>);

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        if let Some(gauge) = &self.0.gauge {
            gauge.dec();
        }
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn drained_ends_when_the_last_guard_is_dropped() {
        let in_flight = Arc::new(InFlight::default());
        in_flight.drained().await;
        let (a, b) = (in_flight.enter(), in_flight.enter());
        let waiting = tokio::spawn({
            let in_flight = in_flight.clone();
            async move { in_flight.drained().await }
        });
        drop(a);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(b);
        waiting.await.unwrap();
        assert_eq!(in_flight.count(), 0);
    }
}
